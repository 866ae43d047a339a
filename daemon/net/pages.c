/* pages.c - see pages.h
 *
 * To add a page, write its function and its row. A file that is built in is a row in assets.c. What
 * takes a body (POST /v1/phones) is not a page but a link, see post.h; here is what is said to
 * other methods. */
#include "net/pages.h"

#include "net/access.h"
#include "net/assets.h"
#include "net/depths.h"
#include "net/gates.h"
#include "net/metrics.h"
#include "net/model.h"
#include "plan/grant.h"
#include "session/admit.h"
#include "session/dump.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct request {
    shoald_house *house;
    const shoald_peer *peer;
    const shoald_head *head;
    const char *bytes; /* of the head */
    shoald_answer *answer;
} request;

/* ---- what may be read ---------------------------------------------------------------- */

static const char plain[] = "text/plain; charset=utf-8";

static int healthz(request *r)
{
    char text[96];
    if (r->house->stalled < 0)
        return shoald_answer_text(r->answer, 200, plain, "ok\n");
    snprintf(text, sizeof text, "worker %d makes no progress\n", r->house->stalled);
    return shoald_answer_text(r->answer, 503, plain, text);
}

/* Why a session would not get in now; NULL: it would. */
static const char *unready(shoald_house *house)
{
    if (house->draining)
        return "draining\n";
    if (house->session_count >= house->settings.max_sessions)
        return "full\n";
    if (house->stalled >= 0)
        return "stalled\n";
    return shoald_admit_has_room(house) ? NULL : "overloaded\n";
}

static int readyz(request *r)
{
    const char *why = unready(r->house);
    if (!why)
        return shoald_answer_text(r->answer, 200, plain, "ready\n");
    shoald_answer_add_line(r->answer, "Retry-After: %d", r->house->settings.retry_after_s);
    return shoald_answer_text(r->answer, 503, plain, why);
}

/* Takes page. */
static int answer_json(request *r, json_t *page)
{
    char *text = page ? json_dumps(page, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(page);
    int result = text ? shoald_answer_text(r->answer, 200, "application/json", text) : -1;
    free(text);
    return result;
}

/* The model that the query names, or the default, and in o->program that program's name. NULL:
 * there is none. */
static const shoald_named *named(const request *r, shoal_options *o, shoal_error *err)
{
    const char *query = r->bytes + r->head->query_at;
    const shoald_named *model = NULL;
    if (shoal_options_parse_model(o, query, r->head->query_length, err) == 0)
        model = shoald_models_pick(&r->house->models, o->model, err);
    return model && shoald_grant_program(o, model->service->model, err) > 0 ? model : NULL;
}

static int refuse_name(request *r, const shoal_error *err)
{
    shoald_count(&r->house->stats.errors[err->code], 1);
    return shoald_answer_error(r->answer, shoal_code_get_info(err->code)->http_status, err);
}

static int model(request *r)
{
    shoal_options o;
    shoal_error err;
    const shoald_named *model = named(r, &o, &err);
    return model ? answer_json(r, shoald_model_describe(r->house, model)) : refuse_name(r, &err);
}

static int depths(request *r)
{
    shoal_options o;
    shoal_error err;
    const shoald_named *model = named(r, &o, &err);
    return model ? answer_json(r, shoald_depths_describe(r->house, model, o.program))
                 : refuse_name(r, &err);
}

static int models(request *r)
{
    return answer_json(r, shoald_depths_describe_models(r->house));
}

static int metrics(request *r)
{
    r->answer->status = 200;
    r->answer->type = "text/plain; version=0.0.4; charset=utf-8";
    return shoald_metrics_write(&r->answer->body, r->house);
}

/* Nothing but what comes from here runs or is shown. A page may be told to take another server. */
static const char policy[] =
    "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss: http: https:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/* Asked for anew each time, so that a page fits the server that it talks to. */
static int asset(request *r)
{
    shoald_asset found;
    if (shoald_asset_find(r->head->path, &found) < 0)
        return -1;
    r->answer->status = 200;
    r->answer->type = found.type;
    r->answer->fixed = found.bytes;
    r->answer->fixed_size = found.n;
    shoald_answer_add_line(r->answer, "%s", policy);
    shoald_answer_add_line(r->answer, "Cache-Control: no-cache");
    shoald_answer_add_line(r->answer, "Referrer-Policy: no-referrer");
    return 0;
}

/* ---- what is refused ----------------------------------------------------------------- */

static int refuse(request *r, int status, shoal_code code, const char *why)
{
    shoal_error err;
    shoal_error_set(&err, code, NULL, why ? "%s" : NULL, why);
    shoald_count(&r->house->stats.errors[code], 1);
    return shoald_answer_error(r->answer, status, &err);
}

/* 0: it may be asked for, else it has been refused, with the status. The question whether it may
 * be sent (OPTIONS) needs no token: browsers send none with it. */
static int refuse_access(request *r, int *made)
{
    shoal_error err;
    shoald_token *token;
    int status = shoald_access_by_name(r->house, r->peer, r->head, &err);
    if (status == 0)
        status = shoald_access_from_page(r->house, r->head, &err);
    if (status == 0 && r->head->method != SHOALD_OPTIONS)
        status = shoald_access_with_token(r->house, r->head, r->bytes, &token, &err);
    if (status == 401)
        shoald_access_add_challenge(r->head, r->answer);
    if (status) {
        shoald_count(&r->house->stats.errors[err.code], 1);
        *made = shoald_answer_error(r->answer, status, &err);
    }
    return status;
}

static int stream(request *r)
{
    shoald_answer_add_line(r->answer, "Upgrade: websocket");
    shoald_answer_add_line(r->answer, "Sec-WebSocket-Version: 13");
    return refuse(r, 426, SHOAL_CODE_BAD_REQUEST,
                  "this is a WebSocket endpoint: connect with ws:// or wss://; a proxy in between "
                  "must pass on the headers Upgrade and Connection");
}

static int upload(request *r)
{
    shoald_answer_add_line(r->answer, "Allow: POST, OPTIONS");
    return refuse(r, 405, SHOAL_CODE_BAD_REQUEST,
                  "here a file's bytes are sent: curl --data-binary @FILE URL");
}

/* Who is connected, and from where, is for who runs the server. */
static int sessions(request *r)
{
    if (!shoald_peer_is_local(r->peer))
        return refuse(r, 404, SHOAL_CODE_NOT_FOUND, NULL);
    r->answer->status = 200;
    r->answer->type = "application/json";
    return shoald_session_dump_json(&r->answer->body, r->house);
}

/* ---- the table ----------------------------------------------------------------------- */

static const char reading[] = "GET, HEAD, OPTIONS";

typedef struct page {
    const char *path;
    int (*write)(request *r);
    bool open;           /* to everybody: it tells nothing of anybody, nor of the service */
    bool by_scripts;     /* those of pages that are allowed may read it */
    const char *methods; /* NULL: reading */
} page;

static const page pages[] = {
    { "/healthz", healthz, true, true, NULL },        { "/readyz", readyz, true, true, NULL },
    { "/v1/model", model, false, true, NULL },        { "/v1/depths", depths, false, true, NULL },
    { "/metrics", metrics, false, false, NULL },      { SHOAL_PATH, stream, true, false, NULL },
    { "/v1/sessions", sessions, false, false, NULL }, { "/v1/models", models, false, true, NULL },
};

/* Scripts of pages that are allowed may import shoal.js. */
static const page asset_page = { NULL, asset, true, true, NULL };
static const page upload_page = { NULL, upload, false, true, "POST, OPTIONS" };

static const page *find(const char *path)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (strcmp(path, pages[i].path) == 0)
            return &pages[i];
    if (shoald_gates_output(path))
        return &upload_page;
    shoald_asset found;
    return shoald_asset_find(path, &found) == 0 ? &asset_page : NULL;
}

/* Also what a browser asks before it lets a script send headers of its own. */
static int options(request *r, const page *p)
{
    const char *methods = p && p->methods ? p->methods : reading;
    r->answer->status = 204;
    shoald_answer_add_line(r->answer, "Allow: %s", methods);
    if (!p || !p->by_scripts)
        return 0;
    shoald_answer_add_line(r->answer, "Access-Control-Allow-Methods: %s", methods);
    shoald_answer_add_line(r->answer, "Access-Control-Allow-Headers: *, Authorization");
    shoald_answer_add_line(r->answer, "Access-Control-Max-Age: 86400");
    return 0;
}

static const char post_goes_to[] =
    "there is nothing at this path: POST audio to /v1/phones, /v1/posteriors, /v1/embedding, "
    "/v1/hidden@N, /v1/mel or /v1/activity; several with commas, as /v1/phones,activity";

int shoald_pages_answer(shoald_house *house, const shoald_peer *peer, const shoald_head *head,
                        const char *bytes, shoald_answer *a)
{
    request r = { house, peer, head, bytes, a };
    const page *p = find(head->path);
    int made;
    if (p && p->by_scripts)
        shoald_answer_add_cors(a, shoald_access_reader(house, head));
    if (p && !p->open && refuse_access(&r, &made))
        return made;
    if (head->method == SHOALD_OPTIONS && (p || !*head->path)) /* OPTIONS * is the server itself */
        return options(&r, p);
    if (head->method >= SHOALD_POST && p != &upload_page && (p || !*head->path)) {
        shoald_answer_add_line(a, "Allow: %s", reading);
        return refuse(&r, 405, SHOAL_CODE_BAD_REQUEST, "the method is none of GET, HEAD, OPTIONS");
    }
    if (!p)
        return refuse(&r, 404, SHOAL_CODE_NOT_FOUND,
                      head->method == SHOALD_POST ? post_goes_to : NULL);
    return p->write(&r);
}

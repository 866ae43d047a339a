/* pages.c - see pages.h
 *
 * To add a page, write its function and its row. One that takes a body (POST /v1/phones, which
 * streams a file's bytes into a session) is not a page but a link: its row goes beside the upgrade
 * in greet.c, which has the socket. */
#include "net/pages.h"

#include "net/depths.h"
#include "net/metrics.h"
#include "net/model.h"
#include "session/admit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct request {
    shoald_house *house;
    const shoald_head *head;
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

static int model(request *r)
{
    return answer_json(r, shoald_model_describe(r->house));
}

static int depths(request *r)
{
    return answer_json(r, shoald_depths_describe(r->house));
}

static int metrics(request *r)
{
    r->answer->status = 200;
    r->answer->type = "text/plain; version=0.0.4; charset=utf-8";
    return shoald_metrics_write(&r->answer->body, r->house);
}

static const char page_format[] =
    "<!doctype html><meta charset=utf-8><title>shoald</title>\n"
    "<style>body{font:16px/1.5 sans-serif;max-width:42em;margin:3em auto;padding:0 1em}"
    "code,pre{background:#eee;padding:.1em .3em}</style>\n"
    "<h1>shoald %s</h1>\n"
    "<p>Streams speech features of the model <b>%s</b> (depths 1 to %d, %d values a frame, %d "
    "phones) over WebSocket. %d of %d sessions are open.\n"
    "<pre>shoal-file --url ws://%s --depth 6 speech.wav</pre>\n"
    "<p>Or with any WebSocket client, sending raw samples:\n"
    "<pre>ws://%s/v1/stream?rate=16000&amp;format=s16le&amp;depth=6&amp;output=phones</pre>\n"
    "<ul><li><a href=/v1/model>/v1/model</a> what the model is and the server allows\n"
    "<li><a href=/v1/depths>/v1/depths</a> what each depth costs here and what it gives\n"
    "<li><a href=/metrics>/metrics</a> for Prometheus\n"
    "<li><a href=/healthz>/healthz</a>, <a href=/readyz>/readyz</a> for supervisors</ul>\n";

/* What comes from outside gets into the page without markup. */
static void only_plain(char *text)
{
    for (char *p = text; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[] ", *p))
            *p = '_';
}

static int front(request *r)
{
    const shoald_house *house = r->house;
    const shoal_model_info *m = house->service.info;
    char host[SHOALD_MAX_HOST], name[80], page[2048];
    snprintf(host, sizeof host, "%s", *r->head->host ? r->head->host : "HOST:PORT");
    snprintf(name, sizeof name, "%s", m->name);
    only_plain(host);
    only_plain(name);
    snprintf(page, sizeof page, page_format, shoal_version(), name, m->depth, m->dim, m->classes,
             house->session_count, house->settings.max_sessions, host, host);
    return shoald_answer_text(r->answer, 200, "text/html; charset=utf-8", page);
}

/* ---- what is refused ----------------------------------------------------------------- */

static int refuse(request *r, int status, shoal_code code, const char *why)
{
    shoal_error err;
    shoal_error_set(&err, code, NULL, why ? "%s" : NULL, why);
    shoald_count(&r->house->stats.errors[code], 1);
    return shoald_answer_error(r->answer, status, &err);
}

static int stream(request *r)
{
    shoald_answer_add_line(r->answer, "Upgrade: websocket");
    shoald_answer_add_line(r->answer, "Sec-WebSocket-Version: 13");
    return refuse(r, 426, SHOAL_CODE_BAD_REQUEST,
                  "this is a WebSocket endpoint: connect with ws:// or wss://; a proxy in between "
                  "must pass on the headers Upgrade and Connection");
}

/* ---- the table ----------------------------------------------------------------------- */

typedef struct page {
    const char *path;
    int (*write)(request *r);
    bool any_origin; /* scripts of every web page may read it */
} page;

static const page pages[] = {
    { "/", front, false },         { "/healthz", healthz, true },  { "/readyz", readyz, true },
    { "/v1/model", model, true },  { "/v1/depths", depths, true }, { "/metrics", metrics, false },
    { SHOAL_PATH, stream, false },
};

static const page *find(const char *path)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (strcmp(path, pages[i].path) == 0)
            return &pages[i];
    return NULL;
}

static const char methods[] = "GET, HEAD, OPTIONS";

/* Also what a browser asks before it lets a script send headers of its own. */
static int options(request *r, const page *p)
{
    r->answer->status = 204;
    shoald_answer_add_line(r->answer, "Allow: %s", methods);
    if (!p || !p->any_origin)
        return 0;
    shoald_answer_add_line(r->answer, "Access-Control-Allow-Methods: %s", methods);
    shoald_answer_add_line(r->answer, "Access-Control-Allow-Headers: *");
    shoald_answer_add_line(r->answer, "Access-Control-Max-Age: 86400");
    return 0;
}

int shoald_pages_answer(shoald_house *house, const shoald_head *head, shoald_answer *a)
{
    request r = { house, head, a };
    const page *p = find(head->path);
    if (p && p->any_origin)
        shoald_answer_add_line(a, "Access-Control-Allow-Origin: *");
    if (head->method == SHOALD_OPTIONS && (p || !*head->path)) /* OPTIONS * is the server itself */
        return options(&r, p);
    if (head->method == SHOALD_OTHER_METHOD && (p || !*head->path)) {
        shoald_answer_add_line(a, "Allow: %s", methods);
        return refuse(&r, 405, SHOAL_CODE_BAD_REQUEST, "the method is none of GET, HEAD, OPTIONS");
    }
    return p ? p->write(&r) : refuse(&r, 404, SHOAL_CODE_NOT_FOUND, NULL);
}

/* gates.c - see gates.h
 *
 * To add a gate, write its function and its row, at the place where it has to
 * be passed. A function says true, or false and what is wrong in *c->entry. */
#include "net/gates.h"

#include "plan/grant.h"
#include "net/access.h"
#include "session/admit.h"
#include "session/park.h"
#include "session/session.h"

#include <stdio.h>
#include <string.h>

typedef struct call {
    shoald_house *house;
    const shoald_peer *peer;
    const shoald_head *head;
    const char *bytes;
    shoald_entry *entry;
    int status; /* 0: the error's own */
    shoald_taste taste;
    shoald_token *token; /* NULL: none is required */
} call;

static bool refuse(call *c, int status, shoal_code code, const char *why)
{
    shoal_error *err = &c->entry->error;
    shoal_error_set(err, code, NULL, why ? "%s" : NULL, why);
    if (err->retry)
        err->retry_after_ms = shoald_admit_retry_ms(c->house);
    c->status = status;
    return false;
}

/* ---- who asks ------------------------------------------------------------------------ */

static bool by_our_name(call *c)
{
    c->status = shoald_access_by_name(c->house, c->peer, c->head, &c->entry->error);
    return c->status == 0;
}

static bool from_our_page(call *c)
{
    c->status = shoald_access_from_page(c->house, c->head, &c->entry->error);
    return c->status == 0;
}

static bool with_a_token(call *c)
{
    c->status = shoald_access_with_token(c->house, c->head, c->bytes, &c->token, &c->entry->error);
    if (c->token) {
        memcpy(c->entry->token, c->token->name, sizeof c->entry->token);
        c->entry->most_depth = c->token->most_depth;
        c->entry->most_sessions = c->token->most_sessions;
    }
    return c->status == 0;
}

/* ---- the request --------------------------------------------------------------------- */

static bool at_the_stream(call *c)
{
    return strcmp(c->head->path, SHOAL_PATH) == 0 || refuse(c, 0, SHOAL_CODE_NOT_FOUND, NULL);
}

static bool in_http_1_1(call *c)
{
    return c->head->minor > 0 ||
           refuse(c, 400, SHOAL_CODE_BAD_REQUEST, "an upgrade to WebSocket needs HTTP/1.1");
}

static bool in_version_13(call *c)
{
    return c->head->websocket_version == 13 ||
           refuse(c, 426, SHOAL_CODE_BAD_REQUEST,
                  "this server speaks WebSocket version 13: send Sec-WebSocket-Version: 13, once");
}

static bool with_a_key(call *c)
{
    return *c->head->key || refuse(c, 400, SHOAL_CODE_BAD_REQUEST,
                                   "the Sec-WebSocket-Key is missing or not 16 bytes in base64");
}

static bool in_our_protocol(call *c)
{
    return !c->head->offers_any || c->head->offers_ours ||
           refuse(c, 0, SHOAL_CODE_BAD_SUBPROTOCOL, NULL);
}

/* ---- who comes back -------------------------------------------------------------------- */

static bool who_comes_back(call *c)
{
    shoald_entry *e = c->entry;
    const char *query = c->bytes + c->head->query_at;
    int is_back = shoal_resume_parse_query(&e->resume, query, c->head->query_length, &e->error);
    if (is_back == 1)
        e->back = shoald_park_find(c->house, &e->resume, e->token, &e->error);
    return !e->error.code;
}

static bool with_room_to_come_back(call *c)
{
    if (!c->entry->back || shoald_admit_may_return(c->entry->back, &c->entry->error))
        return true;
    shoald_count(&c->house->stats.resumes[SHOALD_RESUME_REFUSED], 1);
    return false;
}

/* ---- the house ----------------------------------------------------------------------- */

static bool not_while_draining(call *c)
{
    return !c->house->draining ||
           refuse(c, 0, SHOAL_CODE_DRAINING, "the server is restarting: try again soon");
}

static bool with_a_slot(call *c)
{
    return c->house->session_count < c->house->settings.max_sessions ||
           refuse(c, 0, SHOAL_CODE_TOO_MANY_SESSIONS, NULL);
}

/* Others than the one that it comes back to: that may still hold the link that broke. */
static bool is_another(const call *c, const shoald_session *s)
{
    return shoald_session_is_open(s) && s != c->entry->back;
}

/* Other sessions of its address; posts: those by POST alone. */
static int count_near(const call *c, bool posts)
{
    int count = 0;
    for (const shoald_session *s = c->house->sessions; s; s = s->next)
        count +=
            is_another(c, s) && (s->by_post || !posts) && shoald_peer_is_near(&s->peer, c->peer);
    return count;
}

static bool of_an_address_with_a_slot(call *c)
{
    int limit = c->house->settings.max_sessions_per_ip;
    return limit == 0 || count_near(c, false) < limit ||
           refuse(c, 429, SHOAL_CODE_TOO_MANY_SESSIONS,
                  "your address has as many sessions as it may "
                  "(max_sessions_per_ip): close one first");
}

static bool of_a_token_with_a_slot(call *c)
{
    int count = 0;
    if (!c->token || c->token->most_sessions == 0)
        return true;
    for (const shoald_session *s = c->house->sessions; s; s = s->next)
        count += is_another(c, s) && strcmp(s->token, c->token->name) == 0;
    if (count < c->token->most_sessions)
        return true;
    shoald_count(&c->house->stats.access_refused[SHOALD_REFUSED_TOKEN_SESSIONS], 1);
    return refuse(c, 429, SHOAL_CODE_TOO_MANY_SESSIONS,
                  "your token has as many sessions as it may: close one first");
}

/* The last gate: only what comes in counts. */
static bool within_the_tokens_rate(call *c)
{
    int wait_ms = c->token ? shoald_token_begin(c->token, uv_hrtime()) : 0;
    if (wait_ms == 0)
        return true;
    shoald_count(&c->house->stats.access_refused[SHOALD_REFUSED_TOKEN_RATE], 1);
    refuse(c, 429, SHOAL_CODE_TOO_MANY_SESSIONS,
           "your token has begun as many sessions a minute as it may: begin the next one later");
    c->entry->error.retry_after_ms = wait_ms;
    return false;
}

/* ---- what is asked for --------------------------------------------------------------- */

static bool with_granted_options(call *c)
{
    shoald_entry *e = c->entry;
    const shoald_grant_limits limits = { c->house->settings.default_depth, e->most_depth };
    e->granted = e->asked;
    return shoald_admit_grant(c->house, &limits, &e->granted, &e->service, &e->error) == 0;
}

/* Without an option in the URL it waits for a start message. */
static bool with_good_options(call *c)
{
    shoald_entry *e = c->entry;
    const char *query = c->bytes + c->head->query_at;
    size_t n = c->head->query_length;
    while (n && *query == '&')
        query++, n--;
    if (n == 0)
        return true;
    e->has_options = true;
    if (shoal_options_parse_query(&e->asked, query, n, &e->error) < 0)
        return false;
    return with_granted_options(c);
}

static bool within_capacity(call *c)
{
    shoald_entry *e = c->entry;
    return !e->has_options || shoald_admit_may_begin(c->house, e->service, &e->granted, &e->error);
}

/* ---- a POST with audio --------------------------------------------------------------- */

const char *shoald_gates_output(const char *path)
{
    const char *name = strncmp(path, "/v1/", 4) == 0 ? path + 4 : "";
    size_t first = strcspn(name, "@,");
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789@,_.-") != strlen(name))
        return NULL;
    for (unsigned one = 1; one <= SHOAL_OUTPUT_ALL; one <<= 1)
        if (strlen(shoal_output_name(one)) == first &&
            memcmp(shoal_output_name(one), name, first) == 0)
            return name;
    return NULL;
}

static bool with_a_body(call *c)
{
    const shoald_head *h = c->head;
    if (h->has_encoding && !h->chunked)
        return refuse(c, 501, SHOAL_CODE_BAD_REQUEST,
                      "of Transfer-Encoding the server knows chunked, and only that");
    if (h->has_encoding && h->minor == 0)
        return refuse(c, 400, SHOAL_CODE_BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding");
    if (!h->has_encoding && !h->has_length)
        return refuse(c, 411, SHOAL_CODE_BAD_REQUEST,
                      "send the audio as the body, with Content-Length or chunked: "
                      "curl --data-binary @FILE");
    return h->has_body ||
           refuse(c, 400, SHOAL_CODE_BAD_REQUEST,
                  "the body is empty: send a file's bytes, curl --data-binary @FILE");
}

static bool with_bytes_as_they_are(call *c)
{
    if (c->head->is_form)
        return refuse(
            c, 415, SHOAL_CODE_BAD_REQUEST,
            "the body is a form: send the file's bytes alone, as curl --data-binary @FILE "
            "does, not -F");
    return !c->head->is_packed ||
           refuse(c, 415, SHOAL_CODE_BAD_REQUEST,
                  "the body has a Content-Encoding: send the bytes as they are");
}

static bool with_an_upload_slot(call *c)
{
    return c->house->upload_count < c->house->settings.max_uploads ||
           refuse(c, 503, SHOAL_CODE_TOO_MANY_SESSIONS,
                  "as many files are on their way as may be (max_uploads): try later");
}

/* So that nobody keeps all others out by files that come slowly. */
static bool of_an_address_with_an_upload_slot(call *c)
{
    const shoald_settings *set = &c->house->settings;
    int limit = (set->max_uploads * set->upload_percent_per_ip + 99) / 100;
    return count_near(c, true) < limit ||
           refuse(c, 429, SHOAL_CODE_TOO_MANY_SESSIONS,
                  "your address has as many files on their way as it may "
                  "(upload_percent_per_ip of max_uploads): wait for one of them");
}

/* The path says which output; the rest is as in a session's URL. */
static bool with_good_query(call *c)
{
    shoald_entry *e = c->entry;
    char query[SHOAL_MAX_QUERY_BYTES + SHOALD_MAX_PATH];
    int n = c->head->query_length > SHOAL_MAX_QUERY_BYTES ? SHOAL_MAX_QUERY_BYTES
                                                          : (int)c->head->query_length;
    e->has_options = true;
    n = snprintf(query, sizeof query, "output=%s%s%.*s", shoald_gates_output(c->head->path),
                 n ? "&" : "", n, c->bytes + c->head->query_at);
    return shoal_options_parse_query(&e->asked, query, (size_t)n, &e->error) == 0;
}

static bool bad_option(call *c, const char *option, const char *why)
{
    shoal_error_set(&c->entry->error, SHOAL_CODE_BAD_OPTION, option, "%s: %s", option, why);
    return false;
}

/* With a format the body is samples, else a file that says itself what it is. */
static bool with_good_audio(call *c)
{
    const shoal_options *o = &c->entry->asked;
    if (o->given & SHOAL_OPT_FORMAT)
        return o->format != SHOAL_FORMAT_OPUS ||
               bad_option(c, "format",
                          "bare packets have no ends in a body: send an Ogg Opus file, "
                          "without format");
    if (o->given & (SHOAL_OPT_RATE | SHOAL_OPT_CHANNELS))
        return bad_option(
            c, o->given & SHOAL_OPT_RATE ? "rate" : "channels",
            "a file says it itself: leave it out, or say format (s16le, f32le, mulaw, "
            "alaw) for a body of raw samples");
    return true;
}

static bool in_an_answerable_form(call *c)
{
    shoal_options *o = &c->entry->asked;
    unsigned outputs = shoal_options_all_outputs(o);
    unsigned rows = outputs & ~(unsigned)(SHOAL_OUTPUT_PHONES | SHOAL_OUTPUT_ACTIVITY);
    bool binary = (o->given & SHOAL_OPT_ENCODING) && o->encoding != SHOAL_ENCODING_JSON;
    c->taste = c->head->taste == SHOALD_ANY_FORM && binary && rows == outputs ? SHOALD_PACKETS
                                                                              : c->head->taste;
    if (c->taste == SHOALD_PACKETS || c->taste == SHOALD_NPY) {
        if (rows != outputs)
            return refuse(c, 406, SHOAL_CODE_BAD_REQUEST,
                          "phones and activity come as lines of JSON only: leave Accept out");
        if (c->taste == SHOALD_NPY && (o->tap_count + (o->outputs != 0) > 1 || (rows & (rows - 1))))
            return refuse(c, 406, SHOAL_CODE_BAD_REQUEST, "an .npy holds one output: ask for one");
        return (o->given & SHOAL_OPT_ENCODING) == 0 || binary ||
               bad_option(c, "encoding", "json is text: leave Accept out");
    }
    c->taste = SHOALD_LINES;
    if (binary && rows)
        return bad_option(c, "encoding",
                          "lines are JSON: say Accept: application/octet-stream, and "
                          "ask for phones and activity by themselves");
    o->encoding = SHOAL_ENCODING_JSON;
    o->given |= SHOAL_OPT_ENCODING;
    return true;
}

static bool (*const post_gates[])(call *c) = {
    by_our_name,
    from_our_page,
    with_a_token,
    with_a_body,
    with_bytes_as_they_are,
    not_while_draining,
    with_a_slot,
    with_an_upload_slot,
    of_an_address_with_an_upload_slot,
    of_an_address_with_a_slot,
    of_a_token_with_a_slot,
    with_good_query,
    with_good_audio,
    in_an_answerable_form,
    with_granted_options,
    within_capacity,
    within_the_tokens_rate,
};

bool shoald_gates_check_post(shoald_house *house, const shoald_peer *peer, const shoald_head *head,
                             const char *bytes, shoald_entry *entry, shoald_taste *taste,
                             int *status)
{
    call c = { house, peer, head, bytes, entry, 0, SHOALD_ANY_FORM, NULL };
    memset(entry, 0, sizeof *entry);
    entry->by_post = true;
    for (size_t i = 0; i < sizeof post_gates / sizeof post_gates[0] && !entry->error.code; i++)
        (void)post_gates[i](&c);
    *status = c.status;
    *taste = c.taste;
    return !entry->error.code;
}

/* ---- an upgrade ---------------------------------------------------------------------- */

static const struct {
    bool (*pass)(call *c);
    shoald_verdict otherwise;
    bool of_newcomers; /* who comes back to a session has passed it before */
} gates[] = {
    { at_the_stream, SHOALD_REFUSED, false },
    { by_our_name, SHOALD_REFUSED, false },
    { from_our_page, SHOALD_REFUSED, false },
    { with_a_token, SHOALD_REFUSED, false },
    { in_http_1_1, SHOALD_REFUSED, false },
    { in_version_13, SHOALD_REFUSED, false },
    { with_a_key, SHOALD_REFUSED, false },
    { in_our_protocol, SHOALD_REFUSED, false },
    { not_while_draining, SHOALD_ADMITTED, false },
    { who_comes_back, SHOALD_ADMITTED, false },
    { with_room_to_come_back, SHOALD_ADMITTED, false },
    { with_a_slot, SHOALD_ADMITTED, true },
    { of_an_address_with_a_slot, SHOALD_ADMITTED, false },
    { of_a_token_with_a_slot, SHOALD_ADMITTED, false },
    { with_good_options, SHOALD_ADMITTED, true },
    { within_capacity, SHOALD_ADMITTED, true },
    { within_the_tokens_rate, SHOALD_ADMITTED, true },
};

shoald_verdict shoald_gates_check(shoald_house *house, const shoald_peer *peer,
                                  const shoald_head *head, const char *bytes, shoald_entry *entry,
                                  int *status)
{
    call c = { house, peer, head, bytes, entry, 0, SHOALD_ANY_FORM, NULL };
    shoald_verdict verdict = SHOALD_ADMITTED;
    memset(entry, 0, sizeof *entry);
    for (size_t i = 0; i < sizeof gates / sizeof gates[0]; i++) {
        if ((gates[i].of_newcomers && entry->back) || gates[i].pass(&c))
            continue;
        verdict = gates[i].otherwise;
        break;
    }
    if (entry->error.code)
        entry->back = NULL;
    /* connections to tell it on are not without number */
    if (entry->error.code && house->refused_count >= house->settings.max_http_connections)
        verdict = SHOALD_REFUSED;
    *status = c.status;
    return verdict;
}

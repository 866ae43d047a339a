/* gates.c - see gates.h
 *
 * To add a gate (an origin, a token), write its function and its row, at the place where it has to
 * be passed. A function says true, or false and what is wrong in *c->entry. */
#include "net/gates.h"

#include "plan/grant.h"
#include "session/admit.h"
#include "session/session.h"

#include <string.h>

typedef struct call {
    shoald_house *house;
    const shoald_peer *peer;
    const shoald_head *head;
    const char *bytes;
    shoald_entry *entry;
    int status; /* 0: the error's own */
} call;

static bool refuse(call *c, int status, shoal_code code, const char *why)
{
    shoal_error *err = &c->entry->error;
    shoal_error_set(err, code, NULL, why ? "%s" : NULL, why);
    if (err->retry)
        err->retry_after_ms = c->house->settings.retry_after_s * 1000;
    c->status = status;
    return false;
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

static bool of_an_address_with_a_slot(call *c)
{
    int count = 0, limit = c->house->settings.max_sessions_per_ip;
    if (limit == 0)
        return true;
    for (const shoald_session *s = c->house->sessions; s; s = s->next)
        count += shoald_session_is_open(s) && shoald_peer_is_near(&s->peer, c->peer);
    return count < limit || refuse(c, 0, SHOAL_CODE_TOO_MANY_SESSIONS,
                                   "your address has as many sessions as it may "
                                   "(max_sessions_per_ip): close one first");
}

/* ---- what is asked for --------------------------------------------------------------- */

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
    e->granted = e->asked;
    return shoald_grant_options(&e->granted, c->house->service.model,
                                c->house->settings.default_depth, &e->error) == 0;
}

static bool within_capacity(call *c)
{
    shoald_entry *e = c->entry;
    return !e->has_options || shoald_admit_may_begin(c->house, &e->granted, &e->error);
}

/* ---- the table ----------------------------------------------------------------------- */

static const struct {
    bool (*pass)(call *c);
    shoald_verdict otherwise;
} gates[] = {
    { at_the_stream, SHOALD_REFUSED },      { in_http_1_1, SHOALD_REFUSED },
    { in_version_13, SHOALD_REFUSED },      { with_a_key, SHOALD_REFUSED },
    { in_our_protocol, SHOALD_REFUSED },    { not_while_draining, SHOALD_ADMITTED },
    { with_a_slot, SHOALD_ADMITTED },       { of_an_address_with_a_slot, SHOALD_ADMITTED },
    { with_good_options, SHOALD_ADMITTED }, { within_capacity, SHOALD_ADMITTED },
};

shoald_verdict shoald_gates_check(shoald_house *house, const shoald_peer *peer,
                                  const shoald_head *head, const char *bytes, shoald_entry *entry,
                                  int *status)
{
    call c = { house, peer, head, bytes, entry, 0 };
    shoald_verdict verdict = SHOALD_ADMITTED;
    memset(entry, 0, sizeof *entry);
    for (size_t i = 0; i < sizeof gates / sizeof gates[0]; i++) {
        if (gates[i].pass(&c))
            continue;
        verdict = gates[i].otherwise;
        break;
    }
    /* connections to tell it on are not without number */
    if (entry->error.code && house->refused_count >= house->settings.max_http_connections)
        verdict = SHOALD_REFUSED;
    *status = c.status;
    return verdict;
}

/* client_events.c - messages and failures become events
 *
 * An event is made when the program asks for it: rx holds messages as they came. How a session
 * ends, in this order: what is left in rx, one fatal ERROR unless it ended well, CLOSED.
 */
#include "lib/client_internal.h"

#include <stdlib.h>
#include <string.h>

enum { HUNG_UP = 1006, LWS_SAYS_PROTOCOL_ERROR = 1002, LWS_LAST_KNOWN_CODE = 1011 };

static void bad_answer(shoal_client *c, const char *detail)
{
    shoal__fail(c, "bad_answer", 0,
                "the server sent something that this client cannot read (%s): "
                "are both of the same version?",
                detail);
    shoal__ws_hang_up(c);
    while (shoal__queue_used(&c->rx)) {
        c->rx.open = 0;
        shoal__queue_pop(&c->rx);
    }
}

static void count_result(shoal_client *c, uint32_t seq, uint64_t received, uint64_t processed)
{
    if (c->has_seq)
        c->stats.seq_gaps += (uint32_t)(seq - c->next_seq);
    c->has_seq = 1;
    c->next_seq = seq + 1;
    c->stats.received = received;
    c->stats.processed = processed;
}

static int take_features(shoal_client *c, const shoal_packet *p, shoal_client_event *e)
{
    size_t n = (size_t)p->frames * (size_t)p->dim;

    if (n > c->rows_cap) {
        free(c->rows);
        c->rows = malloc(n * sizeof *c->rows);
        c->rows_cap = c->rows ? n : 0;
        if (!c->rows) {
            bad_answer(c, "out of memory");
            return 0;
        }
    }
    shoal_packet_values(p, c->rows);
    count_result(c, p->seq, p->received, p->processed);
    c->stats.packets++;
    if (p->first_frame + (uint64_t)p->frames > c->stats.frames)
        c->stats.frames = p->first_frame + (uint64_t)p->frames;
    e->type = SHOAL_CLIENT_FEATURES;
    e->packet = p;
    e->rows = c->rows;
    return 1;
}

static int take_phones(shoal_client *c, shoal_client_event *e)
{
    e->type = SHOAL_CLIENT_PHONES;
    e->phones = &c->msg.u.phones;
    count_result(c, e->phones->seq, e->phones->received, e->phones->processed);
    c->stats.phones += (uint64_t)e->phones->count;
    return 1;
}

static int take_activity(shoal_client *c, shoal_client_event *e)
{
    e->type = SHOAL_CLIENT_ACTIVITY;
    e->activity = &c->msg.u.activity;
    count_result(c, e->activity->seq, e->activity->received, e->activity->processed);
    return 1;
}

static int take_ready(shoal_client *c, shoal_client_event *e)
{
    c->ready = c->msg.u.ready;
    c->has_ready = 1;
    e->type = SHOAL_CLIENT_READY;
    e->ready = &c->ready;
    return 1;
}

static int take_done(shoal_client *c, shoal_client_event *e)
{
    c->done = 1;
    e->type = SHOAL_CLIENT_DONE;
    e->done = &c->msg.u.done;
    return 1;
}

static int take_flushed(shoal_client *c, shoal_client_event *e)
{
    e->type = SHOAL_CLIENT_FLUSHED;
    e->flushed = &c->msg.u.flushed;
    c->stats.received = e->flushed->received;
    c->stats.processed = e->flushed->processed;
    return 1;
}

static int take_error(shoal_client *c, shoal_client_event *e)
{
    e->type = SHOAL_CLIENT_ERROR;
    e->error = &c->msg.u.error;
    c->told_error |= e->error->fatal;
    c->server_code = e->error->code;
    return 1;
}

/* An event of c->msg; 0 if there is none to make of it. */
static int take_text(shoal_client *c, shoal_client_event *e)
{
    switch (c->msg.type) {
    case SHOAL_MSG_READY: return take_ready(c, e);
    case SHOAL_MSG_PHONES: return take_phones(c, e);
    case SHOAL_MSG_ACTIVITY: return take_activity(c, e);
    case SHOAL_MSG_FEATURES: return take_features(c, &c->msg.u.features, e);
    case SHOAL_MSG_FLUSHED: return take_flushed(c, e);
    case SHOAL_MSG_DONE: return take_done(c, e);
    case SHOAL_MSG_ERROR: return take_error(c, e);
    case SHOAL_MSG_CHANGED:
        e->type = SHOAL_CLIENT_CHANGED;
        e->changed = &c->msg.u.changed;
        return 1;
    case SHOAL_MSG_PONG:
        e->type = SHOAL_CLIENT_PONG;
        e->id = c->msg.u.id;
        return 1;
    default: return 0; /* of a newer server */
    }
}

/* Give back what the last event pointed to. */
void shoal__release_event(shoal_client *c)
{
    if (c->has_msg)
        shoal_server_msg_free(&c->msg);
    if (c->has_front)
        shoal__queue_pop(&c->rx);
    c->has_msg = c->has_front = 0;
}

/* An event of the oldest message in rx; 0 if it makes none. */
static int take_message(shoal_client *c, int kind, const uint8_t *bytes, size_t n,
                        shoal_client_event *e)
{
    shoal_error err;

    c->has_front = 1;
    if (kind == SHOAL__BINARY) {
        if (shoal_packet_decode(&c->packet, bytes, n, &err) == 0)
            return take_features(c, &c->packet, e);
    } else if (shoal_server_msg_decode(&c->msg, (const char *)bytes, n, &err) == 0) {
        c->has_msg = 1;
        return take_text(c, e);
    }
    c->has_front = 0;
    bad_answer(c, err.message);
    return 0;
}

/* ---- the end ---- */

/* libwebsockets 4.1 knows no close codes from 1012 on and reports 1002 in their place; the error
 * message that came before has the true one. */
static int true_close_code(const shoal_client *c)
{
    int code = shoal_code_get_info(c->server_code)->close_code;

    if (c->close_code == LWS_SAYS_PROTOCOL_ERROR && code > LWS_LAST_KNOWN_CODE)
        return code;
    return c->close_code ? c->close_code : HUNG_UP;
}

/* Why a session that is over was not finished, if nobody has said so yet. */
static void explain_end(shoal_client *c)
{
    if (c->done || c->told_error)
        return;
    if (c->close_code)
        shoal__fail(c, "closed_early", 1,
                    "the server %s:%d closed the session before it was done "
                    "(close code %d%s%s)",
                    c->url.host, c->url.port, c->close_code, *c->close_reason ? ": " : "",
                    c->close_reason);
    else
        shoal__fail(c, "connection_lost", 1,
                    "the connection to %s:%d was lost: the server died or "
                    "was stopped, the network failed, or this program read nothing for too long; "
                    "start the session again",
                    c->url.host, c->url.port);
}

static int take_end(shoal_client *c, shoal_client_event *e)
{
    explain_end(c);
    if (c->has_failure && !c->told_error && !c->done) {
        c->told_error = 1;
        e->type = SHOAL_CLIENT_ERROR;
        e->error = &c->failure;
        return 1;
    }
    if (c->told_closed)
        return 0;
    c->told_closed = 1;
    e->type = SHOAL_CLIENT_CLOSED;
    e->close_code = true_close_code(c);
    e->close_reason = c->close_reason;
    return 1;
}

int shoal__next_event(shoal_client *c, shoal_client_event *e)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    memset(e, 0, sizeof *e);
    while (shoal__queue_front(&c->rx, &kind, &bytes, &n)) {
        if (take_message(c, kind, bytes, n, e))
            return 1;
        shoal__release_event(c);
    }
    if (c->state == SHOAL__CLOSED)
        return take_end(c, e);
    if (c->want_room && shoal__queue_used(&c->tx) <= c->params.queue_bytes / 2) {
        c->want_room = 0;
        e->type = SHOAL_CLIENT_ROOM;
        return 1;
    }
    return 0;
}

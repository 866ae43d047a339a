/* client_session.c - see client_session.h
 *
 * An event is made when the program asks for it: rx holds messages as they came. How a session
 * ends, in this order: what is left in rx, one fatal ERROR unless it ended well, CLOSED.
 */
#include "lib/client_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/client_again.h"
#include "lib/client_failure.h"
#include "lib/client_say.h"

enum {
    RX_FIRST_BYTES = 16 << 10,
    RX_MAX_BYTES = SHOAL_MAX_SERVER_TEXT_BYTES + (256 << 10), /* a message and one read */
    LWS_SAYS_PROTOCOL_ERROR = 1002,
    LWS_LAST_KNOWN_CODE = 1011
};

/* What has failed is a connection, and another may do: by the ticket, or else by a replay. Who was
 * not let back to a parked session has not failed by that, if it can replay. Before the first
 * `ready` a person waits, who is told at once. */
static int can_go_on(const shoal__session *s)
{
    int can_replay = shoal__again_can_replay(&s->granted) && !s->other_places;
    int helps = !s->has_failure || shoal__again_helps(&s->failure);

    if (!s->params.again || !s->links || s->progress.done || s->gave_up)
        return 0;
    return s->coming_back && !helps ? can_replay : helps && (can_replay || *s->ready.ticket);
}

/* ---- beginning and end ---- */

int shoal__session_init(shoal__session *s, const shoal__session_params *params)
{
    shoal_client_msg start = { .type = SHOAL_MSG_START, .options = params->options };

    memset(s, 0, sizeof *s);
    s->params = *params;
    if (shoal__out_init(&s->out, params->queue_bytes + SHOAL__CONTROL_BYTES, params->keep_bytes) ==
            0 &&
        shoal__queue_init(&s->rx, RX_FIRST_BYTES, RX_MAX_BYTES) == 0 &&
        shoal__say(&s->out.hello, SHOAL__TEXT, &start) == 0)
        return 0;
    shoal__session_free(s);
    return SHOAL_CLIENT_ENOMEM;
}

void shoal__session_free(shoal__session *s)
{
    shoal__scratch_free(&s->scratch);
    shoal__out_free(&s->out);
    shoal__queue_free(&s->rx);
}

/* ---- from the program ---- */

/* A server may be configured to take as little as SHOAL__SAFE_MESSAGE_BYTES; `ready` tells. */
static size_t largest_message(const shoal__session *s)
{
    uint64_t granted = s->progress.ready ? s->ready.max_message_bytes : SHOAL__SAFE_MESSAGE_BYTES;
    size_t limit = s->params.message_bytes;

    return granted && granted < limit ? (size_t)granted : limit;
}

/* Bytes of audio that tx still takes as one message. */
static size_t room_for_audio(const shoal__session *s)
{
    size_t used = shoal__queue_used(&s->out.tx) + SHOAL__RECORD_BYTES;

    return used < s->params.queue_bytes ? s->params.queue_bytes - used : 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t push_audio(shoal__session *s, const uint8_t *bytes, size_t n)
{
    int whole = s->params.options.format == SHOAL_FORMAT_OPUS;
    size_t limit = whole ? s->params.message_bytes : largest_message(s), taken = 0;

    while (taken < n) {
        size_t piece = least(least(n - taken, limit), room_for_audio(s));

        if (!piece || (whole && piece < n) ||
            shoal__queue_push(&s->out.tx, SHOAL__BINARY, bytes + taken, piece) < 0)
            break;
        taken += piece;
    }
    return taken;
}

size_t shoal__session_send(shoal__session *s, const void *bytes, size_t n)
{
    size_t taken;

    if (s->ended)
        return 0;
    if ((s->has_failure || s->over) && !can_go_on(s))
        return n;
    taken = push_audio(s, bytes, n);
    s->audio_taken += taken;
    s->want_room |= taken < n;
    return taken;
}

/* ---- to the wire ---- */

int shoal__session_front(const shoal__session *s, int *kind, const uint8_t **bytes, size_t *n)
{
    return shoal__out_front(&s->out, kind, bytes, n);
}

void shoal__session_sent(shoal__session *s)
{
    s->sent_messages++;
    shoal__out_sent(&s->out);
}

/* What has results is needed again only as far as they depend on it. */
static void forget_what_is_done(shoal__session *s)
{
    const shoal_options *o = &s->ready.options;
    uint64_t reach, done = s->join.processed, bytes = shoal__again_sample_bytes(o);

    done -= least(done, s->skipped); /* which takes no bytes, whether it has come there or not */
    if (!s->links || !bytes)
        return; /* OPUS: the bound alone forgets */
    /* and as much as the search for a place to begin may go back */
    reach = (shoal__again_reach_ms(&s->ready) + (uint64_t)o->chunk_ms + 1000) * (uint64_t)o->rate /
            1000;
    if (done > reach)
        shoal__out_forget(&s->out, (done - reach) * bytes);
}

/* ---- from the wire ---- */

void shoal__session_fail_with(shoal__session *s, const shoal_client_failure *f)
{
    if (!s->has_failure)
        s->failure = *f;
    s->has_failure = 1;
}

void shoal__session_fail(shoal__session *s, shoal_client_cause cause, const char *name,
                         const char *fmt, ...)
{
    shoal_client_failure f;
    va_list args;

    va_start(args, fmt);
    f = shoal__failure_of_local(cause, name, fmt, args);
    va_end(args);
    shoal__session_fail_with(s, &f);
}

int shoal__session_receive(shoal__session *s, int kind, const void *bytes, size_t n, int last)
{
    if (s->over)
        return -1;
    if (shoal__queue_append(&s->rx, bytes, n) == 0 &&
        (!last || shoal__queue_commit(&s->rx, kind) == 0))
        return 0;
    shoal__session_fail(s, SHOAL_CLIENT_BROKEN, "bad_answer",
                        "the server sent a message of more than %zu bytes, or memory is out",
                        s->rx.max);
    return -1;
}

void shoal__session_close(shoal__session *s, int code, const char *reason, size_t n)
{
    n = least(n, sizeof s->close_reason - 1);
    s->close_code = code;
    memcpy(s->close_reason, reason, n);
    s->close_reason[n] = 0;
    shoal_text_tame(s->close_reason);
}

void shoal__session_gone(shoal__session *s)
{
    s->over = 1;
}

void shoal__session_stop(shoal__session *s)
{
    shoal__queue_clear(&s->rx);
    s->front_given = 0;
    s->over = 1;
}

int shoal__session_is_away(const shoal__session *s)
{
    return s->over && s->told_away;
}

void shoal__session_give_up(shoal__session *s)
{
    s->gave_up = 1;
    s->told_away = 0;
}

/* ---- to the program ---- */

static void bad_answer(shoal__session *s, const char *detail)
{
    shoal__session_fail(s, SHOAL_CLIENT_BROKEN, "bad_answer",
                        "the server sent something that this client cannot read (%s): are both of "
                        "the same version?",
                        detail);
    shoal__session_stop(s);
}

/* 0: a session fails once. */
static int note_error(shoal__session *s, shoal_client_event *e)
{
    if (!e->error->fatal)
        return 1;
    if (s->told_error)
        return 0;
    s->failure = shoal__failure_of_error(e->error); /* its own words are the best there are */
    s->has_failure = 1;
    if (can_go_on(s))
        return 0;
    s->told_error = 1;
    e->failure = &s->failure;
    return 1;
}

/* Its chunks count from there: from the frames that the encoder has seen, not from those that it
 * has given, which lag by the look-ahead. */
static void note_grid(shoal__session *s, const shoal_flushed *f)
{
    int ahead_ms = s->ready.latency_ms - s->ready.options.chunk_ms;

    if (f->frames > 0 && ahead_ms >= 0)
        s->grids[s->grid_count++ % SHOAL__GRIDS] = f->frames + (uint64_t)ahead_ms / SHOAL_FRAME_MS;
}

static void note_change(shoal__session *s, const shoal_changed *c)
{
    if (c->reason != SHOAL_REASON_SET)
        return;
    s->granted.depth_min = c->depth_min;
    s->granted.depth_max = c->depth_max;
    s->granted.outputs = c->outputs;
    s->granted.tap_count = c->tap_count;
    memcpy(s->granted.taps, c->taps, sizeof s->granted.taps);
    shoal__out_answered(&s->out, SHOAL__ASK_SET);
}

/* All that was sent before the ping has been heard: a session in which nobody speaks advances by
 * that alone. */
static int note_pong(shoal__session *s, const char *id)
{
    int alive = !strcmp(id, shoal__alive_id);
    int asked = !alive && shoal__out_answered(&s->out, SHOAL__ASK_PING);

    s->advanced |= alive || asked;
    return asked;
}

static int note_first_ready(shoal__session *s, shoal_client_event *e)
{
    s->ready = *e->ready;
    s->granted = s->ready.options;
    s->join.rate = s->granted.rate;
    s->links = 1;
    e->ready = &s->ready;
    shoal__out_open(&s->out, largest_message(s));
    return 1;
}

/* Keep what of the event outlives it. 0: the program need not know. */
static int note_event(shoal__session *s, shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_READY: return s->links ? 1 : note_first_ready(s, e);
    case SHOAL_CLIENT_ERROR: return note_error(s, e);
    case SHOAL_CLIENT_CHANGED: note_change(s, e->changed); return 1;
    case SHOAL_CLIENT_FLUSHED:
        if (!shoal__out_answered(&s->out, SHOAL__ASK_FLUSH))
            return 0;
        note_grid(s, e->flushed);
        return 1;
    case SHOAL_CLIENT_PONG: return note_pong(s, e->id);
    default: return 1;
    }
}

/* An event of the oldest message in rx; 0 if it makes none. */
static int take_message(shoal__session *s, int kind, const uint8_t *bytes, size_t n,
                        shoal_client_event *e)
{
    shoal_error err;
    uint64_t processed = s->join.processed;
    int was_ready = s->progress.ready;
    int r = shoal__event_make(&s->progress, &s->scratch, kind, bytes, n, e, &err);

    s->front_given = 1;
    if (r > 0 && e->ready && was_ready) {
        bad_answer(s, "a second ready");
        return 0;
    }
    s->got += s->progress.ready && !e->ready; /* a refusal is none of the session's */
    if (r < 0)
        bad_answer(s, err.message);
    if (r <= 0 || !shoal__join_take(&s->join, &s->scratch, e))
        return 0;
    s->advanced |= s->join.processed > processed;
    forget_what_is_done(s);
    return note_event(s, e);
}

static void release(shoal__session *s)
{
    shoal__scratch_release(&s->scratch);
    if (s->front_given)
        shoal__queue_pop(&s->rx);
    s->front_given = 0;
}

/* libwebsockets 4.1 knows no close codes from 1012 on and reports 1002 in their place; the error
 * message that came before has the true one. */
static int true_close_code(const shoal__session *s)
{
    int code = shoal_code_get_info(s->progress.error_code)->close_code;

    if (s->close_code == LWS_SAYS_PROTOCOL_ERROR && code > LWS_LAST_KNOWN_CODE)
        return code;
    return s->close_code;
}

/* Why a session that is over was not finished, if nobody has said so yet. */
static void explain_end(shoal__session *s)
{
    shoal_client_failure f;

    if (s->progress.done || s->has_failure)
        return;
    f = shoal__failure_of_close(true_close_code(s), s->close_reason, s->params.peer);
    shoal__session_fail_with(s, &f);
}

static int take_away(shoal__session *s, shoal_client_event *e)
{
    memset(e, 0, sizeof *e);
    if (s->told_away)
        return 0;
    s->told_away = 1;
    e->type = SHOAL_CLIENT_AWAY;
    e->failure = &s->failure;
    return 1;
}

static int take_end(shoal__session *s, shoal_client_event *e)
{
    memset(e, 0, sizeof *e);
    if (s->progress.done)
        s->has_failure = 0;
    e->failure = s->has_failure ? &s->failure : NULL;
    if (s->has_failure && !s->told_error) {
        s->told_error = 1;
        e->type = SHOAL_CLIENT_ERROR;
        e->error = &s->failure.error;
        return 1;
    }
    if (s->told_closed)
        return 0;
    s->told_closed = 1;
    e->type = SHOAL_CLIENT_CLOSED;
    e->close_code = true_close_code(s) ? true_close_code(s) : SHOAL_CLIENT_HUNG_UP;
    e->close_reason = s->close_reason;
    if (s->has_failure && !s->failure.close_code)
        s->failure.close_code = e->close_code;
    return 1;
}

void shoal__session_renew(shoal__session *s, int anew)
{
    shoal__scratch_release(&s->scratch);
    shoal__queue_clear(&s->rx);
    s->front_given = s->over = s->close_code = s->has_failure = s->told_error = s->told_away = 0;
    s->close_reason[0] = 0;
    if (anew) {
        s->seq_gaps += s->progress.seq_gaps;
        s->progress = (shoal__progress){ 0 };
    }
    s->progress.ready = 0;
    s->quiet_since_ms = 0;
}

int shoal__session_next_event(shoal__session *s, shoal_client_event *e)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    release(s);
    while (shoal__queue_front(&s->rx, &kind, &bytes, &n)) {
        if (take_message(s, kind, bytes, n, e))
            return 1;
        release(s);
    }
    if (s->over)
        explain_end(s);
    if (s->over)
        return can_go_on(s) ? take_away(s, e) : take_end(s, e);
    memset(e, 0, sizeof *e);
    if (!s->want_room || shoal__queue_used(&s->out.tx) > s->params.queue_bytes / 2)
        return 0;
    s->want_room = 0;
    e->type = SHOAL_CLIENT_ROOM;
    return 1;
}

shoal_client_stats shoal__session_stats(const shoal__session *s)
{
    const shoal__join *j = &s->join;

    return (shoal_client_stats){ .audio_taken = s->audio_taken,
                                 .audio_sent = s->out.kept.to,
                                 .queued_bytes = shoal__queue_used(&s->out.tx),
                                 .packets = j->packets,
                                 .phones = j->phones,
                                 .seq_gaps = s->seq_gaps + s->progress.seq_gaps,
                                 .received = j->received,
                                 .processed = j->processed,
                                 .frames = j->frames,
                                 .kept_from = s->out.kept.from };
}

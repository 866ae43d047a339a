/* client_session.c - see client_session.h
 *
 * An event is made when the program asks for it: rx holds messages as they came. How a session
 * ends, in this order: what is left in rx, one fatal ERROR unless it ended well, CLOSED.
 */
#include "lib/client_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/client_failure.h"

enum {
    RX_FIRST_BYTES = 16 << 10,
    RX_MAX_BYTES = SHOAL_MAX_SERVER_TEXT_BYTES + (256 << 10), /* a message and one read */
    LWS_SAYS_PROTOCOL_ERROR = 1002,
    LWS_LAST_KNOWN_CODE = 1011,
    REPLAY_MARGIN_MS = 1000 /* the convolutions' reach and the analysis window: less than this */
};

/* Of pings that the program knows nothing of. */
static const char alive_id[] = "libshoal-client: alive";

/* ---- beginning and end ---- */

static int push_control(shoal__session *s, const shoal_client_msg *m)
{
    char text[SHOAL_MAX_TEXT_BYTES];
    shoal_buf buf;

    if (s->ended)
        return SHOAL_CLIENT_ESTATE;
    shoal_buf_wrap(&buf, text, sizeof text);
    if (shoal_client_msg_encode(&buf, m) < 0)
        return SHOAL_CLIENT_EINVAL;
    return shoal__queue_push(&s->tx, SHOAL__TEXT, buf.data, buf.size) < 0 ? SHOAL_CLIENT_EFULL : 0;
}

int shoal__session_init(shoal__session *s, const shoal__session_params *params)
{
    shoal_client_msg start = { .type = SHOAL_MSG_START, .options = params->options };

    memset(s, 0, sizeof *s);
    s->params = *params;
    shoal__keep_init(&s->kept, params->keep_bytes);
    if (shoal__queue_init(&s->tx, SHOAL__MIN_QUEUE_BYTES,
                          params->queue_bytes + SHOAL__CONTROL_BYTES) == 0 &&
        shoal__queue_init(&s->rx, RX_FIRST_BYTES, RX_MAX_BYTES) == 0 &&
        push_control(s, &start) == 0)
        return 0;
    shoal__session_free(s);
    return SHOAL_CLIENT_ENOMEM;
}

void shoal__session_free(shoal__session *s)
{
    shoal__scratch_free(&s->scratch);
    shoal__queue_free(&s->tx);
    shoal__queue_free(&s->rx);
    shoal__keep_free(&s->kept);
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
    size_t used = shoal__queue_used(&s->tx) + SHOAL__RECORD_BYTES;

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
            shoal__queue_push(&s->tx, SHOAL__BINARY, bytes + taken, piece) < 0)
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
    if (s->has_failure || s->over)
        return n;
    taken = push_audio(s, bytes, n);
    s->audio_taken += taken;
    s->want_room |= taken < n;
    return taken;
}

int shoal__session_set(shoal__session *s, const shoal_options *o)
{
    shoal_client_msg m = { .type = SHOAL_MSG_SET, .options = *o };

    return push_control(s, &m);
}

static int push_id(shoal__session *s, shoal_msg_type type, const char *id)
{
    shoal_client_msg m = { .type = type };

    if (id && strlen(id) > SHOAL_MAX_ID)
        return SHOAL_CLIENT_EINVAL;
    snprintf(m.id, sizeof m.id, "%s", id ? id : "");
    return push_control(s, &m);
}

int shoal__session_flush(shoal__session *s, const char *id)
{
    return push_id(s, SHOAL_MSG_FLUSH, id);
}

int shoal__session_ping(shoal__session *s, const char *id)
{
    return push_id(s, SHOAL_MSG_PING, id);
}

int shoal__session_end(shoal__session *s)
{
    int r = push_id(s, SHOAL_MSG_END, NULL);

    if (!r)
        s->ended = 1;
    return r;
}

int64_t shoal__session_tick(shoal__session *s, int64_t now_ms)
{
    int64_t every_ms = (int64_t)s->ready.idle_timeout_s * 1000 / 3;

    if (!s->params.keep_alive || !s->progress.ready || !every_ms || s->ended || s->over)
        return INT64_MAX;
    if (s->sent_messages != s->seen_messages || !s->quiet_since_ms) {
        s->seen_messages = s->sent_messages;
        s->quiet_since_ms = now_ms;
    }
    if (now_ms - s->quiet_since_ms >= every_ms) {
        s->quiet_since_ms = now_ms;
        /* While something waits to be sent it is the server that does not read. */
        if (!shoal__queue_used(&s->tx) && shoal__session_ping(s, alive_id) < 0)
            return now_ms + every_ms;
    }
    return s->quiet_since_ms + every_ms;
}

/* ---- to the wire ---- */

int shoal__session_front(const shoal__session *s, int *kind, const uint8_t **bytes, size_t *n)
{
    return shoal__queue_front(&s->tx, kind, bytes, n);
}

void shoal__session_sent(shoal__session *s)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    if (!shoal__queue_front(&s->tx, &kind, &bytes, &n))
        return;
    if (kind == SHOAL__BINARY)
        shoal__keep_push(&s->kept, bytes, n);
    s->sent_messages++;
    shoal__queue_pop(&s->tx);
}

static size_t frame_bytes(const shoal_options *o)
{
    size_t sample = o->format == SHOAL_FORMAT_F32LE ? 4 : o->format == SHOAL_FORMAT_S16LE ? 2 : 1;

    return sample * (size_t)o->channels;
}

/* What has results is needed again only as far as the layers look back. How much audio an Opus
 * packet holds is not known here: there the bound alone forgets. */
static void forget_what_is_done(shoal__session *s)
{
    const shoal_options *o = &s->ready.options;
    uint64_t reach_ms = (uint64_t)(o->left_ms > 0 ? o->left_ms : 0) * (uint64_t)o->depth_max +
                        (uint64_t)s->ready.latency_ms + (uint64_t)o->chunk_ms + REPLAY_MARGIN_MS;
    uint64_t reach = reach_ms * (uint64_t)o->rate / 1000, done = s->progress.processed;

    if (s->progress.ready && o->format != SHOAL_FORMAT_OPUS && done > reach)
        shoal__keep_forget(&s->kept, (done - reach) * frame_bytes(o));
}

int shoal__session_replay(const shoal__session *s, size_t *at, const uint8_t **bytes, size_t *n)
{
    size_t kept = s->kept.messages.tail - s->kept.messages.head, in_tx;
    int kind;

    if (*at < kept)
        return shoal__queue_walk(&s->kept.messages, at, &kind, bytes, n);
    for (in_tx = *at - kept; shoal__queue_walk(&s->tx, &in_tx, &kind, bytes, n);)
        if (kind == SHOAL__BINARY) {
            *at = kept + in_tx;
            return 1;
        }
    return 0;
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
}

void shoal__session_gone(shoal__session *s)
{
    s->over = 1;
}

/* ---- to the program ---- */

static void bad_answer(shoal__session *s, const char *detail)
{
    shoal__session_fail(s, SHOAL_CLIENT_BROKEN, "bad_answer",
                        "the server sent something that this client cannot read (%s): are both of "
                        "the same version?",
                        detail);
    shoal__queue_clear(&s->rx);
    s->front_given = 0;
    s->over = 1;
}

/* 0: a session fails once. */
static int note_error(shoal__session *s, shoal_client_event *e)
{
    if (!e->error->fatal)
        return 1;
    if (s->told_error)
        return 0;
    s->failure = shoal__failure_of_error(e->error); /* its own words are the best there are */
    s->has_failure = s->told_error = 1;
    e->failure = &s->failure;
    return 1;
}

/* Keep what of the event outlives it. 0: the program need not know. */
static int note_event(shoal__session *s, shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_READY:
        s->ready = *e->ready;
        e->ready = &s->ready;
        return 1;
    case SHOAL_CLIENT_ERROR: return note_error(s, e);
    case SHOAL_CLIENT_PONG: return strcmp(e->id, alive_id) != 0;
    default: return 1;
    }
}

/* An event of the oldest message in rx; 0 if it makes none. */
static int take_message(shoal__session *s, int kind, const uint8_t *bytes, size_t n,
                        shoal_client_event *e)
{
    shoal_error err;
    int r = shoal__event_make(&s->progress, &s->scratch, kind, bytes, n, e, &err);

    s->front_given = 1;
    if (r < 0)
        bad_answer(s, err.message);
    if (r <= 0)
        return 0;
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

static int take_end(shoal__session *s, shoal_client_event *e)
{
    memset(e, 0, sizeof *e);
    explain_end(s);
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
        return take_end(s, e);
    memset(e, 0, sizeof *e);
    if (!s->want_room || shoal__queue_used(&s->tx) > s->params.queue_bytes / 2)
        return 0;
    s->want_room = 0;
    e->type = SHOAL_CLIENT_ROOM;
    return 1;
}

shoal_client_stats shoal__session_stats(const shoal__session *s)
{
    const shoal__progress *p = &s->progress;

    return (shoal_client_stats){ .audio_taken = s->audio_taken,
                                 .audio_sent = s->kept.to,
                                 .queued_bytes = shoal__queue_used(&s->tx),
                                 .packets = p->packets,
                                 .phones = p->phones,
                                 .seq_gaps = p->seq_gaps,
                                 .received = p->received,
                                 .processed = p->processed,
                                 .frames = p->frames,
                                 .kept_from = s->kept.from };
}

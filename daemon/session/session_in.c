/* session_in.c - what the client sends: pieces -> messages -> input records, in order
 *
 * Audio goes into the input queue as lws delivers it; text (and Opus packets, which must stay
 * whole) are put together first. What can be judged here is; whatever has a place in the audio
 * is put into the queue at that place. */
#include "session/session.h"

#include "plan/grant.h"
#include "session/admit.h"
#include "session/park.h"
#include "session/session-internal.h"

#include <stdlib.h>
#include <string.h>

static void put_error_code(shoald_session *s, shoal_code code, const char *ref)
{
    shoal_error err;
    shoal_error_set(&err, code, ref, NULL);
    shoald_session_put_error(s, &err);
}

/* ---- messages in --------------------------------------------------------------------- */

static void on_start(shoald_session *s, const shoal_client_msg *m)
{
    if (s->phase == SHOALD_WAITING)
        shoald_session_start(s, &m->options);
    else
        put_error_code(s, SHOAL_CODE_ALREADY_STARTED, "start");
}

/* The output queue was made for what was asked for at the start. */
static bool has_room(const shoald_session *s, const shoal_options *o, shoal_error *err)
{
    if (shoald_lane_step_bytes(s->lane.service->info, o) <= s->lane.out.capacity)
        return true;
    bool longer = o->chunk_ms > s->demand.chunk_frames * SHOAL_FRAME_MS;
    const char *ref = longer ? "chunk_ms" : "output";
    shoal_error_set(err, SHOAL_CODE_BAD_OPTION, ref,
                    "%s: the session has no room for that many results at once: ask for them "
                    "when it starts, or for a shorter chunk_ms",
                    ref);
    err->fatal = 0;
    return false;
}

static void put_change(shoald_session *s, const shoal_options *effective)
{
    shoald_change change;
    size_t n = shoald_change_of(&change, effective);
    shoald_session_put(s, SHOALD_IN_SET, &change, n, 0);
}

static void on_set(shoald_session *s, const shoal_client_msg *m)
{
    const shoald_grant_limits limits = shoald_session_limits(s);
    shoal_options asked = s->asked, effective;
    shoal_error err;
    if (shoald_grant_set(&asked, &m->options, &effective, s->lane.service->model, &limits, &err) <
            0 ||
        !has_room(s, &effective, &err) || !shoald_admit_set(s, &effective, &err)) {
        shoald_session_put_error(s, &err);
        return;
    }
    s->asked = asked;
    s->granted = effective;
    put_change(s, &effective);
}

/* What was left out counts as audio does, and may be no less than a frame. Both are said by whoever
 * sends them, so what is wrong with it is fatal: times would be from here on. */
static bool may_skip(shoald_session *s, uint64_t samples, shoal_error *err)
{
    const shoal_options *o = &s->lane.options;
    uint64_t least = (uint64_t)(o->rate + 49) / 50, most = (uint64_t)o->rate * SHOAL_MAX_SECONDS;
    uint64_t before =
        s->skipped + atomic_load(&s->lane.received_bytes) / (uint64_t)shoald_lane_frame_bytes(o);
    if (samples >= least && before <= most && samples <= most - before)
        return true;
    shoal_error_set(
        err, SHOAL_CODE_BAD_MESSAGE, "samples",
        "samples: %llu is not allowed, use %llu at least, a frame, and no more than makes "
        "the session %d s long",
        (unsigned long long)samples, (unsigned long long)least, SHOAL_MAX_SECONDS);
    return false;
}

/* What is left of a sample before it is dropped (intake.c), and is no audio received. */
static void count_skip(shoald_session *s, uint64_t samples)
{
    uint64_t frame_bytes = (uint64_t)shoald_lane_frame_bytes(&s->lane.options);
    uint64_t rest = atomic_load(&s->lane.received_bytes) % frame_bytes;
    atomic_fetch_sub(&s->lane.received_bytes, rest);
    s->torn_bytes += rest;
    s->skipped += samples;
}

static void on_skip(shoald_session *s, const shoal_client_msg *m)
{
    shoal_error err;
    if (!may_skip(s, m->samples, &err)) {
        shoald_session_put_error(s, &err);
        return;
    }
    count_skip(s, m->samples);
    shoald_session_put(s, SHOALD_IN_SKIP, &m->samples, sizeof m->samples, 0);
}

static void on_end(shoald_session *s)
{
    shoald_session_put(s, SHOALD_IN_END, NULL, 0, 0);
    if (s->phase == SHOALD_STREAMING)
        s->phase = SHOALD_ENDING;
}

/* In its place while streaming; before and after there is nothing to wait for. */
static void on_ping(shoald_session *s, const shoal_client_msg *m)
{
    char text[512];
    shoal_buf b;
    shoal_buf_wrap(&b, text, sizeof text);
    if (shoal_pong_encode(&b, m->id) < 0)
        return;
    if (s->phase == SHOALD_STREAMING)
        shoald_session_put(s, SHOALD_IN_REPLY, b.data, b.size, 0);
    else
        shoald_session_reply(s, &b);
}

/* Said once; a client that has not noticed may go on sending audio for a while. */
static void on_late(shoald_session *s)
{
    char text[1024];
    shoal_error err;
    shoal_buf b;
    if (s->after_end_told || s->error || s->house->draining)
        return;
    s->after_end_told = true;
    shoal_buf_wrap(&b, text, sizeof text);
    shoal_error_set(&err, SHOAL_CODE_ALREADY_ENDED, NULL, NULL);
    shoald_session_count_error(s, err.code);
    if (shoal_error_encode(&b, &err) == 0)
        shoald_session_reply(s, &b);
}

static void on_message(shoald_session *s, const shoal_client_msg *m)
{
    if (m->type == SHOAL_MSG_PING) {
        on_ping(s, m);
        return;
    }
    if (s->phase == SHOALD_ENDING) {
        on_late(s);
        return;
    }
    if (s->phase == SHOALD_WAITING && m->type != SHOAL_MSG_START) {
        put_error_code(s, SHOAL_CODE_NOT_STARTED, shoal_msg_type_name(m->type));
        return;
    }
    switch (m->type) {
    case SHOAL_MSG_START: on_start(s, m); break;
    case SHOAL_MSG_SET: on_set(s, m); break;
    case SHOAL_MSG_FLUSH:
        shoald_session_put(s, SHOALD_IN_FLUSH, m->id, strlen(m->id) + 1, 0);
        break;
    case SHOAL_MSG_SKIP: on_skip(s, m); break;
    case SHOAL_MSG_END: on_end(s); break;
    default: break;
    }
}

/* So a client that comes back knows which of its requests have arrived. */
static void count_request(shoald_session *s)
{
    s->requests += s->phase != SHOALD_WAITING;
}

static void on_text(shoald_session *s, const char *text, size_t n)
{
    shoal_client_msg m;
    shoal_error err;
    count_request(s);
    if (shoal_client_msg_decode(&m, text, n, &err) == 0)
        on_message(s, &m);
    else if (s->phase == SHOALD_ENDING)
        on_late(s);
    else
        shoald_session_put_error(s, &err);
}

static void on_audio(shoald_session *s, const void *bytes, size_t n)
{
    shoal_error err;
    if (s->phase == SHOALD_ENDING) {
        on_late(s);
        return;
    }
    if (n == 0)
        return;
    if (atomic_load(&s->lane.received_bytes) + s->torn_bytes == 0 && !shoald_admit_hears(s, &err)) {
        shoald_count(&s->house->stats.refused, 1);
        shoald_session_fail_with(s, &err);
        return;
    }
    atomic_fetch_add(&s->lane.received_bytes, n);
    shoald_session_put(s, SHOALD_IN_AUDIO, bytes, n, 0);
}

/* ---- pieces -> messages -------------------------------------------------------------- */

/* Messages that must be whole: text and opus packets. true when this was the last piece. */
static bool put_together(shoald_session *s, const void *piece, size_t n, bool last)
{
    if (!s->part && !(s->part = malloc(SHOAL_MAX_TEXT_BYTES))) {
        shoald_session_fail(s, SHOAL_CODE_INTERNAL, "no memory for the message: try again later");
        return false;
    }
    if (s->part_size + n > SHOAL_MAX_TEXT_BYTES) {
        shoald_session_fail(s, SHOAL_CODE_MESSAGE_TOO_LARGE,
                            "text messages and Opus packets may have %d bytes",
                            SHOAL_MAX_TEXT_BYTES);
        return false;
    }
    if (n)
        memcpy(s->part + s->part_size, piece, n);
    s->part_size += n;
    return last;
}

static void receive_text(shoald_session *s, const void *piece, size_t n, bool last)
{
    if (!put_together(s, piece, n, last))
        return;
    size_t size = s->part_size;
    s->part_size = 0;
    on_text(s, s->part, size);
}

static void receive_audio(shoald_session *s, const void *piece, size_t n, bool last)
{
    if (s->phase == SHOALD_WAITING) {
        put_error_code(s, SHOAL_CODE_NOT_STARTED, "audio"); /* no guess of the rate */
        return;
    }
    if (s->lane.options.format != SHOAL_FORMAT_OPUS) {
        on_audio(s, piece, n);
    } else if (put_together(s, piece, n, last)) {
        size_t size = s->part_size;
        s->part_size = 0;
        on_audio(s, s->part, size);
    }
}

/* An empty message, in however many fragments. For tools that can send audio and no text. */
static bool says_end(shoald_session *s, const shoald_piece *piece)
{
    shoal_client_msg end = { .type = SHOAL_MSG_END };
    if (!piece->binary || !piece->last || piece->n || !(piece->first || s->message_bytes == 0))
        return false;
    count_request(s);
    on_message(s, &end);
    return true;
}

/* Once `ready` has told it, no reload changes it. */
uint64_t shoald_session_message_limit(const shoald_session *s)
{
    return s->port ? s->lane.max_message_bytes : (uint64_t)s->house->settings.max_message_bytes;
}

static bool too_large(shoald_session *s, const shoald_piece *piece)
{
    uint64_t limit = shoald_session_message_limit(s);
    if (piece->first)
        s->message_bytes = 0;
    s->message_bytes += piece->n;
    if (s->message_bytes + piece->rest <= limit)
        return false;
    shoald_session_fail(s, SHOAL_CODE_MESSAGE_TOO_LARGE,
                        "a message may have %llu bytes: send audio in smaller messages",
                        (unsigned long long)limit);
    return true;
}

void shoald_session_on_receive(shoald_session *s, const shoald_piece *piece)
{
    s->heard_ns = s->spoken_ns = uv_hrtime();
    shoald_park_confirm(s);
    shoald_count(&s->house->stats.received_bytes, piece->n);
    if (s->phase == SHOALD_CLOSING)
        shoald_session_ignore(s, piece->n);
    else if (says_end(s, piece) || too_large(s, piece))
        return;
    else if (piece->binary)
        receive_audio(s, piece->bytes, piece->n, piece->last);
    else
        receive_text(s, piece->bytes, piece->n, piece->last);
}

void shoald_session_on_pong(shoald_session *s)
{
    s->heard_ns = uv_hrtime();
}

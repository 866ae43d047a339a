/* load_receive.c - one session: bytes from the server -> stats
 *
 *     answer to the upgrade -> frames -> ready, packets, done, errors
 *
 * Latency of a chunk: from the due time of the packet that holds the last sample it needs (its
 * last frame, the look-ahead and the analysis window) until its result was read here. When a
 * server that is behind puts several chunks into one result, each of them counts.
 */
#include "load/load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/client_failure.h"
#include "lib/client_queue.h"

/* ---- results ---- */

static int in_window(const load_run *run, int64_t ns)
{
    return run->o->fast || (ns >= run->window.from && ns < run->window.to);
}

static void add_both(load_stats *st, size_t hist, int steady, int64_t us)
{
    load_hist_add((load_hist *)((char *)&st->second + hist), us);
    if (steady)
        load_hist_add((load_hist *)((char *)&st->steady + hist), us);
}

#define ADD(field, us) add_both(st, offsetof(load_window, field), steady, us)

static void note_lag(load_session *s, int64_t late_ns, int steady)
{
    load_stats *st = s->run->st;
    double lag = (double)late_ns / (double)(s->plan->chunk_ms * LOAD_MS);

    st->second.lag = lag > st->second.lag ? lag : st->second.lag;
    if (steady)
        st->steady.lag = lag > st->steady.lag ? lag : st->steady.lag;
}

static void measure_chunk(load_session *s, const shoal_packet *p, uint64_t end_frame)
{
    load_stats *st = s->run->st;
    int64_t ms = (int64_t)end_frame * SHOAL_FRAME_MS + s->look_ahead_ms;
    int64_t k = load_packet_holding(s->plan, ms), due = load_due_ns(s->plan, k);
    int steady = in_window(s->run, due);

    if (k >= s->plan->packets) /* the end computed it, not audio */
        return;
    if (!s->run->o->fast) {
        ADD(latency, (s->heard_ns - due) / 1000);
        note_lag(s, s->heard_ns - due, steady);
    }
    ADD(queued, p->queued_us);
    ADD(computed, p->computed_us);
    ADD(server, (int64_t)p->queued_us + p->computed_us);
}

static void take_packet(load_session *s, const shoal_packet *p)
{
    int chunk = s->plan->chunk_ms / SHOAL_FRAME_MS;
    uint64_t end = p->first_frame + (uint64_t)p->frames;

    if (p->kind != s->run->kind)
        return;
    s->frames += (uint64_t)p->frames;
    load_stats_frames(s->run->st, p->frames, p->depth, in_window(s->run, s->heard_ns));
    if (s->run->o->fast)
        s->run->st->fast_end_ns = s->heard_ns;
    if (p->flags & SHOAL_PACKET_CUT)
        return;
    for (int left = p->frames; left > 0; left -= chunk, end -= (uint64_t)chunk)
        measure_chunk(s, p, end);
}

/* ---- messages ---- */

static void take_ready(load_session *s, const shoal_ready *r)
{
    load_stats *st = s->run->st;

    if (s->ready)
        return;
    s->ready = 1;
    s->look_ahead_ms = r->latency_ms - r->options.chunk_ms;
    st->admitted++;
    st->active++;
    st->most_active = st->active > st->most_active ? st->active : st->most_active;
    load_hist_add(&st->ready, (s->heard_ns - s->plan->connect_ns) / 1000);
}

/* Turned away before it began, and welcome later: refused, which is not a failure. */
static load_end end_of(const load_session *s, const shoal_client_failure *f)
{
    int full = f->cause == SHOAL_CLIENT_FULL || f->cause == SHOAL_CLIENT_RESTARTING;

    return !s->frames && (full || (!s->ready && f->retry_ms >= 0)) ? LOAD_REFUSED : LOAD_FAILED;
}

static void take_error(load_session *s, const shoal_error *e)
{
    shoal_client_failure f = shoal__failure_of_error(e);

    if (e->fatal)
        load_session_close(s, end_of(s, &f), "%s: %s", e->name, e->message);
}

static void take_event(load_session *s, const shoal_client_event *e)
{
    switch (e->type) {
    case SHOAL_CLIENT_READY: take_ready(s, e->ready); break;
    case SHOAL_CLIENT_FEATURES: take_packet(s, e->packet); break;
    case SHOAL_CLIENT_ERROR: take_error(s, e->error); break;
    default: break;
    }
}

static void take_message(load_session *s, int kind, const load_frame *f)
{
    shoal__scratch *scratch = &s->run->scratch;
    shoal_client_event e;
    shoal_error err;
    int r = shoal__event_make(&s->progress, scratch, kind, f->data, f->size, &e, &err);

    if (r < 0)
        load_session_close(s, LOAD_FAILED, "a message makes no sense: %s", err.message);
    else if (r > 0)
        take_event(s, &e);
    shoal__scratch_release(scratch);
}

static void take_close(load_session *s, const load_frame *f)
{
    int code = f->size >= 2 ? f->data[0] << 8 | f->data[1] : 1005;
    int text = f->size > 2 ? (int)f->size - 2 : 0;
    shoal_client_failure failure = shoal__failure_of_close(code, "", "");

    /* Answered for politeness; whether it still gets out does not matter. */
    if (!s->part && !s->out.size &&
        load_ws_frame(&s->out, LOAD_WS_CLOSE, f->data, f->size >= 2 ? 2 : 0) == 0)
        send(s->fd, s->out.data, s->out.size, MSG_NOSIGNAL);
    load_session_close(s, s->progress.done ? LOAD_FINISHED : end_of(s, &failure),
                       "the server closed the session with code %d %.*s", code, text,
                       text ? (const char *)f->data + 2 : "");
}

static void take_frame(load_session *s, const load_frame *f)
{
    switch (f->opcode) {
    case LOAD_WS_BINARY: take_message(s, SHOAL__BINARY, f); break;
    case LOAD_WS_TEXT: take_message(s, SHOAL__TEXT, f); break;
    case LOAD_WS_CLOSE: take_close(s, f); break;
    case LOAD_WS_PING: load_ws_frame(&s->out, LOAD_WS_PONG, f->data, f->size); break;
    default: break;
    }
}

/* ---- the answer to the upgrade ---- */

static void drop(shoal_buf *b, size_t n)
{
    b->size -= n;
    memmove(b->data, b->data + n, b->size);
}

/* The number in a header of the answer; 0 if it is not there. name ends in a colon. */
static unsigned long header_number(const shoal_buf *in, size_t head, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i + n + 1 < head; i++)
        if (!strncasecmp(in->data + i, name, n))
            return strtoul(in->data + i + n, NULL, 10);
    return 0;
}

/* What the body says when it is a shoal server that refuses: an error message. */
static int read_refusal(load_session *s, size_t head, shoal_client_failure *f)
{
    shoal__progress unused = { 0 };
    shoal_client_event e;
    shoal_error err;
    int r = shoal__event_make(&unused, &s->run->scratch, SHOAL__TEXT, s->in.data + head,
                              s->in.size - head, &e, &err);

    if (r == 1 && e.type == SHOAL_CLIENT_ERROR)
        *f = shoal__failure_of_error(e.error);
    shoal__scratch_release(&s->run->scratch);
    return r == 1 && e.type == SHOAL_CLIENT_ERROR;
}

/* over: no more of it comes, whatever was promised. */
static void take_refusal(load_session *s, int status, size_t head, int over)
{
    int later = (int)header_number(&s->in, head, "retry-after:");
    shoal_client_failure f = shoal__failure_of_status(status, later, s->run->o->host), told;

    if (!over && s->in.size - head < header_number(&s->in, head, "content-length:"))
        return;
    if (!read_refusal(s, head, &told))
        load_session_close(s, end_of(s, &f), "%s", f.error.message);
    else if (later)
        load_session_close(s, end_of(s, &f), "%s: %s (HTTP %d, retry after %d s)", told.error.name,
                           told.error.message, status, later);
    else
        load_session_close(s, end_of(s, &f), "%s: %s", told.error.name, told.error.message);
}

static void take_answer(load_session *s)
{
    size_t head;
    int status = load_ws_answer(&s->in, &head);

    if (status < 0)
        load_session_close(s, LOAD_FAILED, "%s:%d does not speak HTTP: is it a shoal server?",
                           s->run->o->host, s->run->o->port);
    else if (status == 101) {
        s->state = LOAD_OPEN;
        drop(&s->in, head);
    } else if (status)
        take_refusal(s, status, head, 0);
}

void load_session_hung_up(load_session *s)
{
    size_t head = 0;
    int status = s->state == LOAD_UPGRADING ? load_ws_answer(&s->in, &head) : 0;

    if (status > 0 && status != 101)
        take_refusal(s, status, head, 1);
    else
        load_session_close(s, s->progress.done ? LOAD_FINISHED : LOAD_FAILED,
                           s->ready ? "the server hung up in mid-session: see its log"
                                    : "the server hung up before the session began: see its log");
}

void load_session_receive(load_session *s)
{
    load_frame f;
    size_t used = 0;
    ptrdiff_t n = 1;

    if (s->state == LOAD_UPGRADING)
        take_answer(s);
    while (s->state == LOAD_OPEN && n > 0) {
        n = load_ws_parse(&f, (const uint8_t *)s->in.data + used, s->in.size - used);
        if (n > 0)
            take_frame(s, &f);
        used += n > 0 ? (size_t)n : 0;
    }
    if (s->state != LOAD_OPEN)
        return;
    if (n < 0)
        load_session_close(s, LOAD_FAILED, "the server sent a frame that breaks WebSocket's rules");
    else
        drop(&s->in, used);
}

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

/* seq counts all results of a session without gaps. */
static void check_seq(load_session *s, uint32_t seq)
{
    s->run->st->seq_gaps += seq - s->next_seq;
    s->next_seq = seq + 1;
}

static void take_binary(load_session *s, const load_frame *f)
{
    shoal_packet p;
    shoal_error err;

    if (shoal_packet_decode(&p, f->data, f->size, &err) < 0) {
        load_session_close(s, LOAD_FAILED, "a packet makes no sense: %s", err.message);
        return;
    }
    check_seq(s, p.seq);
    take_packet(s, &p);
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
static void take_error(load_session *s, const shoal_error *e)
{
    int full = e->code == SHOAL_CODE_OVERLOADED || e->code == SHOAL_CODE_TOO_MANY_SESSIONS;
    int refused = !s->frames && (full || (!s->ready && e->retry));

    if (e->fatal)
        load_session_close(s, refused ? LOAD_REFUSED : LOAD_FAILED, "%s: %s", e->name, e->message);
}

static void take_message(load_session *s, const shoal_server_msg *m)
{
    switch (m->type) {
    case SHOAL_MSG_READY: take_ready(s, &m->u.ready); break;
    case SHOAL_MSG_PHONES: check_seq(s, m->u.phones.seq); break;
    case SHOAL_MSG_DONE: s->done = 1; break;
    case SHOAL_MSG_ERROR: take_error(s, &m->u.error); break;
    default: break;
    }
}

static void take_text(load_session *s, const load_frame *f)
{
    shoal_server_msg *m = s->run->msg;
    shoal_error err;

    if (shoal_server_msg_decode(m, (const char *)f->data, f->size, &err) < 0) {
        load_session_close(s, LOAD_FAILED, "a message makes no sense: %s", err.message);
        return;
    }
    take_message(s, m);
    shoal_server_msg_free(m);
}

static void take_close(load_session *s, const load_frame *f)
{
    int code = f->size >= 2 ? f->data[0] << 8 | f->data[1] : 1005;
    int text = f->size > 2 ? (int)f->size - 2 : 0;

    /* Answered for politeness; whether it still gets out does not matter. */
    if (!s->part && !s->out.size &&
        load_ws_frame(&s->out, LOAD_WS_CLOSE, f->data, f->size >= 2 ? 2 : 0) == 0)
        send(s->fd, s->out.data, s->out.size, MSG_NOSIGNAL);
    load_session_close(s, s->done ? LOAD_FINISHED : LOAD_FAILED,
                       "the server closed the session with code %d %.*s", code, text,
                       text ? (const char *)f->data + 2 : "");
}

static void take_frame(load_session *s, const load_frame *f)
{
    switch (f->opcode) {
    case LOAD_WS_BINARY: take_binary(s, f); break;
    case LOAD_WS_TEXT: take_text(s, f); break;
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
static int refusal_reason(load_session *s, size_t head, char *text, size_t size)
{
    shoal_server_msg *m = s->run->msg;
    shoal_error err;
    int is_error;

    if (shoal_server_msg_decode(m, s->in.data + head, s->in.size - head, &err) < 0)
        return 0;
    is_error = m->type == SHOAL_MSG_ERROR;
    if (is_error)
        snprintf(text, size, "%s: %s", m->u.error.name, m->u.error.message);
    shoal_server_msg_free(m);
    return is_error;
}

static void take_refusal(load_session *s, int status, size_t head)
{
    char reason[512];
    unsigned long later = header_number(&s->in, head, "retry-after:");

    if (s->in.size - head < header_number(&s->in, head, "content-length:"))
        return;
    if (!refusal_reason(s, head, reason, sizeof reason))
        snprintf(reason, sizeof reason, "the server refused the session with HTTP status %d%s",
                 status, status == 503 ? "" : ": is it a shoal server? Check --url");
    if (status == 503 && later)
        load_session_close(s, LOAD_REFUSED, "%s (HTTP 503, retry after %lu s)", reason, later);
    else
        load_session_close(s, status == 503 ? LOAD_REFUSED : LOAD_FAILED, "%s", reason);
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
        take_refusal(s, status, head);
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

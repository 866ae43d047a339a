/* lane.c - mail between loop and worker, and the room that a session's rings need; see lane.h */
#include "lane.h"

#include "base/log.h"
#include "plan/times.h"

#include <string.h>
#include <time.h>

enum {
    RX_SLACK = 64 << 10, /* lws may deliver this much before a pause takes effect */
    MIN_INPUT_BYTES = 16 << 10
};

/* ---- ports --------------------------------------------------------------------------- */

int shoald_port_init(shoald_port *p, int index, int depth, uv_async_t *notify, int lanes)
{
    size_t n = (size_t)lanes;
    memset(p, 0, sizeof *p);
    p->index = index;
    p->notify = notify;
    atomic_store(&p->ceiling, depth);
    if (sem_init(&p->wake, 0, 0) < 0)
        return -1;
    /* a lane lies in a mailbox at most twice: once to be looked at, once marked */
    if (shoald_mailbox_init(&p->inbox, 2 * n) == 0 && shoald_mailbox_init(&p->outbox, 2 * n) == 0)
        return 0;
    shoald_port_free(p);
    return -1;
}

void shoald_port_free(shoald_port *p)
{
    sem_destroy(&p->wake);
    shoald_mailbox_free(&p->inbox);
    shoald_mailbox_free(&p->outbox);
}

void shoald_port_poke(shoald_port *p)
{
    if (!atomic_exchange(&p->woken, true))
        sem_post(&p->wake);
}

/* uv_hrtime() is CLOCK_MONOTONIC. */
void shoald_port_wait(shoald_port *p, uint64_t until_ns)
{
    struct timespec t = { (time_t)(until_ns / SHOALD_NS_PER_S),
                          (long)(until_ns % SHOALD_NS_PER_S) };
    if (until_ns == UINT64_MAX)
        while (sem_wait(&p->wake) < 0) /* a signal of somebody who debugs us */
            ;
    else if (until_ns == 0)
        sem_trywait(&p->wake);
    else
        sem_clockwait(&p->wake, CLOCK_MONOTONIC, &t);
}

shoald_cost shoald_port_cost(const shoald_port *p)
{
    return (shoald_cost){ .shape = p->shape,
                          .speed = atomic_load_explicit(&p->speed, memory_order_relaxed) };
}

void shoald_port_notify(shoald_port *p)
{
    if (!p->mail_sent)
        return;
    p->mail_sent = false;
    uv_async_send(p->notify);
}

/* ---- mail ---------------------------------------------------------------------------- */

/* False: it is lost. A mailbox has room for all that its lanes may lie in it, so that is a bug. */
static bool put(shoald_mailbox *box, void *mail)
{
    if (shoald_mailbox_put(box, mail))
        return true;
    shoald_log(SHOALD_LOG_ERROR, "bug", "what=mailbox_full session=%s", SHOALD_UNMARK(mail)->id);
    return false;
}

/* known: what says that it lies there. One that is lost may be posted again. */
static void put_once(shoald_mailbox *box, shoald_lane *l, _Atomic bool *known)
{
    if (!atomic_exchange(known, true) && !put(box, l))
        atomic_store(known, false);
}

void shoald_lane_post(shoald_lane *l, shoald_port *p)
{
    put_once(&p->inbox, l, &l->in_inbox);
    shoald_port_poke(p);
}

void shoald_lane_post_last(shoald_lane *l, shoald_port *p)
{
    put(&p->inbox, SHOALD_MARK(l));
    shoald_port_poke(p);
}

void shoald_lane_post_move(shoald_lane *l, shoald_port *p)
{
    put(&p->inbox, SHOALD_MARK_MOVE(l));
    shoald_port_poke(p);
}

void shoald_lane_report(shoald_lane *l, shoald_port *p)
{
    put_once(&p->outbox, l, &l->in_outbox);
    p->mail_sent = true;
}

void shoald_lane_give_back(void *mail, shoald_port *p)
{
    put(&p->outbox, mail);
    p->mail_sent = true;
}

/* ---- set ------------------------------------------------------------------------------- */

size_t shoald_change_of(shoald_change *c, const shoal_options *effective)
{
    const shoal_options *o = effective;
    *c = (shoald_change){ .given = o->given,
                          .outputs = o->outputs,
                          .depth_min = o->depth_min,
                          .depth_max = o->depth_max,
                          .chunk_ms = o->chunk_ms,
                          .tap_count = o->tap_count };
    memcpy(c->taps, o->taps, sizeof c->taps);
    return offsetof(shoald_change, taps) + (size_t)o->tap_count * sizeof c->taps[0];
}

void shoald_change_apply(const shoald_change *c, shoal_options *o)
{
    o->given = c->given;
    o->outputs = c->outputs;
    o->depth_min = c->depth_min;
    o->depth_max = c->depth_max;
    o->chunk_ms = c->chunk_ms;
    o->tap_count = c->tap_count;
    memcpy(o->taps, c->taps, sizeof o->taps);
}

/* ---- sizes --------------------------------------------------------------------------- */

int shoald_lane_frame_bytes(const shoal_options *o)
{
    return o->format == SHOAL_FORMAT_OPUS ? 1 : shoal_format_bytes(o->format) * o->channels;
}

static size_t packet_bytes(const shoal_options *o, size_t frames, int dim)
{
    size_t n = o->encoding == SHOAL_ENCODING_JSON
                   ? SHOAL_PACKET_JSON_BYTES(frames, dim)
                   : SHOAL_PACKET_LONG_HEADER + frames * (size_t)dim * sizeof(float);
    return n + SHOALD_RECORD_BYTES;
}

/* As they are, or one packet each if they are means, for these may be of any length. */
static size_t rows_bytes(const shoal_options *o, size_t frames, size_t rows, int dim)
{
    bool means = o->every > 1 || o->pool == SHOAL_POOL_UTTERANCE;
    return means ? frames * packet_bytes(o, 1, dim) : packet_bytes(o, rows, dim);
}

static size_t kinds_bytes(const shoal_model_info *m, const shoal_options *o, unsigned kinds)
{
    size_t frames = (size_t)(o->chunk_ms / SHOAL_FRAME_MS + m->delay_frames), n = 0;
    if (kinds & SHOAL_OUTPUT_POSTERIORS)
        n += rows_bytes(o, frames, frames, m->classes);
    if (kinds & SHOAL_OUTPUT_EMBEDDING)
        n += rows_bytes(o, frames, frames, m->dim);
    if (kinds & SHOAL_OUTPUT_HIDDEN)
        n += rows_bytes(o, frames, frames, m->dim);
    if (kinds & SHOAL_OUTPUT_MEL) /* two rows a frame */
        n += rows_bytes(o, frames, 2 * frames, m->mels);
    if (kinds & SHOAL_OUTPUT_PHONES)
        n += SHOAL_PHONES_BYTES(frames + SHOAL_DECODER_LAG +
                                (o->tentative == SHOAL_ON ? SHOAL_MAX_TENTATIVE : 0)) +
             SHOALD_RECORD_BYTES;
    if (kinds & SHOAL_OUTPUT_ACTIVITY) /* an event a frame, and some for cuts and the end */
        n += (frames + 3) * (SHOAL_ACTIVITY_BYTES + SHOALD_RECORD_BYTES);
    return n;
}

/* At the session's depth a `set` may always ask for any of the first three. */
static size_t outputs_bytes(const shoal_model_info *m, const shoal_options *o)
{
    size_t n = kinds_bytes(
        m, o, o->outputs | SHOAL_OUTPUT_PHONES | SHOAL_OUTPUT_POSTERIORS | SHOAL_OUTPUT_EMBEDDING);
    for (int i = 0; i < o->tap_count; i++)
        n += kinds_bytes(m, o, o->taps[i].outputs);
    return n;
}

size_t shoald_lane_step_bytes(const shoal_model_info *m, const shoal_options *o)
{
    size_t ready = 4096 + (size_t)m->classes * 32;
    return outputs_bytes(m, o) + ready + 8 * SHOALD_RECORD_BYTES;
}

size_t shoald_lane_largest_bytes(const shoal_model_info *m)
{
    shoal_options largest = shoal_options_default();
    largest.chunk_ms = m->max_chunk_frames * SHOAL_FRAME_MS;
    largest.encoding = SHOAL_ENCODING_JSON;
    largest.tentative = SHOAL_ON;
    largest.outputs = SHOAL_OUTPUT_ALL;
    return shoald_lane_step_bytes(m, &largest);
}

/* Fast speech has 15 phones a second; what is tentative is told again with each chunk. */
static size_t phones_second_bytes(const shoal_options *o)
{
    size_t messages = 1000 / (size_t)o->chunk_ms + 1;
    return 15 * 80 + messages * (o->tentative == SHOAL_ON ? 1200 : 200);
}

size_t shoald_lane_second_bytes(const shoal_model_info *m, const shoal_options *o)
{
    enum {
        ROWS = SHOAL_OUTPUT_POSTERIORS | SHOAL_OUTPUT_EMBEDDING | SHOAL_OUTPUT_HIDDEN |
               SHOAL_OUTPUT_MEL
    };
    shoal_options second = *o;
    second.chunk_ms = 1000;
    size_t n = kinds_bytes(m, &second, o->outputs & ROWS) + phones_second_bytes(o);
    for (int i = 0; i < o->tap_count; i++)
        n += kinds_bytes(m, &second, o->taps[i].outputs & ROWS) + phones_second_bytes(o);
    return n;
}

/* ---- rings --------------------------------------------------------------------------- */

static size_t audio_bytes(const shoal_options *o, int ms)
{
    size_t bytes = (size_t)shoald_lane_frame_bytes(o) * (size_t)o->rate * (size_t)ms / 1000;
    return o->format == SHOAL_FORMAT_OPUS || bytes < MIN_INPUT_BYTES ? (size_t)MIN_INPUT_BYTES
                                                                     : bytes;
}

int shoald_lane_init(shoald_lane *l, int backlog_ms, size_t output_bytes)
{
    size_t step = shoald_lane_step_bytes(l->service->info, &l->options);
    l->in_high = audio_bytes(&l->options, backlog_ms);
    l->in_low = l->in_high / 2;
    l->out_step = step;
    if (shoald_queue_init(&l->in, l->in_high + RX_SLACK) < 0)
        return -1;
    if (shoald_queue_init(&l->out, output_bytes > 2 * step ? output_bytes : 2 * step) == 0)
        return 0;
    shoald_queue_free(&l->in);
    return -1;
}

void shoald_lane_free(shoald_lane *l)
{
    shoald_queue_free(&l->in);
    shoald_queue_free(&l->out);
}

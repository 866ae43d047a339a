/* client_join.c - see client_join.h */
#include "lib/client_join.h"

#include <string.h>

enum { PHONES = -1, ACTIVITY = -2 }; /* beside shoal_kind */

static const double frame_s = SHOAL_FRAME_MS / 1000.0;

void shoal__join_again(shoal__join *j, uint64_t base_frame, uint64_t base_sample)
{
    j->again = 1;
    j->base_frame = base_frame;
    j->base_sample = base_sample;
    j->link_packets = j->link_phones = 0;
}

static shoal__given *find(shoal__join *j, int what, int tap)
{
    shoal__given *g = j->given;

    for (; g < j->given + j->count; g++)
        if (g->what == what && g->tap == tap)
            return g;
    if (j->count == SHOAL__MAX_GIVEN) /* no server has so many: they share the last */
        return g - 1;
    *g = (shoal__given){ .what = what, .tap = tap };
    j->count++;
    return g;
}

uint64_t shoal__join_rows_done(const shoal__join *j, uint64_t frames)
{
    for (int i = 0; i < j->count; i++)
        if (j->given[i].what > 0 && j->given[i].next_frame < frames)
            frames = j->given[i].next_frame;
    return frames;
}

static double base_s(const shoal__join *j)
{
    return (double)j->base_frame * frame_s;
}

/* Does a message that has nothing new at least tell that the server has come further? */
static int is_news(const shoal__join *j, uint64_t processed)
{
    return !j->again || processed > j->processed;
}

static void note_progress(shoal__join *j, uint32_t *seq, uint64_t received, uint64_t processed)
{
    if (!j->again)
        j->next_seq = *seq;
    *seq = j->next_seq++;
    j->received = received > j->received ? received : j->received;
    j->processed = processed > j->processed ? processed : j->processed;
}

/* ---- rows ---- */

/* Frames of 20 ms that so many rows stand for: mel has two rows a frame. (Means of frames, every
 * and pool, never come to a second connection.) */
static uint64_t frames_of(const shoal_packet *p, int rows)
{
    uint64_t row_ms = p->row_ms ? p->row_ms : SHOAL_FRAME_MS;

    return (uint64_t)rows * row_ms / SHOAL_FRAME_MS;
}

static int rows_of(const shoal_packet *p, uint64_t frames)
{
    uint64_t row_ms = p->row_ms ? p->row_ms : SHOAL_FRAME_MS;
    uint64_t rows = frames * SHOAL_FRAME_MS / row_ms;

    return rows < (uint64_t)p->frames ? (int)rows : p->frames;
}

static size_t value_bytes(const shoal_packet *p)
{
    return p->encoding == SHOAL_ENCODING_F16 ? 2 : 4;
}

static void cut_front(const shoal__join *j, shoal_packet *p, shoal_client_event *e, int rows)
{
    size_t values = (size_t)rows * (size_t)p->dim;

    p->first_frame += frames_of(p, rows);
    p->frames -= rows;
    p->start_sample = shoal_frame_start_sample(p->first_frame, j->rate);
    p->payload = (const uint8_t *)p->payload + values * value_bytes(p);
    if (e->rows)
        e->rows += values;
}

static int take_rows(shoal__join *j, shoal_packet *p, shoal_client_event *e)
{
    /* hidden@0 has tap 0 as hidden has, and depth 0 */
    shoal__given *g = find(j, (int)p->kind, p->depth ? p->tap : -1);
    uint64_t old;

    j->link_packets++;
    p->first_frame += j->base_frame;
    p->start_sample += j->base_sample;
    p->received += j->base_sample;
    p->processed += j->base_sample;
    old = j->again && g->next_frame > p->first_frame ? g->next_frame - p->first_frame : 0;
    if (old)
        cut_front(j, p, e, rows_of(p, old));
    if (!p->frames && !is_news(j, p->processed))
        return 0;
    if (p->frames)
        g->next_frame = p->first_frame + frames_of(p, p->frames);
    j->frames = g->next_frame > j->frames ? g->next_frame : j->frames;
    j->packets++;
    note_progress(j, &p->seq, p->received, p->processed);
    return 1;
}

/* ---- phones ---- */

static void move(shoal_wire_phone *p, double by)
{
    p->start += by;
    p->end += by;
}

/* Phones that began before the last one ended were given, maybe with another border. */
static int take_phones(shoal__join *j, shoal_phones *m)
{
    shoal__given *g = find(j, PHONES, m->tap);
    int n = 0;

    j->link_phones += (uint64_t)m->count;
    m->received += j->base_sample;
    m->processed += j->base_sample;
    for (int i = 0; i < m->count; i++) {
        shoal_wire_phone p = m->phones[i];

        move(&p, base_s(j));
        if (j->again && (p.start + p.end) / 2 <= g->end)
            continue;
        p.start = j->again && p.start < g->end ? g->end : p.start;
        g->end = p.end;
        m->phones[n++] = p;
    }
    m->count = n;
    for (int i = 0; i < m->tentative_count; i++)
        move(&m->tentative[i].phone, base_s(j));
    if (!n && !is_news(j, m->processed))
        return 0;
    j->phones += (uint64_t)n;
    note_progress(j, &m->seq, m->received, m->processed);
    return 1;
}

/* ---- turns of speech ---- */

static int take_activity(shoal__join *j, shoal_wire_activity *m)
{
    shoal__given *g = find(j, ACTIVITY, m->tap);

    m->frame += j->base_frame;
    m->sample += j->base_sample;
    m->time += base_s(j);
    m->received += j->base_sample;
    m->processed += j->base_sample;
    if (j->again && (m->frame < g->next_frame || m->speech == g->speech))
        return 0;
    g->next_frame = m->frame + 1;
    g->speech = m->speech;
    note_progress(j, &m->seq, m->received, m->processed);
    return 1;
}

/* ---- how it stands ---- */

static void take_flushed(shoal__join *j, shoal_flushed *m)
{
    m->received += j->base_sample;
    m->processed += j->base_sample;
    m->frames += j->base_frame;
    j->received = m->received > j->received ? m->received : j->received;
    j->processed = m->processed > j->processed ? m->processed : j->processed;
}

/* What the server counts are the results of its connection: of those, some were dropped, and
 * others came before. */
static void take_done(const shoal__join *j, shoal_done *m)
{
    m->received += j->base_sample;
    m->processed += j->base_sample;
    m->frames += j->base_frame;
    m->phones = m->phones - j->link_phones + j->phones;
    m->packets = m->packets - j->link_packets + j->packets;
    m->seconds += base_s(j);
}

static void take_changed(const shoal__join *j, shoal_changed *m)
{
    m->from_frame += j->base_frame;
    m->from_sample += j->base_sample;
}

int shoal__join_take(shoal__join *j, shoal__scratch *scratch, shoal_client_event *e)
{
    shoal_server_msg *m = &scratch->msg;

    switch (e->type) {
    case SHOAL_CLIENT_FEATURES:
        return take_rows(j, e->packet == &scratch->packet ? &scratch->packet : &m->u.features, e);
    case SHOAL_CLIENT_PHONES: return take_phones(j, &m->u.phones);
    case SHOAL_CLIENT_ACTIVITY: return take_activity(j, &m->u.activity);
    case SHOAL_CLIENT_FLUSHED: take_flushed(j, &m->u.flushed); return 1;
    case SHOAL_CLIENT_CHANGED: take_changed(j, &m->u.changed); return 1;
    case SHOAL_CLIENT_DONE: take_done(j, &m->u.done); return 1;
    default: return 1;
    }
}

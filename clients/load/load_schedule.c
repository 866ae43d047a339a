/* load_schedule.c - when every packet of every session is due, fixed in advance
 *
 *     0                     0.5 s            + ramp + a chunk, rounded up to a second
 *     |- connect, i/N of the ramp -|              |
 *     |---- lead ----|- phase -| packets ... -----|==== window of the summary ====| end
 *
 * The phase is a random part of a chunk: microphones do not start together, and a server
 * that got all chunks at one moment would be measured at something that never happens. A rush
 * comes within one second and speaks for its time; idle sessions connect in the ramp and stay.
 */
#include "load/load.h"

#include <stdlib.h>
#include <string.h>

static int largest(const load_mix *m)
{
    int most = 0;

    for (int i = 0; i < m->count; i++)
        most = m->item[i].max > most ? m->item[i].max : most;
    return most;
}

static load_window_ns window(const load_options *o)
{
    int64_t first = (LOAD_LEAD_MS + (o->fast ? 0 : largest(&o->chunks))) * LOAD_MS;
    int64_t from = (first + o->ramp_s * LOAD_S + LOAD_S - 1) / LOAD_S * LOAD_S;

    return (load_window_ns){ from, from + o->duration_s * LOAD_S };
}

int load_total(const load_options *o)
{
    return o->sessions + o->rush.sessions + o->idle;
}

/* Values of a mix for n sessions; shuffled, so that two mixes do not go in step. */
static void deal(const load_mix *m, int *chosen, int n, uint64_t *shuffle)
{
    load_mix_assign(m, chosen, n);
    if (shuffle)
        load_shuffle(chosen, n, shuffle);
}

/* It speaks from connect_ns + lead + phase until end. */
static void speak(load_plan *p, const load_options *o, int64_t end, uint64_t *random)
{
    int64_t phase = (int64_t)(load_random(random) % (uint64_t)(p->chunk_ms * LOAD_MS));
    int64_t packet_ns = p->packet_ms * LOAD_MS;

    p->start_ns = p->connect_ns + LOAD_LEAD_MS * LOAD_MS + phase;
    p->packets = o->fast ? o->duration_s * LOAD_S / packet_ns : (end - p->start_ns) / packet_ns;
    p->packets = p->packets > 0 ? p->packets : 0;
    p->audio_ms = load_random(random) % 1000000;
}

static void time_plan(load_plan *p, const load_options *o, int i, int64_t end, uint64_t *random)
{
    const load_rush *r = &o->rush;
    int late = i - o->sessions, idle = late - r->sessions;

    if (late < 0) {
        p->connect_ns = o->ramp_s * LOAD_S * i / o->sessions;
        speak(p, o, end, random);
    } else if (idle < 0) {
        p->connect_ns = r->at_s * LOAD_S - LOAD_LEAD_MS * LOAD_MS + LOAD_S * late / r->sessions;
        p->connect_ns = p->connect_ns > 0 ? p->connect_ns : 0;
        speak(p, o, (r->at_s + r->for_s) * LOAD_S, random);
    } else {
        p->connect_ns = o->ramp_s * LOAD_S * idle / o->idle;
        p->start_ns = p->stay_ns = end;
    }
}

load_window_ns load_schedule_make(const load_options *o, load_plan *plans)
{
    load_window_ns w = window(o);
    uint64_t random = o->seed;
    int n = load_total(o), *chosen = malloc(sizeof *chosen * (size_t)n);

    if (!chosen)
        return (load_window_ns){ 0, 0 };
    deal(&o->depths, chosen, n, NULL);
    memset(plans, 0, sizeof *plans * (size_t)n);
    for (int i = 0; i < n && o->depths.count; i++) {
        plans[i].depth_min = o->depths.item[chosen[i]].min;
        plans[i].depth_max = o->depths.item[chosen[i]].max;
    }
    deal(&o->chunks, chosen, n, &random);
    for (int i = 0; i < n; i++)
        plans[i].chunk_ms = o->chunks.item[chosen[i]].min;
    deal(&o->packets, chosen, n, &random);
    for (int i = 0; i < n; i++) {
        plans[i].packet_ms = o->packets.item[chosen[i]].min;
        time_plan(&plans[i], o, i, w.to, &random);
    }
    free(chosen);
    return w;
}

int64_t load_due_ns(const load_plan *p, int64_t k)
{
    return p->start_ns + (k + 1) * p->packet_ms * LOAD_MS;
}

int64_t load_packet_holding(const load_plan *p, int64_t ms)
{
    return (ms + p->packet_ms - 1) / p->packet_ms - 1;
}

/* ---- calendar ---- */

int load_calendar_init(load_calendar *c, int cap)
{
    c->entry = malloc(sizeof *c->entry * (size_t)cap);
    c->count = 0;
    c->cap = cap;
    return c->entry ? 0 : -1;
}

void load_calendar_free(load_calendar *c)
{
    free(c->entry);
    c->entry = NULL;
}

void load_calendar_put(load_calendar *c, int64_t at, int session)
{
    int i = c->count;

    if (at == LOAD_NEVER || i == c->cap)
        return;
    c->count++;
    for (; i > 0 && c->entry[(i - 1) / 2].at > at; i = (i - 1) / 2)
        c->entry[i] = c->entry[(i - 1) / 2];
    c->entry[i].at = at;
    c->entry[i].session = session;
}

int64_t load_calendar_next(const load_calendar *c)
{
    return c->count ? c->entry[0].at : LOAD_NEVER;
}

int load_calendar_take(load_calendar *c)
{
    int session = c->entry[0].session, i = 0, n = --c->count;
    int64_t at = c->entry[n].at;

    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && c->entry[child + 1].at < c->entry[child].at)
            child++;
        if (c->entry[child].at >= at)
            break;
        c->entry[i] = c->entry[child];
    }
    c->entry[i] = c->entry[n];
    return session;
}

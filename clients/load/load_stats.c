/* load_stats.c - counters and histograms -> one row a second -> a summary
 *
 * Two windows take every sample: `second`, emptied at each tick, and `steady`, for chunks that
 * were due after the ramp. Chunks are put into the summary by when they were due, so results
 * that come late, after the run's end, still count; CPU and audio are summed over the
 * seconds of the same window.
 */
#include "load/load.h"

#include <stdlib.h>
#include <string.h>

load_stats *load_stats_new(const load_options *o)
{
    load_stats *st = calloc(1, sizeof *st);

    if (!st)
        return NULL;
    st->offered = load_total(o);
    st->own_cpu_s = load_proc_own_cpu_s();
    if (o->pid && load_proc_read(o->pid, &st->proc) == 0)
        st->rss_before_mb = st->proc.rss_mb;
    return st;
}

void load_stats_free(load_stats *st)
{
    if (st)
        free(st->rows);
    free(st);
}

void load_percentiles(const load_hist *h, double out[5])
{
    static const double p[5] = LOAD_PERCENTILES;

    for (int i = 0; i < 5; i++)
        out[i] = load_hist_percentile_ms(h, p[i]);
}

static void count_frames(load_window *w, int frames, int depth)
{
    w->results++;
    w->frames += (uint64_t)frames;
    w->depth_frames += (uint64_t)(frames * depth);
    w->depth_min = w->depth_min && w->depth_min < depth ? w->depth_min : depth;
    w->depth_max = w->depth_max > depth ? w->depth_max : depth;
}

void load_stats_frames(load_stats *st, int frames, int depth, int steady)
{
    count_frames(&st->second, frames, depth);
    st->received += (uint64_t)frames;
    if (!steady)
        return;
    count_frames(&st->steady, frames, depth);
    st->frames_at[depth] += (uint64_t)frames;
}

void load_stats_reason(load_stats *st, const char *text)
{
    int i = 0;

    while (i < st->reasons && strncmp(st->reason[i].text, text, LOAD_REASON_BYTES - 1))
        i++;
    if (i == LOAD_REASONS)
        return; /* enough kinds of trouble for one report */
    if (i == st->reasons)
        snprintf(st->reason[st->reasons++].text, LOAD_REASON_BYTES, "%s", text);
    st->reason[i].count++;
}

static void measure_processes(load_stats *st, const load_options *o, load_row *r)
{
    load_proc now = st->proc;
    double own = load_proc_own_cpu_s();

    if (o->pid && load_proc_read(o->pid, &now) == 0) {
        r->cpu_s = now.cpu_s - st->proc.cpu_s;
        r->rss_mb = now.rss_mb;
    }
    r->own_cpu_s = own - st->own_cpu_s;
    st->proc = now;
    st->own_cpu_s = own;
}

static void fill_row(load_row *r, const load_stats *st)
{
    const load_window *w = &st->second;

    r->offered = st->offered;
    r->active = st->active;
    r->refused = st->refused;
    r->failed = st->failed;
    r->results = w->results;
    r->frames = w->frames;
    r->throttled = w->throttled;
    load_percentiles(&w->latency, r->latency);
    r->queued_p99 = load_hist_percentile_ms(&w->queued, 0.99);
    r->computed_p99 = load_hist_percentile_ms(&w->computed, 0.99);
    r->late_p99 = load_hist_percentile_ms(&w->late, 0.99);
    r->late_max = load_hist_max_ms(&w->late);
    r->depth = w->frames ? (double)w->depth_frames / (double)w->frames : 0;
    r->depth_min = w->depth_min;
    r->depth_max = w->depth_max;
    r->lag = w->lag;
}

static load_row *new_row(load_stats *st)
{
    if (st->row_count == st->row_cap) {
        int cap = st->row_cap ? 2 * st->row_cap : 64;
        load_row *rows = realloc(st->rows, sizeof *rows * (size_t)cap);

        if (!rows)
            return NULL;
        st->rows = rows;
        st->row_cap = cap;
    }
    return &st->rows[st->row_count++];
}

const load_row *load_stats_tick(load_stats *st, const load_options *o, int t_s, int steady)
{
    load_row *r = new_row(st);

    if (!r)
        return NULL;
    *r = (load_row){ .t_s = t_s, .steady = steady };
    fill_row(r, st);
    measure_processes(st, o, r);
    memset(&st->second, 0, sizeof st->second);
    return r;
}

/* Sums over the rows of the window. */
static void add_rows(load_summary *s, const load_stats *st)
{
    for (int i = 0; i < st->row_count; i++) {
        const load_row *r = &st->rows[i];

        s->rss_mb = r->rss_mb > s->rss_mb ? r->rss_mb : s->rss_mb;
        if (!r->steady)
            continue;
        s->seconds++;
        s->lag = r->lag > s->lag ? r->lag : s->lag;
        s->audio_s += (double)r->frames * SHOAL_FRAME_MS / 1000;
        s->cpu_s += r->cpu_s;
        s->own_cpu_s += r->own_cpu_s;
    }
}

load_summary load_stats_summarise(const load_stats *st)
{
    load_summary s = { 0 };
    const load_window *w = &st->steady;

    load_percentiles(&w->latency, s.latency);
    load_percentiles(&w->server, s.server);
    load_percentiles(&w->queued, s.queued);
    load_percentiles(&w->computed, s.computed);
    load_percentiles(&w->late, s.late);
    load_percentiles(&st->own_late, s.own_late);
    load_percentiles(&st->ready, s.ready);
    s.depth = w->frames ? (double)w->depth_frames / (double)w->frames : 0;
    s.missing = st->missing;
    s.lag = w->lag;
    add_rows(&s, st);
    if (st->fast_end_ns)
        s.seconds = (double)st->fast_end_ns / 1e9;
    s.audio_per_cpu = s.cpu_s > 0 ? s.audio_s / s.cpu_s : 0;
    return s;
}

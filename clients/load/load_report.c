/* load_report.c - table on stdout, CSV, JSON
 *
 * The table names what went wrong next to the numbers: a good p99 of a run that refused half of
 * its sessions, or whose generator was late itself, should not look good.
 */
#include "load/load.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

enum { OWN_LATE_MS = 5 }; /* p99 from which the generator itself is in doubt */

double load_limit_ms(const load_options *o)
{
    int least = SHOAL_MAX_CHUNK_MS;

    for (int i = 0; i < o->chunks.count; i++)
        least = o->chunks.item[i].min < least ? o->chunks.item[i].min : least;
    return least;
}

/* ---- table ---- */

static void row_ms(const char *name, const double v[5])
{
    printf("  %-36s", name);
    for (int i = 0; i < 5; i++)
        printf(" %9.2f", v[i]);
    putchar('\n');
}

static void table_latency(const load_options *o, const load_summary *s)
{
    static const char *const names[5] = LOAD_PERCENTILE_NAMES;

    printf("\n  %-36s", "milliseconds");
    for (int i = 0; i < 5; i++)
        printf(" %9s", names[i]);
    putchar('\n');
    if (!o->fast)
        row_ms("latency beyond the chunk, at client", s->latency);
    row_ms("  in the server", s->server);
    row_ms("    waiting (queued_us)", s->queued);
    row_ms("    computing (computed_us)", s->computed);
    if (!o->fast)
        row_ms("packets sent late", s->late);
    if (!o->fast)
        row_ms("  by this program itself", s->own_late);
    row_ms("connect until ready", s->ready);
    if (!o->fast)
        printf("  the worst result came, or is still owed, %.2f chunks late\n", s->lag);
}

static void table_depths(const load_stats *st, const load_summary *s)
{
    printf("  depth      mean %.2f, %d to %d:", s->depth, st->steady.depth_min,
           st->steady.depth_max);
    for (int d = 1; d < LOAD_DEPTHS; d++)
        if (st->frames_at[d])
            printf("  %d: %.1f %%", d,
                   100.0 * (double)st->frames_at[d] / (double)st->steady.frames);
    putchar('\n');
}

static void table_machine(const load_options *o, const load_summary *s)
{
    printf("  audio      %.1f s in %.1f s", s->audio_s, s->seconds);
    if (o->pid)
        printf(", %.1f s a CPU second of the server", s->audio_per_cpu);
    putchar('\n');
    if (o->pid && s->seconds > 0)
        printf("  server     %.2f CPU s (%.0f %% of a core)\n", s->cpu_s,
               100 * s->cpu_s / s->seconds);
    if (s->seconds > 0)
        printf("  this       %.2f CPU s (%.0f %% of a core)\n", s->own_cpu_s,
               100 * s->own_cpu_s / s->seconds);
}

static double kb_a_session(const load_stats *st, const load_summary *s)
{
    return st->most_active ? (s->rss_mb - st->rss_before_mb) * 1e3 / st->most_active : 0;
}

static void table_memory(const load_stats *st, const load_summary *s)
{
    printf("  memory     server's RSS %.1f MB before, at most %.1f MB with %d sessions: %.0f KB a "
           "session\n",
           st->rss_before_mb, s->rss_mb, st->most_active, kb_a_session(st, s));
}

static void table_phase(const char *name, const load_phase *p)
{
    printf("    %-10s depth %5.2f, p99 of the worst second %.1f ms, %.2f chunks behind at most, %d "
           "sessions\n",
           name, p->depth, p->p99_ms, p->lag, p->active);
}

static void table_rush(const load_rush *r, const load_stats *st)
{
    load_rush_effect e = load_rush_measure(r, st);

    printf("  rush       %d sessions from %d s to %d s; ", r->sessions, r->at_s,
           r->at_s + r->for_s);
    if (e.back_s < 0)
        puts("not again as deep as before within this run");
    else
        printf("as deep as before %d s after it\n", e.back_s);
    table_phase("before", &e.before);
    table_phase("during", &e.during);
    table_phase("after", &e.after);
}

static void table_trouble(const load_options *o, const load_stats *st, const load_summary *s)
{
    if (s->own_late[2] > OWN_LATE_MS && !o->fast)
        printf("  NOTE: this program was late itself (p99 %.1f ms): it needs a CPU of its own, or "
               "another machine\n",
               s->own_late[2]);
    if (s->missing || st->seq_gaps)
        printf("  NOTE: %lu frames are missing, %lu results by their sequence numbers\n",
               (unsigned long)s->missing, (unsigned long)st->seq_gaps);
    for (int i = 0; i < st->reasons; i++)
        printf("  %d x %s\n", st->reason[i].count, st->reason[i].text);
}

void load_report_table(const load_options *o, const load_stats *st)
{
    load_summary s = load_stats_summarise(st);

    printf("  sessions   %d offered, %d admitted, %d refused, %d failed, %d finished", st->offered,
           st->admitted, st->refused, st->failed, st->finished);
    printf(o->idle ? "; %d offered to be idle\n" : "\n", o->idle);
    printf("  frames     %lu expected (20 ms each), %lu received, %lu missing\n",
           (unsigned long)st->expected, (unsigned long)st->received, (unsigned long)s.missing);
    if (st->steady.results) {
        table_depths(st, &s);
        table_machine(o, &s);
    } else {
        puts("  nothing was measured");
    }
    if (o->pid)
        table_memory(st, &s);
    if (o->rush.sessions)
        table_rush(&o->rush, st);
    if (st->steady.results)
        table_latency(o, &s);
    table_trouble(o, st, &s);
}

void load_report_step(const load_step *s, int first)
{
    const load_summary *m = &s->summary;

    if (first)
        printf("  sessions        p50        p99      p99.9        max   depth  refused  failed  "
               "missing\n");
    printf("  %8d %10.2f %10.2f %10.2f %10.2f %7.2f %8d %7d %8lu  %s\n", s->sessions, m->latency[0],
           m->latency[2], m->latency[3], m->latency[4], m->depth, s->refused, s->failed,
           (unsigned long)m->missing, s->holds ? "holds" : "too many");
    fflush(stdout);
}

void load_report_knee(const load_search *search, double limit_ms)
{
    const load_knee *k = &search->knee;

    if (!k->holds)
        printf("  no knee: not one session keeps p99 below one chunk (%.0f ms)\n", limit_ms);
    else if (!k->breaks)
        printf("  no knee up to %d sessions: raise --knee-max\n", k->holds);
    else
        printf(
            "  knee: %d sessions hold, %d do not (p99 over %.0f ms, results missing, or sessions "
            "refused or failed)\n",
            k->holds, k->breaks, limit_ms);
}

/* ---- CSV ---- */

void load_csv_header(FILE *f)
{
    fputs("t_s,steady,offered,active,refused,failed,results,frames,p50_ms,p95_ms,p99_ms,p999_ms,"
          "max_ms,queued_p99_ms,computed_p99_ms,late_p99_ms,late_max_ms,throttled,depth_mean,"
          "depth_min,depth_max,cpu_s,rss_mb,own_cpu_s,lag_chunks\n",
          f);
}

void load_csv_row(FILE *f, const load_row *r)
{
    fprintf(f, "%d,%d,%d,%d,%d,%d,%lu,%lu", r->t_s, r->steady, r->offered, r->active, r->refused,
            r->failed, (unsigned long)r->results, (unsigned long)r->frames);
    for (int i = 0; i < 5; i++)
        fprintf(f, ",%.3f", r->latency[i]);
    fprintf(f, ",%.3f,%.3f,%.3f,%.3f,%lu,%.3f,%d,%d,%.2f,%.1f,%.3f,%.3f\n", r->queued_p99,
            r->computed_p99, r->late_p99, r->late_max, (unsigned long)r->throttled, r->depth,
            r->depth_min, r->depth_max, r->cpu_s, r->rss_mb, r->own_cpu_s, r->lag);
    fflush(f);
}

/* ---- JSON ---- */

static json_t *json_ms(const double v[5])
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "p50", v[0], "p95", v[1], "p99", v[2], "p999",
                     v[3], "max", v[4]);
}

static json_t *json_summary(const load_summary *s)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}",
        "latency_ms", json_ms(s->latency), "server_ms", json_ms(s->server), "queued_ms",
        json_ms(s->queued), "computed_ms", json_ms(s->computed), "late_ms", json_ms(s->late),
        "own_late_ms", json_ms(s->own_late), "ready_ms", json_ms(s->ready), "seconds", s->seconds,
        "audio_s", s->audio_s, "cpu_s", s->cpu_s, "own_cpu_s", s->own_cpu_s, "rss_mb", s->rss_mb,
        "audio_s_per_cpu_s", s->audio_per_cpu, "depth_mean", s->depth, "lag_chunks", s->lag,
        "frames_missing", (json_int_t)s->missing);
}

static json_t *json_depths(const load_stats *st)
{
    json_t *o = json_object();
    char name[16];

    for (int d = 1; d < LOAD_DEPTHS; d++) {
        snprintf(name, sizeof name, "%d", d);
        if (st->frames_at[d])
            json_object_set_new(o, name, json_integer((json_int_t)st->frames_at[d]));
    }
    return o;
}

static json_t *json_phase(const load_phase *p)
{
    return json_pack("{s:f, s:f, s:f, s:i}", "depth_mean", p->depth, "worst_p99_ms", p->p99_ms,
                     "lag_chunks", p->lag, "active", p->active);
}

static json_t *json_rush(const load_rush *r, const load_stats *st)
{
    load_rush_effect e = load_rush_measure(r, st);

    return json_pack("{s:i, s:i, s:i, s:o, s:o, s:o, s:o}", "sessions", r->sessions, "at_s",
                     r->at_s, "for_s", r->for_s, "before", json_phase(&e.before), "during",
                     json_phase(&e.during), "after", json_phase(&e.after), "back_s",
                     e.back_s < 0 ? json_null() : json_integer(e.back_s));
}

static json_t *json_run(const load_options *opt, const load_stats *st)
{
    load_summary s = load_stats_summarise(st);
    json_t *o = json_summary(&s), *reasons = json_array();

    for (int i = 0; i < st->reasons; i++)
        json_array_append_new(reasons, json_pack("{s:i, s:s}", "count", st->reason[i].count, "text",
                                                 st->reason[i].text));
    if (opt->rush.sessions)
        json_object_set_new(o, "rush", json_rush(&opt->rush, st));
    json_object_update_new(o, json_pack("{s:f, s:f, s:i}", "rss_before_mb", st->rss_before_mb,
                                        "rss_kb_a_session", kb_a_session(st, &s), "most_active",
                                        st->most_active));
    json_object_update_new(o,
                           json_pack("{s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:o, s:o}",
                                     "offered", st->offered, "admitted", st->admitted, "refused",
                                     st->refused, "failed", st->failed, "finished", st->finished,
                                     "frames_expected", (json_int_t)st->expected, "frames_received",
                                     (json_int_t)st->received, "seq_gaps", (json_int_t)st->seq_gaps,
                                     "frames_at_depth", json_depths(st), "trouble", reasons));
    return o;
}

static json_t *json_search(const load_search *search)
{
    json_t *steps = json_array();

    for (int i = 0; i < search->count; i++) {
        const load_step *s = &search->step[i];
        json_t *o = json_summary(&s->summary);

        json_object_update_new(o,
                               json_pack("{s:i, s:b, s:i, s:i}", "sessions", s->sessions, "holds",
                                         s->holds, "refused", s->refused, "failed", s->failed));
        json_array_append_new(steps, o);
    }
    return json_pack("{s:i, s:i, s:o}", "holds", search->knee.holds, "breaks", search->knee.breaks,
                     "steps", steps);
}

static json_t *json_mix(const load_mix *m)
{
    json_t *a = json_array();

    for (int i = 0; i < m->count; i++)
        json_array_append_new(
            a, json_pack("[i, i, f]", m->item[i].min, m->item[i].max, m->item[i].weight));
    return a;
}

static json_t *json_load(const load_options *o)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:o, s:o, s:o, s:i, s:i, s:b, s:I, s:s, s:s}", "host",
                     o->host, "port", o->port, "sessions", o->sessions, "idle", o->idle, "depths",
                     json_mix(&o->depths), "chunk_ms", json_mix(&o->chunks), "packet_ms",
                     json_mix(&o->packets), "ramp_s", o->ramp_s, "duration_s", o->duration_s,
                     "fast", o->fast, "seed", (json_int_t)o->seed, "audio",
                     o->audio_file ? o->audio_file : "made-up speech", "format",
                     shoal_format_name(o->session.format));
}

int load_json_write(const char *path, const load_options *o, const load_stats *st,
                    const load_search *search)
{
    json_t *all = search
                      ? json_pack("{s:o, s:o}", "load", json_load(o), "knee", json_search(search))
                      : json_pack("{s:o, s:o}", "load", json_load(o), "run", json_run(o, st));
    int r = all ? json_dump_file(all, path, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : -1;

    json_decref(all);
    if (r < 0)
        fprintf(stderr, "shoal-load: cannot write %s: %s; check the folder and the free space\n",
                path, strerror(errno));
    return r;
}

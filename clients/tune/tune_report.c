/* tune_report.c - what a person sees of it: the table, and the recommendation in words */
#include "tune/tune.h"

#include "lib/client_url.h"

#include <math.h>
#include <string.h>

/* width characters, `digits` of them behind the point; "-" for what is not known. */
static void cell(FILE *f, int width, int digits, double x)
{
    if (isfinite(x))
        fprintf(f, "%*.*f", width, digits, x);
    else
        fprintf(f, "%*s", width, "-");
}

static void row(FILE *f, const tune_setting *s, const char *mark)
{
    fprintf(f, "%8d%6d", s->chunk_ms, s->depth);
    cell(f, 9, 1, s->disagreement);
    cell(f, 8, 1, s->per >= 0 ? s->per : NAN);
    for (int i = 0; i < 3; i++)
        cell(f, 7, 0, s->settled[i]);
    cell(f, 7, 0, s->settled_pause);
    cell(f, 9, 1, s->cpu_ms);
    cell(f, 9, 0, s->cpu_ms > 0 ? 1000 / s->cpu_ms : NAN);
    fprintf(f, "  %s\n", mark);
}

void tune_report_table(FILE *f, const tune_grid *g, const tune_choice *c)
{
    fprintf(f, "%14s%9s%8s%28s%9s%9s\n%8s%6s%9s%8s%7s%7s%7s%7s%9s%9s\n", "", "differs", "errors",
            "final after, ms", "a core,", "streams", "chunk_ms", "depth", "%", "%", "p50", "p90",
            "p99", "pause", "ms/s", "a core");
    for (int i = 0; i < g->chunk_count * g->depth_count; i++) {
        const tune_setting *s = &g->at[i];

        if (i && i % g->depth_count == 0)
            fputc('\n', f);
        row(f, s, s == c->best ? "<== chosen" : c->on_front[i] ? "*" : "");
    }
    fprintf(f,
            "\ndiffers: from what chunk_ms %d, depth %d hears; errors: against the transcripts; "
            "pause: p90 of the\nlast phone before one; *: nothing is better in errors, latency "
            "and cost at once\n",
            g->chunks[g->chunk_count - 1], g->depths[g->depth_count - 1]);
}

/* ---- the goal ---- */

static void say_goal(FILE *f, const tune_goal *goal)
{
    const char *and = "";

    fputs("Goal: ", f);
    if (goal->latency_ms > 0) {
        fprintf(f, "90 %% of phones final within %g ms", goal->latency_ms);
        and = ", ";
    }
    if (goal->within > 0) {
        fprintf(f, "%sat most %g errors of 100 phones more than the best setting", and,
                goal->within);
        and = ", ";
    }
    if (goal->cpu_ms > 0)
        fprintf(f, "%sat most %g ms of a core for a second of audio", and, goal->cpu_ms);
    fputs(".\n", f);
}

static void say_values(FILE *f, const tune_grid *g, const tune_choice *c)
{
    const tune_setting *s = c->best;

    fprintf(f, "%s chunk_ms %d, depth %d: ", c->met ? "Take" : "No setting meets it. Nearest:",
            s->chunk_ms, s->depth);
    if (isfinite(s->settled[1]))
        fprintf(f, "90 %% of phones final within %.0f ms (half within %.0f), ", s->settled[1],
                s->settled[0]);
    else
        fputs("no phone was final before its clip ended, ", f);
    if (s->per >= 0)
        fprintf(f, "%.1f %% errors (best: %.1f)", s->per, s->per - c->excess);
    else
        fprintf(f, "%.1f %% of phones other than at chunk_ms %d, depth %d", s->disagreement,
                g->chunks[g->chunk_count - 1], g->depths[g->depth_count - 1]);
    if (s->cpu_ms > 0)
        fprintf(f, ", %.1f ms of a core a second (%.0f streams)", s->cpu_ms, 1000 / s->cpu_ms);
    fputs(".\n", f);
}

/* ---- the neighbours ---- */

static const tune_setting *at(const tune_grid *g, int chunk, int depth)
{
    if (chunk < 0 || chunk >= g->chunk_count || depth < 0 || depth >= g->depth_count)
        return NULL;
    return tune_at(g, chunk, depth);
}

static void say_difference(FILE *f, const tune_grid *g, const tune_setting *s,
                           const tune_setting *best)
{
    tune_difference d = tune_compare(g, s, best);

    if (d.clips == 0)
        fprintf(f, "%+.1f errors of 100 (%+.1f to %+.1f)", d.mean, d.low, d.high);
    else if (d.clips < INT32_MAX)
        fprintf(f, "errors cannot be told apart on %d clips (%+.1f; about %d more would do)",
                g->clips.count, d.mean, d.clips);
    else
        fprintf(f, "as many errors");
}

static void say_neighbour(FILE *f, const tune_goal *goal, const tune_grid *g, const tune_setting *s,
                          const tune_setting *best)
{
    if (!s)
        return;
    fprintf(f, "  chunk_ms %d, depth %d: ", s->chunk_ms, s->depth);
    say_difference(f, g, s, best);
    if (isfinite(s->settled[1]))
        fprintf(f, ", %+.0f ms", s->settled[1] - best->settled[1]);
    if (isfinite(s->cpu_ms) && isfinite(best->cpu_ms))
        fprintf(f, ", %+.1f ms of a core", s->cpu_ms - best->cpu_ms);
    if (goal->latency_ms > 0 && s->settled[1] > goal->latency_ms)
        fputs("; too late", f);
    if (goal->within > 0 && tune_excess(g, s) > goal->within)
        fputs("; too many errors", f);
    if (goal->cpu_ms > 0 && s->cpu_ms > goal->cpu_ms)
        fputs("; too dear", f);
    fputc('\n', f);
}

/* ---- how to ask for it ---- */

/* The session's URL with all that was asked for in it, none of it twice. */
static void say_url(FILE *f, const tune_options *o, const tune_setting *s)
{
    shoal_options over = o->session;
    shoal_buf query = { 0 };
    shoal__url u;

    over.given |= SHOAL_OPT_DEPTH | SHOAL_OPT_CHUNK_MS;
    over.depth_min = over.depth_max = s->depth;
    over.chunk_ms = s->chunk_ms;
    if (shoal__url_parse(&u, o->server.url, NULL, 0) == 0 &&
        shoal__options_merge(&u.options, &over, NULL, 0) == 0 &&
        shoal_options_encode_query(&query, &u.options) == 0) {
        int place = (int)strcspn(strstr(o->server.url, "://") + 3, "/?") + (u.tls ? 6 : 5);

        fprintf(f, "  %.*s%s?%s\n", place, o->server.url, u.path, (char *)query.data);
    }
    shoal_buf_free(&query);
}

static void say_how(FILE *f, const tune_options *o, const tune_setting *s)
{
    fprintf(f, "\n  --depth %d --chunk-ms %d", s->depth, s->chunk_ms);
    if (*o->session.model)
        fprintf(f, " --model %s", o->session.model);
    if (*o->session.program)
        fprintf(f, " --program %s", o->session.program);
    fputc('\n', f);
    say_url(f, o, s);
}

void tune_report_choice(FILE *f, const tune_options *o, const tune_grid *g, const tune_choice *c,
                        const tune_live *live)
{
    const tune_setting *s = c->best;
    int i = (int)(s - g->at), chunk = i / g->depth_count, depth = i % g->depth_count;

    fputc('\n', f);
    say_goal(f, &o->goal);
    say_values(f, g, c);
    if (live && live->phones)
        fprintf(
            f,
            "In real time, %.0f s of it: half within %.0f ms, 90 %% within %.0f ms by the clock.\n",
            live->seconds, live->settled[0], live->settled[1]);
    fputs("Beside it:\n", f);
    say_neighbour(f, &o->goal, g, at(g, chunk, depth - 1), s);
    say_neighbour(f, &o->goal, g, at(g, chunk, depth + 1), s);
    say_neighbour(f, &o->goal, g, at(g, chunk - 1, depth), s);
    say_neighbour(f, &o->goal, g, at(g, chunk + 1, depth), s);
    say_how(f, o, s);
}

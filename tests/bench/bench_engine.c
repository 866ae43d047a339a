/* bench_engine.c - what one core serves, and where its time goes
 *
 *     bench_engine [OPTION]...         its options: bench_plan.c
 *
 * Runs the built-in model on noise in one thread, with every backend and precision that this build
 * and CPU have. Streams per core is audio seconds / CPU second, log-mel included. 7+8 is there to
 * be compared with 3+12: the same mean depth, all but in step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { SHARE_STREAMS = 32 };

/* What is gathered over all configurations. */
typedef struct book {
    json_t *cases, *stages, *memory, *independence, *loading, *shapes;
    bench_peak peak[3];
    double true_peak[3]; /* operations a second (peak_now), at the beginning */
    double memory_rate;  /* bytes a second, read in order */
    double rate[3];      /* of products at SHARE_STREAMS streams or more, full depth, where their */
    double share[3];     /* share of the true peak beside them was largest */
} book;

/* ---- tables ------------------------------------------------------------------------------ */

static const char *depth_name(bench_depths d)
{
    static char text[16];
    if (d.depth[0] == d.depth[1])
        snprintf(text, sizeof text, "%d", d.depth[0]);
    else
        snprintf(text, sizeof text, "%d+%d", d.depth[0], d.depth[1]);
    return text;
}

static void table_head(const bench_plan *p, const char *title, const char *first)
{
    fprintf(p->tables, "\n  %s\n  %-30s", title, first);
    for (int c = 0; c < p->counts; c++)
        fprintf(p->tables, " %8d", p->streams[c]);
    fputs(" streams\n", p->tables);
}

/* One row of streams per core. A mix of depths needs two streams. */
static void rate_row(const bench_plan *p, book *b, shoal_model *m, int precision, bench_depths d,
                     int chunk_ms, const char *name)
{
    fprintf(p->tables, "  %-30s", name);
    for (int c = 0; c < p->counts; c++) {
        if (p->streams[c] < 2 && d.depth[0] != d.depth[1]) {
            fprintf(p->tables, " %8s", "");
            continue;
        }
        bench_case k = { { d.depth[0], d.depth[1] }, chunk_ms / 20, p->streams[c] };
        bench_outcome o = bench_case_run(m, k, p->seconds, 0);
        fprintf(p->tables, " %8.1f", o.streams_per_core);
        fflush(p->tables);
        json_array_append_new(
            b->cases, json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "backend", m->info.backend,
                                "precision", bench_precisions[precision], "depth", depth_name(d),
                                "chunk_ms", chunk_ms, "streams", p->streams[c], "streams_per_core",
                                o.streams_per_core, "cpu_per_run_s", o.cpu_per_run_s));
    }
    fputc('\n', p->tables);
}

static bench_depths deepest(const bench_plan *p)
{
    bench_depths best = p->depth[0];
    for (int i = 0; i < p->depths; i++)
        if (p->depth[i].depth[0] == p->depth[i].depth[1])
            best = p->depth[i];
    return best;
}

static void rate_tables(const bench_plan *p, book *b, shoal_model *m, int precision)
{
    char name[32];
    snprintf(name, sizeof name, "depth, %d ms chunks", p->chunk_ms[0]);
    table_head(p, "streams per core", name);
    for (int i = 0; i < p->depths; i++)
        rate_row(p, b, m, precision, p->depth[i], p->chunk_ms[0], depth_name(p->depth[i]));
    for (int i = 1; i < p->chunks; i++) {
        snprintf(name, sizeof name, "%s, %d ms chunks", depth_name(deepest(p)), p->chunk_ms[i]);
        rate_row(p, b, m, precision, deepest(p), p->chunk_ms[i], name);
    }
}

static void stage_rows(const bench_plan *p, const bench_outcome *o)
{
    for (int s = 0; s < BENCH_STAGE_COUNT; s++) {
        fprintf(p->tables, "  %-30s", bench_stage_names[s]);
        for (int c = 0; c < p->counts; c++) {
            double all = 0.0;
            for (int i = 0; i < BENCH_STAGE_COUNT; i++)
                all += o[c].profile.seconds[i];
            fprintf(p->tables, " %7.1f%%", 100.0 * o[c].profile.seconds[s] / all);
        }
        fputc('\n', p->tables);
    }
}

static double gemm_rate(const bench_outcome *o)
{
    return o->profile.gemm_flops / o->profile.gemm_seconds;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* What the level's instructions do at this moment, since neighbours take pipes and clock away: the
 * median of bursts. Where they are not known, the fastest product. */
static double peak_now(const book *b, int precision)
{
    enum { BURSTS = 41 };
    double rate[BURSTS];
    if (!bench_true_name((shoal_precision)precision))
        return b->peak[precision].flops;
    for (int i = 0; i < BURSTS; i++)
        rate[i] = bench_true_rate((shoal_precision)precision);
    qsort(rate, BURSTS, sizeof *rate, ascending);
    return rate[BURSTS / 2];
}

static void share_rows(const bench_plan *p, const bench_outcome *o, const double *peak)
{
    fprintf(p->tables, "  %-30s", "products, GFLOP/s");
    for (int c = 0; c < p->counts; c++)
        fprintf(p->tables, " %8.0f", gemm_rate(&o[c]) * 1e-9);
    fprintf(p->tables, "\n  %-30s", "  of the true peak");
    for (int c = 0; c < p->counts; c++)
        fprintf(p->tables, " %7.1f%%", 100.0 * gemm_rate(&o[c]) / peak[c]);
    fputc('\n', p->tables);
}

/* What streams remember, over the time in which it is read: attention's core and the convolution.
 */
static double cache_rate(const shoal_model *m, const bench_outcome *o, int depth, int streams,
                         int chunk_frames)
{
    const bench_profile *p = &o->profile;
    bench_bytes b = bench_case_bytes(m, depth, chunk_frames);
    double bytes = (double)(b.speaking - b.silent) * streams * o->runs;
    return bytes / (p->seconds[BENCH_ATT_CORE] + p->seconds[BENCH_CONV]);
}

static void memory_rows(const bench_plan *p, const book *b, const shoal_model *m, int depth,
                        const bench_outcome *o)
{
    double rate[BENCH_MAX_LIST];
    fprintf(p->tables, "  %-30s", "caches read, GB/s");
    for (int c = 0; c < p->counts; c++) {
        rate[c] = cache_rate(m, &o[c], depth, p->streams[c], p->chunk_ms[0] / 20);
        fprintf(p->tables, " %8.1f", rate[c] * 1e-9);
    }
    fprintf(p->tables, "\n  %-30s", "  of what memory gives");
    for (int c = 0; c < p->counts; c++)
        fprintf(p->tables, " %7.1f%%", 100.0 * rate[c] / b->memory_rate);
    fputc('\n', p->tables);
}

static json_t *stage_json(const shoal_model *m, int precision, int depth, int streams, int chunk_ms,
                          const bench_outcome *o)
{
    json_t *seconds = json_object();
    for (int s = 0; s < BENCH_STAGE_COUNT; s++)
        json_object_set_new(seconds, bench_stage_names[s], json_real(o->profile.seconds[s]));
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:o}", "backend", m->info.backend, "precision",
                     bench_precisions[precision], "depth", depth, "streams", streams, "chunk_ms",
                     chunk_ms, "gemm_gflops", gemm_rate(o) * 1e-9, "seconds", seconds);
}

static void keep_share(book *b, int precision, double rate, double peak)
{
    if (peak <= 0.0 || rate / peak <= b->share[precision])
        return;
    b->share[precision] = rate / peak;
    b->rate[precision] = rate;
}

/* At the deepest single depth. */
static void stage_table(const bench_plan *p, book *b, shoal_model *m, int precision)
{
    bench_outcome o[BENCH_MAX_LIST];
    double peak[BENCH_MAX_LIST];
    char title[80];
    int depth = deepest(p).depth[0];
    for (int c = 0; c < p->counts; c++) {
        bench_case k = { { depth, depth }, p->chunk_ms[0] / 20, p->streams[c] };
        peak[c] = peak_now(b, precision) / 2;
        o[c] = bench_case_run(m, k, p->seconds, 1);
        peak[c] += peak_now(b, precision) / 2;
        json_array_append_new(
            b->stages, stage_json(m, precision, depth, p->streams[c], p->chunk_ms[0], &o[c]));
        if (p->streams[c] >= SHARE_STREAMS)
            keep_share(b, precision, gemm_rate(&o[c]), peak[c]);
    }
    snprintf(title, sizeof title, "share of the time, depth %d, %d ms chunks", depth,
             p->chunk_ms[0]);
    table_head(p, title, "stage");
    stage_rows(p, o);
    share_rows(p, o, peak);
    memory_rows(p, b, m, depth, o);
}

static void company(const bench_plan *p, book *b, shoal_model *m, int precision)
{
    double worst = bench_case_independence(m);
    if (worst > 0.0)
        fprintf(p->tables,
                "\n  a stream alone and among 31 at all depths: log posteriors differ "
                "by at most %.1e\n",
                worst);
    else
        fputs("\n  a stream alone and among 31 at all depths: the same bytes\n", p->tables);
    json_array_append_new(b->independence,
                          json_pack("{s:s, s:s, s:f}", "backend", m->info.backend, "precision",
                                    bench_precisions[precision], "max_diff", worst));
}

/* ---- bytes per stream -------------------------------------------------------------------- */

static void memory(const bench_plan *p, book *b, const shoal_model *m, int precision)
{
    bench_bytes bytes = { 0 };
    fprintf(p->tables, "\n  KB a stream, %d ms chunks, left context %d frames:", p->chunk_ms[0],
            m->info.left_frames);
    for (int i = 0; i < p->depths; i++) {
        int depth = p->depth[i].depth[0];
        if (depth != p->depth[i].depth[1])
            continue;
        bytes = bench_case_bytes(m, depth, p->chunk_ms[0] / 20);
        fprintf(p->tables, "  depth %d: %.0f", depth, (double)bytes.speaking / 1e3);
        json_array_append_new(b->memory,
                              json_pack("{s:s, s:s, s:i, s:I, s:I}", "backend", m->info.backend,
                                        "precision", bench_precisions[precision], "depth", depth,
                                        "bytes", (json_int_t)bytes.speaking, "bytes_before_audio",
                                        (json_int_t)bytes.silent));
    }
    fprintf(p->tables, "; before any audio: %.0f\n", (double)bytes.silent / 1e3);
}

/* ---- all configurations ------------------------------------------------------------------ */

/* The built-in model, or NULL when this build or CPU lacks the configuration. An engine that
 * does not know the backend's name may take it for another one, so the answer is checked. */
static shoal_model *open_model(int backend, int precision, int cache)
{
    shoal_model_params params = shoal_model_default_params();
    const char *name = bench_backends[backend];
    shoal_model *m;
    char why[256];
    params.backend = (shoal_backend)backend;
    params.precision = (shoal_precision)precision;
    params.cache = (shoal_cache)cache;
    if (shoal_model_open_with(&m, NULL, &params, why, sizeof why) < 0)
        return NULL;
    if (backend == SHOAL_BACKEND_AUTO || !strncmp(m->info.backend, name, strlen(name)))
        return m;
    shoal_model_close(m);
    return NULL;
}

/* Median CPU milliseconds of opening the built-in model so that it could serve at once. */
static double load_ms(int backend, int precision, int cache)
{
    enum { TIMES = 9 };
    double ms[TIMES];
    for (int i = 0; i < TIMES; i++) {
        double begin = bench_cpu_seconds();
        shoal_model *m = open_model(backend, precision, cache);
        double spent = 1e3 * (bench_cpu_seconds() - begin);
        shoal_model_close(m);
        int at = i;
        for (; at > 0 && ms[at - 1] > spent; at--)
            ms[at] = ms[at - 1];
        ms[at] = spent;
    }
    return ms[TIMES / 2];
}

/* "full" becomes a number; others must exist. */
static int settle_depths(bench_plan *p, const shoal_model *m)
{
    for (int i = 0; i < p->depths; i++)
        for (int k = 0; k < 2; k++) {
            int *depth = &p->depth[i].depth[k];
            *depth = *depth == BENCH_FULL ? m->info.depth : *depth;
            if (*depth > m->info.depth) {
                fprintf(stderr, "bench_engine: the model has depths 1 to %d\n", m->info.depth);
                return -1;
            }
        }
    return 0;
}

static void measure(bench_plan *p, book *b, int backend, int precision)
{
    shoal_model *m = open_model(backend, precision, p->cache);
    if (!m) {
        fprintf(p->tables, "\n%s %s: not in this build or CPU\n", bench_backends[backend],
                bench_precisions[precision]);
        return;
    }
    if (settle_depths(p, m) < 0)
        exit(2);
    double opening = load_ms(backend, precision, p->cache);
    fprintf(p->tables,
            "\n%s; kernels %s; caches %s; model %s, %zu parameters, open in %.1f ms; one core\n",
            m->info.backend, m->info.kernels, m->info.cache, m->info.name, m->info.parameters,
            opening);
    json_array_append_new(b->loading,
                          json_pack("{s:s, s:s, s:f}", "backend", m->info.backend, "precision",
                                    bench_precisions[precision], "cpu_ms", opening));
    rate_tables(p, b, m, precision);
    if (!p->plain) {
        stage_table(p, b, m, precision);
        company(p, b, m, precision);
        memory(p, b, m, precision);
    }
    shoal_model_close(m);
}

static void measure_peaks(const bench_plan *p, book *b)
{
    b->memory_rate = bench_memory_rate();
    fprintf(p->tables, "\nmemory, read in order by one core: %.1f GB/s\n", b->memory_rate * 1e-9);
    fputs("\nfastest product of any backend:\n", p->tables);
    for (int i = 0; i < p->precisions; i++) {
        shoal_precision precision = (shoal_precision)p->precision[i];
        bench_peak *peak = &b->peak[precision];
        *peak = bench_peak_measure(precision);
        fprintf(p->tables, "  %s %8.0f GFLOP/s  %s; %.0f with fp32 in and out\n",
                bench_precisions[p->precision[i]], peak->flops * 1e-9, peak->backend,
                peak->through * 1e-9);
    }
    fputs("\ntrue peak, on registers alone (median of bursts):\n", p->tables);
    for (int i = 0; i < p->precisions; i++) {
        int k = p->precision[i];
        const char *name = bench_true_name((shoal_precision)k);
        b->true_peak[k] = peak_now(b, k);
        fprintf(p->tables, "  %s %8.0f GFLOP/s  %s\n", bench_precisions[k], b->true_peak[k] * 1e-9,
                name ? name : "not known for this level: the fastest product");
    }
}

/* Of what auto takes, and of our own where that is another. */
static void measure_shapes(const bench_plan *p, book *b)
{
    char why[256];
    for (int i = 0; i < p->precisions; i++) {
        shoal_precision precision = (shoal_precision)p->precision[i];
        const shoal__gemm *g = shoal__gemm_choose(SHOAL_BACKEND_AUTO, precision, why, sizeof why);
        const shoal__gemm *own = shoal__gemm_choose(SHOAL_BACKEND_OWN, precision, why, sizeof why);
        if (g)
            bench_shapes_show(p->tables, g, b->shapes);
        if (own && own != g)
            bench_shapes_show(p->tables, own, b->shapes);
    }
}

/* ---- JSON -------------------------------------------------------------------------------- */

static json_t *number_or_null(double value, int known)
{
    return known ? json_real(value) : json_null();
}

static void set_named(json_t *o, const char *what, int precision, json_t *value)
{
    char name[64];
    snprintf(name, sizeof name, "%s_%s", what, bench_precisions[precision]);
    json_object_set_new(o, name, value);
}

static json_t *summary(const bench_plan *p, book *b)
{
    json_t *o = json_object();
    for (int i = 0; i < p->precisions && !p->plain; i++) {
        int k = p->precision[i];
        double peak = b->peak[k].flops, top = b->true_peak[k];
        set_named(o, "peak_share", k, number_or_null(b->share[k], b->share[k] > 0));
        set_named(o, "true_peak_gflops", k, number_or_null(top * 1e-9, top > 0));
        set_named(o, "gemm_peak_gflops", k, number_or_null(peak * 1e-9, peak > 0));
        set_named(o, "gemm_peak_fp32_io_gflops", k,
                  number_or_null(b->peak[k].through * 1e-9, peak > 0));
        set_named(o, "gemm_peak_backend", k, json_string(b->peak[k].backend));
    }
    json_object_set_new(o, "memory_gbytes_s",
                        number_or_null(b->memory_rate * 1e-9, b->memory_rate > 0));
    json_object_set_new(o, "engine",
                        json_pack("{s:f, s:o, s:o, s:o, s:o, s:o, s:o}", "seconds_per_case",
                                  p->seconds, "cases", b->cases, "stages", b->stages,
                                  "stream_bytes", b->memory, "independence", b->independence,
                                  "loading", b->loading, "products", b->shapes));
    return o;
}

static void show_shares(const bench_plan *p, const book *b)
{
    fprintf(p->tables, "\nengine with %d streams or more, full depth, against the true peak:\n",
            SHARE_STREAMS);
    for (int i = 0; i < p->precisions; i++) {
        int k = p->precision[i];
        if (b->rate[k] > 0)
            fprintf(p->tables, "  peak_share_%s %.3f   (%.0f of %.0f GFLOP/s)\n",
                    bench_precisions[k], b->share[k], b->rate[k] * 1e-9,
                    b->rate[k] / b->share[k] * 1e-9);
    }
}

static int write_json(const bench_plan *p, book *b)
{
    json_t *o = summary(p, b);
    int to_stdout = !strcmp(p->json, "-");
    int rc = to_stdout ? json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9))
                       : json_dump_file(o, p->json, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(o);
    if (rc < 0)
        fprintf(stderr, "bench_engine: cannot write %s\n", p->json);
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    bench_plan p = bench_plan_read(argc, argv);
    book b = { .cases = json_array(),
               .stages = json_array(),
               .memory = json_array(),
               .independence = json_array(),
               .loading = json_array(),
               .shapes = json_array() };
    if (!p.tables)
        return 1;
    if (!p.plain) {
        measure_peaks(&p, &b);
        measure_shapes(&p, &b);
    }
    for (int i = 0; i < p.precisions; i++)
        for (int k = 0; k < p.backends; k++)
            if (p.precision[i] == SHOAL_FP32 || p.backend[k] != SHOAL_BACKEND_OPENBLAS)
                measure(&p, &b, p.backend[k], p.precision[i]);
    if (!p.plain)
        show_shares(&p, &b);
    return p.json ? write_json(&p, &b) : 0;
}

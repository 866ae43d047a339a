/* bench_peak.c - what the matrix libraries reach when nothing else is done; see bench.h
 *
 * Two ways, the better one counts: a product through each of the engine's backends, with the
 * conversions that belong to it there, and oneDNN called directly on operands that already
 * have their type. The engine's own products are held against this, so that neither a slow
 * library nor conversions make its share look good.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const bench_backends[] = { "auto", "openblas", "onednn", "amx", "own", NULL };
const char *const bench_precisions[] = { "fp32", "bf16", "int8", NULL };

static const struct shape {
    int rows, in, out;
} shapes[] = { { 1024, 1024, 1024 }, { 512, 256, 1024 }, { 512, 1024, 256 } };

enum { SHAPES = sizeof shapes / sizeof *shapes, REPEATS = 12, LARGEST = 1024 };

static double work(struct shape s)
{
    return 2.0 * s.rows * s.in * s.out;
}

static void keep_best(bench_peak *best, double flops, const char *backend)
{
    if (flops <= best->flops)
        return;
    best->flops = flops;
    snprintf(best->backend, sizeof best->backend, "%s", backend);
}

/* ---- through a backend of the engine ---- */

static void *floats(size_t n, float value)
{
    float *p = aligned_alloc(64, n * sizeof *p);
    if (!p)
        exit(1);
    for (size_t i = 0; i < n; i++)
        p[i] = value * (float)(i % 13);
    return p;
}

static double time_backend(const shoal__gemm *g, struct shape s)
{
    const size_t most = (size_t)LARGEST * LARGEST;
    float *w = floats(most, 0.01f), *a = floats(most, 0.02f), *c = floats(most, 0.0f);
    float *bias = floats(LARGEST, 0.0f);
    shoal__linear l = { .in = s.in, .out = s.out, .weight = w, .bias = bias, .scale = 1.0f };
    shoal__linear *all[] = { &l };
    void *scratch = NULL;
    double best = 0.0;
    if (shoal__gemm_pack(g, &l) == 0 && g->scratch_new(&scratch, all, 1, s.rows) == 0)
        for (int i = 0; i < REPEATS; i++) {
            double t = bench_cpu_seconds();
            g->run(&l, shoal__kern_choose(), scratch, a, s.rows, NULL, NULL, c);
            double rate = work(s) / (bench_cpu_seconds() - t);
            best = rate > best ? rate : best;
        }
    g->scratch_free(scratch);
    g->unpack(&l);
    free(bias);
    free(c);
    free(a);
    free(w);
    return best;
}

static void try_backends(bench_peak *best, shoal_precision precision)
{
    char why[256];
    for (int b = SHOAL_BACKEND_OPENBLAS; bench_backends[b]; b++) {
        const shoal__gemm *g = shoal__gemm_choose((shoal_backend)b, precision, why, sizeof why);
        if (!g || strncmp(g->name, bench_backends[b], strlen(bench_backends[b])))
            continue;
        for (int i = 0; i < SHAPES; i++)
            keep_best(best, time_backend(g, shapes[i]), g->name);
    }
}

/* ---- oneDNN, bare ---- */

#ifdef HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#include <omp.h>

static const dnnl_data_type_t types[] = { dnnl_f32, dnnl_bf16, dnnl_s8 };

static dnnl_memory_t operand(const dnnl_memory_desc_t *d, dnnl_engine_t engine)
{
    dnnl_memory_t m;
    void *data;
    if (dnnl_memory_create(&m, d, engine, DNNL_MEMORY_ALLOCATE) != dnnl_success)
        exit(1);
    dnnl_memory_get_data_handle(m, &data);
    memset(data, 0x3c, dnnl_memory_desc_get_size(d)); /* 0.01 in f32 and bf16, 60 in s8 */
    return m;
}

static double time_primitive(dnnl_primitive_desc_t pd, dnnl_engine_t engine, struct shape s)
{
    dnnl_primitive_t p;
    dnnl_stream_t stream;
    dnnl_memory_t a = operand(dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0), engine);
    dnnl_memory_t w = operand(dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), engine);
    dnnl_memory_t c = operand(dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0), engine);
    dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, a }, { DNNL_ARG_WEIGHTS, w }, { DNNL_ARG_DST, c } };
    double best = 0.0;
    if (dnnl_primitive_create(&p, pd) != dnnl_success ||
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
        exit(1);
    for (int i = 0; i < REPEATS; i++) {
        double t = bench_cpu_seconds();
        dnnl_primitive_execute(p, stream, 3, args);
        dnnl_stream_wait(stream);
        double rate = work(s) / (bench_cpu_seconds() - t);
        best = rate > best ? rate : best;
    }
    dnnl_stream_destroy(stream);
    dnnl_primitive_destroy(p);
    dnnl_memory_destroy(a);
    dnnl_memory_destroy(w);
    dnnl_memory_destroy(c);
    return best;
}

static double time_onednn(dnnl_engine_t engine, shoal_precision precision, struct shape s)
{
    dnnl_memory_desc_t a, w, c;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_data_type_t type = types[precision], sum = precision == SHOAL_INT8 ? dnnl_s32 : dnnl_f32;
    dnnl_memory_desc_init_by_tag(&a, 2, (dnnl_dims_t){ s.rows, s.in }, type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&w, 2, (dnnl_dims_t){ s.in, s.out }, type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&c, 2, (dnnl_dims_t){ s.rows, s.out }, sum, dnnl_ab);
    if (dnnl_matmul_desc_init(&desc, &a, &w, NULL, &c) != dnnl_success ||
        dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL) != dnnl_success)
        return 0.0;
    double rate = time_primitive(pd, engine, s);
    dnnl_primitive_desc_destroy(pd);
    return rate;
}

static void try_onednn(bench_peak *best, shoal_precision precision)
{
    char why[256], name[80];
    dnnl_engine_t engine;
    const shoal__gemm *g = shoal__gemm_onednn(precision, why, sizeof why);
    if (!g || dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success)
        return;
    omp_set_num_threads(1);
    snprintf(name, sizeof name, "%s, bare", g->name);
    for (int i = 0; i < SHAPES; i++)
        keep_best(best, time_onednn(engine, precision, shapes[i]), name);
    dnnl_engine_destroy(engine);
}
#else
static void try_onednn(bench_peak *best, shoal_precision precision)
{
    (void)best, (void)precision;
}
#endif

double bench_memory_rate(void)
{
    enum { WORDS = 8 << 20, TIMES = 8 }; /* 64 MiB: more than caches hold */
    volatile uint64_t sum = 0;
    uint64_t *words = malloc(WORDS * sizeof *words);
    double best = 0.0;
    if (!words)
        return 0.0;
    memset(words, 1, WORDS * sizeof *words);
    for (int t = 0; t < TIMES; t++) {
        double begin = bench_cpu_seconds();
        uint64_t four[4] = { 0 };
        for (size_t i = 0; i < WORDS; i += 4)
            for (size_t k = 0; k < 4; k++)
                four[k] += words[i + k];
        sum = four[0] + four[1] + four[2] + four[3];
        double rate = WORDS * sizeof *words / (bench_cpu_seconds() - begin);
        best = rate > best ? rate : best;
    }
    (void)sum;
    free(words);
    return best;
}

bench_peak bench_peak_measure(shoal_precision precision)
{
    bench_peak best = { 0 };
    try_backends(&best, precision);
    best.through = best.flops;
    try_onednn(&best, precision);
    return best;
}

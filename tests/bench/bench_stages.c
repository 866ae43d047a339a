/* bench_stages.c - where a run's time goes, seen from outside; see bench.h
 *
 * Each product has a stage, and so has the gap after it: what the engine does until the next
 * product. Reading the clock costs as much as a small kernel, so its price is measured
 * and taken off each interval.
 */
#include "bench.h"

#include "ops/conformer.h"

#include <err.h>
#include <stdlib.h>
#include <time.h>

#define BENCH_X(id, name) name,
const char *const bench_stage_names[BENCH_STAGE_COUNT] = { BENCH_STAGES(BENCH_X) };
#undef BENCH_X

static struct {
    const shoal__gemm *real;
    shoal__gemm metered;
    bench_stage *product, *gap; /* [linear_count], owned */
    bench_profile profile;
    long intervals[BENCH_STAGE_COUNT], products;
    bench_stage stage; /* of the interval that runs */
    double since;
} meter;

double bench_cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void close_interval(double now, bench_stage next)
{
    meter.profile.seconds[meter.stage] += now - meter.since;
    meter.intervals[meter.stage]++;
    meter.stage = next;
    meter.since = now;
}

static double begin_product(const shoal__linear *l)
{
    double now = bench_cpu_seconds();
    close_interval(now, meter.product[l->id]);
    return now;
}

static void end_product(const shoal__linear *l, double begin, double flops)
{
    double now = bench_cpu_seconds();
    close_interval(now, meter.gap[l->id]);
    meter.profile.gemm_seconds += now - begin;
    meter.profile.gemm_flops += flops;
    meter.products++;
}

static double flops_of(const shoal__linear *l, int rows)
{
    return 2.0 * rows * l->in * l->out;
}

static void metered_run(const shoal__linear *l, const shoal__kern *kern, void *scratch,
                        const float *a, int rows, const int *index, const float *row_scale,
                        float *c)
{
    double begin = begin_product(l);
    meter.real->run(l, kern, scratch, a, rows, index, row_scale, c);
    end_product(l, begin, flops_of(l, rows));
}

/* The two products of an FFN in one call. */
static void metered_run_pair(const shoal__linear *up, const shoal__linear *down,
                             const shoal__kern *kern, void *scratch, const float *a, int rows,
                             const int *index, const float *row_scale, float *c)
{
    double begin = begin_product(up);
    meter.real->run_pair(up, down, kern, scratch, a, rows, index, row_scale, c);
    end_product(down, begin, flops_of(up, rows) + flops_of(down, rows));
}

static void place(const shoal__linear *l, bench_stage product, bench_stage gap)
{
    meter.product[l->id] = product;
    meter.gap[l->id] = gap;
}

static void place_block(const shoal__block *b)
{
    place(&b->ffn1_up, BENCH_FFN, BENCH_FFN);
    place(&b->ffn1_down, BENCH_FFN, BENCH_NORMS);
    place(&b->qkv, BENCH_ATT_PRODUCTS, BENCH_ATT_CORE);
    place(&b->att_out, BENCH_ATT_PRODUCTS, BENCH_NORMS);
    place(&b->pw1, BENCH_CONV_PRODUCTS, BENCH_CONV);
    place(&b->pw2, BENCH_CONV_PRODUCTS, BENCH_NORMS);
    place(&b->ffn2_up, BENCH_FFN, BENCH_FFN);
    place(&b->ffn2_down, BENCH_FFN, BENCH_NORMS);
}

void bench_stages_attach(shoal_model *m)
{
    meter.product = calloc((size_t)m->linear_count, sizeof *meter.product);
    meter.gap = calloc((size_t)m->linear_count, sizeof *meter.gap);
    if (!meter.product || !meter.gap)
        err(1, "out of memory");
    place(&m->conv1, BENCH_SUBSAMPLE, BENCH_SUBSAMPLE);
    place(&m->conv2, BENCH_SUBSAMPLE, BENCH_NORMS);
    const shoal__conformer_pools *pools = m->pools[SHOAL__CONFORMER];
    for (int i = 0; i < m->config.blocks; i++)
        place_block(&pools->blocks[i]);
    place(&m->head, BENCH_HEAD, BENCH_HEAD);
    meter.real = m->gemm;
    meter.metered = *m->gemm;
    meter.metered.run = metered_run;
    meter.metered.run_pair = m->gemm->run_pair ? metered_run_pair : NULL;
    m->gemm = &meter.metered;
}

void bench_stages_detach(shoal_model *m)
{
    m->gemm = meter.real;
    free(meter.product);
    free(meter.gap);
}

void bench_stages_begin(void)
{
    meter.profile = (bench_profile){ 0 };
    for (int i = 0; i < BENCH_STAGE_COUNT; i++)
        meter.intervals[i] = 0;
    meter.products = 0;
    meter.stage = BENCH_OTHER;
    meter.since = bench_cpu_seconds();
}

void bench_stages_enter(bench_stage stage)
{
    close_interval(bench_cpu_seconds(), stage);
}

static double clock_price(void)
{
    enum { READS = 2000 };
    double begin = bench_cpu_seconds(), end = begin;
    for (int i = 0; i < READS; i++)
        end = bench_cpu_seconds();
    return (end - begin) / READS;
}

static double less(double seconds, double price)
{
    return seconds > price ? seconds - price : 0.0;
}

bench_profile bench_stages_end(void)
{
    bench_profile p;
    double price = clock_price();
    close_interval(bench_cpu_seconds(), BENCH_OTHER);
    p = meter.profile;
    for (int i = 0; i < BENCH_STAGE_COUNT; i++)
        p.seconds[i] = less(p.seconds[i], price * (double)meter.intervals[i]);
    p.gemm_seconds = less(p.gemm_seconds, price * (double)meter.products);
    return p;
}

/* bench_shapes.c - the model's own products against the true peak, by rows; see bench.h
 *
 * Neighbours on a shared machine take caches, pipes and clock away for moments. So products are
 * timed by turns with bursts of the true peak, and the best of many is held against the best of
 * those.
 */
#include "bench.h"

#include <stdlib.h>

enum { TIMES = 25, MOST_ROWS = 512, WIDEST = 1024 };

static const int row_counts[] = { 1, 4, 8, 16, 32, 64, 256, 512 };
enum { COUNTS = sizeof row_counts / sizeof *row_counts };

static const struct shape {
    const char *name;
    int in, out, pair; /* pair: and back */
    shoal__epilogue end;
} shapes[] = {
    { "FFN, up and down", 256, 1024, 1, SHOAL__SILU },
    { "FFN up, SiLU", 256, 1024, 0, SHOAL__SILU },
    { "FFN down, added", 1024, 256, 0, SHOAL__ADD },
    { "queries, keys, values", 256, 768, 0, SHOAL__STORE },
    { "pointwise, GLU", 256, 512, 0, SHOAL__STORE },
    { "square, added", 256, 256, 0, SHOAL__ADD },
};

/* A product with all that it needs. */
typedef struct rig {
    const shoal__gemm *gemm;
    shoal__linear first, then, *all[2];
    void *scratch;
    float *a, *c, *weight, *bias;
    int pair;
} rig;

static float *noise(size_t n)
{
    float *p = aligned_alloc(64, n * sizeof *p);
    if (!p)
        exit(1);
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        p[i] = (float)(int32_t)seed * 0x1p-33f;
    }
    return p;
}

static void rig_open(rig *r, const shoal__gemm *g, const struct shape *s)
{
    *r = (rig){ .gemm = g, .pair = s->pair };
    r->weight = noise((size_t)WIDEST * 256);
    r->bias = noise(WIDEST);
    r->a = noise((size_t)MOST_ROWS * WIDEST);
    r->c = noise((size_t)MOST_ROWS * WIDEST);
    r->first = (shoal__linear){ .in = s->in,
                                .out = s->out,
                                .epilogue = s->end,
                                .scale = 1.0f,
                                .weight = r->weight,
                                .bias = r->bias };
    r->then = r->first;
    r->then.in = s->out, r->then.out = s->in, r->then.epilogue = SHOAL__ADD, r->then.id = 1;
    r->all[0] = &r->first, r->all[1] = &r->then;
    if (shoal__gemm_pack(g, &r->first) < 0 || shoal__gemm_pack(g, &r->then) < 0 ||
        g->scratch_new(&r->scratch, r->all, 2, MOST_ROWS) < 0)
        exit(1);
}

static void rig_close(rig *r)
{
    r->gemm->scratch_free(r->scratch);
    r->gemm->unpack(&r->first);
    r->gemm->unpack(&r->then);
    free(r->weight), free(r->bias), free(r->a), free(r->c);
}

static void multiply(const rig *r, int rows)
{
    const shoal__kern *kern = shoal__kern_choose();
    if (r->pair && r->gemm->run_pair)
        r->gemm->run_pair(&r->first, &r->then, kern, r->scratch, r->a, rows, NULL, NULL, r->c);
    else
        r->gemm->run(&r->first, kern, r->scratch, r->a, rows, NULL, NULL, r->c);
}

static double rate_once(const rig *r, int rows)
{
    double flops = 2.0 * rows * r->first.in * r->first.out;
    if (r->pair && r->gemm->run_pair)
        flops *= 2.0;
    int times = (int)(1e8 / flops) + 1;
    double begin = bench_cpu_seconds();
    for (int i = 0; i < times; i++)
        multiply(r, rows);
    return times * flops / (bench_cpu_seconds() - begin);
}

/* The best rate, as % of the best of the true peak; without one, in GFLOP/s. */
static double share(const rig *r, int rows)
{
    double best = 0.0, peak = 0.0;
    for (int i = 0; i < TIMES; i++) {
        double burst = bench_true_rate(r->gemm->precision), rate = rate_once(r, rows);
        best = rate > best ? rate : best;
        peak = burst > peak ? burst : peak;
    }
    return peak > 0.0 ? 100.0 * best / peak : best * 1e-9;
}

void bench_shapes_show(FILE *to, const shoal__gemm *g, json_t *list)
{
    const char *peak = bench_true_name(g->precision);
    fprintf(to, "\n%s: products, %s%s, by rows\n  %-24s", g->name,
            peak ? "% of the true peak of " : "GFLOP/s", peak ? peak : "", "");
    for (int i = 0; i < COUNTS; i++)
        fprintf(to, "%7d", row_counts[i]);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        rig r;
        rig_open(&r, g, &shapes[s]);
        fprintf(to, "\n  %-24s", shapes[s].name);
        for (int i = 0; i < COUNTS; i++) {
            double x = share(&r, row_counts[i]);
            fprintf(to, "%7.1f", x);
            fflush(to);
            json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:f}", "backend", g->name,
                                                  "product", shapes[s].name, "rows", row_counts[i],
                                                  peak ? "percent_of_true_peak" : "gflops", x));
        }
        rig_close(&r);
    }
    fputc('\n', to);
}

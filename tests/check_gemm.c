/* check_gemm.c - every matrix backend against the definition, in double precision
 *
 * y = scale * (x W^T + b), then stored, through SiLU, or added to what was there; at sizes that
 * are no multiple of any vector and at the engine's own. Allowed error in fp32: 4 roundings of
 * the sum of |x w|; in bf16 and int8: what rounding both factors to 8 bits costs.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "gemm/gemm.h"

static const int shapes[][3] = {
    /* rows, in, out */
    { 1, 1, 1 },      { 1, 7, 3 },      { 2, 33, 17 },    { 3, 80, 31 },
    { 5, 240, 32 },   { 8, 64, 40 },    { 13, 255, 129 }, { 16, 256, 40 },
    { 1, 256, 1024 }, { 100, 96, 257 }, { 1, 1024, 256 }, { 71, 512, 256 },
    { 33, 65, 33 },   { 48, 1024, 64 }, { 7, 300, 131 },  { 8, 600, 256 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const struct {
    const char *name;
    shoal_backend backend;
    shoal_precision precision;
    double tolerance; /* of the sum of |x w| */
} backends[] = {
    { "own", SHOAL_BACKEND_OWN, SHOAL_FP32, 4 * 1.2e-7 },
    { "own int8", SHOAL_BACKEND_OWN, SHOAL_INT8, 6.0 / 127 },
    { "own bf16", SHOAL_BACKEND_OWN, SHOAL_BF16, 2.0 / 256 },
    { "openblas", SHOAL_BACKEND_OPENBLAS, SHOAL_FP32, 4 * 1.2e-7 },
    { "onednn fp32", SHOAL_BACKEND_ONEDNN, SHOAL_FP32, 4 * 1.2e-7 },
    { "onednn bf16", SHOAL_BACKEND_ONEDNN, SHOAL_BF16, 2.0 / 256 },
    { "onednn int8", SHOAL_BACKEND_ONEDNN, SHOAL_INT8, 6.0 / 127 },
    { "amx fp32", SHOAL_BACKEND_AMX, SHOAL_FP32, 4 * 1.2e-7 },
    { "amx bf16", SHOAL_BACKEND_AMX, SHOAL_BF16, 2.0 / 256 },
    { "amx int8", SHOAL_BACKEND_AMX, SHOAL_INT8, 6.0 / 127 },
};
#ifdef EMULATED_CPU_H /* tests/emulated/: that CPU has ours alone, which come first */
enum { BACKENDS = 3 };
#else
enum { BACKENDS = sizeof backends / sizeof *backends };
#endif

static int is_amx(int i)
{
    return backends[i].backend == SHOAL_BACKEND_AMX;
}

static const shoal__gemm *choose(int i)
{
    char why[200] = "";
    const shoal__gemm *g =
        shoal__gemm_choose(backends[i].backend, backends[i].precision, why, sizeof why);
    if (g)
        ck_assert_msg(!strncmp(g->name, backends[i].name, strcspn(backends[i].name, " ")), "%s",
                      g->name);
    else
        ck_assert_msg(i > 0 && *why, "%s: '%s'", backends[i].name, why);
    return g;
}

static float *noise(int n, uint32_t *seed)
{
    float *x = malloc((size_t)n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (int i = 0; i < n; i++)
        x[i] = util_randf(seed);
    return x;
}

/* A packed linear with random weights, and its scratch for `rows`. */
typedef struct rig {
    const shoal__gemm *gemm;
    shoal__linear l, *all[1];
    float *weight, *plain_bias, *a;
    void *scratch;
} rig;

static void rig_open(rig *r, const shoal__gemm *g, const int *shape, shoal__epilogue e, float scale)
{
    uint32_t seed = (uint32_t)(shape[0] + shape[1] + shape[2]);
    int in = shape[1], out = shape[2];
    *r = (rig){ .gemm = g, .weight = noise(in * out, &seed), .plain_bias = noise(out, &seed) };
    r->a = noise(shape[0] * in, &seed);
    r->l =
        (shoal__linear){ .in = in, .out = out, .epilogue = e, .scale = scale, .weight = r->weight };
    r->l.bias = noise(out, &seed);
    for (int i = 0; i < out; i++)
        r->l.bias[i] = scale * r->plain_bias[i];
    r->all[0] = &r->l;
    ck_assert_int_eq(shoal__gemm_pack(g, &r->l), 0);
    ck_assert_int_eq(g->scratch_new(&r->scratch, r->all, 1, shape[0]), 0);
}

static void rig_close(rig *r)
{
    r->gemm->scratch_free(r->scratch);
    r->gemm->unpack(&r->l);
    r->gemm->unpack(&r->l); /* the second time there is nothing */
    free(r->l.bias), free(r->weight), free(r->plain_bias), free(r->a);
}

/* One output by the definition; *size: the sum of what was added up, without signs. */
static double definition(const rig *r, int row, int n, double before, double *size)
{
    double y = (double)r->plain_bias[n];
    *size = fabs(y);
    for (int k = 0; k < r->l.in; k++) {
        double t = (double)r->a[row * r->l.in + k] * (double)r->weight[n * r->l.in + k];
        y += t;
        *size += fabs(t);
    }
    y *= (double)r->l.scale;
    *size = *size * (double)r->l.scale + fabs(before);
    if (r->l.epilogue == SHOAL__SILU)
        return y / (1.0 + exp(-y));
    return r->l.epilogue == SHOAL__ADD ? before + y : y;
}

static void check_product(int backend, const int *shape, shoal__epilogue e)
{
    rig r;
    uint32_t seed = 7;
    int rows = shape[0], out = shape[2];
    rig_open(&r, choose(backend), shape, e, e == SHOAL__ADD ? 0.5f : 1.0f);
    float *before = noise(rows * out, &seed), *c = malloc(sizeof(float) * (size_t)(rows * out));
    for (int i = 0; i < rows * out; i++) /* what is not added to must not be read */
        c[i] = e == SHOAL__ADD ? before[i] : NAN;
    r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a, rows, NULL, NULL, c);
    for (int i = 0; i < rows * out; i++) {
        double size, got = (double)c[i];
        double want =
            definition(&r, i / out, i % out, e == SHOAL__ADD ? (double)before[i] : 0.0, &size);
        ck_assert_msg(fabs(got - want) <= backends[backend].tolerance * (size + 1e-3),
                      "%s [%d, %d] of %dx%dx%d: %.8g, not %.8g", backends[backend].name, i / out,
                      i % out, rows, shape[1], out, got, want);
    }
    free(before), free(c);
    rig_close(&r);
}

/* ---- lists of rows ----------------------------------------------------------------------- */

enum { LIST_ROWS = 170, LIST_OUT = 75 };

typedef struct list {
    int index[LIST_ROWS], count;
    float scale[LIST_ROWS];
} list;

/* Ascending: pieces of 1 to 9 rows with gaps of 1 to 3, or all rows in one piece from `from` on. */
static list list_of(int from, int gaps)
{
    list t = { .count = 0 };
    uint32_t seed = 5;
    for (int row = from, piece = 1; row < LIST_ROWS; row++, piece++) {
        t.scale[t.count] = util_randf(&seed);
        t.index[t.count++] = row;
        if (gaps && piece % 9 >= row % 7)
            row += 1 + piece % 3;
    }
    return t;
}

/* What the rows of c ought to be: those not in the list as they were before, to the bit. */
static void check_list(const rig *r, int backend, const list *t, const float *scale,
                       const float *before, const float *c)
{
    for (int row = 0, i = 0; row < LIST_ROWS; row++) {
        size_t at = (size_t)row * LIST_OUT;
        if (i == t->count || t->index[i] != row) {
            ck_assert_mem_eq(c + at, before + at, LIST_OUT * sizeof *c);
            continue;
        }
        double share = scale ? (double)scale[i] : 1.0;
        for (int n = 0; n < LIST_OUT; n++) {
            int add = r->l.epilogue == SHOAL__ADD;
            double old = add ? (double)before[at + (size_t)n] : 0.0, size;
            double want = share * definition(r, row, n, 0.0, &size) + old;
            double got = (double)c[at + (size_t)n];
            size = fabs(share) * size + fabs(old);
            ck_assert_msg(fabs(got - want) <= backends[backend].tolerance * (size + 1e-3),
                          "%s row %d (%d in the list), output %d: %.8g, not %.8g",
                          backends[backend].name, row, i, n, got, want);
        }
        i++;
    }
}

static void run_list(int backend, shoal__epilogue e, const list *t, int scaled)
{
    static const int shape[3] = { LIST_ROWS, 300, LIST_OUT };
    rig r;
    uint32_t seed = 11;
    rig_open(&r, choose(backend), shape, e, e == SHOAL__ADD ? 0.5f : 1.0f);
    float *before = noise(LIST_ROWS * LIST_OUT, &seed), c[LIST_ROWS * LIST_OUT];
    memcpy(c, before, sizeof c);
    const float *scale = scaled ? t->scale : NULL;
    r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a, t->count, t->index, scale, c);
    check_list(&r, backend, t, scale, before, c);
    if (r.gemm->row_invariant && !scaled) { /* and in this company too */
        float all[LIST_ROWS * LIST_OUT];
        memcpy(all, before, sizeof all);
        r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a, LIST_ROWS, NULL, NULL, all);
        for (int i = 0; i < t->count; i++)
            ck_assert_mem_eq(c + t->index[i] * LIST_OUT, all + t->index[i] * LIST_OUT,
                             LIST_OUT * sizeof *c);
    }
    free(before);
    rig_close(&r);
}

/* Gaps, one piece in the middle, three rows: stored, through SiLU, added; with and without scales.
 */
START_TEST(lists_of_rows)
{
    list gaps = list_of(2, 1), piece = list_of(40, 0), three = { .index = { 3, 5, 160 } };
    three.count = 3;
    three.scale[0] = 0.25f, three.scale[1] = -2.0f; /* and 0: the residual alone */
    if (!choose(_i / 3))
        return;
    for (int scaled = 0; scaled < 2; scaled++) {
        run_list(_i / 3, (shoal__epilogue)(_i % 3), &gaps, scaled);
        run_list(_i / 3, (shoal__epilogue)(_i % 3), &piece, scaled);
        run_list(_i / 3, (shoal__epilogue)(_i % 3), &three, scaled);
    }
}
END_TEST

START_TEST(product_equals_definition)
{
    int backend = _i / SHAPES;
    if (!choose(backend)) {
        printf("%s: not in this build or CPU\n", backends[backend].name);
        return;
    }
    for (int e = SHOAL__STORE; e <= SHOAL__ADD; e++)
        check_product(backend, shapes[_i % SHAPES], (shoal__epilogue)e);
}
END_TEST

/* A row gives the same bytes whatever rows lie around it where the backend promises that
 * (row_invariant); AMX always does, and what sums integers. Elsewhere the count is only told. */
START_TEST(rows_do_not_influence_each_other)
{
    static const int shape[3] = { 127, 96, 72 };
    rig r;
    float all[127 * 72], one[127 * 72];
    int equal = 0;
    if (!choose(_i))
        return;
    rig_open(&r, choose(_i), shape, SHOAL__SILU, 1.0f);
    r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a, 127, NULL, NULL, all);
    for (int i = 0, n = 1; i < 127; i += n, n = n % 9 + 1) {
        n = n < 127 - i ? n : 127 - i;
        r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a + i * 96, n, NULL, NULL,
                    one + i * 72);
    }
    util_close("cut into pieces", one, all, 127 * 72, 72, 1e-5);
    for (int i = 0; i < 127; i++)
        equal += !memcmp(one + i * 72, all + i * 72, 72 * sizeof(float));
    printf("%s: %d of 127 rows byte-identical in any company\n", backends[_i].name, equal);
    if (is_amx(_i) || backends[_i].precision == SHOAL_INT8)
        ck_assert(r.gemm->row_invariant);
    if (r.gemm->row_invariant)
        ck_assert_int_eq(equal, 127);
    rig_close(&r);
}
END_TEST

/* Any shape: 24 at random, up to where k, rows and outputs take several tiles and chunks. */
START_TEST(random_shapes)
{
    uint32_t seed = 4711;
    if (!choose(_i))
        return;
    for (int i = 0; i < 24; i++) {
        int shape[3];
        static const int most[3] = { 70, 600, 100 };
        for (int d = 0; d < 3; d++) {
            seed = seed * 1664525 + 1013904223;
            shape[d] = 1 + (int)(seed >> 8) % most[d];
        }
        check_product(_i, shape, (shoal__epilogue)(i % 3));
    }
}
END_TEST

static void to_bf16(float *x, int n)
{
    uint16_t half;
    for (int i = 0; i < n; i++) {
        shoal__kern_scalar.to_bf16(&half, x + i, 1);
        shoal__kern_scalar.from_bf16(x + i, &half, 1);
    }
}

/* Factors that are bf16 already lose nothing: products and sums are fp32. */
START_TEST(bf16_sums_in_fp32)
{
    static const int shape[3] = { 29, 301, 75 };
    rig r;
    float c[29 * 75];
    if (!choose(_i) || backends[_i].precision != SHOAL_BF16)
        return;
    rig_open(&r, choose(_i), shape, SHOAL__STORE, 1.0f);
    r.gemm->unpack(&r.l);
    to_bf16(r.weight, 301 * 75);
    to_bf16(r.a, 29 * 301);
    ck_assert_int_eq(shoal__gemm_pack(r.gemm, &r.l), 0);
    r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a, 29, NULL, NULL, c);
    for (int i = 0; i < 29 * 75; i++) {
        double size, want = definition(&r, i / 75, i % 75, 0.0, &size);
        ck_assert_msg(fabs((double)c[i] - want) <= 4 * 1.2e-7 * size, "%s [%d, %d]: %.8g, not %.8g",
                      backends[_i].name, i / 75, i % 75, (double)c[i], want);
    }
    rig_close(&r);
}
END_TEST

/* Rows whose numbers span five decades: the bound is of what the row's largest number weighs,
 * since 24-bit integers have one scale a row. */
START_TEST(fp32_with_outliers)
{
    static const int shape[3] = { 40, 256, 48 };
    rig r;
    uint32_t seed = 99;
    float c[40 * 48];
    if (!choose(_i) || backends[_i].precision != SHOAL_FP32)
        return;
    rig_open(&r, choose(_i), shape, SHOAL__STORE, 1.0f);
    for (int i = 0; i < 40 * 256; i++)
        r.a[i] *= powf(10.0f, 5.0f * fabsf(util_randf(&seed)) - 3.0f);
    r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a, 40, NULL, NULL, c);
    double worst = 0.0;
    for (int i = 0; i < 40 * 48; i++) {
        double size, want = definition(&r, i / 48, i % 48, 0.0, &size);
        worst = fmax(worst, fabs((double)c[i] - want) / size);
    }
    printf("%s: numbers over five decades, error %.2g of the sum of |x w|\n", backends[_i].name,
           worst);
    ck_assert_msg(worst <= backends[_i].tolerance, "%s: %g", backends[_i].name, worst);
    rig_close(&r);
}
END_TEST

/* A pair of products in one call is two calls, bit for bit. */
START_TEST(pair_equals_two_runs)
{
    enum { ROWS = 150, IN = 40, INNER = 300, OUT = 24 };
    static const int first[3] = { ROWS, IN, INNER }, second[3] = { ROWS, INNER, OUT };
    rig up, down;
    float inner[ROWS * INNER], two[ROWS * OUT] = { 0 }, one[ROWS * OUT] = { 0 };
    const shoal__kern *kern = shoal__kern_choose();
    if (!choose(_i) || !choose(_i)->run_pair)
        return;
    rig_open(&up, choose(_i), first, SHOAL__SILU, 1.0f);
    rig_open(&down, choose(_i), second, SHOAL__ADD, 0.5f);
    shoal__linear *both[] = { &up.l, &down.l };
    void *scratch;
    ck_assert_int_eq(up.gemm->scratch_new(&scratch, both, 2, ROWS), 0);
    up.gemm->run(&up.l, kern, scratch, up.a, ROWS, NULL, NULL, inner);
    up.gemm->run(&down.l, kern, scratch, inner, ROWS, NULL, NULL, two);
    up.gemm->run_pair(&up.l, &down.l, kern, scratch, up.a, ROWS, NULL, NULL, one);
    ck_assert_mem_eq(one, two, sizeof one);
    up.gemm->scratch_free(scratch);
    rig_close(&up);
    rig_close(&down);
}
END_TEST

/* So it is with a list and scales. */
START_TEST(pair_of_a_list)
{
    enum { IN = 40, INNER = 300 };
    static const int first[3] = { LIST_ROWS, IN, INNER },
                     second[3] = { LIST_ROWS, INNER, LIST_OUT };
    static float inner[LIST_ROWS * INNER], two[LIST_ROWS * LIST_OUT], one[LIST_ROWS * LIST_OUT];
    const shoal__kern *kern = shoal__kern_choose();
    list t = list_of(1, 1);
    rig up, down;
    if (!choose(_i) || !choose(_i)->run_pair)
        return;
    rig_open(&up, choose(_i), first, SHOAL__SILU, 1.0f);
    rig_open(&down, choose(_i), second, SHOAL__ADD, 0.5f);
    shoal__linear *both[] = { &up.l, &down.l };
    void *scratch;
    ck_assert_int_eq(up.gemm->scratch_new(&scratch, both, 2, LIST_ROWS), 0);
    for (int scaled = 0; scaled < 2; scaled++) {
        const float *scale = scaled ? t.scale : NULL;
        memset(one, 0, sizeof one), memset(two, 0, sizeof two);
        up.gemm->run(&up.l, kern, scratch, up.a, t.count, t.index, NULL, inner);
        up.gemm->run(&down.l, kern, scratch, inner, t.count, t.index, scale, two);
        up.gemm->run_pair(&up.l, &down.l, kern, scratch, up.a, t.count, t.index, scale, one);
        ck_assert_mem_eq(one, two, sizeof one);
    }
    up.gemm->scratch_free(scratch);
    rig_close(&up);
    rig_close(&down);
}
END_TEST

typedef struct worker {
    const rig *r;
    float *c;
    int rows;
} worker;

static void *work(void *opaque)
{
    worker *w = opaque;
    shoal__linear *all[1] = { (shoal__linear *)&w->r->l };
    void *scratch;
    if (w->r->gemm->scratch_new(&scratch, all, 1, w->rows) < 0)
        return NULL;
    for (int i = 0; i < 20; i++)
        w->r->gemm->run(&w->r->l, shoal__kern_choose(), scratch, w->r->a, w->rows, NULL, NULL,
                        w->c);
    w->r->gemm->scratch_free(scratch);
    return w;
}

/* Two threads multiply by one weight at once, each with its own scratch. */
START_TEST(threads_share_a_weight)
{
    enum { ROWS = 37, OUT = 96 };
    static const int shape[3] = { ROWS, 256, OUT };
    static float c[3][ROWS * OUT];
    rig r;
    pthread_t threads[2];
    worker workers[2];
    if (!choose(_i))
        return;
    rig_open(&r, choose(_i), shape, SHOAL__SILU, 1.0f);
    r.gemm->run(&r.l, shoal__kern_choose(), r.scratch, r.a, ROWS, NULL, NULL, c[2]);
    for (int t = 0; t < 2; t++) {
        workers[t] = (worker){ &r, c[t], ROWS };
        ck_assert_int_eq(pthread_create(&threads[t], NULL, work, &workers[t]), 0);
    }
    for (int t = 0; t < 2; t++) {
        void *done;
        ck_assert_int_eq(pthread_join(threads[t], &done), 0);
        ck_assert_ptr_nonnull(done);
        util_close("beside another thread", c[t], c[2], ROWS * OUT, OUT, 1e-6);
        if (is_amx(_i))
            ck_assert_mem_eq(c[t], c[2], sizeof c[2]);
    }
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemm");
    TCase *c = tcase_create("backends");
    tcase_add_loop_test(c, product_equals_definition, 0, BACKENDS * SHAPES);
    tcase_add_loop_test(c, rows_do_not_influence_each_other, 0, BACKENDS);
    tcase_add_loop_test(c, lists_of_rows, 0, BACKENDS * 3);
    tcase_add_loop_test(c, pair_of_a_list, 0, BACKENDS);
    tcase_add_loop_test(c, random_shapes, 0, BACKENDS);
    tcase_add_loop_test(c, bf16_sums_in_fp32, 0, BACKENDS);
    tcase_add_loop_test(c, fp32_with_outliers, 0, BACKENDS);
    tcase_add_loop_test(c, pair_equals_two_runs, 0, BACKENDS);
    tcase_add_loop_test(c, threads_share_a_weight, 0, BACKENDS);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

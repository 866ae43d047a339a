/* check_gemm_int8.c - our own int8 products: integers that are the same at every level
 *
 * What a product must give is said here once more in plain integers, from the weights as they are
 * packed (which have a test of their own) and from activations rounded to [-127, 127].
 * Without bias a result is one integer times one float, so every level must give the same bytes.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "gemm/gemm.h"
#include "gemm/gemm_int8_pack.h"

enum { MOST_ROWS = 40, MOST_IN = 1024, MOST_OUT = 200 };

static const char *const levels[] = { "scalar", "avx2", "avx512" };

typedef struct problem {
    int rows, in, out;
    float a[MOST_ROWS * MOST_IN], weight[MOST_OUT * MOST_IN], bias[MOST_OUT];
} problem;

static problem p;

static void fill_noise(int rows, int in, int out)
{
    uint32_t seed = (uint32_t)(rows + in + out);
    p.rows = rows, p.in = in, p.out = out;
    for (int i = 0; i < rows * in; i++)
        p.a[i] = util_randf(&seed) * (float)(1 << i % 5);
    for (int i = 0; i < out * in; i++)
        p.weight[i] = util_randf(&seed);
    memset(p.bias, 0, sizeof p.bias);
}

/* At the level of the kernels that the environment asks for. */
static void multiply(const char *level, float *c)
{
    char why[200];
    void *scratch;
    setenv("SHOAL_KERNELS", level, 1);
    const shoal__gemm *g = shoal__gemm_choose(SHOAL_BACKEND_OWN, SHOAL_INT8, why, sizeof why);
    ck_assert_ptr_nonnull(g);
    shoal__linear l = {
        .in = p.in, .out = p.out, .scale = 1.0f, .weight = p.weight, .bias = p.bias
    };
    shoal__linear *all[] = { &l };
    ck_assert_int_eq(shoal__gemm_pack(g, &l), 0);
    ck_assert_int_eq(g->scratch_new(&scratch, all, 1, p.rows), 0);
    g->run(&l, shoal__kern_choose(), scratch, p.a, p.rows, NULL, NULL, c);
    g->scratch_free(scratch);
    g->unpack(&l);
}

/* A row to integers; the return is what 1 is worth. */
static float round_row(int *q, const float *x)
{
    float top = 0.0f;
    for (int k = 0; k < p.in; k++)
        top = fmaxf(top, fabsf(x[k]));
    float inverse = top > 1e-30f ? 127.0f / top : 0.0f;
    for (int k = 0; k < p.in; k++)
        q[k] = (int)lrintf(x[k] * inverse);
    return top / 127.0f;
}

/* The definition. */
static void integers(float *c)
{
    static int8_t weights[MOST_OUT][MOST_IN + 4];
    static float unit[MOST_OUT];
    int row[MOST_IN];
    for (int n = 0; n < p.out; n++)
        unit[n] = shoal__int8_channel(weights[n], p.weight + n * p.in, p.in);
    for (int r = 0; r < p.rows; r++) {
        float row_unit = round_row(row, p.a + r * p.in);
        for (int n = 0; n < p.out; n++) {
            int32_t sum = 0;
            for (int k = 0; k < p.in; k++)
                sum += row[k] * weights[n][k];
            c[r * p.out + n] = (float)sum * (unit[n] * row_unit);
        }
    }
}

static void check_all_levels(const char *what)
{
    static float want[MOST_ROWS * MOST_OUT], got[MOST_ROWS * MOST_OUT];
    size_t n = (size_t)(p.rows * p.out);
    integers(want);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        multiply(levels[i], got);
        for (size_t k = 0; k < n; k++)
            ck_assert_msg(got[k] == want[k], "%s, %s, %zu of %zu: %.9g, not %.9g", what, levels[i],
                          k, n, (double)got[k], (double)want[k]);
    }
}

START_TEST(levels_give_the_definition)
{
    static const int shapes[][3] = { { 1, 1, 1 },     { 1, 3, 200 },    { 2, 5, 17 },
                                     { 3, 33, 40 },   { 4, 64, 64 },    { 7, 130, 31 },
                                     { 12, 256, 80 }, { 1, 1024, 129 }, { 13, 255, 96 },
                                     { 40, 97, 33 },  { 40, 1024, 64 } };
    fill_noise(shapes[_i][0], shapes[_i][1], shapes[_i][2]);
    check_all_levels("noise");
}
END_TEST

/* Every weight and every activation as large as they get, with all signs: what would overflow 16
 * bits if packing did not see to it. */
START_TEST(extremes_do_not_saturate)
{
    static const int weight_signs[] = { 0, 0xffff, 0xaaaa, 0x5a3c },
                     row_signs[] = { 0, 0xffff, 0x3333 };
    fill_noise(6, 256, 70);
    for (int i = 0; i < p.out * p.in; i++)
        p.weight[i] = weight_signs[_i] >> i % 16 & 1 ? -1.0f : 1.0f;
    for (int i = 0; i < p.rows * p.in; i++)
        p.a[i] = row_signs[i / p.in % 3] >> i % 16 & 1 ? -3.0f : 3.0f;
    check_all_levels("extremes");
}
END_TEST

/* Zeros, numbers near the smallest, and what only a broken model makes: nothing is undefined. */
START_TEST(odd_numbers)
{
    fill_noise(5, 100, 40);
    for (int k = 0; k < p.in; k++) {
        p.weight[3 * p.in + k] = 0.0f;
        p.weight[4 * p.in + k] *= 1e-38f;
        p.a[0 * p.in + k] = 0.0f;
    }
    check_all_levels("zeros");
    static float c[MOST_ROWS * MOST_OUT];
    p.a[1 * p.in + 7] = NAN;
    p.a[2 * p.in + 7] = INFINITY;
    for (int k = 0; k < p.in; k++)
        p.a[3 * p.in + k] *= 1e-39f;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        multiply(levels[i], c);
        util_all_finite("the row without", c + 4 * p.out, (size_t)p.out);
        for (int n = 0; n < p.out; n++)
            ck_assert(fabsf(c[n]) == 0.0f && fabsf(c[3 * p.out + n]) <= 1e-37f);
    }
}
END_TEST

/* ---- packing ----------------------------------------------------------------------------- */

/* Neighbours of one sign sum to 128 at most; the error is near that of rounding to `bits`. */
static void check_channel(const float *w, int n, double worst)
{
    int8_t q[MOST_IN + 4];
    float unit = shoal__int8_channel(q, w, n);
    double error = 0.0, size = 0.0;
    for (int i = 0; i < ((n + 3) & ~3); i += 2) {
        int plus = (q[i] > 0 ? q[i] : 0) + (q[i + 1] > 0 ? q[i + 1] : 0);
        int minus = (q[i] < 0 ? q[i] : 0) + (q[i + 1] < 0 ? q[i + 1] : 0);
        ck_assert_msg(plus <= 128 && minus >= -128, "%d and %d at %d", q[i], q[i + 1], i);
    }
    for (int i = 0; i < n; i++) {
        double d = (double)w[i] - (double)q[i] * (double)unit;
        error += d * d;
        size += (double)w[i] * (double)w[i];
    }
    ck_assert_msg(error <= worst * worst * size, "error %g of the size", sqrt(error / size));
}

/* Twelve uniform numbers added up: like a trained weight, few are large. */
START_TEST(weights_keep_eight_bits)
{
    float w[MOST_IN];
    uint32_t seed = 3;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < MOST_IN; i++) {
            w[i] = 0.0f;
            for (int k = 0; k < 12; k++)
                w[i] += util_randf(&seed);
        }
        check_channel(w, MOST_IN - round, 0.014); /* 7 bits: 0.015 to 0.019; 8 unbound: 0.009 */
    }
    for (int i = 0; i < MOST_IN; i++)
        w[i] = i % 3 == 1 ? -0.7f : 0.7f;
    check_channel(w, MOST_IN, 1e-6);
    memset(w, 0, sizeof w);
    check_channel(w, 9, 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemm_int8");
    TCase *c = tcase_create("products");
    tcase_add_loop_test(c, levels_give_the_definition, 0, 11);
    tcase_add_loop_test(c, extremes_do_not_saturate, 0, 4);
    tcase_add_test(c, odd_numbers);
    tcase_add_test(c, weights_keep_eight_bits);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

/* check_kern.c - elementwise kernels: every instruction set against the scalar build, and all
 * of them against the formula in double precision
 *
 * Shapes are random and odd sizes are the rule. Each case computes with the table under test
 * and with the formula; the scalar table goes through the same cases. Errors are counted
 * against the size of what is summed, so cancellation is no excuse and no false alarm.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm.h"
#include "kern_util.h"
#include "model/model.h"

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void case_norm(const shoal__kern *k)
{
    int rows = pick(1, 5), n = pick(1, 600);
    prepare(3.0f);
    for (int r = 0; r < rows; r++) {
        double sum = 0.0, sq = 0.0;
        for (int i = 0; i < n; i++)
            sum += (double)a[r * n + i];
        for (int i = 0; i < n; i++)
            sq += pow((double)a[r * n + i] - sum / n, 2);
        for (int i = 0; i < n; i++)
            want[r * n + i] =
                ((double)a[r * n + i] - sum / n) / sqrt(sq / n + 1e-5) * (double)b[i] +
                (double)c[i];
    }
    k->layer_norm(out, a, b, c, rows, n);
    shoal__kern_scalar.layer_norm(scalar, a, b, c, rows, n);
    verify(k, "layer_norm", rows * n, 1e-5);
    memcpy(d, a, sizeof d);
    k->layer_norm(d, d, b, c, rows, n);
    ck_assert_msg(!memcmp(d, out, sizeof(float) * (size_t)(rows * n)),
                  "layer_norm in place differs");
    for (int i = 0; i < rows * n; i++)
        want[i] *= sigmoid(want[i]);
    k->layer_norm_silu(out, a, b, c, rows, n);
    shoal__kern_scalar.layer_norm_silu(scalar, a, b, c, rows, n);
    verify(k, "layer_norm_silu", rows * n, 1e-5);
}

/* Small residuals on a large mean: what a one-pass variance would lose. */
static void case_norm_large_mean(const shoal__kern *k)
{
    int n = pick(2, 600);
    prepare(1.0f);
    for (int i = 0; i < n; i++) {
        a[i] = 1000.0f + (i % 2 ? 0.5f : -0.5f);
        b[i] = 1.0f, c[i] = 0.0f;
    }
    k->layer_norm(out, a, b, c, 1, n & ~1);
    for (int i = 0; i < (n & ~1); i++)
        ck_assert_float_eq_tol(out[i], (i % 2 ? 0.5f : -0.5f) / sqrtf(0.25f + 1e-5f), 1e-3f);
}

static void case_bias(const shoal__kern *k)
{
    int rows = pick(1, 6), n = pick(1, 600);
    for (int add = 0; add < 2; add++) {
        prepare(2.0f);
        memcpy(out, a, sizeof a);
        memcpy(scalar, a, sizeof a);
        for (int i = 0; i < rows * n; i++)
            want[i] = (add ? (double)a[i] : 0.0) + (double)b[i % n];
        k->bias_rows(out, b, rows, n, add);
        shoal__kern_scalar.bias_rows(scalar, b, rows, n, add);
        for (int i = rows * n; i < rows * n + GUARD && i < MOST; i++)
            ck_assert(out[i] == a[i]);
        for (int i = rows * n; i < rows * n + GUARD; i++)
            out[i] = 12345.0f;
        verify(k, "bias_rows", rows * n, 1e-6);
    }
}

static void case_blend(const shoal__kern *k)
{
    int n = pick(1, 700);
    float share = 0.3f;
    prepare(2.0f);
    memcpy(out, b, sizeof(float) * (size_t)n);
    memcpy(scalar, b, sizeof(float) * (size_t)n);
    for (int i = 0; i < n; i++)
        want[i] = (double)b[i] + (double)share * ((double)a[i] - (double)b[i]);
    k->blend(out, a, share, n);
    shoal__kern_scalar.blend(scalar, a, share, n);
    verify(k, "blend", n, 1e-6);
}

static void case_silu_glu(const shoal__kern *k)
{
    int rows = pick(1, 4), n = pick(1, 500);
    prepare(20.0f);
    memcpy(out, a, sizeof(float) * (size_t)n);
    memcpy(scalar, a, sizeof(float) * (size_t)n);
    for (int i = 0; i < n; i++)
        want[i] = (double)a[i] * sigmoid((double)a[i]);
    k->silu(out, n);
    shoal__kern_scalar.silu(scalar, n);
    verify(k, "silu", n, 1e-6);
    prepare(20.0f);
    for (int i = 0; i < rows * n; i++) {
        int at = i / n * 2 * n + i % n;
        want[i] = (double)a[at] * sigmoid((double)a[at + n]);
    }
    k->glu(out, a, rows, n);
    shoal__kern_scalar.glu(scalar, a, rows, n);
    verify(k, "glu", rows * n, 1e-6);
}

static void case_depthwise(const shoal__kern *k)
{
    int n = pick(1, 130), taps = pick(1, 20), rows = pick(1, 10);
    prepare(1.0f);
    for (int t = 0; t < rows; t++)
        for (int i = 0; i < n; i++) {
            double s = (double)c[i];
            for (int j = 0; j < taps; j++)
                s += (double)b[j * n + i] * (double)a[(t + j) * n + i];
            want[t * n + i] = s;
        }
    k->depthwise(out, a, b, c, rows, n, taps);
    shoal__kern_scalar.depthwise(scalar, a, b, c, rows, n, taps);
    verify(k, "depthwise", rows * n, 5e-6);
}

static void case_rope(const shoal__kern *k)
{
    int heads = pick(1, 8), half = pick(1, 40), dim = 2 * half, n = heads * dim;
    prepare(2.0f);
    for (int i = 0; i < half; i++) {
        double angle = 100.0 * (double)util_randf(&seed);
        b[i] = (float)cos(angle), c[i] = (float)sin(angle);
    }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < half; i++) {
            double u = (double)a[h * dim + i], v = (double)a[h * dim + half + i];
            want[h * dim + i] = 0.5 * (u * (double)b[i] - v * (double)c[i]);
            want[h * dim + half + i] = 0.5 * (u * (double)c[i] + v * (double)b[i]);
        }
    memcpy(out, a, sizeof(float) * (size_t)n);
    memcpy(scalar, a, sizeof(float) * (size_t)n);
    k->rope(out, b, c, heads, dim, 0.5f);
    shoal__kern_scalar.rope(scalar, b, c, heads, dim, 0.5f);
    verify(k, "rope", n, 1e-6);
}

static void case_columns(const shoal__kern *k)
{
    int rows = pick(1, 40), words = pick(1, 40), stride = words + pick(0, 9);
    uint32_t from[40 * 49], to[48 * 40 + GUARD];
    for (int i = 0; i < 40 * 49; i++)
        from[i] = util_rand(&seed);
    memset(to, 0x5a, sizeof to);
    k->columns(to, from, stride, rows, words);
    for (int r = 0; r < (rows + 15) / 16 * 16; r++)
        for (int w = 0; w < words; w++)
            ck_assert_uint_eq(to[(r / 16 * words + w) * 16 + r % 16],
                              r < rows ? from[r * stride + w] : 0);
    ck_assert_uint_eq(to[(rows + 15) / 16 * 16 * words], 0x5a5a5a5a);
}

static void case_log_softmax(const shoal__kern *k)
{
    int n = pick(1, 400), rows = pick(1, 6);
    prepare(30.0f);
    for (int r = 0; r < rows; r++) {
        double top = -1e30, sum = 0.0;
        for (int i = 0; i < n; i++)
            top = fmax(top, (double)b[r * n + i]);
        for (int i = 0; i < n; i++)
            sum += exp((double)b[r * n + i] - top);
        for (int i = 0; i < n; i++)
            want[r * n + i] = (double)b[r * n + i] - top - log(sum);
    }
    for (int i = 0; i < MOST + GUARD; i++)
        out[i] = i < rows * n ? b[i] : 12345.0f;
    memcpy(scalar, out, sizeof scalar);
    k->log_softmax(out, rows, n);
    shoal__kern_scalar.log_softmax(scalar, rows, n);
    verify(k, "log_softmax", rows * n, 4e-6); /* two roundings of values up to 60 */
}

/* Filters of any width anywhere; the spectrum by its definition. */
static void case_log_mel(const shoal__kern *k)
{
    static shoal_model m;
    static float filters[SHOAL__MAX_MELS * SHOAL__BINS];
    double power[SHOAL__BINS], wave[SHOAL__FFT];
    int mels = pick(1, SHOAL__MAX_MELS);
    prepare(1.0f);
    memset(filters, 0, sizeof filters);
    m = (shoal_model){ .config = { .mels = mels, .mel_floor = 1e-6f },
                       .mel_filters = filters,
                       .mel = { .window = b, .mean = c, .istd = d } };
    for (int i = 0; i < mels; i++) {
        m.mel_count[i] = pick(0, 40);
        m.mel_first[i] = pick(0, SHOAL__BINS - m.mel_count[i]);
        for (int j = 0; j < m.mel_count[i]; j++)
            filters[i * SHOAL__BINS + m.mel_first[i] + j] = fabsf(util_randf(&seed));
    }
    for (int i = 0; i < SHOAL__FFT; i++)
        wave[i] = cos(2.0 * M_PI * i / SHOAL__FFT);
    for (int f = 0; f < SHOAL__BINS; f++) {
        double re = 0.0, im = 0.0;
        for (int i = 0; i < SHOAL__WINDOW; i++) {
            re += (double)a[i] * (double)b[i] * wave[f * i % SHOAL__FFT];
            im += (double)a[i] * (double)b[i] * wave[(f * i + SHOAL__FFT / 4) % SHOAL__FFT];
        }
        power[f] = re * re + im * im;
    }
    for (int i = 0; i < mels; i++) {
        double e = 1e-6;
        for (int f = 0; f < SHOAL__BINS; f++)
            e += power[f] * (double)filters[i * SHOAL__BINS + f];
        want[i] = (log(e) - (double)c[i]) * (double)d[i];
    }
    ck_assert_int_eq(shoal__mel_make(&m), 0);
    k->log_mel(out, a, &m.mel);
    shoal__kern_scalar.log_mel(scalar, a, &m.mel);
    free(m.mel.weights);
    verify(k, "log_mel", mels, 1e-4); /* a lone bin may be a small difference of large sums */
}

static void case_bf16(const shoal__kern *k)
{
    int n = pick(1, 700);
    uint16_t got[MOST];
    prepare(1e3f);
    k->to_bf16(got, a, n);
    for (int i = 0; i < n; i++) {
        int e;
        frexp((double)a[i], &e); /* 8 bits of mantissa: steps of 2^(e - 8), ties to even */
        double step = ldexp(1.0, e - 8), want_value = nearbyint((double)a[i] / step) * step;
        uint32_t u = (uint32_t)got[i] << 16;
        float value;
        memcpy(&value, &u, sizeof value);
        ck_assert_msg((double)value == want_value, "%s to_bf16: %.9g gave %.9g, not %.9g", k->name,
                      (double)a[i], (double)value, want_value);
        want[i] = want_value;
    }
    uint32_t pairs[MOST];
    k->pair_bf16(pairs, a, a + n, n);
    for (int i = 0; i < n; i++)
        ck_assert_uint_eq(pairs[i] & 0xffff, got[i]);
    k->to_bf16(got, a + n, n);
    for (int i = 0; i < n; i++)
        ck_assert_uint_eq(pairs[i] >> 16, got[i]);
    k->to_bf16(got, a, n);
    k->from_bf16(out, got, n);
    memcpy(scalar, out, sizeof scalar);
    verify(k, "from_bf16", n, 0.0);
}

static void case_int8(const shoal__kern *k)
{
    int rows = pick(1, 5), n = pick(1, 600), epilogue = pick(0, 2);
    int8_t q[MOST];
    int32_t sums[MOST];
    prepare(4.0f);
    memset(a, 0, sizeof(float) * (size_t)n * (rows > 2)); /* a row of zeros is allowed */
    k->quantize(q, out, a, rows, n);
    for (int r = 0; r < rows; r++) {
        float top = 0.0f;
        for (int i = 0; i < n; i++)
            top = fmaxf(top, fabsf(a[r * n + i]));
        ck_assert_float_eq_tol(out[r], top / 127.0f, 1e-7f);
        for (int i = 0; i < n; i++)
            ck_assert_double_le(fabs((double)q[r * n + i] * (double)out[r] - (double)a[r * n + i]),
                                0.501 * (double)out[r]);
    }
    prepare(1.0f);
    memcpy(out, d, sizeof(float) * (size_t)(rows * n));
    memcpy(scalar, out, sizeof(float) * (size_t)(rows * n));
    for (int i = 0; i < rows * n; i++) {
        sums[i] = pick(-100000, 100000);
        double y = (double)sums[i] * 1e-4 * (double)a[i / n] * (double)b[i % n] + (double)c[i % n];
        want[i] = epilogue == SHOAL__ADD    ? (double)d[i] + y
                  : epilogue == SHOAL__SILU ? y * sigmoid(y)
                                            : y;
    }
    for (int i = 0; i < rows; i++)
        a[i] *= 1e-4f;
    k->finish_int8(out, sums, a, b, c, rows, n, epilogue);
    shoal__kern_scalar.finish_int8(scalar, sums, a, b, c, rows, n, epilogue);
    verify(k, "finish_int8", rows * n, 2e-6);
}

static void (*const cases[])(const shoal__kern *) = {
    case_norm,    case_norm_large_mean, case_bias,    case_silu_glu, case_depthwise, case_rope,
    case_columns, case_log_softmax,     case_log_mel, case_bf16,     case_int8,      case_blend,
};

START_TEST(kernel_equals_formula)
{
    run_rounds(cases[_i], _i);
}
END_TEST

/* Far out: no NaN from overflow, exact limits. */
START_TEST(extreme_values_saturate)
{
    for (int t = 0; t < table_count; t++) {
        float x[9] = { 1e30f, -1e30f, 88.5f, -88.5f, 0.0f, 200.0f, -200.0f, 3e38f, -3e38f };
        float s[3] = { 1e30f, 0.0f, -1e30f }, one[1] = { -5.0f };
        tables[t]->silu(x, 9);
        util_all_finite("silu", x, 9);
        ck_assert(x[0] == 1e30f && x[4] == 0.0f && x[5] == 200.0f);
        ck_assert_float_eq_tol(x[6], 0.0f, 1e-30f);
        tables[t]->log_softmax(s, 1, 3);
        ck_assert(s[0] == 0.0f && s[1] == -1e30f && s[2] == -2e30f);
        tables[t]->log_softmax(one, 1, 1);
        ck_assert_float_eq_tol(one[0], 0.0f, 1e-6f);
    }
}
END_TEST

START_TEST(environment_forces_lower_levels)
{
    setenv("SHOAL_KERNELS", "scalar", 1);
    ck_assert_ptr_eq(shoal__kern_choose(), &shoal__kern_scalar);
    setenv("SHOAL_KERNELS", "avx2", 1);
    ck_assert_ptr_eq(shoal__kern_choose(), tables[table_count > 1 ? 1 : 0]);
    setenv("SHOAL_KERNELS", "avx512", 1);
    ck_assert_ptr_eq(shoal__kern_choose(), tables[table_count > 2 ? 2 : table_count - 1]);
    unsetenv("SHOAL_KERNELS");
    ck_assert_ptr_eq(shoal__kern_choose(), tables[table_count - 1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kern");
    TCase *tc = tcase_create("tables");
    find_tables();
    tcase_add_loop_test(tc, kernel_equals_formula, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tc, extreme_values_saturate);
    tcase_add_test(tc, environment_forces_lower_levels);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}

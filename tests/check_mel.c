/* check_mel.c - one log-mel row: against PyTorch's, against a slow transform, at the limits
 *
 * Golden rows are normalised, (log(power + 1e-6) + 8) / 4, so 2e-5 is a relative error of
 * 8e-5 in power. The slow transform is a double-precision DFT by its definition.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "golden_util.h"
#include "run/stream.h"

enum { SAMPLES = 10000, HOP = SHOAL__HOP, MELS = 80, ROWS = 68 };

static shoal_model *m;
static float pcm[(ROWS - 1) * HOP + SHOAL__WINDOW]; /* the signal, then silence */

static void set_up(void)
{
    m = util_tiny();
    memset(pcm, 0, sizeof pcm);
    util_signal(pcm, SAMPLES);
}

static void tear_down(void)
{
    shoal_model_close(m);
}

START_TEST(rows_equal_pytorch)
{
    golden_file golden = golden_open(SRCDIR "/tests/data/tiny_golden.safetensors");
    const float *want = golden_tensor(&golden, "mel", 20, MELS);
    float got[20 * MELS];
    for (int i = 0; i < 20; i++) /* rows 0..9 and 58..67 */
        m->kern->log_mel(got + MELS * i, pcm + HOP * (i < 10 ? i : i + 48), &m->mel);
    util_close("mel", got, want, 20 * MELS, MELS, 2e-5);
    golden_close(&golden);
}
END_TEST

/* Power of bin k of the windowed 400 samples, by the definition. */
static double slow_power(const float *x, int k)
{
    double re = 0.0, im = 0.0;
    for (int i = 0; i < SHOAL__WINDOW; i++) {
        double w = 0.5 - 0.5 * cos(2.0 * M_PI * i / SHOAL__WINDOW);
        double a = 2.0 * M_PI * k * i / SHOAL__FFT;
        re += w * (double)x[i] * cos(a);
        im -= w * (double)x[i] * sin(a);
    }
    return re * re + im * im;
}

START_TEST(row_equals_slow_transform)
{
    double power[SHOAL__BINS];
    float got[MELS], want[MELS];
    const float *x = pcm + 777 * (_i + 1);
    for (int k = 0; k < SHOAL__BINS; k++)
        power[k] = slow_power(x, k);
    for (int i = 0; i < MELS; i++) {
        double e = 0.0;
        for (int k = 0; k < SHOAL__BINS; k++)
            e += power[k] * (double)m->mel_filters[i * SHOAL__BINS + k];
        want[i] = (float)((log(e + 1e-6) + 8.0) * 0.25);
    }
    m->kern->log_mel(got, x, &m->mel);
    util_close("row", got, want, MELS, MELS, 1e-4);
}
END_TEST

START_TEST(silence_is_the_floor)
{
    float row[MELS], zero[SHOAL__WINDOW] = { 0 };
    m->kern->log_mel(row, zero, &m->mel);
    for (int i = 0; i < MELS; i++)
        ck_assert_float_eq_tol(row[i], (logf(1e-6f) + 8.0f) * 0.25f, 1e-5f);
}
END_TEST

/* Clients may send values far outside [-1, 1]; the largest of them still have finite power. */
START_TEST(loud_input_stays_finite)
{
    float row[MELS], loud[SHOAL__WINDOW];
    for (int i = 0; i < SHOAL__WINDOW; i++)
        loud[i] = i % 3 ? 1e15f : -1e15f;
    m->kern->log_mel(row, loud, &m->mel);
    util_all_finite("row", row, MELS);
}
END_TEST

/* A tone lights the filter whose centre is nearest, and no filter far from it. */
START_TEST(tone_peaks_in_its_filter)
{
    double hz = 300.0 + 700.0 * _i;
    float row[MELS], tone[SHOAL__WINDOW];
    for (int i = 0; i < SHOAL__WINDOW; i++)
        tone[i] = (float)(0.5 * sin(2.0 * M_PI * hz * i / 16000.0));
    m->kern->log_mel(row, tone, &m->mel);
    int best = 0;
    for (int i = 1; i < MELS; i++)
        best = row[i] > row[best] ? i : best;
    int bin = (int)(hz * SHOAL__FFT / 16000.0 + 0.5);
    int first = m->mel_first[best], end = first + m->mel_count[best];
    ck_assert_msg(bin + 1 >= first && bin - 1 <= end, "%g Hz is bin %d, filter %d is [%d, %d)", hz,
                  bin, best, first, end);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mel");
    TCase *c = tcase_create("row");
    tcase_add_unchecked_fixture(c, set_up, tear_down);
    tcase_add_test(c, rows_equal_pytorch);
    tcase_add_loop_test(c, row_equals_slow_transform, 0, 5);
    tcase_add_test(c, silence_is_the_floor);
    tcase_add_test(c, loud_input_stays_finite);
    tcase_add_loop_test(c, tone_peaks_in_its_filter, 0, 10);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

/* check_smooth.c - smoothed posteriors: against the sum over every path, across calls, at the edges
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model/model.h"

enum { C = 3, FRAMES = 7, WIDE = 40, LONG = 400 };

static const shoal_smooth_params usual = { .stay = 0.8f, .scale = 1.5f, .temperature = 1.0f };
static shoal_model small = { .config = { .classes = C, .smooth = { 0.8f, 1.5f, 1.0f } } };
static shoal_model wide = { .config = { .classes = WIDE } };
static uint32_t rng;

/* Rows of log posteriors. sharp: how far they are apart */
static void random_rows(float *logp, int frames, int classes, float sharp)
{
    for (int t = 0; t < frames; t++, logp += classes) {
        double sum = 0.0;
        for (int c = 0; c < classes; c++)
            sum += exp((double)(logp[c] = sharp * util_randf(&rng)));
        for (int c = 0; c < classes; c++)
            logp[c] -= (float)log(sum);
    }
}

static shoal_smoother *opened(const shoal_model *m, const shoal_smooth_params *p)
{
    shoal_smoother *s;
    ck_assert_int_eq(shoal_smoother_new(&s, m, p), 0);
    return s;
}

/* log P(phone at frame t | frames [0, heard)), by all C^heard paths. */
static void by_paths(const float *logp, int heard, int t, const shoal_smooth_params *p, double *out)
{
    double mass[C] = { 0 }, sum = 0.0;
    int paths = 1;
    for (int i = 0; i < heard; i++)
        paths *= C;
    for (int path = 0; path < paths; path++) {
        double score = 0.0;
        int at = 0, before = -1;
        for (int i = 0, rest = path; i < heard; i++, rest /= C) {
            int c = rest % C;
            score += (double)p->scale * (double)logp[i * C + c];
            if (before >= 0)
                score += log(c == before ? (double)p->stay : (1.0 - (double)p->stay) / (C - 1));
            at = i == t ? c : at;
            before = c;
        }
        mass[at] += exp(score);
    }
    for (int c = 0; c < C; c++)
        sum += pow(mass[c], 1.0 / (double)p->temperature);
    for (int c = 0; c < C; c++)
        out[c] = log(pow(mass[c], 1.0 / (double)p->temperature) / sum);
}

static void check_by_paths(const float *logp, const float *got, int from, int heard,
                           const shoal_smooth_params *p)
{
    double want[C];
    for (int t = from; t < heard; t++) {
        by_paths(logp, heard, t, p, want);
        for (int c = 0; c < C; c++)
            ck_assert_double_eq_tol((double)got[t * C + c], want[c], 2e-5);
    }
}

static const shoal_smooth_params all_kinds[] = {
    { 0.8f, 1.5f, 1.0f }, { 0.5f, 1.0f, 1.0f }, { 0.999f, 0.1f, 1.0f }, { 0.9f, 2.0f, 3.5f }
};

START_TEST(a_chunk_is_the_sum_over_all_paths)
{
    const shoal_smooth_params *p = &all_kinds[_i];
    float logp[FRAMES * C], got[FRAMES * C];
    rng = 11;
    for (int round = 0; round < 20; round++) {
        shoal_smoother *s = opened(&small, p);
        random_rows(logp, FRAMES, C, 3.0f);
        shoal_smoother_run(s, logp, FRAMES, got);
        check_by_paths(logp, got, 0, FRAMES, p);
        shoal_smoother_free(s);
    }
}
END_TEST

/* Frames of a call know all before, and nothing of the next. */
START_TEST(calls_are_chunks)
{
    float logp[FRAMES * C], got[FRAMES * C];
    rng = 12;
    random_rows(logp, FRAMES, C, 3.0f);
    for (int cut = 0; cut <= FRAMES; cut++) {
        shoal_smoother *s = opened(&small, &usual);
        shoal_smoother_run(s, logp, cut, got);
        shoal_smoother_run(s, logp + cut * C, FRAMES - cut, got + cut * C);
        check_by_paths(logp, got, 0, cut, &usual);
        check_by_paths(logp, got, cut, FRAMES, &usual);
        shoal_smoother_free(s);
    }
}
END_TEST

START_TEST(a_reset_forgets)
{
    float logp[2 * FRAMES * C], got[2 * FRAMES * C], fresh[FRAMES * C];
    rng = 13;
    random_rows(logp, 2 * FRAMES, C, 3.0f);
    shoal_smoother *s = opened(&small, &usual), *other = opened(&small, &usual);
    shoal_smoother_run(s, logp, FRAMES, got);
    shoal_smoother_reset(s);
    shoal_smoother_run(s, logp + FRAMES * C, FRAMES, got + FRAMES * C);
    shoal_smoother_run(other, logp + FRAMES * C, FRAMES, fresh);
    ck_assert_mem_eq(got + FRAMES * C, fresh, sizeof fresh);
    shoal_smoother_free(s);
    shoal_smoother_free(other);
}
END_TEST

/* Frames that say one phone throughout, but for single ones that say another: what it is for. */
START_TEST(single_frames_are_outvoted)
{
    static float logp[LONG * WIDE], got[LONG * WIDE];
    for (int t = 0; t < LONG; t++)
        for (int c = 0; c < WIDE; c++) {
            int said = t % 10 == 5 ? 7 : 3;
            logp[t * WIDE + c] = logf(c == said ? 0.5f : c == 3 ? 0.2f : 0.3f / (WIDE - 1));
        }
    shoal_smoother *s = opened(&wide, &usual);
    for (int t = 0; t < LONG; t += 16)
        shoal_smoother_run(s, logp + t * WIDE, 16, got + t * WIDE);
    shoal_smoother_free(s);
    for (int t = 0; t < LONG; t++)
        for (int c = 0; c < WIDE; c++)
            ck_assert_float_le(got[t * WIDE + c], got[t * WIDE + 3]);
}
END_TEST

/* Certainties of every frame, each another one, and the flattest rows there are, at every corner
 * of what is allowed: rows are distributions, and nothing is lost to overflow. */
START_TEST(rows_stay_distributions)
{
    static float logp[LONG * WIDE], got[LONG * WIDE];
    const float stays[] = { SHOAL_SMOOTH_MIN_STAY, SHOAL_SMOOTH_MAX_STAY };
    const float ends[] = { SHOAL_SMOOTH_MIN, SHOAL_SMOOTH_MAX };
    rng = 14;
    for (int t = 0; t < LONG; t++)
        for (int c = 0; c < WIDE; c++)
            logp[t * WIDE + c] = t > LONG / 2           ? -logf((float)WIDE)
                                 : t % WIDE == c        ? 0.0f
                                 : util_randf(&rng) < 0 ? -1e30f
                                                        : -103.0f;
    for (int corner = 0; corner < 8; corner++) {
        const shoal_smooth_params p = { stays[corner & 1], ends[corner >> 1 & 1],
                                        ends[corner >> 2] };
        shoal_smoother *s = opened(&wide, &p);
        shoal_smoother_run(s, logp, LONG, got);
        shoal_smoother_free(s);
        for (int t = 0; t < LONG; t++) {
            double sum = 0.0;
            for (int c = 0; c < WIDE; c++) {
                ck_assert(isfinite(got[t * WIDE + c]));
                sum += exp((double)got[t * WIDE + c]);
            }
            ck_assert_double_eq_tol(sum, 1.0, 1e-4);
        }
    }
}
END_TEST

static const shoal_smooth_params bad[] = {
    { 0.4f, 1.0f, 1.0f },  { 1.0f, 1.0f, 1.0f },  { NAN, 1.0f, 1.0f },      { 0.8f, 0.05f, 1.0f },
    { 0.8f, 10.1f, 1.0f }, { 0.8f, 1.0f, 0.05f }, { 0.8f, 1.0f, INFINITY }, { 0.8f, NAN, 1.0f },
};

START_TEST(bad_parameters_are_refused)
{
    shoal_smoother *s;
    ck_assert_int_eq(shoal_smoother_new(&s, &small, &bad[_i]), SHOAL_EINVAL);
    shoal_smoother_free(NULL);
}
END_TEST

START_TEST(the_model_has_its_own)
{
    shoal_smooth_params p = shoal_smoother_default_params(&small);
    ck_assert_mem_eq(&p, &usual, sizeof p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smooth");
    TCase *c = tcase_create("smooth");
    tcase_add_loop_test(c, a_chunk_is_the_sum_over_all_paths, 0, 4);
    tcase_add_test(c, calls_are_chunks);
    tcase_add_test(c, a_reset_forgets);
    tcase_add_test(c, single_frames_are_outvoted);
    tcase_add_test(c, rows_stay_distributions);
    tcase_add_loop_test(c, bad_parameters_are_refused, 0, sizeof bad / sizeof *bad);
    tcase_add_test(c, the_model_has_its_own);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

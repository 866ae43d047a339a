/* check_settle.c - when phones become final, and what is shown before (settle.c, tentative.c) */
#include "engine_util.h"
#include "phones/decoder.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <string.h>

enum { C = 5, MOST = 200 };

static shoal_model model;
static float transition[C * C], log_prior[C], logp[MOST * C];
static uint32_t rng = 5;

/* A bigram that asks `price` for each change of phone. */
static void plain_model(float price)
{
    shoal__search *search = &model.searches[SHOAL__LM];
    memset(&model, 0, sizeof model);
    model.config.classes = model.info.classes = C;
    model.config.temperature = 1.0f;
    search->histories = 1;
    search->transition = transition;
    search->log_prior = log_prior;
    for (int i = 0; i < C * C; i++)
        transition[i] = i % (C + 1) ? -price : 0.0f;
    search->exact_beam = shoal__search_beam(search, C);
}

/* Frames [begin, end): probability p to `label`, the same to `other`, or all that is left. */
static void say(int begin, int end, int label, float p, int other)
{
    for (int f = begin; f < end; f++)
        for (int c = 0; c < C; c++) {
            float rest = (1.0f - p) / (C - 1), two = (1.0f - 2.0f * p) / (C - 2);
            logp[f * C + c] = logf(c == label || c == other ? p : other < 0 ? rest : two);
        }
}

static shoal_decoder *decoder(int settle_frames, int settle_silence_frames)
{
    shoal_decoder *d;
    shoal_decoder_params p = { .lm = 1,
                               .settle_frames = settle_frames,
                               .settle_silence_frames = settle_silence_frames };
    ck_assert_int_eq(shoal_decoder_new(&d, &model, &p), 0);
    return d;
}

/* Frames heard when the first phone is given out, which is in *p; 0: it was not. */
static int told_at(shoal_decoder *d, int frames, shoal_phone *p)
{
    shoal_phone out[SHOAL_DECODER_LAG + 1];
    int at = 0;
    for (int f = 0; f < frames && !at; f++)
        if (shoal_decoder_run(d, logp + f * C, 1, out, SHOAL_DECODER_LAG + 1) > 0)
            at = f + 1;
    *p = out[0];
    shoal_decoder_free(d);
    return at;
}

/* Two phones that are equally likely for ever: nothing would agree before the lag is full. */
START_TEST(a_tie_holds_up_no_longer_than_settle_frames)
{
    static const int limits[] = { 3, 8, 20, 40 };
    shoal_phone p;
    plain_model(1.0f);
    say(0, 10, 3, 0.9f, -1);
    say(10, MOST, 1, 0.45f, 2);
    ck_assert_int_eq(told_at(decoder(0, 0), MOST, &p), 10 + SHOAL_DECODER_LAG);
    for (int i = 0; i < 4; i++) {
        int at = told_at(decoder(limits[i], 0), MOST, &p);
        ck_assert_msg(at > 10 && at <= 10 + limits[i], "told at %d, limit %d", at, limits[i]);
        ck_assert_int_eq(p.label, 3);
        ck_assert_int_eq(p.first_frame, 0);
        ck_assert_int_eq(p.end_frame, 10);
    }
}
END_TEST

/* A phone and then what is rather silence, but could be the phone still. */
START_TEST(sure_silence_settles_at_once)
{
    shoal_phone later, sooner;
    plain_model(8.0f);
    say(0, 10, 1, 0.9f, -1);
    say(10, MOST, 0, 0.6f, -1);
    for (int f = 10; f < MOST; f++)
        logp[f * C + 1] = logf(0.3f);
    int without = told_at(decoder(0, 0), MOST, &later);
    int with = told_at(decoder(0, 3), MOST, &sooner);
    ck_assert_msg(with > 10 && with < without, "%d and %d", with, without);
    ck_assert_int_eq(sooner.label, 1);
    ck_assert_int_eq(sooner.end_frame, later.end_frame);
}
END_TEST

static void random_posteriors(int frames)
{
    for (int f = 0; f < frames; f++) {
        float sum = 0.0f;
        for (int c = 0; c < C; c++)
            sum += expf(logp[f * C + c] = 4.0f * util_randf(&rng));
        for (int c = 0; c < C; c++)
            logp[f * C + c] -= logf(sum);
    }
}

static void same_phone(const shoal_phone *a, const shoal_phone *b)
{
    ck_assert_int_eq(a->label, b->label);
    ck_assert_int_eq(a->first_frame, b->first_frame);
    ck_assert_int_eq(a->end_frame, b->end_frame);
    ck_assert_float_eq_tol(a->confidence, b->confidence, 1e-6f);
}

/* What is tentative is what a flush would give now. */
START_TEST(tentative_is_the_end_of_the_best_path)
{
    shoal_tentative seen[SHOAL_DECODER_LAG + 1];
    shoal_phone out[2 * SHOAL_DECODER_LAG];
    plain_model(1.5f);
    for (int frames = 1; frames < 60; frames++) {
        shoal_decoder *d = decoder(_i ? 12 : 0, 0);
        random_posteriors(frames);
        ck_assert_int_ge(shoal_decoder_run(d, logp, frames, out, 2 * SHOAL_DECODER_LAG), 0);
        int count = shoal_decoder_tentative(d, seen);
        ck_assert_int_eq(shoal_decoder_flush(d, out, 2 * SHOAL_DECODER_LAG), count);
        for (int i = 0; i < count; i++)
            same_phone(&seen[i].phone, &out[i]);
        shoal_decoder_free(d);
    }
}
END_TEST

START_TEST(how_long_a_phone_has_stood)
{
    shoal_tentative seen[SHOAL_DECODER_LAG + 1];
    shoal_phone out[SHOAL_DECODER_LAG + 1];
    plain_model(1.0f);
    say(0, 4, 0, 0.9f, -1);
    say(4, 12, 2, 0.9f, -1);
    say(12, 20, 3, 0.9f, -1);
    shoal_decoder *d = decoder(0, 0);
    for (int f = 0; f < 20; f++) {
        ck_assert_int_ge(shoal_decoder_run(d, logp + f * C, 1, out, SHOAL_DECODER_LAG + 1), 0);
        int count = shoal_decoder_tentative(d, seen);
        if (f == 10) {
            ck_assert_int_ge(count, 1);
            ck_assert_int_eq(seen[count - 1].phone.label, 2);
            /* it wins its first frame or its second, and has stood since */
            ck_assert_int_ge(seen[count - 1].stood_frames, 5);
            ck_assert_int_le(seen[count - 1].stood_frames, 6);
        }
    }
    ck_assert_int_eq(seen[shoal_decoder_tentative(d, seen) - 1].phone.label, 3);
    shoal_decoder_free(d);
}
END_TEST

START_TEST(nothing_heard_nothing_tentative)
{
    shoal_tentative seen[SHOAL_DECODER_LAG + 1];
    plain_model(1.0f);
    shoal_decoder *d = decoder(0, 0);
    ck_assert_int_eq(shoal_decoder_tentative(d, seen), 0);
    shoal_decoder_free(d);
}
END_TEST

START_TEST(params_out_of_range)
{
    static const int wrong[][2] = { { -1, 0 }, { 65, 0 }, { 0, -1 }, { 0, 65 } };
    plain_model(1.0f);
    for (int i = 0; i < 4; i++) {
        shoal_decoder *d;
        shoal_decoder_params p = { .lm = 1,
                                   .settle_frames = wrong[i][0],
                                   .settle_silence_frames = wrong[i][1] };
        ck_assert_int_eq(shoal_decoder_new(&d, &model, &p), SHOAL_EINVAL);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("settle");
    TCase *tc = tcase_create("settle");
    tcase_add_test(tc, a_tie_holds_up_no_longer_than_settle_frames);
    tcase_add_test(tc, sure_silence_settles_at_once);
    tcase_add_loop_test(tc, tentative_is_the_end_of_the_best_path, 0, 2);
    tcase_add_test(tc, how_long_a_phone_has_stood);
    tcase_add_test(tc, nothing_heard_nothing_tentative);
    tcase_add_test(tc, params_out_of_range);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(suite());
}

/* check_decoder.c - the streaming Viterbi: against all paths, in any grouping, within its lag
 *
 * Models are made by hand and inputs compared with slow references, see decoder_reference.h.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "decoder_reference.h"

/* ---- running ----------------------------------------------------------------------------- */

/* Decode in groups of 1 + random % most frames; most 0: all at once. */
static int decode(int C, int T, uint32_t most, shoal_phone *out)
{
    shoal_decoder *d;
    int n = 0;
    ck_assert_int_eq(new_decoder(&d, &params), 0);
    for (int t = 0; t < T;) {
        int part = most ? 1 + (int)(util_rand(&rng) % most) : T;
        part = part < T - t ? part : T - t;
        int got = shoal_decoder_run(d, logp + t * C, part, out + n, part + LAG);
        ck_assert_int_ge(got, 0);
        ck_assert_int_le(got, part + LAG);
        t += part;
        for (int i = n; i < n + got; i++)
            ck_assert_int_lt(out[i].end_frame, t);
        n += got;
    }
    int rest = shoal_decoder_flush(d, out + n, LAG);
    ck_assert_int_le(rest, LAG);
    ck_assert_int_eq(shoal_decoder_flush(d, out + n + rest, LAG), 0);
    shoal_decoder_free(d);
    return n + rest;
}

static void same_phones(const shoal_phone *got, int n, const shoal_phone *want, int m)
{
    for (int i = 0; i < n && i < m; i++) {
        ck_assert_msg(got[i].label == want[i].label && got[i].first_frame == want[i].first_frame &&
                          got[i].end_frame == want[i].end_frame,
                      "phone %d: %d [%ld, %ld), not %d [%ld, %ld)", i, got[i].label,
                      (long)got[i].first_frame, (long)got[i].end_frame, want[i].label,
                      (long)want[i].first_frame, (long)want[i].end_frame);
        ck_assert_float_eq_tol(got[i].confidence, want[i].confidence, 1e-4f);
    }
    ck_assert_int_eq(n, m);
}

/* ---- tests ------------------------------------------------------------------------------- */

START_TEST(clear_posteriors_give_their_phones)
{
    shoal_phone got[80];
    plain_model(4, 2.0f);
    for (int t = 0; t < 30; t++) /* SIL 0-4, phone 1 5-11, 2 12-19, SIL 20-24, 3 25-29 */
        sure(t, 4, t < 5 ? 0 : t < 12 ? 1 : t < 20 ? 2 : t < 25 ? 0 : 3, 0.9f);
    static const shoal_phone want[] = { { 1, 5, 12, 0.9f },
                                        { 2, 12, 20, 0.9f },
                                        { 3, 25, 30, 0.9f } };
    same_phones(got, decode(4, 30, 0, got), want, 3);
}
END_TEST

/* One doubtful frame is no reason to pay twice for switching. */
START_TEST(switching_price_smooths)
{
    shoal_phone got[80];
    plain_model(3, 3.0f);
    for (int t = 0; t < 20; t++)
        sure(t, 3, t == 10 ? 2 : 1, 0.8f);
    int n = decode(3, 20, 1, got);
    float confidence = expf((19 * logf(0.8f) + logf(0.1f)) / 20);
    same_phones(got, n, &(shoal_phone){ 1, 0, 20, confidence }, 1);
    plain_model(3, 0.5f);
    ck_assert_int_eq(decode(3, 20, 1, got), 3);
}
END_TEST

START_TEST(prior_is_taken_off)
{
    shoal_phone got[80];
    plain_model(3, 5.0f);
    for (int t = 0; t < 10; t++)
        sure(t, 3, 1, 0.5f); /* 0.25 0.5 0.25 */
    log_prior[1] = 2.0f;     /* phone 1 is that common anyway */
    log_prior[0] = 1.0f;
    ck_assert_int_eq(decode(3, 10, 0, got), 1);
    ck_assert_int_eq(got[0].label, 2);
    ck_assert_float_eq_tol(got[0].confidence, 0.25f, 1e-5f);
}
END_TEST

/* The first three are exact: what a phone is left for does not depend on how long it lasted. */
static void (*const problems[])(int C, int T, float sharp) = {
    random_problem,   random_trigram,         random_geometric,
    random_durations, random_durations_alone, random_ngrams,
};

START_TEST(short_inputs_equal_trying_all_paths)
{
    int C = 2 + _i % 3, T = C == 4 ? 6 : 8, path[16];
    shoal_phone got[16 + LAG], want[16];
    rng = (uint32_t)_i;
    for (int round = 0; round < 40; round++) {
        problems[_i / 12](C, T, 2.0f);
        try_all(C, T, path);
        same_phones(got, decode(C, T, 3, got), want, to_phones(path, C, T, want));
    }
}
END_TEST

START_TEST(long_inputs_equal_the_recursion)
{
    static int path[MOST];
    static shoal_phone got[MOST + LAG], want[MOST];
    rng = (uint32_t)_i + 100;
    int C = 3 + _i % 6;
    problems[_i / 12](C, MOST, 4.0f);
    recursion(C, MOST, path);
    int n = to_phones(path, C, MOST, want);
    same_phones(got, decode(C, MOST, 20, got), want, n);
}
END_TEST

/* Phones 1 and 2 sound alike at the end: what stood before decides. */
START_TEST(the_phone_before_the_last_counts)
{
    for (int first = 1; first <= 2; first++) {
        shoal_phone got[30 + LAG];
        plain_model(5, 2.0f);
        search->histories = 5;
        for (int i = 0; i < 125; i++)
            transition[i] = i % 5 == i / 5 % 5 ? 0.0f : -2.0f;
        transition[(1 * 5 + 4) * 5 + 2] = transition[(2 * 5 + 4) * 5 + 1] = -6.0f;
        for (int t = 0; t < 30; t++)
            sure(t, 5, t < 10 ? first : 4, 0.9f);
        for (int t = 20; t < 30; t++)
            for (int c = 0; c < 5; c++)
                logp[5 * t + c] = logf(c == 1 || c == 2 ? 0.47f : 0.02f);
        ck_assert_int_eq(decode(5, 30, 4, got), 3);
        ck_assert_int_eq(got[1].label, 4);
        ck_assert_int_eq(got[2].label, first);
    }
}
END_TEST

/* `older` phones before the pair, 3 and 4 by turns but for the oldest, which is 1 or 2: then 1 or 2
 * sound alike, and a context decides. */
static void decide(int first, int older, bool as_fourgram)
{
    static const float unlikely[5] = { -6.0f, -6.0f, -6.0f, -6.0f, -6.0f };
    int phones[MAX_PHONES], n = older + 2, T = 10 * (n + 1);
    shoal_phone got[10 * (MAX_PHONES + 1) + LAG];
    plain_model(5, 2.0f);
    search->histories = 5;
    for (int i = 0; i < 125; i++)
        transition[i] = i % 5 == i / 5 % 5 ? 0.0f : -2.0f;
    give_ngrams(5);
    for (int i = 0; i < n - 1; i++)
        phones[i] = i % 2 ? 3 : 4;
    for (int k = 1; k < older; k++)
        give_context(5, phones, k, 0, unlikely, 0.0f);
    phones[n - 1] = 1;
    give_context(5, phones, older, 1 << 2, unlikely, 0.0f);
    phones[n - 1] = 2;
    give_context(5, phones, older, 1 << 2, (float[5]){ [2] = -2.0f }, -4.0f);
    as_fourgram ? make_fourgram(5) : make_ngrams(5);
    phones[n - 1] = first;
    for (int t = 0; t < T - 10; t++)
        sure(t, 5, phones[n - 1 - t / 10], 0.9f);
    for (int t = T - 10; t < T; t++)
        for (int c = 0; c < 5; c++)
            logp[5 * t + c] = logf(c == 1 || c == 2 ? 0.47f : 0.02f);
    ck_assert_int_eq(decode(5, T, 4, got), n + 1);
    ck_assert_int_eq(got[n - 1].label, 4);
    ck_assert_int_eq(got[n].label, first);
}

START_TEST(a_phone_further_back_counts_with_longer_contexts)
{
    for (int older = 1; older <= SHOAL__OLDER_MOST; older++)
        for (int first = 1; first <= 2; first++)
            decide(first, older, false);
}
END_TEST

START_TEST(fourgrams_of_older_files_say_the_same)
{
    for (int first = 1; first <= 2; first++)
        decide(first, 1, true);
}
END_TEST

/* Two frames of phone 2 amid 1, when a 2 lasts `least` frames: then it is heard for as long, or, if
 * too many frames would have to be wrong, not at all. */
START_TEST(a_phone_lasts_as_long_as_such_phones_do)
{
    for (int least = 1; least <= 4; least++) {
        shoal_phone got[30 + LAG];
        plain_model(4, 0.25f);
        give_ages(4);
        for (int k = 0; k < 4; k++)
            leave[2 * 4 + k] = k + 1 < least ? -9.0f : 0.0f;
        move_search(1, 1);
        for (int t = 0; t < 30; t++)
            sure(t, 4, t == 10 || t == 11 ? 2 : 1, 0.6f);
        int n = decode(4, 30, 4, got);
        ck_assert_int_eq(n, least <= 3 ? 3 : 1);
        ck_assert_int_eq(got[n / 2].label, least <= 3 ? 2 : 1);
        ck_assert_int_eq(got[n / 2].end_frame - got[n / 2].first_frame, least == 4   ? 30
                                                                        : least == 3 ? 3
                                                                                     : 2);
    }
}
END_TEST

/* Nothing is followed by a 1, says the language model; without it one is heard. */
START_TEST(the_language_model_may_be_left_out)
{
    shoal_phone got[30 + LAG];
    plain_model(4, 1.0f);
    for (int c = 0; c < 4; c++)
        transition[c * 4 + 1] = c == 1 ? 0.0f : -40.0f;
    give_ages(1);
    for (int c = 0; c < 4; c++)
        leave[c] = -1.0f;
    model.searches[0] = *search;
    model.searches[0].transition = NULL;
    search->ages = 0;
    for (int t = 0; t < 30; t++)
        sure(t, 4, t < 20 ? 2 : 1, 0.6f);
    int n = decode(4, 30, 4, got);
    ck_assert_int_ge(n, 1);
    for (int i = 0; i < n; i++)
        ck_assert_int_ne(got[i].label, 1);
    params.lm = 0;
    static const shoal_phone want[] = { { 2, 0, 20, 0.6f }, { 1, 20, 30, 0.6f } };
    same_phones(got, decode(4, 30, 4, got), want, 2);
}
END_TEST

START_TEST(only_searches_that_the_model_has)
{
    shoal_decoder_params usual = shoal_decoder_default_params();
    ck_assert(usual.lm == 1 && usual.durations == 0); /* what every model file has */
    static const shoal_decoder_params wrong[] = { { 2, 0 }, { -1, 0 }, { 0, 2 }, { 1, -1 } };
    for (int which = 0; which < 4; which++) {
        plain_model(3, 1.0f);
        move_search(which & 1, which >> 1);
        for (int i = 0; i < 4; i++) {
            shoal_decoder_params p = { .lm = i & 1, .durations = i >> 1 };
            shoal_decoder *d = NULL;
            ck_assert_int_eq(new_decoder(&d, &p), i == which ? 0 : SHOAL_EUNSUPPORTED);
            ck_assert_int_eq(d != NULL, i == which);
            shoal_decoder_free(d);
            ck_assert_int_eq(new_decoder(&d, &wrong[i]), SHOAL_EINVAL);
        }
    }
}
END_TEST

/* Dear switching makes paths that never merge: the lag forces, and grouping still is nothing. */
START_TEST(grouping_is_irrelevant)
{
    static shoal_phone whole[MOST + LAG], cut[MOST + LAG];
    static const uint32_t groups[] = { 1, 3, 20, 90 };
    rng = (uint32_t)_i + 1000;
    int C = 3 + _i % 6;
    problems[_i / 20](C, MOST, _i % 20 < 10 ? 3.0f : 0.3f);
    for (int i = 0; _i % 20 >= 10 && i < search->histories * C * C; i++)
        transition[i] = i % C == i / C % C ? 0.0f : -6.0f;
    int n = decode(C, MOST, 0, whole);
    for (int g = 0; g < 4; g++) {
        int m = decode(C, MOST, groups[g], cut);
        same_phones(cut, m, whole, n);
        for (int i = 0; i < n; i++) /* to the bit; memcmp would compare padding too */
            ck_assert(memcmp(&cut[i].confidence, &whole[i].confidence, sizeof(float)) == 0);
    }
}
END_TEST

/* Phones of frame after frame, and in *late the sum of the frames at which they were told. */
static int decode_by_frame(int C, shoal_phone *out, int64_t *late)
{
    shoal_decoder *d;
    int n = 0;
    *late = 0;
    ck_assert_int_eq(new_decoder(&d, &params), 0);
    for (int t = 0; t < MOST; t++) {
        int got = shoal_decoder_run(d, logp + t * C, 1, out + n, 1 + LAG);
        *late += (int64_t)got * t;
        n += got;
    }
    n += shoal_decoder_flush(d, out + n, LAG);
    shoal_decoder_free(d);
    return n;
}

/* A model of temperature 1/2 has all its scores doubled, tables too: the same paths live, and are
 * settled at the same frames. */
START_TEST(a_temperature_changes_no_path)
{
    static shoal_phone plain[MOST + LAG], sharp[MOST + LAG];
    int64_t late[2];
    rng = (uint32_t)_i + 2000;
    random_trigram(6, MOST, 1.0f);
    for (int i = 0; i < 216; i++)
        transition[i] = i % 6 == i / 6 % 6 ? 0.0f : -3.0f - 3.0f * (float)(util_rand(&rng) % 3);
    int n = decode_by_frame(6, plain, &late[0]);
    model.config.temperature = 0.5f;
    for (int i = 0; i < 6 * MOST; i++)
        logp[i] *= 2.0f;
    for (int i = 0; i < 216; i++)
        transition[i] *= 2.0f;
    for (int c = 0; c < 6; c++)
        log_prior[c] *= 2.0f;
    ck_assert_int_eq(decode_by_frame(6, sharp, &late[1]), n);
    ck_assert_int_eq(late[1], late[0]);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(sharp[i].label, plain[i].label);
        ck_assert_int_eq(sharp[i].end_frame, plain[i].end_frame);
    }
}
END_TEST

/* Two phones that nothing tells apart: frames are settled LAG frames late at the latest. */
START_TEST(ties_are_settled_within_the_lag)
{
    shoal_decoder *d;
    shoal_phone out[1 + LAG];
    int seen = 0;
    plain_model(4, 50.0f);
    ck_assert_int_eq(new_decoder(&d, &params), 0);
    for (int t = 0; t < 400; t++) {
        /* blocks of 100: 1 and 2 equally likely, then 3 and SIL equally likely, ... */
        for (int c = 0; c < 4; c++)
            logp[c] =
                (t / 100 % 2 ? c == 3 || c == 0 : c == 1 || c == 2) ? logf(0.499f) : logf(0.001f);
        int n = shoal_decoder_run(d, logp, 1, out, 1 + LAG);
        for (int i = 0; i < n; i++, seen++) {
            ck_assert_msg(t + 1 - out[i].end_frame <= LAG, "phone %d ended at %ld, told at %d",
                          out[i].label, (long)out[i].end_frame, t + 1);
            ck_assert_int_eq(out[i].end_frame - out[i].first_frame, 100);
        }
    }
    ck_assert_int_ge(seen, 1);
    shoal_decoder_free(d);
}
END_TEST

/* What was settled by force is kept: later evidence for the other phone comes too late. */
START_TEST(forced_frames_are_not_taken_back)
{
    plain_model(3, 50.0f);
    for (int t = 0; t < 200; t++)
        for (int c = 0; c < 3; c++) /* 1 and 2 tie, but for 2 being sure at the end */
            logp[3 * t + c] = logf(t < 100 ? (c ? 0.45f : 0.1f) : c == 2 ? 0.98f : 0.01f);
    shoal_phone got[200 + LAG];
    int n = decode(3, 200, 1, got);
    ck_assert_int_eq(n, 2); /* else one phone 2 from 0 to 200 would be best */
    ck_assert_int_eq(got[0].label, 1);
    ck_assert_int_eq(got[1].label, 2);
    ck_assert_int_eq(got[0].end_frame, got[1].first_frame);
    ck_assert_int_eq(got[1].end_frame, 200);
}
END_TEST

START_TEST(flush_splits_and_goes_on)
{
    shoal_decoder *d;
    shoal_phone out[100];
    plain_model(3, 2.0f);
    for (int t = 0; t < 20; t++)
        sure(t, 3, 1, 0.9f);
    ck_assert_int_eq(new_decoder(&d, &params), 0);
    ck_assert_int_eq(shoal_decoder_flush(d, out, 100), 0);
    ck_assert_int_eq(shoal_decoder_run(d, logp, 12, out, 100), 0);
    ck_assert_int_eq(shoal_decoder_flush(d, out, 100), 1);
    ck_assert_int_eq(shoal_decoder_run(d, logp, 8, out + 1, 99), 0);
    ck_assert_int_eq(shoal_decoder_flush(d, out + 1, 99), 1);
    static const shoal_phone want[] = { { 1, 0, 12, 0.9f }, { 1, 12, 20, 0.9f } };
    same_phones(out, 2, want, 2);
    shoal_decoder_free(d);
}
END_TEST

START_TEST(no_room_writes_nothing)
{
    shoal_decoder *d;
    shoal_phone out[2] = { { .label = 77 }, { .label = 77 } };
    plain_model(3, 0.5f);
    for (int t = 0; t < 60; t++)
        sure(t, 3, 1 + t / 5 % 2, 0.9f);
    ck_assert_int_eq(new_decoder(&d, &params), 0);
    ck_assert_int_eq(shoal_decoder_run(d, logp, 60, out, 1), 1);
    ck_assert_int_eq(out[0].label, 1);
    ck_assert_int_eq(out[1].label, 77);
    ck_assert_int_eq(shoal_decoder_run(d, logp, 60, NULL, 0), 0);
    ck_assert_int_eq(shoal_decoder_flush(d, NULL, 0), 0);
    shoal_decoder_free(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decoder");
    TCase *c = tcase_create("viterbi");
    tcase_add_test(c, clear_posteriors_give_their_phones);
    tcase_add_test(c, switching_price_smooths);
    tcase_add_test(c, prior_is_taken_off);
    tcase_add_loop_test(c, short_inputs_equal_trying_all_paths, 0, 36);
    tcase_add_loop_test(c, long_inputs_equal_the_recursion, 0, 72);
    tcase_add_test(c, the_phone_before_the_last_counts);
    tcase_add_test(c, a_phone_further_back_counts_with_longer_contexts);
    tcase_add_test(c, fourgrams_of_older_files_say_the_same);
    tcase_add_test(c, a_phone_lasts_as_long_as_such_phones_do);
    tcase_add_test(c, the_language_model_may_be_left_out);
    tcase_add_test(c, only_searches_that_the_model_has);
    tcase_add_loop_test(c, grouping_is_irrelevant, 0, 100);
    tcase_add_loop_test(c, a_temperature_changes_no_path, 0, 20);
    tcase_add_test(c, ties_are_settled_within_the_lag);
    tcase_add_test(c, forced_frames_are_not_taken_back);
    tcase_add_test(c, flush_splits_and_goes_on);
    tcase_add_test(c, no_room_writes_nothing);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

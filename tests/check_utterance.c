/* check_utterance.c - speech cut into utterances: by hand, and what must hold of any speech */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model/model.h"

enum { C = 3, MOST = 3000 };

static shoal_model model = { .config.classes = C, .info.classes = C };
static float logp[MOST * C];

/* A letter a frame: S sure speech (0.95), 5..9 that much in tenths, anything else silence (0.1). */
static int hear(const char *frames)
{
    int n = (int)strlen(frames);
    for (int t = 0; t < n; t++) {
        float speech = frames[t] == 'S' ? 0.95f : 0.1f;
        if (frames[t] >= '5' && frames[t] <= '9')
            speech = (float)(frames[t] - '0') / 10.0f;
        logp[t * C] = logf(1.0f - speech);
    }
    return n;
}

/* All events, given in groups of 1..most (0: at once). */
static int detect(const shoal_activity_params *p, int n, int most, shoal_activity_event *events)
{
    shoal_activity *a;
    int count = 0;
    uint32_t state = 5;
    ck_assert_int_eq(shoal_activity_new(&a, &model, p, 0), 0);
    for (int t = 0, some; t < n; t += some) {
        some = most ? 1 + (int)(util_rand(&state) % (uint32_t)most) : n;
        some = some < n - t ? some : n - t;
        count += shoal_activity_run(a, logp + t * C, some, events + count, MOST - count);
    }
    count += shoal_activity_finish(a, events + count);
    shoal_activity_free(a);
    return count;
}

/* frames; hangover, min, max, pad; events: +begin, -end, 1000 is frame 0 */
static const struct {
    const char *frames;
    int hangover, min, max, pad, events[9];
} by_hand[] = {
    { "..SSS.....", 3, 4, 0, 0, { 0 } }, /* too short */
    { "..SSSS....", 3, 4, 0, 0, { 2, -6 } },
    { "..SS.SS....", 3, 5, 0, 0, { 2, -7 } },             /* the pause is part of it */
    { "..SSS..S", 3, 9, 0, 0, { 0 } },                    /* and it never gets long enough */
    { ".....SS......", 3, 0, 0, 2, { 3, -9 } },           /* margins */
    { ".SS......", 3, 0, 0, 3, { 1000, -6 } },            /* nothing is before the first frame */
    { "...SS...SS.....", 3, 0, 0, 2, { 1, -7, 7, -12 } }, /* nor before the last end */
    { "...SS.", 3, 0, 0, 2, { 1, -6 } },                  /* nor beyond what was heard */
    { "SSSSSSS7SSSSSSS....", 3, 0, 10, 0, { 1000, -7, 7, -15 } },  /* cut where it is weakest */
    { "SSS7SSSSSSSSSSSS....", 3, 0, 10, 0, { 1000, -9, 9, -16 } }, /* of the last half; the last one
                                                                    */
    { "SSSSSSSSSS....", 3, 0, 10, 0, { 1000, -10 } },              /* that is just long enough */
    { "SSSSSS8SSSSSSSS7SSSSSSSS....", 3, 0, 10, 0, { 1000, -6, 6, -15, 15, -24 } },
};

START_TEST(utterances_by_hand)
{
    shoal_activity_event e[MOST];
    shoal_activity_params p = shoal_activity_default_params();
    p.min_speech_frames = 1;
    p.hangover_frames = by_hand[_i].hangover;
    p.min_frames = by_hand[_i].min;
    p.max_frames = by_hand[_i].max;
    p.pad_frames = by_hand[_i].pad;
    int n = detect(&p, hear(by_hand[_i].frames), 0, e);
    for (int i = 0; i < n; i++) {
        int want = by_hand[_i].events[i], frame = want == 1000 ? 0 : abs(want);
        ck_assert_msg(want && e[i].frame == frame && e[i].speech == (want > 0),
                      "%s: event %d is %s at %d, not %d", by_hand[_i].frames, i,
                      e[i].speech ? "begin" : "end", (int)e[i].frame, want);
    }
    ck_assert_int_eq(by_hand[_i].events[n], 0);
}
END_TEST

/* Whatever is heard: events alternate and never go back, utterances are not too short (but what a
 * cut has left) and never too long, and how frames were grouped makes no difference. */
START_TEST(utterances_are_as_asked_for)
{
    shoal_activity_event e[MOST], again[MOST];
    shoal_activity_params p = shoal_activity_default_params();
    uint32_t state = (uint32_t)_i + 1;
    float level = 0.5f;
    p.hangover_frames = 3 + _i % 12;
    p.pad_frames = _i % 3;
    p.min_frames = _i % 2 ? 12 : 0;
    p.max_frames = 2 * p.hangover_frames + p.pad_frames + 1 + 7 * (_i % 8);
    for (int t = 0; t < MOST; t++) {
        level = util_rand(&state) % 9 == 0 ? 0.7f + 0.3f * util_randf(&state) : level;
        logp[t * C] = logf(1.0f - fminf(0.99f, fmaxf(0.01f, level)));
    }
    int n = detect(&p, MOST, 0, e), cut = 0, cuts = 0;
    ck_assert_int_gt(n, 8);
    ck_assert_int_eq(detect(&p, MOST, 40, again), n);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(e[i].speech, i % 2 == 0);
        ck_assert(e[i].speech == again[i].speech && e[i].frame == again[i].frame);
        ck_assert_int_ge(e[i].frame, i ? e[i - 1].frame : 0);
        if (e[i].speech)
            continue;
        int64_t length = e[i].frame - e[i - 1].frame;
        bool follows = i + 1 < n && e[i + 1].frame == e[i].frame;
        ck_assert_int_le(length, p.max_frames);
        ck_assert_msg(cut || follows || length >= p.min_frames, "%d frames", (int)length);
        cut = follows;
        cuts += follows;
    }
    ck_assert_int_gt(cuts, 0);
}
END_TEST

START_TEST(utterances_that_make_no_sense)
{
    static const int bad[][4] = { { 15, -1, 0, 0 }, { 15, 101, 0, 0 }, { 15, 0, 0, -1 },
                                  { 30, 0, 0, 26 }, { 5, 0, 0, 6 },    { 15, 0, 30, 0 },
                                  { 15, 0, 32, 2 }, { 15, 0, -1, 0 } };
    shoal_activity_params p = shoal_activity_default_params();
    shoal_activity *a;
    p.hangover_frames = bad[_i][0];
    p.min_frames = bad[_i][1];
    p.max_frames = bad[_i][2];
    p.pad_frames = bad[_i][3];
    ck_assert_int_eq(shoal_activity_new(&a, &model, &p, 0), SHOAL_EINVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("utterance");
    TCase *t = tcase_create("utterance");
    tcase_add_loop_test(t, utterances_by_hand, 0, sizeof by_hand / sizeof *by_hand);
    tcase_add_loop_test(t, utterances_are_as_asked_for, 0, 24);
    tcase_add_loop_test(t, utterances_that_make_no_sense, 0, 8);
    suite_add_tcase(s, t);
    return suite_run(s);
}

/* check_activity.c - where speech begins and ends: by hand, against a slow reference that sees
 * everything at once, in any grouping
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model/model.h"

enum { C = 3, MOST = 2000 };

static shoal_model model = { .config.classes = C, .info.classes = C };
static float logp[MOST * C];
static uint32_t rng;

/* A letter a frame: S sure speech (0.95), d doubtful (0.7), anything else silence (0.1). */
static int hear(const char *frames)
{
    int n = (int)strlen(frames);
    for (int t = 0; t < n; t++) {
        float speech = frames[t] == 'S' ? 0.95f : frames[t] == 'd' ? 0.7f : 0.1f;
        logp[t * C] = logf(1.0f - speech);
        logp[t * C + 1] = logp[t * C + 2] = logf(speech / 2.0f);
    }
    return n;
}

static shoal_activity_params quick(int min_speech, int hangover)
{
    shoal_activity_params p = shoal_activity_default_params();
    p.min_speech_frames = min_speech;
    p.hangover_frames = hangover;
    return p;
}

/* All events of n frames given in groups of 1..most (0: at once), finish included. */
static int detect(const shoal_activity_params *p, int64_t first, int n, uint32_t most,
                  shoal_activity_event *events)
{
    shoal_activity *a;
    int count = 0;
    ck_assert_int_eq(shoal_activity_new(&a, &model, p, first), 0);
    for (int t = 0; t < n;) {
        int left = n - t, some = most ? 1 + (int)(util_rand(&rng) % most) : left;
        some = some < left ? some : left;
        count += shoal_activity_run(a, logp + t * C, some, events + count, MOST - count);
        t += some;
    }
    count += shoal_activity_finish(a, events + count);
    ck_assert_int_eq(shoal_activity_finish(a, events + count), 0);
    shoal_activity_free(a);
    return count;
}

/* frames, min_speech, hangover, events: +begin, -end */
static const struct {
    const char *frames;
    int min_speech, hangover, events[7];
} by_hand[] = {
    { "", 2, 3, { 0 } },
    { "....", 2, 3, { 0 } },
    { "..S....", 2, 3, { 0 } }, /* too short */
    { "..SS....", 2, 3, { 2, -4 } },
    { "..SS.", 2, 3, { 2, -4 } }, /* the end closes what is open */
    { "..SSSS", 2, 3, { 2, -6 } },
    { "..SS..SS...", 2, 3, { 2, -8 } },         /* a pause shorter than the hangover */
    { "..SS...SS...", 2, 3, { 2, -4, 7, -9 } }, /* and one as long */
    { "..S.S.S.S...", 2, 3, { 0 } },            /* never two in a run */
    { "..dSdSd....", 2, 3, { 2, -7 } },         /* doubt neither begins nor ends */
    { "..dddddd....", 2, 3, { 0 } },
    { "..SS.d.d.d...", 2, 3, { 2, -10 } },
    { "S...", 1, 1, { 1000, -1 } }, /* 1000: frame 0, which has no sign */
    { "S.S.", 1, 1, { 1000, -1, 2, -3 } },
};

START_TEST(events_by_hand)
{
    shoal_activity_event e[MOST];
    shoal_activity_params p = quick(by_hand[_i].min_speech, by_hand[_i].hangover);
    const int *want = by_hand[_i].events;
    int n = detect(&p, 0, hear(by_hand[_i].frames), 0, e);
    for (int i = 0; i < n; i++) {
        int frame = want[i] == 1000 ? 0 : abs(want[i]);
        ck_assert_msg(want[i] && e[i].frame == frame && e[i].speech == (want[i] > 0),
                      "%s: event %d is %s at %d, not %d", by_hand[_i].frames, i,
                      e[i].speech ? "begin" : "end", (int)e[i].frame, want[i]);
    }
    ck_assert_int_eq(want[n], 0);
}
END_TEST

/* ---- against a reference that sees all frames ------------------------------------------------ */

/* Evidence that lingers: speech, silence and doubt in stretches of random length. */
static void random_evidence(int n)
{
    float level = 0.5f;
    for (int t = 0; t < n; t++) {
        if (util_rand(&rng) % 12 == 0)
            level = 0.5f + 0.5f * util_randf(&rng);
        float speech = level + 0.1f * util_randf(&rng);
        speech = speech < 0.01f ? 0.01f : speech > 0.99f ? 0.99f : speech;
        logp[t * C] = logf(1.0f - speech);
    }
}

static float evidence(int t)
{
    return 1.0f - expf(logp[t * C]);
}

/* Is speech certain at t: enough sure frames in the unbroken run, no earlier than `from`? */
static int begins(const shoal_activity_params *p, int from, int t, int *start)
{
    int sure = 0;
    *start = t + 1;
    while (*start > from && evidence(*start - 1) >= p->release)
        sure += evidence(--*start) >= p->threshold;
    if (*start < t + 1 - SHOAL_ACTIVITY_LEAD)
        *start = t + 1 - SHOAL_ACTIVITY_LEAD;
    return sure >= p->min_speech_frames;
}

static int ends(const shoal_activity_params *p, int from, int t)
{
    for (int i = 0; i < p->hangover_frames; i++)
        if (t - i < from || evidence(t - i) >= p->release)
            return 0;
    return 1;
}

static int reference(const shoal_activity_params *p, int n, shoal_activity_event *out)
{
    int count = 0, from = 0, speech = 0, start;
    for (int t = 0; t < n; t++) {
        if (!speech && begins(p, from, t, &start))
            out[count++] = (shoal_activity_event){ 1, start };
        else if (speech && ends(p, from, t))
            out[count++] = (shoal_activity_event){ 0, t + 1 - p->hangover_frames };
        else
            continue;
        speech = !speech;
        from = t + 1;
    }
    if (speech) {
        int end = n;
        while (end > from && evidence(end - 1) < p->release)
            end--;
        out[count++] = (shoal_activity_event){ 0, end };
    }
    return count;
}

START_TEST(events_equal_the_reference_in_any_grouping)
{
    static shoal_activity_event want[MOST], got[MOST];
    shoal_activity_params p = quick(1 + _i % 7, 1 + _i % 11);
    int64_t first = _i % 3 ? 0 : 123456789;
    rng = 77u + (uint32_t)_i;
    random_evidence(MOST);
    int n = reference(&p, MOST, want);
    ck_assert_int_gt(n, 10);
    for (uint32_t most = 0; most < 40; most = 3 * most + 1) {
        ck_assert_int_eq(detect(&p, first, MOST, most, got), n);
        for (int i = 0; i < n; i++)
            ck_assert_msg(got[i].frame == first + want[i].frame && got[i].speech == want[i].speech,
                          "groups of %u, event %d: %lld, not %lld", most, i,
                          (long long)(got[i].frame - first), (long long)want[i].frame);
    }
}
END_TEST

/* However long it was in doubt, a begin is told at most LEAD frames after the frame it names. */
START_TEST(begin_is_never_late)
{
    char frames[201];
    shoal_activity_params p = quick(2, 3);
    shoal_activity *a;
    shoal_activity_event e;
    memset(frames, 'd', sizeof frames - 1);
    memcpy(frames + 150, "SS", 2);
    frames[200] = '\0';
    hear(frames);
    ck_assert_int_eq(shoal_activity_new(&a, &model, &p, 0), 0);
    ck_assert_int_eq(shoal_activity_run(a, logp, 151, &e, 1), 0);
    ck_assert_int_eq(shoal_activity_run(a, logp + 151 * C, 1, &e, 1), 1);
    ck_assert_int_eq(e.frame, 152 - SHOAL_ACTIVITY_LEAD);
    shoal_activity_free(a);
}
END_TEST

START_TEST(end_is_told_after_the_hangover)
{
    shoal_activity_params p = quick(1, 5);
    shoal_activity *a;
    shoal_activity_event e[2];
    hear("SSS.....");
    ck_assert_int_eq(shoal_activity_new(&a, &model, &p, 0), 0);
    ck_assert_int_eq(shoal_activity_run(a, logp, 7, e, 2), 1);
    ck_assert_int_eq(shoal_activity_run(a, logp + 7 * C, 1, e, 2), 1);
    ck_assert_int_eq(e[0].frame, 3);
    ck_assert_int_eq(e[0].speech, 0);
    shoal_activity_free(a);
}
END_TEST

START_TEST(params_are_checked)
{
    shoal_activity *a;
    shoal_activity_params good = shoal_activity_default_params(), p;
#define REFUSE(field, value)                                                                       \
    p = good;                                                                                      \
    p.field = (value);                                                                             \
    ck_assert_int_eq(shoal_activity_new(&a, &model, &p, 0), SHOAL_EINVAL)
    REFUSE(threshold, 0.0f);
    REFUSE(threshold, 1.0f);
    REFUSE(threshold, NAN);
    REFUSE(release, 0.0f);
    REFUSE(release, 0.81f);
    REFUSE(release, NAN);
    REFUSE(min_speech_frames, 0);
    REFUSE(min_speech_frames, SHOAL_ACTIVITY_LEAD + 1);
    REFUSE(hangover_frames, 0);
    REFUSE(hangover_frames, SHOAL_ACTIVITY_MAX_HANGOVER + 1);
#undef REFUSE
    ck_assert_int_eq(shoal_activity_new(&a, &model, &good, -1), SHOAL_EINVAL);
    shoal_activity_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("activity");
    TCase *t = tcase_create("activity");
    tcase_add_loop_test(t, events_by_hand, 0, (int)(sizeof by_hand / sizeof *by_hand));
    tcase_add_loop_test(t, events_equal_the_reference_in_any_grouping, 0, 12);
    tcase_add_test(t, begin_is_never_late);
    tcase_add_test(t, end_is_told_after_the_hangover);
    tcase_add_test(t, params_are_checked);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}

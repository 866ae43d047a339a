/* test_taps.c - several depths from one pass
 *
 * An output with an @ must be what a session at that depth alone is given: byte for byte where the
 * matrix backend promises that in any company, else within 1e-4.
 * Under load that is: at the depth which is left.
 */
#include "integration.h"
#include "shoal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 16000, DEPTHS = 12 /* of the test model */ };

static const size_t odd[] = { 3, 7, 639, 1, 12345, 0 };

static stream_plan plan_of(const char *query, const int16_t *audio, size_t samples)
{
    return (stream_plan){ .query = query, .audio = audio, .size = samples * 2 };
}

static void run_alone(stream_result *r, const char *options, int depth, const int16_t *audio,
                      size_t samples)
{
    char query[128];
    stream_plan p = plan_of(query, audio, samples);

    snprintf(query, sizeof query, "depth=%d&output=posteriors,embedding,phones%s", depth, options);
    stream_run(r, shared.port, &p);
    stream_check_complete(r, samples, 16000);
}

static void check_same_phones(const shoal_wire_phone *a, size_t n, const shoal_wire_phone *b,
                              size_t m)
{
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(a[i].phone, b[i].phone);
        ck_assert_double_eq(a[i].start, b[i].start);
        ck_assert_double_eq(a[i].end, b[i].end);
        if (features_are_invariant())
            ck_assert_double_eq(a[i].confidence, b[i].confidence);
        else
            ck_assert_double_eq_tol(a[i].confidence, b[i].confidence, 1e-3);
    }
}

static void check_tap_equals(const stream_tap *tap, const stream_result *alone)
{
    ck_assert_int_eq(tap->depth, alone->ready.depth);
    stream_check_company(&tap->posteriors, &alone->posteriors);
    stream_check_company(&tap->embedding, &alone->embedding);
    check_same_phones(tap->phones, tap->phone_count, alone->phones, alone->phone_count);
    ck_assert_int_eq(tap->phones_depth, tap->depth);
}

#define AT(d) "posteriors@" #d ",embedding@" #d ",phones@" #d

static const char *const shapes[] = { "", "&chunk_ms=20", "&chunk_ms=1280&left_ms=0" };

START_TEST(taps_equal_sessions_of_their_depth)
{
    static const int depths[] = { 1, 4, 12 };
    size_t samples = 3 * SECOND + 77;
    int16_t *audio = make_audio(samples, 21);
    char query[256];
    stream_plan p = plan_of(query, audio, samples);
    stream_result r, alone;

    snprintf(query, sizeof query, "output=" AT(12) "," AT(1) "," AT(4) ",embedding%s", shapes[_i]);
    p.slices = odd;
    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_int_eq(r.tap_count, 3);
    ck_assert_int_eq(r.ready.depth, 12);
    for (int i = 0; i < 3; i++) {
        run_alone(&alone, shapes[_i], depths[i], audio, samples);
        check_tap_equals(stream_get_tap(&r, depths[i]), &alone);
        if (depths[i] == 12)
            stream_check_company(&r.embedding, &alone.embedding);
        stream_free(&alone);
    }
    stream_free(&r);
    free(audio);
}
END_TEST

/* Packets of every kind and encoding come through, whole. check_rows.c has what is in them. */
START_TEST(layers_and_mels_come_through)
{
    static const char *const encodings[] = { "f32", "json" };
    size_t samples = SECOND + 77;
    int16_t *audio = make_audio(samples, 27);
    char query[128];
    stream_plan p = plan_of(query, audio, samples);
    stream_result r, again;

    snprintf(query, sizeof query, "output=mel,hidden,hidden@0,hidden@2&depth=6&encoding=%s",
             encodings[_i]);
    stream_run(&r, shared.port, &p);
    p.slices = odd;
    stream_run(&again, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_int_eq(r.ready.mels, 80);
    ck_assert_uint_eq(r.mel.frames, 2 * r.done.frames);
    ck_assert_int_eq(r.mel.dim, 80);
    ck_assert_uint_eq(r.hidden.frames, r.done.frames);
    stream_check_same(&r.mel, &again.mel);
    stream_check_company(&r.hidden, &again.hidden);
    stream_check_company(&r.front, &again.front);
    stream_check_company(&stream_get_tap(&r, 2)->hidden, &stream_get_tap(&again, 2)->hidden);
    stream_free(&r);
    stream_free(&again);
    free(audio);
}
END_TEST

/* query, what `ready` must say: depth in force, range, outputs */
static const struct {
    const char *query;
    int depth, min, max;
    const char *output;
} granted[] = {
    { "output=phones@4,embedding@7", 7, 7, 7, "phones@4,embedding@7" },
    { "output=embedding@7,phones@4,phones", 12, 12, 12, "phones,phones@4,embedding@7" },
    { "depth=12&output=phones@4", 4, 4, 4, "phones@4" },
    { "depth=3-12&output=phones@4,activity@2", 4, 3, 4, "activity@2,phones@4" },
    { "depth=6-12&output=phones@4", 4, 4, 4, "phones@4" },
    { "depth=2-6&output=phones@4,posteriors", 6, 2, 6, "posteriors,phones@4" },
};

START_TEST(ready_tells_the_depth_that_outputs_need)
{
    int16_t *audio = make_audio(SECOND / 4, 22);
    stream_plan p = plan_of(granted[_i].query, audio, SECOND / 4);
    shoal_buf b = { 0 };
    stream_result r;

    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, SECOND / 4, 16000);
    ck_assert_int_eq(r.ready.depth, granted[_i].depth);
    ck_assert_int_eq(r.ready.options.depth_min, granted[_i].min);
    ck_assert_int_eq(r.ready.options.depth_max, granted[_i].max);
    r.ready.options.given = SHOAL_OPT_OUTPUT;
    ck_assert_int_eq(shoal_options_encode_query(&b, &r.ready.options), 0);
    ck_assert_str_eq(b.data + strlen("output="), granted[_i].output);
    shoal_buf_free(&b);
    stream_free(&r);
    free(audio);
}
END_TEST

static const char *const too_deep[] = { "output=phones@13", "output=phones,embedding@200" };

START_TEST(taps_beyond_the_model_are_refused)
{
    stream_plan p = plan_of(too_deep[_i], NULL, 0);
    stream_result r;

    stream_run(&r, shared.port, &p);
    ck_assert_str_eq(r.error.name, "bad_option");
    ck_assert_str_eq(r.error.ref, "output");
    ck_assert_msg(strstr(r.error.message, "depths 1..12 after the @") != NULL, "%s",
                  r.error.message);
    stream_free(&r);
}
END_TEST

/* ---- changes in mid-stream ---- */

static shoal_options set_outputs(const char *query)
{
    shoal_options o;
    shoal_error err;

    ck_assert_int_eq(shoal_options_parse_query(&o, query, strlen(query), &err), 0);
    return o;
}

/* Taps come and go; what stays goes on as if nothing had happened. */
START_TEST(taps_change_with_set)
{
    size_t samples = 3 * SECOND;
    int16_t *audio = make_audio(samples, 23);
    shoal_options set = set_outputs("output=phones@4,phones@12,activity@2");
    stream_plan p = plan_of("output=phones@4,posteriors@3", audio, samples);
    stream_result r, alone;

    p.set = &set;
    p.control_at = samples;
    stream_run(&r, shared.port, &p);
    ck_assert_msg(r.has_done && !*r.error.name, "%s", r.error.message);
    ck_assert_uint_eq(r.stats.seq_gaps, 0);
    ck_assert_int_eq(r.ready.depth, 4);
    ck_assert_int_eq(r.changed_count, 1);
    ck_assert_int_eq(r.changed[0].depth, 12); /* nobody said depth: as deep as outputs need */
    ck_assert_uint_eq(r.changed[0].outputs, 0);
    ck_assert_int_eq(r.changed[0].tap_count, 3);
    ck_assert_uint_eq(stream_get_tap(&r, 3)->posteriors.frames, r.changed[0].from_frame);
    ck_assert_uint_gt(stream_get_tap(&r, 12)->phone_count, 0);
    ck_assert_double_ge(stream_get_tap(&r, 12)->phones[0].start,
                        (double)r.changed[0].from_frame * 0.02 - 1e-9);
    run_alone(&alone, "", 4, audio, samples);
    check_same_phones(stream_get_tap(&r, 4)->phones, stream_get_tap(&r, 4)->phone_count,
                      alone.phones, alone.phone_count);
    stream_free(&r);
    stream_free(&alone);
    free(audio);
}
END_TEST

/* query, set, what the error that is not fatal must say */
static const struct {
    const char *query, *set, *says;
} bad_sets[] = {
    { "depth=6&output=phones", "output=embedding@7", "depths up to 6" },
    { "depth=8&output=phones,embedding@7", "depth=6", "embedding@7 is not allowed" },
    { "output=phones", "output=embedding@13", "depths 1..12" },
    { "output=phones&chunk_ms=1280&encoding=json",
      "output=embedding@1,embedding@2,embedding@3,embedding@4,embedding@5,embedding@6", "no room" },
};

START_TEST(bad_sets_leave_all_as_it_was)
{
    size_t samples = SECOND;
    int16_t *audio = make_audio(samples, 24);
    shoal_options set = set_outputs(bad_sets[_i].set);
    stream_plan p = plan_of(bad_sets[_i].query, audio, samples);
    stream_result r, same;

    stream_run(&same, shared.port, &p);
    p.set = &set;
    p.control_at = samples;
    stream_run(&r, shared.port, &p);
    ck_assert_str_eq(r.error.name, "bad_option");
    ck_assert_int_eq(r.error.fatal, 0);
    ck_assert_msg(strstr(r.error.message, bad_sets[_i].says) != NULL, "%s", r.error.message);
    ck_assert_int_eq(r.changed_count, 0);
    stream_check_complete(&r, samples, 16000);
    check_same_phones(r.phones, r.phone_count, same.phones, same.phone_count);
    stream_free(&r);
    stream_free(&same);
    free(audio);
}
END_TEST

/* A slow session's worth of the largest results there are: all of them come. */
START_TEST(twelve_taps_in_json_lose_nothing)
{
    size_t samples = 3 * SECOND;
    int16_t *audio = make_audio(samples, 25);
    char query[1024];
    int n = snprintf(query, sizeof query, "chunk_ms=1280&encoding=json&output=embedding");
    stream_plan p = plan_of(query, audio, samples);
    stream_result r;

    for (int d = 1; d <= DEPTHS; d++)
        n += snprintf(query + n, sizeof query - (size_t)n,
                      ",embedding@%d,posteriors@%d,phones@%d,activity@%d", d, d, d, d);
    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_int_eq(r.tap_count, DEPTHS);
    for (int i = 0; i < r.tap_count; i++)
        ck_assert_uint_eq(r.taps[i].embedding.frames, r.done.frames);
    stream_check_same(&stream_get_tap(&r, 12)->embedding, &r.embedding);
    stream_free(&r);
    free(audio);
}
END_TEST

/* ---- load below a tap's depth ---- */

/* Whoever has a range runs at its lower end, whatever this machine can do. */
static const char *const pressed[] = { "--set", "capacity=1",    "--set", "elastic_high_percent=1",
                                       "--set", "admission=off", NULL };

static void check_depths(const stream_rows *rows, size_t from, size_t to, int depth)
{
    ck_assert_uint_le(to, rows->frames);
    for (size_t i = from; i < to; i++)
        ck_assert_msg(rows->depths[i] == depth, "frame %zu: depth %d, not %d", i, rows->depths[i],
                      depth);
}

/* Of 3..12 with the ceiling at 3: what was asked for at 4 and 12 is that of 3, and says so. */
START_TEST(taps_above_the_ceiling_are_what_it_leaves)
{
    size_t samples = 2 * SECOND;
    int16_t *audio = make_audio(samples, 27);
    stream_plan p = plan_of("depth=3..12&output=posteriors@2,posteriors@4,phones@4,embedding@12",
                            audio, samples);
    stream_plan q =
        plan_of("depth=3&output=posteriors@2,posteriors,embedding,phones", audio, samples);
    daemon_process d;
    stream_result r, three;

    daemon_start(&d, pressed);
    stream_run(&r, d.port, &p);
    stream_run(&three, d.port, &q);
    stream_check_complete(&r, samples, 16000);
    stream_check_complete(&three, samples, 16000);
    ck_assert_int_eq(r.ready.options.depth_min, 3);
    ck_assert_int_eq(r.ready.options.depth_max, 12);
    stream_tap *low = stream_get_tap(&r, 2), *mid = stream_get_tap(&r, 4);
    check_depths(&low->posteriors, 0, low->posteriors.frames, 2);
    check_depths(&mid->posteriors, 0, mid->posteriors.frames, 3);
    stream_check_company(&low->posteriors, &stream_get_tap(&three, 2)->posteriors);
    stream_check_company(&mid->posteriors, &three.posteriors);
    stream_check_company(&stream_get_tap(&r, 12)->embedding, &three.embedding);
    check_same_phones(mid->phones, mid->phone_count, three.phones, three.phone_count);
    ck_assert_int_eq(mid->phones_depth, 3);
    stream_free(&r);
    stream_free(&three);
    free(audio);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

/* From one chunk to the next, there and (in the other order) back. */
static const struct {
    const char *query, *set;
    int before, after;
} moves[] = {
    { "depth=12&output=posteriors@4,embedding@12", "depth=3..12", 12, 3 },
    { "depth=3..12&output=posteriors@4,embedding@12", "depth=12", 3, 12 },
};

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

START_TEST(taps_follow_the_ceiling_in_mid_stream)
{
    size_t samples = 2 * SECOND;
    int16_t *audio = make_audio(samples, 28);
    shoal_options set = set_outputs(moves[_i].set);
    stream_plan p = plan_of(moves[_i].query, audio, samples);
    daemon_process d;
    stream_result r;

    p.set = &set;
    p.control_at = samples; /* bytes: half of it */
    daemon_start(&d, pressed);
    stream_run(&r, d.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_int_ge(r.changed_count, 1);
    size_t from = (size_t)r.changed[r.changed_count - 1].from_frame;
    const stream_rows *low = &stream_get_tap(&r, 4)->posteriors;
    const stream_rows *deep = &stream_get_tap(&r, 12)->embedding;
    ck_assert_int_eq(r.changed[r.changed_count - 1].depth, moves[_i].after);
    ck_assert_uint_gt(from, 0);
    ck_assert_uint_lt(from, deep->frames);
    check_depths(low, 0, from, at_most(4, moves[_i].before));
    check_depths(low, from, low->frames, at_most(4, moves[_i].after));
    check_depths(deep, 0, from, moves[_i].before);
    check_depths(deep, from, deep->frames, moves[_i].after);
    stream_free(&r);
    free(audio);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

/* ---- activity ---- */

TCase *taps_case(void)
{
    TCase *t = tcase_create("taps");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_loop_test(t, layers_and_mels_come_through, 0, 2);
    tcase_add_loop_test(t, taps_equal_sessions_of_their_depth, 0, sizeof shapes / sizeof *shapes);
    tcase_add_loop_test(t, ready_tells_the_depth_that_outputs_need, 0,
                        sizeof granted / sizeof *granted);
    tcase_add_loop_test(t, taps_beyond_the_model_are_refused, 0,
                        sizeof too_deep / sizeof *too_deep);
    tcase_add_test(t, taps_change_with_set);
    tcase_add_loop_test(t, bad_sets_leave_all_as_it_was, 0, sizeof bad_sets / sizeof *bad_sets);
    tcase_add_test(t, twelve_taps_in_json_lose_nothing);
    tcase_add_test(t, taps_above_the_ceiling_are_what_it_leaves);
    tcase_add_loop_test(t, taps_follow_the_ceiling_in_mid_stream, 0, sizeof moves / sizeof *moves);
    return t;
}

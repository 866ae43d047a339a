/* test_streams.c - what a session gives does not depend on how it was sent
 *
 * One daemon for all tests here. Byte-identical is demanded where one stream runs alone;
 * streams that share batches with others may differ by 1e-4.
 */
#include "integration.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_OUTPUTS "output=posteriors,embedding,phones"

enum { SECOND = 16000 };

static const char plain[] = ALL_OUTPUTS "&depth=3&chunk_ms=160";

static stream_plan plan_of(const char *query, const int16_t *audio, size_t samples)
{
    return (stream_plan){ .query = query, .audio = audio, .size = samples * 2 };
}

static void check_same_results(const stream_result *a, const stream_result *b)
{
    stream_check_same(&a->posteriors, &b->posteriors);
    stream_check_same(&a->embedding, &b->embedding);
    ck_assert_uint_eq(a->phone_count, b->phone_count);
    for (size_t i = 0; i < a->phone_count; i++) {
        ck_assert_str_eq(a->phones[i].phone, b->phones[i].phone);
        ck_assert_double_eq(a->phones[i].start, b->phones[i].start);
        ck_assert_double_eq(a->phones[i].end, b->phones[i].end);
    }
}

START_TEST(ready_tells_what_was_granted)
{
    int16_t *audio = make_audio(SECOND, 1);
    stream_plan p =
        plan_of("depth=2&chunk_ms=320&left_ms=640&output=phones&rate=16000", audio, SECOND);
    stream_result r;

    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, SECOND, 16000);
    ck_assert_int_eq(r.ready.depth, 2);
    ck_assert_int_eq(r.ready.options.chunk_ms, 320);
    ck_assert_int_eq(r.ready.options.left_ms, 640);
    ck_assert_uint_eq(r.ready.options.outputs, SHOAL_OUTPUT_PHONES);
    ck_assert_int_ge(r.ready.latency_ms, 320);
    ck_assert_int_eq(r.ready.classes, 40);
    ck_assert_str_eq(r.ready.labels[0], "SIL");
    ck_assert_uint_eq(strlen(r.ready.model_sha256), 64);
    stream_free(&r);
    free(audio);
}
END_TEST

static const size_t one_byte[] = { 1, 0 }, odd[] = { 3, 7, 639, 1, 12345, 0 }, small[] = { 320, 0 },
                    large[] = { 100001, 0 },
                    growing[] = { 1,   2,   4,    8,    16,   32,   64,    128,
                                  256, 512, 1024, 2048, 4096, 8192, 16384, 0 };
static const size_t *const slicings[] = { one_byte, odd, small, large, growing };

START_TEST(slicing_does_not_matter)
{
    size_t samples = slicings[_i] == one_byte ? SECOND / 2 + 77 : 4 * SECOND + 77;
    int16_t *audio = make_audio(samples, 2);
    stream_plan p = plan_of(plain, audio, samples);
    stream_result whole, sliced;

    stream_run(&whole, shared.port, &p);
    p.slices = slicings[_i];
    stream_run(&sliced, shared.port, &p);
    stream_check_complete(&whole, samples, 16000);
    stream_check_complete(&sliced, samples, 16000);
    check_same_results(&whole, &sliced);
    stream_free(&whole);
    stream_free(&sliced);
    free(audio);
}
END_TEST

START_TEST(fast_equals_real_time)
{
    size_t samples = 3 * SECOND;
    int16_t *audio = make_audio(samples, 3);
    stream_plan p = plan_of(plain, audio, samples);
    stream_result fast, paced;

    stream_run(&fast, shared.port, &p);
    p.realtime = 1;
    p.slices = small;
    stream_run(&paced, shared.port, &p);
    stream_check_complete(&fast, samples, 16000);
    stream_check_complete(&paced, samples, 16000);
    check_same_results(&fast, &paced);
    stream_free(&fast);
    stream_free(&paced);
    free(audio);
}
END_TEST

/* ---- formats ---- */

static const struct {
    const char *query;
    int rate, bytes;
} formats[] = {
    { "format=s16le&rate=8000", 8000, 2 },
    { "format=s16le&rate=44100", 44100, 2 },
    { "format=s16le&rate=48000&channels=2", 48000, 4 },
    { "format=mulaw", 8000, 1 },
    { "format=alaw&rate=16000", 16000, 1 },
    { "format=s16le&rate=11025", 11025, 2 },
};

START_TEST(every_format_loses_nothing)
{
    size_t samples = (size_t)formats[_i].rate * 3 / 2 + 1;
    int16_t *audio = make_audio(samples * 2, 4);
    char query[128];
    stream_plan p = { .query = query, .audio = audio, .size = samples * (size_t)formats[_i].bytes };
    stream_result r;

    snprintf(query, sizeof query, "%s&depth=2&" ALL_OUTPUTS, formats[_i].query);
    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, formats[_i].rate);
    ck_assert_uint_gt(r.posteriors.frames, 70);
    stream_free(&r);
    free(audio);
}
END_TEST

START_TEST(f32_equals_s16)
{
    size_t samples = 2 * SECOND;
    int16_t *audio = make_audio(samples, 5);
    float *floats = malloc(samples * sizeof *floats);
    stream_plan p = plan_of(plain, audio, samples);
    stream_result s16, f32;

    for (size_t i = 0; i < samples; i++)
        floats[i] = (float)audio[i] / 32768;
    stream_run(&s16, shared.port, &p);
    p = (stream_plan){ .query = "format=f32le&depth=3&chunk_ms=160&" ALL_OUTPUTS,
                       .audio = floats,
                       .size = samples * 4,
                       .slices = odd };
    stream_run(&f32, shared.port, &p);
    stream_check_complete(&f32, samples, 16000);
    check_same_results(&s16, &f32);
    stream_free(&s16);
    stream_free(&f32);
    free(audio);
    free(floats);
}
END_TEST

static const struct {
    const char *query;
    float tolerance;
} encodings[] = { { "encoding=f16", 0.02f }, { "encoding=json", 0 } };

START_TEST(encodings_carry_the_same_values)
{
    size_t samples = SECOND;
    int16_t *audio = make_audio(samples, 6);
    char query[128];
    stream_plan p = plan_of(plain, audio, samples);
    stream_result f32, other;

    stream_run(&f32, shared.port, &p);
    snprintf(query, sizeof query, "%s&%s", plain, encodings[_i].query);
    p.query = query;
    stream_run(&other, shared.port, &p);
    stream_check_complete(&other, samples, 16000);
    stream_check_close(&f32.posteriors, &other.posteriors, encodings[_i].tolerance);
    stream_check_close(&f32.embedding, &other.embedding, encodings[_i].tolerance);
    stream_free(&f32);
    stream_free(&other);
    free(audio);
}
END_TEST

/* The largest messages that there are: mel, also beside all else. */
static const char *const largest[] = { "mel", "mel,hidden,embedding,posteriors,phones,activity" };

START_TEST(the_largest_messages_come_whole)
{
    size_t samples = 4 * SECOND;
    int16_t *audio = make_audio(samples, 8);
    char query[160];
    snprintf(query, sizeof query, "encoding=json&chunk_ms=1280&tentative=on&output=%s",
             largest[_i]);
    stream_plan p = plan_of(query, audio, samples);
    stream_result r;

    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_uint_eq(r.mel.frames, 2 * r.done.frames);
    stream_free(&r);
    free(audio);
}
END_TEST

static const size_t lengths[] = { 0, 1, 2, 319, 320, 321, 2559, 2560, 2561 };

START_TEST(short_audio_loses_nothing)
{
    size_t samples = lengths[_i];
    int16_t *audio = make_audio(samples, 7);
    stream_plan p = plan_of(plain, audio, samples);
    stream_result r;

    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_uint_eq(r.done.frames, (samples + 319) / 320);
    ck_assert_uint_eq(r.posteriors.frames, (samples + 319) / 320);
    stream_free(&r);
    free(audio);
}
END_TEST

/* ---- control in mid-stream ---- */

START_TEST(depth_changes_where_changed_says)
{
    size_t samples = 4 * SECOND;
    int16_t *audio = make_audio(samples, 8);
    shoal_options set = shoal_options_default();
    stream_plan p = plan_of("depth=1&" ALL_OUTPUTS, audio, samples);
    stream_result r, before;

    set.depth_min = set.depth_max = 4;
    set.given = SHOAL_OPT_DEPTH;
    stream_run(&before, shared.port, &p);
    p.set = &set;
    p.control_at = samples; /* bytes: the middle */
    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_int_eq(r.changed_count, 1);
    ck_assert_int_eq(r.changed[0].depth, 4);
    ck_assert_int_eq(r.changed[0].reason, SHOAL_REASON_SET);
    uint64_t from = r.changed[0].from_frame;
    ck_assert_uint_gt(from, 0);
    ck_assert_uint_le(from, r.posteriors.frames);
    ck_assert_uint_eq(r.changed[0].from_sample, from * 320);
    for (size_t i = 0; i < r.posteriors.frames; i++) {
        ck_assert_msg(r.posteriors.depths[i] == (i < from ? 1 : 4), "frame %zu has depth %d", i,
                      r.posteriors.depths[i]);
    }
    ck_assert(!memcmp(r.posteriors.rows, before.posteriors.rows,
                      from * (size_t)r.posteriors.dim * sizeof(float)));
    stream_free(&r);
    stream_free(&before);
    free(audio);
}
END_TEST

START_TEST(flushes_come_back_in_order_after_their_frames)
{
    size_t samples = 2 * SECOND;
    int16_t *audio = make_audio(samples, 9);
    stream_plan p = plan_of("depth=2&chunk_ms=640&" ALL_OUTPUTS, audio, samples);
    stream_result r;

    p.flushes = 3;
    p.control_at = samples + 641; /* bytes, inside a sample: not at a chunk's end */
    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    ck_assert_int_eq(r.flushed_count, 3);
    for (int i = 0; i < 3; i++) {
        char id[2] = { (char)('0' + i), 0 };

        ck_assert_str_eq(r.flushed[i].id, id);
        ck_assert_uint_ge(r.flushed[i].received, p.control_at / 2);
        ck_assert_uint_le(r.flushed[i].processed, p.control_at / 2);
        ck_assert_uint_eq(r.flushed[i].frames, r.flushed_frames[i]);
        /* Of 51 frames, 2 may wait for the rest of their window and some look ahead; without
         * a flush there would be 32 less the look-ahead. */
        ck_assert_uint_gt(r.flushed[i].frames, 40);
    }
    stream_free(&r);
    free(audio);
}
END_TEST

START_TEST(outputs_change_with_set)
{
    size_t samples = 2 * SECOND;
    int16_t *audio = make_audio(samples, 10);
    shoal_options set = shoal_options_default();
    stream_plan p = plan_of("depth=2&output=embedding", audio, samples);
    stream_result r;

    set.outputs = SHOAL_OUTPUT_EMBEDDING | SHOAL_OUTPUT_PHONES;
    set.given = SHOAL_OPT_OUTPUT;
    p.set = &set;
    p.control_at = samples;
    stream_run(&r, shared.port, &p);
    ck_assert_msg(r.has_done, "%s", r.error.message);
    ck_assert_int_eq(r.changed_count, 1);
    ck_assert_uint_eq(r.changed[0].outputs, set.outputs);
    ck_assert_uint_eq(r.embedding.frames, r.done.frames);
    ck_assert_uint_eq(r.posteriors.frames, 0);
    stream_free(&r);
    free(audio);
}
END_TEST

/* ---- many at once ---- */

enum { CROWD = 8, ROUNDS = 12 }; /* a race between workers needs several rounds to show */

typedef struct member {
    stream_plan plan;
    stream_result alone, result;
    pthread_t thread;
} member;

static void *run_member(void *opaque)
{
    member *m = opaque;

    stream_run(&m->result, shared.port, &m->plan);
    return NULL;
}

static void run_crowd(member *crowd)
{
    for (int i = 0; i < CROWD; i++)
        ck_assert(!pthread_create(&crowd[i].thread, NULL, run_member, &crowd[i]));
    for (int i = 0; i < CROWD; i++)
        pthread_join(crowd[i].thread, NULL);
}

static void check_member(member *m, size_t samples)
{
    stream_check_complete(&m->result, samples, 16000);
    stream_check_close(&m->alone.posteriors, &m->result.posteriors, 1e-4f);
    stream_check_close(&m->alone.embedding, &m->result.embedding, 1e-4f);
    ck_assert_uint_eq(m->alone.phone_count, m->result.phone_count);
    stream_free(&m->result);
}

START_TEST(a_crowd_at_many_depths_gets_what_each_would_get_alone)
{
    static const char *const queries[] = {
        "depth=1&chunk_ms=80&" ALL_OUTPUTS,
        "depth=2&chunk_ms=160&" ALL_OUTPUTS,
        "depth=3&chunk_ms=320&" ALL_OUTPUTS,
        "depth=4&chunk_ms=160&left_ms=320&" ALL_OUTPUTS,
    };
    size_t samples = 4 * SECOND;
    int16_t *audio = make_audio(samples + CROWD, 11);
    static member crowd[CROWD];

    for (int i = 0; i < CROWD; i++) {
        crowd[i].plan = plan_of(queries[i % 4], audio + i, samples);
        crowd[i].plan.slices = slicings[1 + i % 4];
        stream_run(&crowd[i].alone, shared.port, &crowd[i].plan);
    }
    for (int round = 0; round < ROUNDS; round++) {
        run_crowd(crowd);
        for (int i = 0; i < CROWD; i++)
            check_member(&crowd[i], samples);
    }
    for (int i = 0; i < CROWD; i++)
        stream_free(&crowd[i].alone);
    free(audio);
}
END_TEST

/* Decoders leave tails of such values where there is silence. */
START_TEST(faded_sound_is_no_wrong_format)
{
    enum { SAMPLES = 2 * SECOND };
    static float audio[SAMPLES];
    stream_plan p = { .query = "format=f32le&depth=1", .audio = audio, .size = sizeof audio };
    stream_result r;

    for (int i = 0; i < SAMPLES; i++)
        audio[i] = i % 2 ? 1e-33f : -2e-36f;
    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, SAMPLES, 16000);
    stream_free(&r);
}
END_TEST

START_TEST(integers_as_floats_are_told)
{
    enum { SAMPLES = 2 * SECOND };
    int16_t *audio = make_audio(2 * SAMPLES, 12);
    stream_plan p = { .query = "format=f32le&depth=1", .audio = audio, .size = 4 * SAMPLES };
    stream_result r;

    stream_run(&r, shared.port, &p);
    ck_assert_str_eq(r.error.name, "audio_not_finite");
    ck_assert_msg(strstr(r.error.message, "s16le") != NULL, "%s", r.error.message);
    stream_free(&r);
    free(audio);
}
END_TEST

TCase *streams_case(void)
{
    TCase *t = tcase_create("streams");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_test(t, ready_tells_what_was_granted);
    tcase_add_loop_test(t, slicing_does_not_matter, 0, sizeof slicings / sizeof *slicings);
    tcase_add_test(t, fast_equals_real_time);
    tcase_add_loop_test(t, every_format_loses_nothing, 0, sizeof formats / sizeof *formats);
    tcase_add_test(t, f32_equals_s16);
    tcase_add_loop_test(t, the_largest_messages_come_whole, 0, 2);
    tcase_add_loop_test(t, encodings_carry_the_same_values, 0,
                        sizeof encodings / sizeof *encodings);
    tcase_add_loop_test(t, short_audio_loses_nothing, 0, sizeof lengths / sizeof *lengths);
    tcase_add_test(t, faded_sound_is_no_wrong_format);
    tcase_add_test(t, integers_as_floats_are_told);
    tcase_add_test(t, depth_changes_where_changed_says);
    tcase_add_test(t, flushes_come_back_in_order_after_their_frames);
    tcase_add_test(t, outputs_change_with_set);
    tcase_add_test(t, a_crowd_at_many_depths_gets_what_each_would_get_alone);
    return t;
}

/* test_activity.c - where speech begins and ends, on the wire
 *
 * Compared with the engine's detector over the posteriors of the same session, and on a
 * recording.
 */
#include "integration.h"
#include "shoal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 16000 };

static const size_t odd[] = { 3, 7, 639, 1, 12345, 0 };

/* What the detector makes of these posteriors. */
static int detect(const stream_rows *rows, const shoal_options *o, shoal_activity_event *events)
{
    shoal_activity_params p = shoal_activity_default_params();
    float margin = p.threshold - p.release;
    shoal_model *model;
    shoal_activity *a;

    ck_assert_int_eq(shoal_model_open(&model, test_model_path(), NULL, 0), 0);
    p.threshold = (float)o->activity_threshold / 100.0f;
    p.release = p.threshold - margin;
    p.hangover_frames = o->activity_hangover_ms / 20;
    ck_assert_int_eq(shoal_activity_new(&a, model, &p, 0), 0);
    int n = shoal_activity_run(a, rows->rows, (int)rows->frames, events, STREAM_MAX_EVENTS);
    n += shoal_activity_finish(a, events + n);
    shoal_activity_free(a);
    shoal_model_close(model);
    return n;
}

/* The small model hears speech in almost everything: a strict threshold makes it waver. */
static const char *const activity_queries[] = {
    "depth=2&output=posteriors,activity&activity_threshold=99&activity_hangover_ms=20",
    "depth=2&output=activity,posteriors&activity_threshold=99&activity_hangover_ms=60&chunk_ms=20",
    "output=posteriors@3,activity@3&activity_threshold=99&activity_hangover_ms=40&chunk_ms=640",
};

START_TEST(activity_equals_the_detector)
{
    size_t samples = 6 * SECOND + 1234;
    int16_t *audio = make_audio(samples, 26);
    stream_plan p = { .query = activity_queries[_i], .audio = audio, .size = samples * 2 };
    shoal_activity_event want[STREAM_MAX_EVENTS + 1];
    stream_result r;

    memset(audio, 0, SECOND * sizeof *audio);
    memset(audio + 3 * SECOND, 0, SECOND * sizeof *audio);
    p.slices = odd;
    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, samples, 16000);
    const stream_rows *rows =
        r.posteriors.frames ? &r.posteriors : &stream_get_tap(&r, 3)->posteriors;
    int n = detect(rows, &r.ready.options, want);
    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(r.activity_count, n);
    for (int i = 0; i < n; i++) {
        const shoal_wire_activity *a = &r.activity[i];
        uint64_t sample = (uint64_t)want[i].frame * 320;
        ck_assert_int_eq(a->speech, want[i].speech);
        ck_assert_int_eq(a->speech, i % 2 == 0);
        ck_assert_uint_eq(a->frame, (uint64_t)want[i].frame);
        ck_assert_uint_eq(a->sample, sample < samples ? sample : samples);
        ck_assert_double_eq_tol(a->time, (double)a->sample / SECOND, 0.0006);
        ck_assert_int_eq(a->depth, rows->depths[0]);
        ck_assert_int_eq(a->tap, rows == &r.posteriors ? 0 : 3);
    }
    ck_assert_int_eq(r.activity[n - 1].speech, 0);
    stream_free(&r);
    free(audio);
}
END_TEST

static daemon_process real;

static void real_setup(void)
{
    static const char *const args[] = { "--model", SRCDIR "/models/shoal-base.safetensors",
                                        ANY_SPEED, NULL };
    daemon_start(&real, args);
}

static void real_teardown(void)
{
    shared_failures += daemon_stop(&real, SIGTERM) != 0;
}

/* A recording of two words between two seconds of silence each, from the samples of a 48 kHz
 * WAV file; NULL if this machine does not have it. */
static int16_t *real_clip(size_t *samples)
{
    enum { HEADER = 44, MOST = 48000 * 4, PAD = 48000 * 2 };
    FILE *f = fopen("/usr/share/sounds/alsa/Front_Center.wav", "rb");
    int16_t *audio = calloc(MOST + 2 * PAD, sizeof *audio);

    if (!f || fseek(f, HEADER, SEEK_SET) < 0) {
        free(audio);
        return NULL;
    }
    *samples = fread(audio + PAD, sizeof *audio, MOST, f) + 2 * PAD;
    fclose(f);
    return audio;
}

/* The words lie between 0.0 s and 1.43 s of the file. */
START_TEST(activity_of_a_real_recording)
{
    static const char query[] = "rate=48000&output=activity,activity@4,phones@4";
    size_t samples;
    int16_t *audio = real_clip(&samples);
    stream_plan p = { .query = query, .audio = audio, .size = samples * 2 };
    stream_result r;
    int open[2] = { 0 };

    if (!audio)
        return;
    stream_run(&r, real.port, &p);
    stream_check_complete(&r, samples, 48000);
    ck_assert_int_ge(r.activity_count, 4);
    for (int i = 0; i < r.activity_count; i++) {
        const shoal_wire_activity *a = &r.activity[i];
        ck_assert_msg(a->time > 1.9 && a->time < 3.6, "%s at %.3f s, depth %d",
                      a->speech ? "speech" : "silence", a->time, a->depth);
        ck_assert_int_eq(a->depth, a->tap ? 4 : 12);
        open[a->tap == 4] += a->speech ? 1 : -1;
        ck_assert_int_eq(open[a->tap == 4], a->speech);
        ck_assert_uint_le(a->sample, a->processed);
    }
    ck_assert_int_eq(open[0] + open[1], 0);
    ck_assert_uint_gt(stream_get_tap(&r, 4)->phone_count, 0);
    stream_free(&r);
    free(audio);
}
END_TEST

TCase *detector_case(void)
{
    TCase *t = tcase_create("detector");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_loop_test(t, activity_equals_the_detector, 0,
                        sizeof activity_queries / sizeof *activity_queries);
    return t;
}

TCase *activity_case(void)
{
    TCase *t = tcase_create("activity");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, real_setup, real_teardown);
    tcase_add_test(t, activity_of_a_real_recording);
    return t;
}

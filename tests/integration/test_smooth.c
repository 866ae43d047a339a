/* test_smooth.c - smooth=on: posteriors as the engine's smoother makes them of those without
 *
 * All else of the session is what it is without.
 */
#include "../engine_util.h"
#include "integration.h"
#include "shoal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 16000, CLASSES = 40 };

static const size_t odd[] = { 3, 7, 639, 1, 12345, 0 };

/* What chunks of so many frames of a stream become, the first of which begins before frame 0. */
static void smooth(stream_rows *rows, int chunk)
{
    shoal_model *model = util_tiny();
    shoal_smooth_params p = shoal_smoother_default_params(model);
    shoal_smoother *s;
    float *out = malloc(rows->frames * CLASSES * sizeof *out);
    size_t end = (size_t)(chunk - shoal_model_get_info(model)->delay_frames);

    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(shoal_smoother_new(&s, model, &p), 0);
    for (size_t at = 0; at < rows->frames; at = end, end += (size_t)chunk) {
        end = end < rows->frames ? end : rows->frames;
        shoal_smoother_run(s, rows->rows + at * CLASSES, (int)(end - at), out + at * CLASSES);
    }
    memcpy(rows->rows, out, rows->frames * CLASSES * sizeof *out);
    shoal_smoother_free(s);
    shoal_model_close(model);
    free(out);
}

static void run(stream_result *r, int chunk, const char *smoothing, const int16_t *audio,
                size_t samples)
{
    char query[128];
    stream_plan p = { .query = query, .audio = audio, .size = samples * 2, .slices = odd };

    snprintf(query, sizeof query,
             "depth=3&output=posteriors,phones,activity,embedding,posteriors@1&chunk_ms=%d%s",
             20 * chunk, smoothing);
    stream_run(r, shared.port, &p);
    stream_check_complete(r, samples, SECOND);
}

static const int chunks[] = { 3, 8, 64 };

START_TEST(posteriors_are_the_smoothers)
{
    size_t samples = 4 * SECOND + 1234;
    int16_t *audio = make_audio(samples, 27);
    stream_result plain, off, on;

    run(&plain, chunks[_i], "", audio, samples);
    run(&off, chunks[_i], "&smooth=off", audio, samples);
    run(&on, chunks[_i], "&smooth=on", audio, samples);
    ck_assert_int_eq(plain.ready.options.smooth, SHOAL_OFF);
    ck_assert_int_eq(on.ready.options.smooth, SHOAL_ON);
    stream_check_same(&plain.posteriors, &off.posteriors);
    stream_check_same(&on.embedding, &off.embedding);
    ck_assert_uint_eq(on.phone_count, off.phone_count);
    ck_assert_mem_eq(on.phones, off.phones, on.phone_count * sizeof *on.phones);
    ck_assert_int_eq(on.activity_count, off.activity_count);
    smooth(&off.posteriors, chunks[_i]);
    stream_check_close(&on.posteriors, &off.posteriors, 1e-4f);
    stream_rows *tap = &stream_get_tap(&off, 1)->posteriors;
    smooth(tap, chunks[_i]);
    stream_check_close(&stream_get_tap(&on, 1)->posteriors, tap, 1e-4f);
    stream_free(&plain);
    stream_free(&off);
    stream_free(&on);
    free(audio);
}
END_TEST

TCase *smooth_case(void)
{
    TCase *t = tcase_create("smooth");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_loop_test(t, posteriors_are_the_smoothers, 0, sizeof chunks / sizeof *chunks);
    return t;
}

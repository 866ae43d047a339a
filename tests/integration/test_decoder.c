/* test_decoder.c - a session chooses how its phones are found: lm and durations
 *
 * A daemon whose model has tables for every search (made here, at random), and the shared one,
 * whose model knows a bigram only. Phones are compared with the engine's decoder over the
 * posteriors of the same session.
 */
#include "../engine_util.h"
#include "../model_image.h"
#include "integration.h"
#include "shoal.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLASSES = 40, AGES = 3, SECOND = 16000, MOST = 512 };

static const size_t odd[] = { 3, 7, 639, 1, 12345, 0 };
static daemon_process every; /* its model has every search */
static char model_path[] = "/tmp/shoal-decoder-XXXXXX";

/* ---- the model ---- */

static void add_random(image *im, const char *name, int rows, int columns, float low, float high)
{
    static float values[CLASSES * CLASSES * CLASSES];
    static uint32_t rng = 7;

    for (int i = 0; i < rows * (columns ? columns : 1); i++)
        values[i] = low + (high - low) * 0.5f * (1.0f + util_randf(&rng));
    image_add_tensor(im, name, rows, columns, values);
}

static void add_search(image *im, const char *prefix, int ages)
{
    char name[64];

    snprintf(name, sizeof name, "%s.leave", prefix);
    add_random(im, name, CLASSES, ages, -2.0f, 0.0f);
    snprintf(name, sizeof name, "%s.stay", prefix);
    add_random(im, name, CLASSES, ages, -0.5f, 0.0f);
    snprintf(name, sizeof name, "%s.log_prior", prefix);
    add_random(im, name, CLASSES, 0, -1.0f, 1.0f);
}

static void write_model(void)
{
    image im = image_open(test_model_path());
    size_t size;
    int fd = mkstemp(model_path);

    json_object_del(im.header, "decoder.transition");
    add_random(&im, "decoder.trigram", CLASSES * CLASSES, CLASSES, -3.0f, 0.0f);
    add_search(&im, "decoder.plain", 1);
    add_search(&im, "decoder.durations", AGES);
    add_search(&im, "decoder.lm_durations", AGES);
    unsigned char *file = image_bytes(&im, &size);
    ck_assert_int_eq(write(fd, file, size), (ssize_t)size);
    close(fd);
    free(file);
    image_close(&im);
}

static void every_setup(void)
{
    const char *const args[] = { "--model", model_path, ANY_SPEED, NULL };

    write_model();
    daemon_start(&every, args);
    shared_setup();
}

static void every_teardown(void)
{
    shared_teardown();
    shared_failures += daemon_stop(&every, SIGTERM) != 0;
    unlink(model_path);
}

/* ---- tests ---- */

static int decode(const stream_rows *rows, const shoal_options *o, shoal_phone *phones)
{
    shoal_decoder_params p = { .lm = o->lm,
                               .durations = o->durations,
                               .settle_frames = o->settle_ms / 20,
                               .settle_silence_frames = o->settle_silence_ms / 20 };
    shoal_model *model;
    shoal_decoder *d;

    ck_assert_int_eq(shoal_model_open(&model, model_path, NULL, 0), 0);
    ck_assert_int_eq(shoal_decoder_new(&d, model, &p), 0);
    int n = shoal_decoder_run(d, rows->rows, (int)rows->frames, phones, MOST);
    n += shoal_decoder_flush(d, phones + n, MOST - n);
    shoal_decoder_free(d);
    shoal_model_close(model);
    return n;
}

static void check_phones(const stream_result *r, const shoal_phone *want, int n)
{
    ck_assert_uint_eq(r->phone_count, (size_t)n);
    for (int i = 0; i < n; i++) {
        const shoal_wire_phone *p = &r->phones[i];
        ck_assert_str_eq(p->phone, r->ready.labels[want[i].label]);
        ck_assert_double_eq_tol(p->start, (double)want[i].first_frame * 0.02, 0.0006);
        ck_assert_double_eq_tol(p->confidence, (double)want[i].confidence, 0.0001);
    }
}

static const struct {
    const char *options;
    shoal_switch lm, durations;
} sessions[] = {
    { "", SHOAL_ON, SHOAL_OFF },
    { "&lm=off", SHOAL_OFF, SHOAL_OFF },
    { "&durations=on", SHOAL_ON, SHOAL_ON },
    { "&durations=on&lm=off", SHOAL_OFF, SHOAL_ON },
    { "&settle_ms=100&settle_silence_ms=0", SHOAL_ON, SHOAL_OFF },
    { "&settle_ms=20&settle_silence_ms=20&tentative=on", SHOAL_ON, SHOAL_OFF },
};

enum { SESSIONS = sizeof sessions / sizeof *sessions, SEARCHES = 4 };

static void run(stream_result *r, int which, const int16_t *audio, size_t samples)
{
    char query[128];
    stream_plan p = { .query = query, .audio = audio, .size = samples * 2, .slices = odd };

    snprintf(query, sizeof query, "depth=3&output=posteriors,phones%s", sessions[which].options);
    stream_run(r, every.port, &p);
    stream_check_complete(r, samples, SECOND);
    ck_assert_int_eq(r->ready.options.lm, sessions[which].lm);
    ck_assert_int_eq(r->ready.options.durations, sessions[which].durations);
}

START_TEST(phones_equal_the_chosen_search)
{
    size_t samples = 4 * SECOND + 1234;
    int16_t *audio = make_audio(samples, 27);
    stream_result r;
    shoal_phone want[MOST];

    run(&r, _i, audio, samples);
    int n = decode(&r.posteriors, &r.ready.options, want);
    ck_assert_int_gt(n, 0);
    check_phones(&r, want, n);
    stream_free(&r);
    free(audio);
}
END_TEST

static int same_phones(const stream_result *a, const stream_result *b)
{
    if (a->phone_count != b->phone_count)
        return 0;
    for (size_t i = 0; i < a->phone_count; i++)
        if (strcmp(a->phones[i].phone, b->phones[i].phone) ||
            fabs(a->phones[i].start - b->phones[i].start) > 1e-6)
            return 0;
    return 1;
}

/* The choice moves phones and nothing else. */
START_TEST(searches_differ_in_phones_alone)
{
    size_t samples = 4 * SECOND;
    int16_t *audio = make_audio(samples, 28);
    stream_result r[SEARCHES];

    for (int i = 0; i < SEARCHES; i++) {
        run(&r[i], i, audio, samples);
        stream_check_same(&r[i].posteriors, &r[0].posteriors);
        for (int j = 0; j < i; j++)
            ck_assert_msg(!same_phones(&r[i], &r[j]), "\"%s\" and \"%s\" give the same phones",
                          sessions[i].options, sessions[j].options);
    }
    for (int i = 0; i < SEARCHES; i++)
        stream_free(&r[i]);
    free(audio);
}
END_TEST

/* What is not settled is shown by those who ask for it, most phones before they are settled, and
 * nothing is left at the end; what is settled stays as it was. */
START_TEST(tentative_phones_come_before_settled_ones)
{
    size_t samples = 4 * SECOND;
    int16_t *audio = make_audio(samples, 30);
    stream_plan p = { .query = "depth=3&chunk_ms=80&settle_silence_ms=0", .audio = audio };
    stream_result without, with;

    p.size = samples * 2;
    stream_run(&without, every.port, &p);
    p.query = "depth=3&chunk_ms=80&settle_silence_ms=0&tentative=on";
    stream_run(&with, every.port, &p);
    stream_check_complete(&with, samples, SECOND);
    ck_assert_int_eq(with.ready.options.tentative, SHOAL_ON);
    ck_assert(same_phones(&with, &without));
    ck_assert_int_eq(without.shown_count, 0);
    ck_assert_uint_gt(with.phone_count, 0);
    ck_assert_uint_ge(2 * with.shown_before, with.phone_count);
    ck_assert_int_eq(with.tentative_count, 0);
    stream_free(&with);
    stream_free(&without);
    free(audio);
}
END_TEST

/* A model with a language model alone serves all who want nothing else. */
START_TEST(a_model_may_lack_searches)
{
    static const char *const refused[][2] = {
        { "durations=on", "durations" },
        { "lm=off", "lm" },
        { "lm=off&durations=on", "lm" },
    };
    int16_t *audio = make_audio(SECOND, 29);
    stream_plan p = { .query = "output=phones&lm=on", .audio = audio, .size = SECOND * 2 };
    stream_result r;

    stream_run(&r, shared.port, &p);
    stream_check_complete(&r, SECOND, SECOND);
    ck_assert_int_eq(r.ready.options.lm, SHOAL_ON);
    ck_assert_int_eq(r.ready.options.durations, SHOAL_OFF);
    stream_free(&r);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        p.query = refused[i][0];
        stream_run(&r, shared.port, &p);
        ck_assert_str_eq(r.error.name, "unsupported");
        ck_assert_str_eq(r.error.ref, refused[i][1]);
        ck_assert_int_eq(r.has_done, 0);
        stream_free(&r);
    }
    free(audio);
}
END_TEST

START_TEST(the_model_page_lists_searches)
{
    static const int counts[] = { 4, 1 };
    char page[8192];

    ck_assert_int_eq(raw_http_get(_i ? shared.port : every.port, "/v1/model", page, sizeof page),
                     200);
    json_t *model = json_loads(page, 0, NULL);
    const json_t *list = json_object_get(model, "decoders");
    ck_assert_int_eq((int)json_array_size(list), counts[_i]);
    const json_t *first = json_array_get(list, 0);
    ck_assert_str_eq(json_string_value(json_object_get(first, "lm")), "on");
    ck_assert_str_eq(json_string_value(json_object_get(first, "durations")), _i ? "off" : "on");
    json_decref(model);
}
END_TEST

START_TEST(ready_tells_what_computes_as_the_model_page_does)
{
    char page[8192];
    stream_plan p = { .query = "depth=1", .audio = "" };
    stream_result r;

    stream_run(&r, shared.port, &p);
    ck_assert_int_eq(raw_http_get(shared.port, "/v1/model", page, sizeof page), 200);
    json_t *model = json_loads(page, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(model, "precision")), r.ready.precision);
    ck_assert_str_eq(json_string_value(json_object_get(model, "backend")), r.ready.backend);
    ck_assert_str_eq(json_string_value(json_object_get(model, "kernels")), r.ready.kernels);
    ck_assert_str_eq(json_string_value(json_object_get(model, "cache")), r.ready.cache);
    const char *why = json_string_value(json_object_get(model, "why"));
    ck_assert_msg(why && strstr(why, r.ready.kernels) && strstr(why, r.ready.backend), "%s", why);
    ck_assert_int_eq(json_is_true(json_object_get(model, "same_in_any_company")),
                     r.ready.same_in_any_company);
    ck_assert_str_ne(r.ready.backend, "");
    json_decref(model);
    stream_free(&r);
}
END_TEST

/* The daemon computes in fp32: whoever insists on that is served, and told so like everybody. */
START_TEST(a_session_may_insist_on_a_precision)
{
    static const char *const queries[] = { "precision=fp32&depth=1", "precision=auto&depth=1" };
    stream_plan p = { .audio = "" };
    stream_result r;

    for (int i = 0; i < 2; i++) {
        p.query = queries[i];
        stream_run(&r, shared.port, &p);
        ck_assert_int_eq(r.has_done, 1);
        ck_assert_int_eq(r.ready.options.precision, SHOAL_ONLY_FP32);
        stream_free(&r);
    }
    p.query = "precision=int8";
    stream_run(&r, shared.port, &p);
    ck_assert_str_eq(r.error.name, "unsupported");
    ck_assert_str_eq(r.error.ref, "precision");
    ck_assert_msg(strstr(r.error.message, "computes in fp32, not in int8") &&
                      strstr(r.error.message, "--precision int8"),
                  "%s", r.error.message);
    ck_assert_int_eq(r.has_done, 0);
    stream_free(&r);
}
END_TEST

TCase *decoder_case(void)
{
    TCase *t = tcase_create("decoder");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, every_setup, every_teardown);
    tcase_add_loop_test(t, phones_equal_the_chosen_search, 0, SESSIONS);
    tcase_add_test(t, searches_differ_in_phones_alone);
    tcase_add_test(t, ready_tells_what_computes_as_the_model_page_does);
    tcase_add_test(t, a_session_may_insist_on_a_precision);
    tcase_add_test(t, tentative_phones_come_before_settled_ones);
    tcase_add_test(t, a_model_may_lack_searches);
    tcase_add_loop_test(t, the_model_page_lists_searches, 0, 2);
    return t;
}

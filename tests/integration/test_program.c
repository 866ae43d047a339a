/* test_program.c - a session chooses the order of layers that it runs: program
 *
 * A daemon whose model has the programs base (12 layers), every-other (6), short (3, the first
 * three of base) and deep (24: base twice), a temperature and priors: made here out of
 * tests/data/tiny2.safetensors, which has the first three.
 */
#include "../model_image.h"
#include "integration.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 16000, PROGRAMS = 4, CLASSES = 40 };

static const struct {
    const char *name;
    int depth;
} programs[PROGRAMS] = { { "base", 12 }, { "every-other", 6 }, { "short", 3 }, { "deep", 24 } };

static daemon_process several;
static char model_path[] = "/tmp/shoal-program-XXXXXX";

static void write_model(void)
{
    image im = image_open(SRCDIR "/tests/data/tiny2.safetensors");
    json_t *deep = json_array();
    float priors[CLASSES];
    size_t size;
    int fd = mkstemp(model_path);

    for (size_t i = 0; i < 24; i++)
        json_array_append(deep, image_layer(&im, i % 12));
    json_array_append_new(json_object_get(im.config, "programs"),
                          json_pack("{s:s,s:o}", "name", "deep", "layers", deep));
    json_object_set_new(im.config, "temperature", json_real(1.5));
    for (int i = 0; i < CLASSES; i++)
        priors[i] = i ? 0.02f : 0.22f;
    image_add_tensor(&im, "head.priors", CLASSES, 0, priors);
    unsigned char *file = image_bytes(&im, &size);
    ck_assert_int_eq(write(fd, file, size), (ssize_t)size);
    close(fd);
    free(file);
    image_close(&im);
}

static void several_setup(void)
{
    const char *const args[] = { "--model", model_path, ANY_SPEED, NULL };

    write_model();
    daemon_start(&several, args);
}

static void several_teardown(void)
{
    shared_failures += daemon_stop(&several, SIGTERM) != 0;
    unlink(model_path);
}

static void run(stream_result *r, const char *query, const int16_t *audio)
{
    stream_plan p = { .query = query, .audio = audio, .size = 2 * SECOND };

    stream_run(r, several.port, &p);
}

START_TEST(ready_tells_the_program)
{
    int16_t *audio = make_audio(SECOND, 31);
    stream_result r;
    char query[64];

    for (int i = -1; i < PROGRAMS; i++) {
        int which = i < 0 ? 0 : i; /* the first, unless one is named */
        snprintf(query, sizeof query, "output=posteriors%s%s",
                 i < 0 ? "" : "&program=", i < 0 ? "" : programs[i].name);
        run(&r, query, audio);
        stream_check_complete(&r, SECOND, SECOND);
        ck_assert_str_eq(r.ready.options.program, programs[which].name);
        ck_assert_int_eq(r.ready.model_depth, programs[which].depth);
        ck_assert_int_eq(r.ready.depth, programs[which].depth);
        stream_free(&r);
    }
    free(audio);
}
END_TEST

/* short is base to depth 3; every-other is nothing that base gives. */
START_TEST(features_are_the_programs)
{
    int16_t *audio = make_audio(SECOND, 32);
    stream_result base, cut, other;

    run(&base, "output=posteriors,embedding&depth=3", audio);
    run(&cut, "output=posteriors,embedding&program=short", audio);
    stream_check_complete(&cut, SECOND, SECOND);
    stream_check_same(&cut.posteriors, &base.posteriors);
    stream_check_same(&cut.embedding, &base.embedding);
    run(&other, "output=posteriors&program=every-other&depth=3", audio);
    stream_check_complete(&other, SECOND, SECOND);
    ck_assert_uint_eq(other.posteriors.frames, base.posteriors.frames);
    ck_assert_mem_ne(other.posteriors.rows, base.posteriors.rows, sizeof(float) * 40);
    stream_free(&base);
    stream_free(&cut);
    stream_free(&other);
    free(audio);
}
END_TEST

START_TEST(what_the_model_has_not_is_refused)
{
    static const struct {
        const char *query, *ref, *says;
    } refused[] = {
        { "program=mimic", "program",
          "mimic is not allowed, use base, every-other, short or deep" },
        { "program=short&depth=4", "depth", "1..3" },
        { "program=every-other&output=phones@7", "output", "1..6" },
        { "depth=13", "depth", "1..12" },
    };
    int16_t *audio = make_audio(SECOND, 33);
    stream_result r;

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        run(&r, refused[i].query, audio);
        ck_assert_str_eq(r.error.name, "bad_option");
        ck_assert_str_eq(r.error.ref, refused[i].ref);
        ck_assert_msg(strstr(r.error.message, refused[i].says) != NULL, "%s", r.error.message);
        ck_assert_int_eq(r.has_done, 0);
        stream_free(&r);
    }
    free(audio);
}
END_TEST

/* A session may go deeper and shallower within its program, not beyond. */
START_TEST(set_stays_within_the_program)
{
    int16_t *audio = make_audio(SECOND, 34);
    shoal_options set = shoal_options_default();
    stream_result r;
    stream_plan p = { .query = "program=short&depth=1&output=posteriors",
                      .audio = audio,
                      .size = 2 * SECOND,
                      .control_at = SECOND,
                      .set = &set };

    set.given = SHOAL_OPT_DEPTH;
    set.depth_min = set.depth_max = 3;
    stream_run(&r, several.port, &p);
    stream_check_complete(&r, SECOND, SECOND);
    ck_assert_int_eq(r.changed_count, 1);
    ck_assert_int_eq(r.changed[0].depth, 3);
    stream_free(&r);
    set.depth_min = set.depth_max = 4;
    stream_run(&r, several.port, &p);
    stream_check_complete(&r, SECOND, SECOND);
    ck_assert_str_eq(r.error.ref, "depth");
    ck_assert_int_eq(r.changed_count, 0);
    stream_free(&r);
    free(audio);
}
END_TEST

START_TEST(pages_list_programs)
{
    static const char *const paths[] = { "/v1/model", "/v1/depths" };
    static char page[16384];

    ck_assert_int_eq(raw_http_get(several.port, paths[_i], page, sizeof page), 200);
    json_t *root = json_loads(page, 0, NULL);
    const json_t *list = json_object_get(root, "programs");
    ck_assert_int_eq((int)json_array_size(list), PROGRAMS);
    for (size_t i = 0; i < PROGRAMS; i++) {
        const json_t *p = json_array_get(list, i);
        ck_assert_str_eq(json_string_value(json_object_get(p, "name")), programs[i].name);
        ck_assert_int_eq((int)json_integer_value(json_object_get(p, "depth")), programs[i].depth);
        ck_assert(_i == 0 || json_number_value(json_object_get(p, "cpu_ms")) > 0);
    }
    json_decref(root);
}
END_TEST

START_TEST(the_model_page_tells_temperature_and_priors)
{
    static char page[16384];

    ck_assert_int_eq(raw_http_get(several.port, "/v1/model", page, sizeof page), 200);
    json_t *root = json_loads(page, 0, NULL);
    const json_t *priors = json_object_get(root, "priors");
    ck_assert_double_eq(json_real_value(json_object_get(root, "temperature")), 1.5);
    ck_assert_int_eq((int)json_array_size(priors), CLASSES);
    ck_assert_double_eq_tol(json_real_value(json_array_get(priors, 0)), 0.22, 1e-6);
    json_decref(root);
}
END_TEST

TCase *program_case(void)
{
    TCase *t = tcase_create("program");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, several_setup, several_teardown);
    tcase_add_test(t, ready_tells_the_program);
    tcase_add_test(t, features_are_the_programs);
    tcase_add_test(t, what_the_model_has_not_is_refused);
    tcase_add_test(t, set_stays_within_the_program);
    tcase_add_test(t, the_model_page_tells_temperature_and_priors);
    tcase_add_loop_test(t, pages_list_programs, 0, 2);
    return t;
}

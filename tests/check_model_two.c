/* check_model_two.c - model files of format 2: checksum, programs, temperature, priors
 *
 * Each case turns tests/data/tiny.safetensors into format 2 in memory (image_format_two). That
 * what is refused is named is tested as in check_model.c; what is allowed must compute what the
 * page docs/model-format.md says, by comparison with a plain model. Types are
 * check_model_types.c's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model_image.h"

enum { SAMPLES = 8000, CLASSES = 40, DIM = 32 };

static image im;
static float pcm[SAMPLES];

static void set_up(void)
{
    im = image_open(IMAGE_TINY);
    image_format_two(&im);
    util_signal(pcm, SAMPLES);
}

static void tear_down(void)
{
    image_close(&im);
}

static void refuse(const char *word)
{
    image_refuse(&im, word);
}

/* Refused with `json` under a key of the configuration, and well again without. */
static void refuse_value(json_t *object, const char *key, const char *json, const char *word)
{
    json_t *good = json_incref(json_object_get(object, key));
    json_object_set_new(object, key, json_loads(json, JSON_DECODE_ANY, NULL));
    refuse(word);
    if (good)
        json_object_set_new(object, key, good);
    else
        json_object_del(object, key);
}

static features run(const shoal_model *m)
{
    shoal_stream_params p = shoal_stream_default_params(m);
    return util_stream(m, p, pcm, SAMPLES, util_whole);
}

/* Both are closed. */
static void same_features(shoal_model *a, shoal_model *b)
{
    features x = run(a), y = run(b);
    util_same_bytes("features", &x, &y);
    features_free(&x);
    features_free(&y);
    shoal_model_close(a);
    shoal_model_close(b);
}

/* ---- format 1 and 2 ------------------------------------------------------------------------ */

START_TEST(tiny_gives_the_same_bytes_in_both)
{
    same_features(util_tiny(), image_accept(&im));
}
END_TEST

START_TEST(keys_must_mean_something)
{
    json_t *program = json_array_get(json_object_get(im.config, "programs"), 0);
    refuse_value(im.config, "program", "[]", "'program'");
    refuse_value(im.config, "depth", "12", "'depth'");
    refuse_value(im.config, "dim heads", "12", "'dim heads'");
    refuse_value(im.config, "", "12", "''");
    refuse_value(json_object_get(im.config, "frontend"), "preemphasis", "0.9", "'preemphasis'");
    refuse_value(program, "depth", "12", "'depth'");
    refuse_value(image_layer(&im, 3), "scale", "1", "'scale'");
    shoal_model_close(image_accept(&im));
}
END_TEST

/* ---- checksum ------------------------------------------------------------------------------ */

/* One bit in every byte of the header and in many of the weights. */
START_TEST(a_flipped_bit_is_found)
{
    size_t size, header;
    unsigned char *file = image_bytes(&im, &size);
    header = 8 + (file[0] | (size_t)file[1] << 8);
    for (size_t at = (size_t)_i; at < size; at += at < header ? 8 : 331) {
        unsigned char bit = (unsigned char)(1 << (at + at / 8) % 8);
        file[at] ^= bit;
        image_refuse_bytes(file, size, SHOAL_EMODEL, at < header ? NULL : "checksum");
        file[at] ^= bit;
    }
    free(file);
}
END_TEST

/* A change that leaves a whole, plausible file. */
START_TEST(changed_configurations_are_found)
{
    size_t size;
    unsigned char *file = image_bytes(&im, &size);
    unsigned char *at = memmem(file, size, "left_frames\\\":16", 16);
    ck_assert_ptr_nonnull(at);
    at[15] = '8';
    image_refuse_bytes(file, size, SHOAL_EMODEL, "checksum");
    free(file);
}
END_TEST

START_TEST(a_checksum_there_must_be)
{
    static const char *const bad[] = { "", "abc", "0000000G", "0123ABCD", "123456789" };
    json_t *meta = json_object_get(im.header, "__metadata__");
    im.no_sum = 1;
    refuse("'crc32' is missing");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_object_set_new(meta, "crc32", json_string(bad[i]));
        refuse("'crc32' must be");
    }
    json_object_set_new(meta, "crc32", json_string("0123abcd"));
    refuse("checksum");
    json_object_set_new(meta, "crc32", json_integer(12345678));
    refuse("'crc32' is missing");
}
END_TEST

/* Format 1 needs none; one that is there must fit. */
START_TEST(a_checksum_in_format_one)
{
    image_format_one(&im);
    shoal_model_close(image_accept(&im));
    json_object_set_new(json_object_get(im.header, "__metadata__"), "crc32",
                        json_string("0123abcd"));
    refuse("checksum");
}
END_TEST

/* ---- programs ------------------------------------------------------------------------------ */

static json_t *programs(void)
{
    return json_object_get(im.config, "programs");
}

static void add_program(const char *name, int layers)
{
    json_t *list = json_array();
    for (int i = 0; i < layers; i++)
        json_array_append(list, image_layer(&im, (size_t)i));
    json_array_append_new(programs(), json_pack("{s:s,s:o}", "name", name, "layers", list));
}

START_TEST(program_names_are_fit_for_urls)
{
    static const char *const bad[] = { "\"\"",
                                       "\"Base\"",
                                       "\"a b\"",
                                       "\"a&b\"",
                                       "\"ä\"",
                                       "7",
                                       "null",
                                       "[]",
                                       "\"a/b\"",
                                       "\"a%20\"",
                                       "\"01234567890123456789012345678901\"" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse_value(json_array_get(programs(), 0), "name", bad[i], "program 0: 'name'");
    json_object_del(json_array_get(programs(), 0), "name");
    refuse("name");
}
END_TEST

START_TEST(programs_are_1_to_16_of_different_names)
{
    char name[8];
    add_program("base", 3);
    refuse("two programs 'base'");
    json_array_remove(programs(), 1);
    for (int i = 1; i < 16; i++) {
        snprintf(name, sizeof name, "p%d", i);
        add_program(name, 1 + i % 12);
    }
    shoal_model_close(image_accept(&im));
    add_program("p16", 1);
    refuse("'programs'");
    json_array_clear(programs());
    refuse("'programs'");
    json_object_set_new(im.config, "programs", json_object());
    refuse("'programs'");
    json_object_del(im.config, "programs");
    refuse("'programs'");
}
END_TEST

/* What is wrong in a later program is refused, too, and by name. */
START_TEST(every_program_is_checked)
{
    add_program("pruned-7", 0);
    refuse("'pruned-7'");
    json_array_remove(programs(), 1);
    add_program("reuse", 7);
    json_t *layers = json_object_get(json_array_get(programs(), 1), "layers");
    json_array_set_new(layers, 3, json_deep_copy(image_layer(&im, 3)));
    json_t *entry = json_array_get(layers, 3);
    refuse_value(entry, "block", "1", "block");
    refuse_value(entry, "op", "\"mimic\"", "mimic");
    refuse_value(entry, "attn", "\"reuse\"", "reuse");
    json_array_append_new(programs(), json_string("base"));
    refuse("name");
}
END_TEST

/* ---- temperature and priors ------------------------------------------------------------------ */

START_TEST(temperature_of_1_changes_nothing)
{
    json_object_set_new(im.config, "temperature", json_real(1.0));
    shoal_model *m = image_accept(&im);
    ck_assert_float_eq(shoal_model_get_info(m)->temperature, 1.0f);
    same_features(util_tiny(), m);
}
END_TEST

/* log softmax(l / 2) is log softmax(l) / 2, normalised anew. */
START_TEST(temperature_divides_logits)
{
    shoal_model *plain = util_tiny();
    json_object_set_new(im.config, "temperature", json_integer(2));
    shoal_model *m = image_accept(&im);
    features a = run(plain), b = run(m);
    ck_assert_float_eq(shoal_model_get_info(m)->temperature, 2.0f);
    ck_assert_mem_eq(a.embedding, b.embedding, (size_t)(a.frames * DIM) * sizeof(float));
    for (int t = 0; t < a.frames; t++) {
        double sum = 0.0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp(0.5 * a.logp[t * CLASSES + c]);
        for (int c = 0; c < CLASSES; c++)
            ck_assert_double_eq_tol(b.logp[t * CLASSES + c],
                                    0.5 * a.logp[t * CLASSES + c] - log(sum), 1e-5);
    }
    features_free(&a);
    features_free(&b);
    shoal_model_close(plain);
    shoal_model_close(m);
}
END_TEST

START_TEST(temperatures_are_numbers_above_0)
{
    static const char *const bad[] = { "0", "-1", "\"1\"", "null", "1e9", "[1]", "0.01" };
    refuse_value(im.config, "temperature", bad[_i], "temperature");
}
END_TEST

START_TEST(smoothing_is_told)
{
    shoal_model *m = image_accept(&im);
    shoal_smooth_params p = shoal_smoother_default_params(m);
    ck_assert_float_eq(p.stay, 0.85f);
    ck_assert_float_eq(p.scale, 2.0f);
    ck_assert_float_eq(p.temperature, 3.5f);
    shoal_model_close(m);
    json_object_set_new(im.config, "smoothing_stay", json_real(0.75));
    json_object_set_new(im.config, "smoothing_temperature", json_integer(2));
    m = image_accept(&im);
    p = shoal_smoother_default_params(m);
    ck_assert_float_eq(p.stay, 0.75f);
    ck_assert_float_eq(p.scale, 2.0f);
    ck_assert_float_eq(p.temperature, 2.0f);
    shoal_model_close(m);
}
END_TEST

static const struct {
    const char *key, *value;
} strange_smoothing[] = {
    { "smoothing_stay", "0.3" },  { "smoothing_stay", "1" },          { "smoothing_stay", "\"x\"" },
    { "smoothing_scale", "0" },   { "smoothing_temperature", "11" },  { "smoothing_scale", "null" },
    { "smoothing_width", "0.5" }, { "smoothing_temperature", "[2]" },
};

START_TEST(smoothing_has_limits)
{
    refuse_value(im.config, strange_smoothing[_i].key, strange_smoothing[_i].value,
                 strange_smoothing[_i].key);
}
END_TEST

static void give_priors(int classes, float silence)
{
    float p[CLASSES + 1];
    for (int i = 0; i < classes; i++)
        p[i] = i ? (1.0f - silence) / (float)(classes - 1) : silence;
    image_add_tensor(&im, "head.priors", classes, 0, p);
}

START_TEST(priors_are_told)
{
    shoal_model *m = image_accept(&im);
    ck_assert_ptr_null(shoal_model_get_info(m)->priors);
    shoal_model_close(m);
    give_priors(CLASSES, 0.22f);
    m = image_accept(&im);
    ck_assert_float_eq(shoal_model_get_info(m)->priors[0], 0.22f);
    ck_assert_float_eq(shoal_model_get_info(m)->priors[39], 0.02f);
    shoal_model_close(m);
}
END_TEST

START_TEST(priors_are_shares)
{
    float p[CLASSES];
    give_priors(CLASSES + 1, 0.2f);
    refuse("head.priors");
    give_priors(CLASSES, 0.0f);
    refuse("head.priors");
    give_priors(CLASSES, -0.5f);
    refuse("head.priors");
    for (int i = 0; i < CLASSES; i++)
        p[i] = 0.05f;
    image_add_tensor(&im, "head.priors", CLASSES, 0, p);
    refuse("head.priors");
    give_priors(CLASSES, NAN);
    refuse("head.priors");
    give_priors(CLASSES, 0.2f);
    image_format_one(&im);
    refuse("head.priors"); /* which is unknown there */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_two");
    TCase *c = tcase_create("model_two");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, tiny_gives_the_same_bytes_in_both);
    tcase_add_test(c, keys_must_mean_something);
    tcase_add_loop_test(c, a_flipped_bit_is_found, 0, 8);
    tcase_add_test(c, changed_configurations_are_found);
    tcase_add_test(c, a_checksum_there_must_be);
    tcase_add_test(c, a_checksum_in_format_one);
    tcase_add_test(c, program_names_are_fit_for_urls);
    tcase_add_test(c, programs_are_1_to_16_of_different_names);
    tcase_add_test(c, every_program_is_checked);
    tcase_add_test(c, temperature_of_1_changes_nothing);
    tcase_add_test(c, temperature_divides_logits);
    tcase_add_loop_test(c, temperatures_are_numbers_above_0, 0, 7);
    tcase_add_test(c, smoothing_is_told);
    tcase_add_loop_test(c, smoothing_has_limits, 0,
                        sizeof strange_smoothing / sizeof *strange_smoothing);
    tcase_add_test(c, priors_are_told);
    tcase_add_test(c, priors_are_shares);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

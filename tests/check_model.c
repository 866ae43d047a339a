/* check_model.c - opening model files: good ones, and every kind of damage to the container
 *
 * A damaged file must give a negative code and a message that names what is wrong, and leave
 * nothing behind (run under ASan). Each case opens tests/data/tiny.safetensors as a
 * model_image, breaks one thing, and expects one word in the message. The configuration is
 * check_model_config.c's, the decoder's tables check_model_tables.c's, format 2
 * check_model_two.c's and check_model_types.c's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model_image.h"

static image im;

static void set_up(void)
{
    im = image_open(IMAGE_TINY);
}

static void tear_down(void)
{
    image_close(&im);
}

static void refuse(const char *word)
{
    image_refuse(&im, word);
}

/* ---- what computes ----------------------------------------------------------------------- */

static const struct {
    const char *level, *precision;
} fastest[] = {
    { "scalar", "fp32" }, { "avx2", "int8" }, { "avx512", "int8" },
    { "amx", "bf16" },    { "neon", "fp32" },
};

static bool is_level_here(const char *level)
{
#if defined(__x86_64__)
    return strcmp(level, "neon") != 0;
#elif defined(__aarch64__)
    return !strcmp(level, "scalar") || !strcmp(level, "neon");
#else
    return !strcmp(level, "scalar");
#endif
}

static void expect_no_such_level(const char *level)
{
    const shoal_model_params p = shoal_model_default_params();
    shoal_model *m;
    char why[256] = "", quoted[64];
    setenv("SHOAL_KERNELS", level, 1);
    ck_assert_int_eq(shoal_model_open_with(&m, IMAGE_TINY, &p, why, sizeof why), SHOAL_EBACKEND);
    snprintf(quoted, sizeof quoted, "SHOAL_KERNELS is '%s'", level);
    ck_assert_msg(strstr(why, quoted) && strstr(why, ": say scalar"), "%s", why);
}

/* A wrong word must not be the highest level, and measured as if it were another. */
START_TEST(a_level_that_there_is_not)
{
    shoal_model *m;
    char why[256] = "";
    expect_no_such_level("avx-2");
    expect_no_such_level("AVX2");
    expect_no_such_level("avx");
    setenv("SHOAL_KERNELS", "avx-2", 1);
    ck_assert_int_eq(shoal_model_open(&m, NULL, NULL, 0), SHOAL_EBACKEND);
    setenv("SHOAL_KERNELS", "", 1);
    ck_assert_msg(shoal_model_open(&m, NULL, why, sizeof why) == 0, "%s", why);
    shoal_model_close(m);
}
END_TEST

/* Whatever level this CPU has of those below the one asked for. */
START_TEST(auto_precision_is_the_levels_fastest)
{
    shoal_model_params p = shoal_model_default_params();
    const char *want = NULL;
    setenv("SHOAL_KERNELS", fastest[_i].level, 1);
    p.precision = SHOAL_PRECISION_AUTO;
    if (!is_level_here(fastest[_i].level)) {
        expect_no_such_level(fastest[_i].level);
        return;
    }
    shoal_model *m = util_tiny_with(p);
    ck_assert_ptr_nonnull(m);
    const shoal_model_info *i = shoal_model_get_info(m);
    for (size_t k = 0; k < sizeof fastest / sizeof *fastest; k++)
        if (!strcmp(fastest[k].level, i->kernels))
            want = fastest[k].precision;
    ck_assert_ptr_nonnull(want);
    ck_assert_str_eq(i->precision, want);
    ck_assert_msg(strstr(i->why, i->kernels) && strstr(i->why, i->backend) &&
                      strstr(i->why, want) && strstr(i->why, ": auto, "),
                  "%s", i->why);
    ck_assert_int_eq(!strstr(i->why, "SHOAL_KERNELS"), strcmp(i->kernels, fastest[_i].level) != 0);
    shoal_model_close(m);
}
END_TEST

/* A backend that has no other. */
START_TEST(auto_precision_falls_back_on_fp32)
{
    shoal_model_params p = { SHOAL_BACKEND_OPENBLAS, SHOAL_PRECISION_AUTO, SHOAL_CACHE_AUTO };
    char why[256];
    shoal_model *m;
    if (shoal_model_open_with(&m, IMAGE_TINY, &p, why, sizeof why) < 0)
        return; /* no OpenBLAS here */
    ck_assert_str_eq(shoal_model_get_info(m)->precision, "fp32");
    ck_assert_str_eq(shoal_model_get_info(m)->cache, "fp32");
    shoal_model_close(m);
}
END_TEST

START_TEST(no_such_precision)
{
    shoal_model_params p = shoal_model_default_params();
    shoal_model *m;
    char why[256] = "";
    p.precision = (shoal_precision)(SHOAL_PRECISION_AUTO + 1);
    ck_assert_int_eq(shoal_model_open_with(&m, IMAGE_TINY, &p, why, sizeof why), SHOAL_EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "precision"));
}
END_TEST

/* ---- good files -------------------------------------------------------------------------- */

START_TEST(built_in_model_is_sane)
{
    shoal_model *m = NULL;
    char why[256] = "";
    ck_assert_msg(shoal_model_open(&m, NULL, why, sizeof why) == 0, "%s", why);
    const shoal_model_info *i = shoal_model_get_info(m);
    ck_assert_int_eq(i->rate, 16000);
    ck_assert_int_eq(i->mels, 80);
    ck_assert_int_eq(i->frame_samples, 320);
    ck_assert_int_eq(i->window_extra_samples, 240);
    ck_assert_int_eq(i->classes, 40);
    ck_assert_str_eq(i->labels[0], "SIL");
    for (int k = 1; k < i->classes; k++)
        ck_assert_str_ne(i->labels[k], i->labels[k - 1]);
    ck_assert_int_ge(i->depth, 1);
    ck_assert_int_le(i->left_frames, i->max_left_frames);
    json_t *card = json_load_file(SRCDIR "/models/shoal-base.json", 0, NULL);
    ck_assert_uint_eq(i->parameters, json_integer_value(json_object_get(card, "weights")));
    ck_assert_str_eq(i->sha256, json_string_value(json_object_get(card, "sha256")));
    json_decref(card);
    ck_assert(*i->name && *i->backend && *i->kernels);
    shoal_model_close(m);
    shoal_model_close(NULL);
}
END_TEST

START_TEST(tiny_model_says_what_it_is)
{
    shoal_model *m = util_tiny();
    const shoal_model_info *i = shoal_model_get_info(m);
    shoal_stream_params p = shoal_stream_default_params(m);
    ck_assert_str_eq(i->name, "tiny");
    ck_assert(i->dim == 32 && i->depth == 12 && i->delay_frames == 2 && i->left_frames == 16);
    ck_assert(p.depth == 12 && p.chunk_frames == 8 && p.left_frames == 16);
    shoal_model_close(m);
}
END_TEST

START_TEST(untouched_image_opens)
{
    size_t size;
    shoal_model *m = NULL;
    unsigned char *file = image_bytes(&im, &size);
    ck_assert_int_eq(shoal_model_open_memory(&m, file, size, NULL, 0), 0);
    memset(file, 0xff, size); /* the model has its own copy */
    free(file);
    shoal_model_close(m);
}
END_TEST

START_TEST(missing_files_are_named)
{
    shoal_model *m = NULL;
    char why[256] = "", tiny_why[1];
    ck_assert_int_eq(shoal_model_open(&m, "/no/such.safetensors", why, sizeof why), SHOAL_EIO);
    ck_assert_ptr_nonnull(strstr(why, "/no/such.safetensors"));
    ck_assert_int_eq(shoal_model_open(&m, "/", why, sizeof why), SHOAL_EIO);
    ck_assert_int_eq(shoal_model_open(&m, "/dev/null", NULL, 0), SHOAL_EIO);
    ck_assert_int_eq(shoal_model_open(&m, "/no/such", tiny_why, 1), SHOAL_EIO);
    ck_assert_int_eq(shoal_model_open(&m, __FILE__, why, sizeof why), SHOAL_EMODEL);
    ck_assert_ptr_null(m);
}
END_TEST

/* ---- truncation and the container -------------------------------------------------------- */

START_TEST(every_truncation_is_refused)
{
    size_t size, header;
    unsigned char *file = image_bytes(&im, &size);
    header = 8 + (file[0] | (size_t)file[1] << 8 | (size_t)file[2] << 16);
    for (size_t n = 0; n < size; n += n < 16 || size - n < 16 ? 1 : 97)
        image_refuse_bytes(file, n, SHOAL_EMODEL, NULL);
    for (size_t n = header - 70; n < header + 8; n++)
        image_refuse_bytes(file, n, SHOAL_EMODEL, NULL);
    const char *name;
    json_t *entry;
    json_object_foreach(im.header, name, entry)
    {
        json_t *end = json_array_get(json_object_get(entry, "data_offsets"), 1);
        for (size_t back = 1; end && back < 5; back++)
            image_refuse_bytes(file, header + (size_t)json_integer_value(end) - back, SHOAL_EMODEL,
                               "truncated");
    }
    free(file);
}
END_TEST

START_TEST(header_length_lies)
{
    static const uint64_t lies[] = { 0,          1,
                                     2,          7,
                                     63,         1 << 16,
                                     4 << 20,    (4 << 20) + 4,
                                     UINT32_MAX, (uint64_t)1 << 40,
                                     INT64_MAX,  UINT64_MAX - 7,
                                     UINT64_MAX };
    size_t size;
    unsigned char *file = image_bytes(&im, &size);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        for (int k = 0; k < 8; k++)
            file[k] = (unsigned char)(lies[i] >> (8 * k));
        image_refuse_bytes(file, size, SHOAL_EMODEL, "header");
    }
    free(file);
}
END_TEST

/* A file of this header text alone. */
static void refuse_text(const char *text, const char *word)
{
    size_t n = strlen(text), padded = (n + 3) / 4 * 4;
    unsigned char *file = malloc(8 + padded);
    memset(file, ' ', 8 + padded);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    memcpy(file + 8, text, n);
    image_refuse_bytes(file, 8 + padded, SHOAL_EMODEL, word);
    free(file);
}

START_TEST(header_is_not_what_it_should_be)
{
    refuse_text("", "header");
    refuse_text("[]", "JSON object");
    refuse_text("null", "JSON object");
    refuse_text("{}", "metadata");
    refuse_text("{\"__metadata__\": 3}", "metadata");
    refuse_text("{\"__metadata__\": {\"shoal\": 3}}", "metadata");
    refuse_text("{\"__metadata__\": {\"shoal\": \"{\"}}", "JSON");
    refuse_text("{\"__metadata__\": {\"shoal\": \"[]\"}}", "configuration");
    refuse_text("{\"a\": 1, \"a\": 2}", "duplicate");
    refuse_text("{\"a\": {}}", "'a'");
    refuse_text("{\"a\": []}", "'a'");
    refuse_text("{\"a\": {\"dtype\": \"F32\"}}", "shape");
    refuse_text("{\"a\": {\"dtype\": \"F32\", \"shape\": [1]}}", "outside");
    refuse_text("{\"a\": {\"dtype\": 7, \"shape\": [1], \"data_offsets\": [0, 4]}}", "dtype");
    refuse_text("{\"\\ud800\": 1}", "JSON");
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    size_t depth = 200000;
    char *text = malloc(depth + 16);
    strcpy(text, "{\"a\":");
    memset(text + 5, '[', depth);
    text[5 + depth] = '\0';
    refuse_text(text, "JSON");
    free(text);
    json_t *deep = json_array();
    for (int i = 0; i < 1500; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    json_object_set_new(im.config, "program", deep);
    refuse("'op'"); /* an array is no program entry */
}
END_TEST

START_TEST(too_many_tensors)
{
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        json_object_set_new(im.header, name, json_integer(1));
    }
    refuse("tensors");
}
END_TEST

/* ---- tensors ----------------------------------------------------------------------------- */

/* The _i-th tensor of the file; NULL at the end. */
static const char *nth_tensor(int index)
{
    const char *name;
    json_t *entry;
    json_object_foreach(im.header, name,
                        entry) if (strcmp(name, "__metadata__") && index-- == 0) return name;
    return NULL;
}

enum { TENSORS = 44 };

START_TEST(every_tensor_is_needed_as_it_is)
{
    char name[100];
    ck_assert_ptr_null(nth_tensor(TENSORS));
    snprintf(name, sizeof name, "%s", nth_tensor(_i));
    json_t *entry = image_tensor(&im, name), *shape = json_object_get(entry, "shape");
    json_int_t first = json_integer_value(json_array_get(shape, 0));
    for (int by = -1; by <= 1; by += 2) { /* shape off by one, size as it was */
        json_array_set_new(shape, 0, json_integer(first + by));
        refuse(name);
    }
    json_array_set_new(shape, 0, json_integer(first));
    json_array_insert_new(shape, 0, json_integer(1)); /* one dimension too many */
    refuse(name);
    json_array_remove(shape, 0);
    json_object_set_new(entry, "dtype", json_string("I32")); /* the right size */
    refuse(name);
    json_object_set_new(entry, "dtype", json_string("F64"));
    refuse(name);
    json_object_set_new(entry, "dtype", json_string("F32"));
    json_int_t at = json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 0));
    float saved, nan = _i % 2 ? NAN : -INFINITY;
    memcpy(&saved, im.body + at, sizeof saved);
    memcpy(im.body + at, &nan, sizeof nan);
    refuse(name);
    memcpy(im.body + at, &saved, sizeof saved);
    json_object_del(im.header, name);
    refuse(name);
}
END_TEST

/* Consistent with its bytes, but one row short of what the configuration says. */
START_TEST(one_row_less_is_refused)
{
    json_t *entry = image_tensor(&im, "head.weight");
    json_int_t begin =
        json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 0));
    json_array_set_new(json_object_get(entry, "shape"), 0, json_integer(39));
    image_set_offset(&im, "head.weight", 1, begin + 39 * 32 * 4);
    refuse("head.weight");
}
END_TEST

START_TEST(offsets_lie)
{
    static const json_int_t lies[] = { -1, -4, INT64_MIN, INT64_MAX, 1LL << 40, 1LL << 32, 0, 2 };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        for (size_t which = 0; which < 2; which++) {
            json_t *offsets = json_object_get(image_tensor(&im, "head.bias"), "data_offsets");
            json_int_t saved = json_integer_value(json_array_get(offsets, which));
            image_set_offset(&im, "head.bias", which, lies[i]);
            refuse("head.bias");
            image_set_offset(&im, "head.bias", which, saved);
        }
    json_t *offsets = json_object_get(image_tensor(&im, "head.bias"), "data_offsets");
    json_array_append_new(offsets, json_integer(0));
    refuse("head.bias");
    json_array_remove(offsets, 2);
    json_array_set_new(offsets, 0, json_real(0.5));
    refuse("head.bias");
    json_object_set_new(image_tensor(&im, "head.bias"), "data_offsets", json_string("0,4"));
    refuse("head.bias");
}
END_TEST

START_TEST(overlap_and_misalignment)
{
    json_t *window = json_object_get(image_tensor(&im, "frontend.window"), "data_offsets");
    json_t *other =
        json_array_get(json_object_get(image_tensor(&im, "frontend.mean"), "data_offsets"), 0);
    json_int_t begin = json_integer_value(other);
    json_array_set_new(window, 0, json_integer(begin + 4));
    json_array_set_new(window, 1, json_integer(begin + 1604));
    refuse("overlap");
    im.body = realloc(im.body, im.body_size + 1604); /* apart, but on an odd address */
    memset(im.body + im.body_size, 0, 1604);
    json_array_set_new(window, 0, json_integer((json_int_t)im.body_size + 1));
    json_array_set_new(window, 1, json_integer((json_int_t)im.body_size + 1601));
    im.body_size += 1604;
    refuse("frontend.window");
}
END_TEST

START_TEST(shapes_that_overflow)
{
    static const char *const shapes[] = {
        "[16777216, 16777216, 16777216, 16777216]",
        "[-1]",
        "[0]",
        "[1.0]",
        "[16777217]",
        "{}",
        "[1,1,1,1,1]",
        "\"4\"",
        "[4611686018427387904, 4]",
        "null",
        "[null]",
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        json_object_set_new(image_tensor(&im, "head.bias"), "shape",
                            json_loads(shapes[i], JSON_DECODE_ANY, NULL));
        refuse("head.bias");
    }
}
END_TEST

START_TEST(extra_tensors_are_refused)
{
    json_object_set_new(im.header, "router.0.weight",
                        json_pack("{s:s, s:[i], s:[i, i]}", "dtype", "F32", "shape", 1,
                                  "data_offsets", (int)im.body_size, (int)im.body_size + 4));
    im.body = realloc(im.body, im.body_size + 4);
    memset(im.body + im.body_size, 0, 4);
    im.body_size += 4;
    refuse("router.0.weight");
}
END_TEST

/* shoal.h says what configure says (shoal_version has it from there). */
START_TEST(header_tells_the_version)
{
    char parts[32];
    snprintf(parts, sizeof parts, "%d.%d.%d", SHOAL_VERSION_MAJOR, SHOAL_VERSION_MINOR,
             SHOAL_VERSION_PATCH);
    ck_assert_str_eq(SHOAL_VERSION, shoal_version());
    ck_assert_str_eq(parts, shoal_version());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *c = tcase_create("model");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, header_tells_the_version);
    tcase_add_test(c, a_level_that_there_is_not);
    tcase_add_loop_test(c, auto_precision_is_the_levels_fastest, 0, 5);
    tcase_add_test(c, auto_precision_falls_back_on_fp32);
    tcase_add_test(c, no_such_precision);
    tcase_add_test(c, built_in_model_is_sane);
    tcase_add_test(c, tiny_model_says_what_it_is);
    tcase_add_test(c, untouched_image_opens);
    tcase_add_test(c, missing_files_are_named);
    tcase_add_test(c, every_truncation_is_refused);
    tcase_add_test(c, header_length_lies);
    tcase_add_test(c, header_is_not_what_it_should_be);
    tcase_add_test(c, deep_nesting_is_refused);
    tcase_add_test(c, too_many_tensors);
    tcase_add_loop_test(c, every_tensor_is_needed_as_it_is, 0, TENSORS);
    tcase_add_test(c, one_row_less_is_refused);
    tcase_add_test(c, offsets_lie);
    tcase_add_test(c, overlap_and_misalignment);
    tcase_add_test(c, shapes_that_overflow);
    tcase_add_test(c, extra_tensors_are_refused);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

/* check_model_types.c - the narrow types of model files of format 2: F16, BF16, I8 with scales
 *
 * A model with narrow tensors must compute what one computes whose F32 tensors hold the widened
 * values; and every value must widen to what its type says. See check_model_two.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model/widen.h"
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

/* ---- types --------------------------------------------------------------------------------- */

static const char *const narrow[] = { "F16", "BF16", "I8" };

/* Every matrix but the decoder's as random values of the type, and in *plain the same as F32. */
static void narrow_matrices(image *plain, const char *dtype)
{
    const char *name;
    void *next;
    json_t *entry;
    uint32_t seed = 3;
    json_object_foreach_safe(plain->header, next, name, entry)
    {
        json_t *sizes = json_object_get(entry, "shape");
        int shape[2] = { (int)json_integer_value(json_array_get(sizes, 0)),
                         (int)json_integer_value(json_array_get(sizes, 1)) };
        size_t n = (size_t)shape[0] * (size_t)shape[1];
        if (json_array_size(sizes) != 2 || !strncmp(name, "decoder", 7))
            continue;
        float *wide = malloc(n * sizeof *wide), scale[256];
        uint16_t *bytes = malloc(n * sizeof *bytes); /* enough for I8 too */
        for (size_t i = 0; i < n; i++)               /* about 0.02 to 0.2 in size, both signs */
            bytes[i] = (uint16_t)((util_rand(&seed) & 0x83ff) | (*dtype == 'F' ? 0x2800 : 0x3d00));
        for (int i = 0; i < shape[0]; i++)
            scale[i] = 0.0005f * (float)(1 + i % 5);
        if (*dtype == 'I')
            shoal__widen_i8(wide, bytes, scale, (size_t)shape[0], (size_t)shape[1]);
        else
            (*dtype == 'F' ? shoal__widen_f16 : shoal__widen_bf16)(wide, bytes, n);
        char copy[100], scales[110];
        snprintf(copy, sizeof copy, "%s", name);
        snprintf(scales, sizeof scales, "%s.scale", name);
        image_add(plain, copy, "F32", shape, wide);
        image_add(&im, copy, dtype, shape, bytes);
        if (*dtype == 'I')
            image_add_tensor(&im, scales, shape[0], 0, scale);
        free(wide);
        free(bytes);
    }
}

START_TEST(narrow_types_are_what_they_widen_to)
{
    image plain = image_open(IMAGE_TINY);
    narrow_matrices(&plain, narrow[_i]);
    shoal_model *a = image_accept(&plain), *b = image_accept(&im);
    ck_assert_uint_eq(shoal_model_get_info(a)->parameters, shoal_model_get_info(b)->parameters);
    same_features(a, b);
    image_close(&plain);
}
END_TEST

/* Vectors may be of 16 bits. */
START_TEST(vectors_may_be_narrow)
{
    uint16_t ones[DIM];
    float wide[DIM];
    image plain = image_open(IMAGE_TINY);
    for (int i = 0; i < DIM; i++)
        ones[i] = (uint16_t)(0x3c00 + i);
    shoal__widen_f16(wide, ones, DIM);
    image_add(&im, "norms.0.att.weight", "F16", (int[]){ DIM, 0 }, ones);
    image_add_tensor(&plain, "norms.0.att.weight", DIM, 0, wide);
    same_features(image_accept(&plain), image_accept(&im));
    image_close(&plain);
}
END_TEST

START_TEST(types_that_are_not_allowed)
{
    static const char *const others[] = { "U8", "I32", "F64", "F8_E4M3", "", "f32" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        json_object_set_new(image_tensor(&im, "head.bias"), "dtype", json_string(others[i]));
        refuse("head.bias");
    }
    image_add(&im, "head.bias", "I8", (int[]){ CLASSES, 0 }, NULL); /* a vector */
    refuse("F16 or BF16");
    image_add(&im, "head.bias", "F16", (int[]){ CLASSES - 1, 0 }, NULL);
    refuse("head.bias");
}
END_TEST

START_TEST(format_one_is_f32)
{
    image_add(&im, "head.weight", narrow[_i], (int[]){ CLASSES, DIM }, NULL);
    image_add_tensor(&im, "head.weight.scale", CLASSES, 0, NULL);
    image_format_one(&im);
    refuse("needs F32 [40,32]");
}
END_TEST

START_TEST(narrow_numbers_must_be_finite)
{
    static const uint16_t bad[] = { 0x7e00, 0x7c00, 0xfc00, 0x7fc0, 0x7f80, 0xff80 };
    uint16_t values[CLASSES] = { 0 };
    values[CLASSES - 1] = bad[_i];
    image_add(&im, "head.bias", _i < 3 ? "F16" : "BF16", (int[]){ CLASSES, 0 }, values);
    refuse("'head.bias' holds a NaN");
}
END_TEST

/* Of the right size, but on an odd address. */
START_TEST(narrow_tensors_are_aligned)
{
    image_add(&im, "head.bias", "F16", (int[]){ CLASSES, 0 }, NULL);
    im.body = realloc(im.body, im.body_size + 1);
    im.body[im.body_size] = 0;
    image_set_offset(&im, "head.bias", 0, (json_int_t)im.body_size + 1 - 2 * CLASSES);
    image_set_offset(&im, "head.bias", 1, (json_int_t)im.body_size + 1);
    im.body_size++;
    refuse("head.bias");
}
END_TEST

START_TEST(i8_needs_its_scales)
{
    static const float bad[] = { 0.0f, -1.0f, NAN, INFINITY, 3e38f };
    float scale[CLASSES];
    signed char values[CLASSES * DIM];
    memset(values, 100, sizeof values);
    image_add(&im, "head.weight", "I8", (int[]){ CLASSES, DIM }, values);
    refuse("'head.weight.scale' F32 [40]");
    image_add(&im, "head.weight.scale", "F16", (int[]){ CLASSES, 0 }, NULL);
    refuse("head.weight.scale");
    image_add_tensor(&im, "head.weight.scale", CLASSES + 1, 0, NULL);
    refuse("head.weight.scale");
    image_add_tensor(&im, "head.weight.scale", CLASSES, 1, NULL);
    refuse("head.weight.scale");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int k = 0; k < CLASSES; k++)
            scale[k] = k == 7 ? bad[i] : 0.01f;
        image_add_tensor(&im, "head.weight.scale", CLASSES, 0, scale);
        refuse("head.weight");
    }
}
END_TEST

/* Scales of what is not I8 belong to nothing. */
START_TEST(scales_belong_to_i8)
{
    image_add_tensor(&im, "head.weight.scale", CLASSES, 0, NULL);
    refuse("head.weight.scale");
}
END_TEST

/* ---- widening ------------------------------------------------------------------------------ */

/* All 65,536, against the definition: 2^(e - 15) (1 + m / 1024), below e = 1 2^-14 m / 1024. */
START_TEST(every_half_widens)
{
    for (unsigned h = 0; h < 0x10000; h++) {
        uint16_t bits = (uint16_t)h;
        int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
        double size = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
        double want = e == 31 ? m ? NAN : (double)INFINITY : size;
        float got;
        shoal__widen_f16(&got, &bits, 1);
        ck_assert_int_eq(signbit(got) != 0, (int)(h >> 15));
        ck_assert(isnan(want) ? isnan(got) : fabs((double)got) == want);
    }
}
END_TEST

START_TEST(bf16_and_i8_widen)
{
    static const uint16_t bits[] = { 0x3f80, 0xc000, 0x0000, 0x7f80, 0x4049 };
    static const signed char values[] = { 1, -128, 127, 3 };
    float f[5];
    shoal__widen_bf16(f, bits, 5);
    ck_assert(f[0] == 1.0f && f[1] == -2.0f && f[2] == 0.0f && isinf(f[3]) && f[4] == 3.140625f);
    shoal__widen_i8(f, values, (const float[]){ 0.5f, 2.0f }, 2, 2);
    ck_assert(f[0] == 0.5f && f[1] == -64.0f && f[2] == 254.0f && f[3] == 6.0f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_types");
    TCase *c = tcase_create("model_types");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, narrow_types_are_what_they_widen_to, 0, 3);
    tcase_add_test(c, vectors_may_be_narrow);
    tcase_add_test(c, types_that_are_not_allowed);
    tcase_add_loop_test(c, format_one_is_f32, 0, 3);
    tcase_add_loop_test(c, narrow_numbers_must_be_finite, 0, 6);
    tcase_add_test(c, narrow_tensors_are_aligned);
    tcase_add_test(c, i8_needs_its_scales);
    tcase_add_test(c, scales_belong_to_i8);
    tcase_add_test(c, every_half_widens);
    tcase_add_test(c, bf16_and_i8_widen);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

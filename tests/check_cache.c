/* check_cache.c - streams that remember in 32, 16 and 8 bits
 *
 * What holds for every cache: the same bytes alone and in company, in any slicing; a layer that
 * wakes takes a copy; and how large it is. And what each costs: features near those of fp32.
 */
#include <string.h>

#include "engine_util.h"

enum { SAMPLES = 12000, COMPANY = 5 };

static float pcm[SAMPLES];

static shoal_model *open_with(shoal_cache cache)
{
    shoal_model *m = util_tiny_with((shoal_model_params){ SHOAL_BACKEND_OWN, SHOAL_FP32, cache });
    ck_assert_ptr_nonnull(m);
    return m;
}

static shoal_stream_params params(const shoal_model *m, int chunk, int left)
{
    shoal_stream_params p = shoal_stream_default_params(m);
    p.chunk_frames = chunk;
    p.left_frames = left;
    return p;
}

/* Stream 0 of n; the others hear it later and at other depths. Half-way all go deep. */
static features in_company(const shoal_model *m, shoal_stream_params p, int n)
{
    shoal_stream *s[COMPANY];
    shoal_result r[COMPANY];
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_batch_new(&b, m, 64 * COMPANY), 0);
    for (int i = 0; i < n; i++) {
        p.depth = i ? 1 + i : 4;
        ck_assert_int_eq(shoal_stream_new(&s[i], m, &p), 0);
    }
    for (size_t at[COMPANY] = { 0 }; at[0] < SAMPLES;) {
        for (int i = 0; i < n; i++)
            while (!shoal_stream_ready(s[i])) {
                size_t from = (at[i] + 777u * (unsigned)i) % SAMPLES;
                ptrdiff_t took = shoal_stream_feed(s[i], pcm + from, SAMPLES - from);
                ck_assert_int_ge(took, 0);
                at[i] += (size_t)took;
            }
        for (int i = 0; i < n && at[0] > SAMPLES / 2; i++)
            ck_assert_int_eq(shoal_stream_set_depth(s[i], 12), 0);
        ck_assert_int_eq(shoal_batch_run(b, s, n, r), 0);
        features_add(&f, &r[0]);
    }
    for (int i = 0; i < n; i++)
        shoal_stream_free(s[i]);
    shoal_batch_free(b);
    return f;
}

static void same_bytes(const features *a, const features *b)
{
    ck_assert_int_gt(a->frames, 20);
    util_same_bytes("features", a, b);
}

/* Chunks and left contexts that are no multiple of a block, too. */
START_TEST(company_and_slicing_change_nothing)
{
    static const int shapes[][2] = { { 8, 16 }, { 3, 21 }, { 17, 5 }, { 1, 33 } };
    shoal_model *m = open_with((shoal_cache)_i);
    for (int i = 0; i < 4; i++) {
        shoal_stream_params p = params(m, shapes[i][0], shapes[i][1]);
        features alone = in_company(m, p, 1), among = in_company(m, p, COMPANY);
        features whole = util_stream(m, p, pcm, SAMPLES, util_whole);
        features sliced = util_stream(m, p, pcm, SAMPLES, (slicing){ 5, 700 });
        same_bytes(&alone, &among);
        same_bytes(&whole, &sliced);
        features_free(&alone), features_free(&among);
        features_free(&whole), features_free(&sliced);
    }
    shoal_model_close(m);
}
END_TEST

/* Largest difference of log posteriors from those of fp32 caches, with depths that change. */
static double worst(const shoal_model *exact, const shoal_model *m, int chunk, int left)
{
    features want = in_company(exact, params(exact, chunk, left), 1);
    features got = in_company(m, params(m, chunk, left), 1);
    double d = util_max_diff(got.logp, want.logp, (size_t)(want.frames * want.classes));
    util_all_finite("logp", got.logp, (size_t)(got.frames * got.classes));
    features_free(&want);
    features_free(&got);
    return d;
}

START_TEST(features_stay_near)
{
    static const double most[] = {
        [SHOAL_CACHE_BF16] = 3e-2, [SHOAL_CACHE_F16] = 2e-3, [SHOAL_CACHE_INT8] = 3e-2
    };
    shoal_model *exact = open_with(SHOAL_CACHE_F32), *m = open_with((shoal_cache)_i);
    double d = worst(exact, m, 8, 16), e = worst(exact, m, 5, 21);
    ck_assert_msg(d <= most[_i] && e <= most[_i], "cache %s: %g, %g",
                  shoal_model_get_info(m)->cache, d, e);
    ck_assert_msg(d > 0.0, "cache %s: nothing was rounded", shoal_model_get_info(m)->cache);
    shoal_model_close(m);
    shoal_model_close(exact);
}
END_TEST

START_TEST(fp32_products_remember_in_fp32)
{
    shoal_model *m = open_with(SHOAL_CACHE_AUTO), *exact = open_with(SHOAL_CACHE_F32);
    ck_assert_str_eq(shoal_model_get_info(m)->cache, "fp32");
    ck_assert_double_eq(worst(exact, m, 8, 16), 0.0);
    shoal_model_close(m);
    shoal_model_close(exact);
}
END_TEST

/* The shipped model at full depth, 160 ms chunks: what docs and headers say. */
START_TEST(memory_is_what_is_said)
{
    static const size_t most[] = { 1770000, 1770000, 900000, 900000, 520000 };
    shoal_model_params p = { SHOAL_BACKEND_OWN, SHOAL_FP32, (shoal_cache)_i };
    shoal_model *m;
    shoal_stream *s;
    char why[256];
    ck_assert_msg(shoal_model_open_with(&m, NULL, &p, why, sizeof why) == 0, "%s", why);
    shoal_stream_params sp = shoal_stream_default_params(m);
    ck_assert_int_eq(shoal_stream_new(&s, m, &sp), 0);
    ck_assert_int_gt(shoal_stream_feed(s, pcm, 1000), 0);
    ck_assert_uint_le(shoal_stream_memory(s), most[_i]);
    ck_assert_uint_gt(shoal_stream_memory(s), most[_i] * 9 / 10);
    shoal_stream_free(s);
    shoal_model_close(m);
}
END_TEST

START_TEST(no_such_cache)
{
    shoal_model_params p = shoal_model_default_params();
    shoal_model *m;
    char why[256];
    p.cache = (shoal_cache)(SHOAL_CACHE_INT8 + 1);
    ck_assert_int_eq(shoal_model_open_with(&m, NULL, &p, why, sizeof why), SHOAL_EINVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cache");
    TCase *c = tcase_create("cache");
    util_signal(pcm, SAMPLES);
    tcase_add_loop_test(c, company_and_slicing_change_nothing, SHOAL_CACHE_AUTO,
                        SHOAL_CACHE_INT8 + 1);
    tcase_add_loop_test(c, features_stay_near, SHOAL_CACHE_BF16, SHOAL_CACHE_INT8 + 1);
    tcase_add_test(c, fp32_products_remember_in_fp32);
    tcase_add_loop_test(c, memory_is_what_is_said, SHOAL_CACHE_AUTO, SHOAL_CACHE_INT8 + 1);
    tcase_add_test(c, no_such_cache);
    suite_add_tcase(s, c);
    return suite_run(s);
}

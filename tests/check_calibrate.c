/* check_calibrate.c - calibration ends, whatever the engine answers
 *
 * The engine's feed goes through the function below (-Wl,--wrap=shoal_stream_feed,
 * tests/Makefile.am), which fails from some call on, as it does without memory.
 */
#include <check.h>
#include <stdlib.h>

#include "work/calibrate.h"
#include "suite.h"

ptrdiff_t __real_shoal_stream_feed(shoal_stream *s, const float *pcm, size_t n);
ptrdiff_t __wrap_shoal_stream_feed(shoal_stream *s, const float *pcm, size_t n);

static int feeds_left;

ptrdiff_t __wrap_shoal_stream_feed(shoal_stream *s, const float *pcm, size_t n)
{
    return feeds_left-- > 0 ? __real_shoal_stream_feed(s, pcm, n) : SHOAL_ENOMEM;
}

static int calibrate(int feeds, shoald_cost *c)
{
    const shoal_model_params params = shoal_model_default_params();
    shoald_service service;
    shoal_batch *b;
    char why[256];

    ck_assert_msg(shoald_service_open(&service, SRCDIR "/tests/data/tiny.safetensors", &params, why,
                                      sizeof why) == 0,
                  "%s", why);
    ck_assert_int_eq(shoal_batch_new(&b, service.model, 128), 0);
    feeds_left = feeds;
    int result = shoald_calibrate(c, &service, b);
    shoal_batch_free(b);
    shoald_service_close(&service);
    return result;
}

START_TEST(without_memory_it_ends_with_an_error)
{
    shoald_cost c;
    int failed = 0;

    for (int feeds = 0; feeds < 200; feeds += 20) {
        int result = calibrate(feeds, &c);

        /* (calibration has a time limit: a slow machine may end before its memory does) */
        ck_assert_int_eq(result, feeds_left < 0 ? SHOAL_ENOMEM : 0);
        failed += result != 0;
    }
    ck_assert_int_ge(failed, 2); /* each stream is fed at least twice */
}
END_TEST

START_TEST(with_memory_it_measures)
{
    shoald_cost c = { 0 };

    ck_assert_int_eq(calibrate(1 << 30, &c), 0);
    ck_assert_double_gt(c.speed, 0);
    ck_assert_double_gt(c.shape.other, 0);
    ck_assert_double_gt(shoald_cost_share(&c, 12, 8), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("calibrate");
    TCase *t = tcase_create("calibrate");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, without_memory_it_ends_with_an_error);
    tcase_add_test(t, with_memory_it_measures);
    suite_add_tcase(s, t);
    return suite_run(s);
}

/* check_client_again.c - when a session is tried again and from where, and rows that are no frames
 *
 * The pure parts under check_client_resume.c.
 */
#include <check.h>
#include <limits.h>
#include <stdlib.h>

#include "lib/client_again.h"
#include "lib/client_join.h"
#include "suite.h"

/* ---- when, and from where ---- */

START_TEST(waits_double_and_spread)
{
    ck_assert_int_eq(shoal__again_wait_ms(0, 0, 0), 250);
    ck_assert_int_eq(shoal__again_wait_ms(0, 0, 999), 374);
    ck_assert_int_eq(shoal__again_wait_ms(3, 500, 0), 2000);
    ck_assert_int_eq(shoal__again_wait_ms(100, 500, 0), 5000);
    ck_assert_int_eq(shoal__again_wait_ms(0, 60000, 500), 75000); /* the server knows better */
}
END_TEST

START_TEST(a_wait_never_overflows)
{
    ck_assert_int_eq(shoal__again_wait_ms(0, INT_MAX, 999), INT_MAX);
    ck_assert_int_eq(shoal__again_wait_ms(INT_MAX, INT_MAX - 1, 1), INT_MAX);
}
END_TEST

START_TEST(patience_is_renewed_by_results_alone)
{
    shoal_client_failure lost = { .cause = SHOAL_CLIENT_LOST, .retry_ms = 500 };
    shoal__patience p = { 0 };

    ck_assert_int_eq(shoal__again_plan(&p, &lost, 0, 1000, 3000, 0), 500);
    ck_assert_int_eq(shoal__again_plan(&p, &lost, 0, 1600, 3000, 0), 500);
    ck_assert_int_eq(shoal__again_plan(&p, &lost, 0, 2200, 3000, 0), 1000);
    ck_assert_int_eq(shoal__again_plan(&p, &lost, 0, 3300, 3000, 0), 700); /* the last one */
    ck_assert_int_eq(shoal__again_plan(&p, &lost, 0, 4000, 3000, 0), -1);
    ck_assert_int_eq(shoal__again_plan(&p, &lost, 1, 9000, 3000, 0), 500);
    ck_assert_int_eq(shoal__again_plan(&p, &lost, 0, 12000, 3000, 0), -1);
}
END_TEST

START_TEST(a_wait_beyond_patience_ends_it_at_once)
{
    shoal_client_failure full = { .cause = SHOAL_CLIENT_FULL, .retry_ms = 3001 };
    shoal__patience p = { 0 };

    full.error.retry_after_ms = 3001;
    ck_assert_int_eq(shoal__again_plan(&p, &full, 0, 1000, 3000, 0), -1);
    full.retry_ms = full.error.retry_after_ms = 2900;
    ck_assert_int_eq(shoal__again_plan(&p, &full, 0, 1000, 3000, 0), 2900);
    ck_assert_int_eq(shoal__again_plan(&p, &full, 0, 3900, 3000, 0), -1);
    full.retry_ms = full.error.retry_after_ms = INT_MAX;
    ck_assert_int_eq(shoal__again_plan(&p, &full, 1, 1000, INT_MAX, 999), INT_MAX);
}
END_TEST

START_TEST(a_replay_begins_where_all_begins_anew)
{
    shoal_ready server = { .model_rate = 16000, .latency_ms = 235 };

    server.options = shoal_options_default();
    server.options.depth_min = server.options.depth_max = 1;
    server.options.left_ms = 160;
    server.options.rate = 11025; /* a sample begins with each second frame only */
    for (uint64_t next = 0; next < 2000; next += 7)
        for (uint64_t origin = 0; origin < 60; origin += 20) {
            uint64_t frame = shoal__again_frame(&server, next, origin);

            ck_assert_msg(frame + 179 <= next || frame <= origin, "%llu is too late for %llu",
                          (unsigned long long)frame, (unsigned long long)next);
            ck_assert_uint_eq(frame % 2, 0);
            if (frame > origin)
                ck_assert_uint_eq((frame - origin) % 8, 0);
        }
    ck_assert_uint_eq(shoal__again_first_frame(&server, 0), 0);
    ck_assert_uint_eq(shoal__again_first_frame(&server, 1), 2);
    ck_assert_uint_eq(shoal__again_first_frame(&server, 882), 2); /* 441 samples are 40 ms */
}
END_TEST

/* Two rows a frame. */
START_TEST(log_mels_join_by_their_frames)
{
    shoal_packet p = { .kind = SHOAL_KIND_MEL,
                       .encoding = SHOAL_ENCODING_F32,
                       .first_frame = 180,
                       .start_sample = 180 * 320,
                       .received = 190 * 320,
                       .processed = 190 * 320,
                       .frames = 20,
                       .dim = 1,
                       .row_ms = 10 };
    float values[20];
    shoal__scratch scratch = { .packet = p };
    shoal_client_event e = { .type = SHOAL_CLIENT_FEATURES, .packet = &scratch.packet };
    shoal__join j = { .rate = 16000 };

    for (int i = 0; i < 20; i++)
        values[i] = (float)i;
    e.rows = values;
    scratch.packet.payload = values;
    ck_assert_int_eq(shoal__join_take(&j, &scratch, &e), 1);
    ck_assert_uint_eq(j.frames, 190);
    shoal__join_again(&j, 10, 3200); /* 180 there is 190 here, all of it new; 175 is half old */
    scratch.packet = p;
    scratch.packet.payload = values;
    scratch.packet.first_frame = 175;
    e.rows = values;
    ck_assert_int_eq(shoal__join_take(&j, &scratch, &e), 1);
    ck_assert_uint_eq(scratch.packet.first_frame, 190);
    ck_assert_int_eq(scratch.packet.frames, 10);
    ck_assert_float_eq(e.rows[0], 10);
}
END_TEST

static Suite *again_suite(void)
{
    Suite *suite = suite_create("client_again");
    TCase *t = tcase_create("again");

    tcase_add_test(t, waits_double_and_spread);
    tcase_add_test(t, a_wait_never_overflows);
    tcase_add_test(t, patience_is_renewed_by_results_alone);
    tcase_add_test(t, a_wait_beyond_patience_ends_it_at_once);
    tcase_add_test(t, a_replay_begins_where_all_begins_anew);
    tcase_add_test(t, log_mels_join_by_their_frames);
    suite_add_tcase(suite, t);
    return suite;
}

int main(void)
{
    return suite_run(again_suite());
}

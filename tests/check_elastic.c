/* check_elastic.c - projected load and the ceiling of depth: pure functions, a made-up clock */
#include <check.h>
#include <math.h>

#include "plan/elastic.h"
#include "suite.h"

/* ---- projected load ---- */

/* Of 100 streams at full depth, 12 layers, in proportion to depth. */
static const shoald_price hundredth = { .full_share = 0.01, .full = 12, .depths = 12 };

static const uint64_t second = 1000000000u;

/* A session that has begun to speak. */
static shoald_demand speaker(int depth_min, int depth_max)
{
    shoald_demand d;

    shoald_demand_start(&d, depth_min, depth_max, 8, NULL, 0);
    shoald_demand_speak(&d, 0);
    return d;
}

START_TEST(each_ceiling_has_its_load)
{
    shoald_load l = { 0 };
    shoald_demand fixed = speaker(6, 6), range = speaker(3, 12);

    shoald_load_add(&l, &fixed, &hundredth);
    for (int c = 1; c <= 12; c++)
        ck_assert_double_eq_tol(l.at[c], 0.005, 1e-12);
    shoald_load_add(&l, &range, &hundredth);
    ck_assert_double_eq_tol(l.at[1], 0.005 + 0.0025, 1e-12);
    ck_assert_double_eq_tol(l.at[3], 0.005 + 0.0025, 1e-12);
    ck_assert_double_eq_tol(l.at[6], 0.005 + 0.005, 1e-12);
    ck_assert_double_eq_tol(l.at[12], 0.005 + 0.01, 1e-12);
    ck_assert_int_eq(l.sessions, 2);
    shoald_load_remove(&l, &range, &hundredth);
    for (int c = 1; c <= 12; c++)
        ck_assert_double_eq_tol(l.at[c], 0.005, 1e-12);
    ck_assert_int_eq(l.sessions, 1);
}
END_TEST

/* Packets of 20 ms or of a second, looked at four times a second. */
START_TEST(a_live_session_counts_as_real_time)
{
    static const double packets[] = { 0.02, 0.1, 1.0 };
    for (int p = 0; p < 3; p++) {
        shoald_demand d = speaker(1, 12);

        for (int i = 1; i < 80; i++) {
            double now = i * 0.25;

            shoald_demand_look(&d, floor(now / packets[p] + 1e-9) * packets[p], 0,
                               (uint64_t)i * second / 4);
            ck_assert_double_ge(shoald_demand_rate(&d), 0.9);
            ck_assert_double_le(shoald_demand_rate(&d), 1);
        }
    }
}
END_TEST

START_TEST(an_upload_counts_as_real_time)
{
    shoald_demand d;

    shoald_demand_start(&d, 1, 12, 8, NULL, 0);
    for (int i = 1; i < 40; i++)
        shoald_demand_look(&d, i * 5.0, 0, (uint64_t)i * second / 4);
    ck_assert_double_gt(d.rate, 10);
    ck_assert_double_eq(shoald_demand_rate(&d), 1);
}
END_TEST

/* Two seconds change nothing, ten nearly all; the first sound counts in full. */
START_TEST(silence_frees_what_a_session_held)
{
    shoald_demand d;
    int i = 0;

    shoald_demand_start(&d, 1, 12, 8, NULL, 0);
    for (; i <= 8; i++)
        shoald_demand_look(&d, 0.1, 0, (uint64_t)i * second / 4);
    ck_assert_double_eq(d.rate, 1);
    for (; i <= 100; i++)
        shoald_demand_look(&d, 0.1, 0, (uint64_t)i * second / 4);
    ck_assert_double_eq(d.rate, 0);
    shoald_demand_look(&d, 0.12, 0, (uint64_t)i * second / 4);
    ck_assert_double_eq(d.rate, 1);
}
END_TEST

/* 0/0 would stay in the load for as long as the session lives. */
START_TEST(what_is_no_number_costs_nothing)
{
    const double strange[] = { NAN, INFINITY, -INFINITY };
    shoald_demand d;

    shoald_demand_start(&d, 1, 12, 8, NULL, 0);
    for (int i = 0; i < 3; i++) {
        shoald_demand_look(&d, strange[i], 0, (uint64_t)(i + 1) * second / 4);
        ck_assert_double_eq(shoald_demand_rate(&d), 0);
    }
    shoald_demand_look(&d, 0.25, 0, second);
    ck_assert_double_eq(shoald_demand_rate(&d), 1);
    for (uint64_t i = 5; i < 100; i++)
        shoald_demand_look(&d, 0.25, 0, i * second / 4);
    ck_assert_double_eq(shoald_demand_rate(&d), 0);
}
END_TEST

START_TEST(a_session_counts_from_its_first_sound)
{
    shoald_demand d;

    shoald_demand_start(&d, 1, 12, 8, NULL, 0);
    for (int i = 0; i < 100; i++) {
        ck_assert_double_eq(d.rate, 0);
        shoald_demand_look(&d, 0, 0, (uint64_t)i * second / 4);
    }
    shoald_demand_speak(&d, 25 * second);
    ck_assert_double_eq(d.rate, 1);
    shoald_demand_look(&d, 0.02, 0, 25 * second + second / 4);
    ck_assert_double_eq(d.rate, 1);
}
END_TEST

/* A price as measured: a tenth of a worker at depth 12 for 8 frames, 1/40 of it beside the runs. */
static shoald_price measured(void)
{
    return (shoald_price){ .cost = { .shape = { .frame_layer = 0.0975 * 20e6 / 12,
                                                .other = 0.0025 * 20e6 },
                                     .speed = 1 },
                           .full = 12,
                           .depths = 12 };
}

/* Looked at four times a second, for so long; each second it takes the worker so much. */
static void keep(shoald_demand *d, double seconds, double audio_each_s, double beside_each_s)
{
    double audio_s = d->audio_s;
    uint64_t at_ns = d->look_ns, beside_ns = d->beside_ns;

    for (int i = 0; i < 4 * seconds; i++) {
        audio_s += audio_each_s / 4;
        beside_ns += (uint64_t)(beside_each_s * 1e9 / 4);
        at_ns += second / 4;
        shoald_demand_look(d, audio_s, beside_ns, at_ns);
    }
}

static double load_of(const shoald_demand *d, int n)
{
    shoald_price p = measured();
    shoald_load l = { 0 };

    for (int i = 0; i < n; i++)
        shoald_load_add(&l, d, &p);
    return l.at[12];
}

/* 1,287 of them took 0.4 % of a CPU: that much, and not the room of a hundred and twenty streams.
 */
START_TEST(who_is_idle_costs_what_it_measures)
{
    shoald_demand d;

    shoald_demand_start(&d, 12, 12, 8, NULL, 0);
    keep(&d, 60, 0, 0.004 / 1287);
    ck_assert_double_eq_tol(load_of(&d, 1287), 0.004, 1e-4);
    keep(&d, 60, 0, 0);
    ck_assert_double_lt(load_of(&d, 1287), 1e-6); /* all of it is forgotten */
}
END_TEST

/* Whether its worker gets to it before the first look or after some. */
START_TEST(being_opened_is_no_rate)
{
    const shoald_price price = measured();
    for (int looks = 0; looks < 3; looks++) {
        shoald_demand d;
        shoald_demand_start(&d, 12, 12, 8, NULL, 0);
        for (int i = 1; i <= looks; i++)
            shoald_demand_look(&d, 0, 0, (uint64_t)i * second / 4);
        shoald_demand_look(&d, 0, second / 100, (uint64_t)(looks + 1) * second / 4);
        ck_assert_double_eq(shoald_demand_share(&d, &price, 12), 0);
        shoald_demand_look(&d, 0, second / 50, (uint64_t)(looks + 2) * second / 4);
        ck_assert_double_gt(shoald_demand_share(&d, &price, 12), 0);
    }
}
END_TEST

/* Conversion and log-mel are in the price; only what it takes beyond them comes on top. */
START_TEST(what_a_session_takes_beside_the_runs_is_its_own)
{
    shoald_demand d = speaker(12, 12);

    ck_assert_double_eq_tol(load_of(&d, 1), 0.1, 1e-9);
    keep(&d, 60, 1, 0.0025);
    ck_assert_double_eq_tol(load_of(&d, 1), 0.1, 1e-3);
    keep(&d, 60, 1, 0.0525);
    ck_assert_double_eq_tol(load_of(&d, 1), 0.15, 2e-3);
    d = speaker(12, 12);
    keep(&d, 60, 10, 0.525); /* the same ten times as fast: promised no more than real time */
    ck_assert_double_eq_tol(load_of(&d, 1), 0.15, 2e-3);
}
END_TEST

START_TEST(a_thousand_idle_and_two_hundred_active_fit)
{
    shoald_price thousand = { .full_share = 1.0 / 300, .full = 12, .depths = 12 };
    shoald_load l = { 0 };
    shoald_demand idle, active = speaker(12, 12);

    shoald_demand_start(&idle, 12, 12, 8, NULL, 0); /* they have only just come */
    for (int i = 0; i < 1000; i++)
        shoald_load_add(&l, &idle, &thousand);
    for (int i = 0; i < 200; i++)
        shoald_load_add(&l, &active, &thousand);
    ck_assert_double_lt(l.at[12], 0.75);
}
END_TEST

/* ---- elastic depth ---- */

static const shoald_marks marks = { 0.85, 0.75 };
static const shoald_news calm, pressed_to_7 = { .pressed = 7 }, pressed_to_9 = { .pressed = 9 },
                               late = { .late_ns = 1 };

static shoald_load crowd(int ranges, int fixed)
{
    shoald_load l = { 0 };
    shoald_demand range = speaker(3, 12), deep = speaker(12, 12);

    for (int i = 0; i < ranges; i++)
        shoald_load_add(&l, &range, &hundredth);
    for (int i = 0; i < fixed; i++)
        shoald_load_add(&l, &deep, &hundredth);
    return l;
}

START_TEST(a_rush_lowers_the_ceiling_at_once)
{
    shoald_load l = crowd(200, 0);
    shoald_elastic e;

    shoald_elastic_init(&e, 12);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &calm, second), 4); /* 67 % */
    ck_assert_double_le(l.at[e.ceiling], marks.high);
    ck_assert_double_gt(l.at[e.ceiling + 1], (marks.high + marks.low) / 2);
}
END_TEST

/* A layer of one model costs five of the other's: the ceiling is what streams may cost, so that one
 * gives up layers until its streams cost as little as the other's, which keep all of theirs. */
START_TEST(a_dear_model_gives_way_first)
{
    double dear[13];
    shoald_demand cheap = speaker(1, 12), costly = speaker(1, 12);
    shoald_price p = { .full_share = 0.025, .full = 12, .depths = shoald_price_ceiling(60) };
    shoald_load l = { 0 }, alone = { 0 };
    shoald_elastic e;

    for (int i = 0; i <= 12; i++)
        dear[i] = 5 * i;
    costly.layers = dear;
    for (int i = 0; i < 10; i++) {
        shoald_load_add(&alone, &cheap, &p);
        shoald_load_add(&l, &cheap, &p);
        shoald_load_add(&l, &costly, &p);
    }
    shoald_elastic_init(&e, p.depths);
    ck_assert_double_eq_tol(l.at[60], 1.5, 1e-9);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &calm, second), 29);
    ck_assert_int_eq(shoald_price_depth(NULL, e.ceiling, 1, 12), 12);
    ck_assert_int_eq(shoald_price_depth(dear, e.ceiling, 1, 12), 5);
    ck_assert_double_eq_tol(l.at[e.ceiling], 0.25 + 0.25 * 25 / 12, 1e-9);
    ck_assert_double_eq_tol(alone.at[e.ceiling], 0.25, 1e-9);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &alone, &calm, 5 * second), 60); /* at once */
}
END_TEST

/* Layers need not be whole, and no model is too dear to go to its full depth. */
START_TEST(a_ceiling_counts_layers_rounded)
{
    const double odd[] = { 0, 1.4, 1.6, 3 }, dearest[] = { 0, 200, 400 }, cheap[] = { 0, 0, 0, 0 };

    ck_assert_int_eq(shoald_price_depth(odd, 1, 1, 3), 1);
    ck_assert_int_eq(shoald_price_depth(odd, 2, 1, 3), 2);
    ck_assert_int_eq(shoald_price_depth(odd, 2, 3, 3), 3);
    ck_assert_int_eq(shoald_price_depth(cheap, 2, 1, 3), 2); /* nor more than it says */
    ck_assert_int_eq(shoald_price_ceiling(3.2), 3);
    ck_assert_int_eq(shoald_price_depth(dearest, 254, 1, 2), 1);
    ck_assert_int_eq(shoald_price_depth(dearest, shoald_price_ceiling(400), 1, 2), 2);
    ck_assert_int_eq(shoald_price_ceiling(0), 1);
}
END_TEST

/* Back to the full depth within ten seconds, a layer at a time. */
START_TEST(after_the_rush_depth_comes_back)
{
    shoald_load rush = crowd(300, 0), quiet = crowd(60, 0);
    shoald_elastic e;
    int last, steps = 0;

    shoald_elastic_init(&e, 12);
    last = shoald_elastic_step(&e, &marks, &rush, &calm, second);
    ck_assert_int_le(last, 3);
    for (; e.ceiling < 12; steps++) {
        uint64_t at = second + (uint64_t)steps * second / 4;
        int now = shoald_elastic_step(&e, &marks, &quiet, &calm, at);

        ck_assert(now - last <= 1 || last < 3);
        last = now;
        ck_assert_int_lt(steps, 40);
    }
    ck_assert_int_gt(steps, 6);
}
END_TEST

/* Whatever the load, the ceiling comes to rest. */
START_TEST(the_ceiling_does_not_flutter)
{
    for (int n = 1; n < 400; n += 3) {
        shoald_load l = crowd(n, n % 7 * 8);
        shoald_elastic e;
        int changes = 0, last = 12;

        shoald_elastic_init(&e, 12);
        for (int i = 0; i < 400; i++) {
            int now = shoald_elastic_step(&e, &marks, &l, &calm, (uint64_t)i * second / 4);

            changes += now != last;
            last = now;
        }
        ck_assert_msg(changes <= 1, "%d sessions: %d changes", n, changes);
    }
}
END_TEST

START_TEST(late_chunks_lower_the_ceiling_whatever_is_projected)
{
    shoald_load l = crowd(10, 0);
    shoald_elastic e;

    shoald_elastic_init(&e, 12);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &pressed_to_7, second), 7);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &pressed_to_9, second), 7);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &calm, 2 * second), 7);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &calm, 3 * second), 8);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &calm, 3 * second + 1), 8);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &late, 9 * second), 8);
}
END_TEST

/* A projection that is too good: rises that the worker takes back become rarer. */
START_TEST(rises_that_do_not_hold_become_rarer)
{
    shoald_load l = crowd(10, 0);
    shoald_elastic e;
    int presses = 0;

    shoald_elastic_init(&e, 12);
    for (int i = 1; i <= 240; i++) { /* a minute */
        const shoald_news *news = e.ceiling > 7 ? &pressed_to_7 : &calm;

        presses += news == &pressed_to_7;
        shoald_elastic_step(&e, &marks, &l, news, (uint64_t)i * second / 4);
    }
    ck_assert_int_ge(presses, 10);
    ck_assert_int_le(presses, 17); /* every 4 s or so */
}
END_TEST

/* No range reaches below 3: nothing is lost by going further down, and no time on the way up. */
START_TEST(layers_that_nobody_may_use_cost_no_time)
{
    shoald_load rush = crowd(0, 100), quiet = crowd(5, 0);
    shoald_elastic e;

    shoald_elastic_init(&e, 12);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &rush, &calm, second), 1);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &quiet, &calm, 10 * second), 3);
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &quiet, &calm, 20 * second), 4);
}
END_TEST

static Suite *elastic_suite(void)
{
    Suite *s = suite_create("elastic");
    TCase *load = tcase_create("load"), *elastic = tcase_create("elastic");

    tcase_add_test(load, each_ceiling_has_its_load);
    tcase_add_test(load, a_live_session_counts_as_real_time);
    tcase_add_test(load, an_upload_counts_as_real_time);
    tcase_add_test(load, silence_frees_what_a_session_held);
    tcase_add_test(load, what_is_no_number_costs_nothing);
    tcase_add_test(load, a_session_counts_from_its_first_sound);
    tcase_add_test(load, who_is_idle_costs_what_it_measures);
    tcase_add_test(load, being_opened_is_no_rate);
    tcase_add_test(load, what_a_session_takes_beside_the_runs_is_its_own);
    tcase_add_test(load, a_thousand_idle_and_two_hundred_active_fit);
    suite_add_tcase(s, load);
    tcase_add_test(elastic, a_rush_lowers_the_ceiling_at_once);
    tcase_add_test(elastic, a_dear_model_gives_way_first);
    tcase_add_test(elastic, a_ceiling_counts_layers_rounded);
    tcase_add_test(elastic, after_the_rush_depth_comes_back);
    tcase_add_test(elastic, the_ceiling_does_not_flutter);
    tcase_add_test(elastic, late_chunks_lower_the_ceiling_whatever_is_projected);
    tcase_add_test(elastic, rises_that_do_not_hold_become_rarer);
    tcase_add_test(elastic, layers_that_nobody_may_use_cost_no_time);
    suite_add_tcase(s, elastic);
    return s;
}

int main(void)
{
    return suite_run(elastic_suite());
}

/* check_sched.c - cost model, order of chunks, projected load, elastic depth: pure functions, a
 * made-up clock */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "edf.h"
#include "elastic.h"
#include "recent.h"

enum { MS = 1000000, CHUNK_MS = 160 };

/* ---- cost ---- */

static const shoald_cost_shape truth = { 1000, 50, 400, 20 };

static double time_of(int depth, int streams, int frames)
{
    return depth * truth.layer_run + streams * depth * truth.chunk_layer +
           streams * frames * (truth.frame + depth * truth.frame_layer);
}

static shoald_cost_probe probe(int depth)
{
    return (shoald_cost_probe){ .depth = depth, .streams = 8, .frames = 8,
                                .full = time_of(depth, 8, 8), .shallow = time_of(1, 8, 8),
                                .lone = time_of(depth, 1, 8), .thin = time_of(depth, 8, 1),
                                .other = 30, .speed = 1 };
}

START_TEST(four_runs_give_the_four_coefficients)
{
    shoald_cost_probe p = probe(12);
    shoald_cost c;

    shoald_cost_init(&c, &p);
    ck_assert_double_eq_tol(c.shape.layer_run, truth.layer_run, 1e-6);
    ck_assert_double_eq_tol(c.shape.chunk_layer, truth.chunk_layer, 1e-6);
    ck_assert_double_eq_tol(c.shape.frame, truth.frame, 1e-6);
    ck_assert_double_eq_tol(c.shape.frame_layer, truth.frame_layer, 1e-6);
    ck_assert_double_eq(c.speed, 1);
    ck_assert_double_eq(c.other, 30);
}
END_TEST

/* Whatever noise says, no coefficient is negative and deeper is never cheaper. */
START_TEST(noise_gives_no_negative_costs)
{
    srand(1);
    for (int i = 0; i < 1000; i++) {
        shoald_cost_probe p = { .depth = 1 + i % 12, .streams = 8, .frames = 8,
                                .full = rand() % 10000, .shallow = rand() % 10000,
                                .lone = rand() % 10000, .thin = rand() % 10000, .speed = 1 };
        shoald_cost c;

        shoald_cost_init(&c, &p);
        ck_assert(c.shape.layer_run >= 0 && c.shape.chunk_layer >= 0 && c.shape.frame >= 0 &&
                  c.shape.frame_layer >= 0);
        for (int d = 1; d < 12; d++)
            ck_assert(shoald_cost_chunk_ns(&c, d + 1, 8) >= shoald_cost_chunk_ns(&c, d, 8));
    }
}
END_TEST

static shoald_work work_of(int n, int depth, int frames)
{
    shoald_work w = { 0 };

    for (int i = 0; i < n; i++)
        shoald_work_add(&w, depth, frames);
    return w;
}

START_TEST(a_run_costs_what_its_parts_cost)
{
    shoald_cost_probe p = probe(12);
    shoald_work w = { 0 };
    shoald_cost c;

    shoald_cost_init(&c, &p);
    shoald_work_add(&w, 12, 8);
    shoald_work_add(&w, 3, 16);
    ck_assert_int_eq(w.layers, 12);
    ck_assert_int_eq(w.frames, 24);
    ck_assert_double_eq_tol(shoald_cost_run_ns(&c, &w),
                            12 * truth.layer_run + 15 * truth.chunk_layer + 24 * truth.frame +
                                (12 * 8 + 3 * 16) * truth.frame_layer, 1e-6);
}
END_TEST

/* A machine that becomes slower, then faster: the estimate follows within a second's work or so
 * and stays between what was and what is. */
START_TEST(speed_follows_the_machine)
{
    static const double slow[] = { 1, 2, 0.5 };
    shoald_cost_probe p = probe(12);
    shoald_work w = work_of(8, 6, 8);
    shoald_cost c;

    shoald_cost_init(&c, &p);
    for (int phase = 0; phase < 3; phase++) {
        double run = slow[phase] * time_of(6, 8, 8), before = c.speed;

        for (double spent = 0; spent < 5e9; spent += run) {
            shoald_cost_saw_run(&c, &w, run);
            ck_assert(c.speed >= fmin(before, slow[phase]) - 1e-9);
            ck_assert(c.speed <= fmax(before, slow[phase]) + 1e-9);
        }
        ck_assert_double_eq_tol(c.speed, slow[phase], 0.15 * slow[phase]);
    }
}
END_TEST

START_TEST(one_outlier_does_not_matter)
{
    shoald_cost_probe p = probe(12);
    shoald_work w = work_of(8, 6, 8);
    shoald_cost c;

    shoald_cost_init(&c, &p);
    shoald_cost_saw_run(&c, &w, 3.6e12);       /* the lid was shut for an hour */
    ck_assert_double_le(c.speed, 1.1);
    w = (shoald_work){ 0 };
    shoald_cost_saw_run(&c, &w, 1000);         /* nothing was run: nothing learned */
    ck_assert(isfinite(c.speed));
}
END_TEST

START_TEST(what_lies_beside_the_runs_is_counted)
{
    shoald_cost_probe p = probe(12);
    shoald_cost c;
    double before;

    shoald_cost_init(&c, &p);
    before = shoald_cost_share(&c, 6, 8);
    for (int i = 0; i < 20000; i++) {
        shoald_cost_saw_other(&c, 0, 8000);    /* ticks that only feed */
        shoald_cost_saw_other(&c, 64, 0);
    }
    ck_assert_double_eq_tol(c.other, 8000 / 64.0, 2);
    ck_assert_double_eq_tol(shoald_cost_share(&c, 6, 8) - before, (8000 / 64.0 - 30) / 20e6, 1e-6);
}
END_TEST

/* ---- deadlines ---- */

START_TEST(a_live_chunk_is_due_one_chunk_later)
{
    uint64_t chunk = (uint64_t)CHUNK_MS * MS, deadline = 0, at = 0;

    for (int i = 1; i < 100; i++) {
        at = i * chunk;
        deadline = shoald_edf_release(at, deadline, chunk) + chunk;
        ck_assert_uint_eq(deadline, at + chunk);
    }
}
END_TEST

/* All at once: each chunk later than the one before; back to live, the debt is forgiven. */
START_TEST(an_upload_pays_with_later_deadlines)
{
    uint64_t chunk = (uint64_t)CHUNK_MS * MS, now = 1000 * chunk, deadline = 0, last;

    for (int i = 0; i < 100; i++) {
        last = deadline;
        deadline = shoald_edf_release(now, deadline, chunk) + chunk;
        ck_assert(i == 0 || deadline - last >= chunk - chunk / 8);
    }
    ck_assert_uint_gt(deadline, now + 80 * chunk);
    for (int i = 0; i < 8 * 100; i++) {
        now += chunk;
        deadline = shoald_edf_release(now, deadline, chunk) + chunk;
    }
    ck_assert_uint_eq(deadline, now + chunk);
}
END_TEST

/* ---- order, depth, size of a run ---- */

static shoald_due due_at(int ms, int depth_min, int depth_max)
{
    return (shoald_due){ .deadline_ns = (uint64_t)ms * MS, .chunk_ns = (uint64_t)CHUNK_MS * MS,
                         .frames = 8, .depth_min = depth_min, .depth_max = depth_max };
}

/* One chunk takes ms milliseconds at depth 12, in proportion to its depth. */
static shoald_cost cost_of(double ms)
{
    return (shoald_cost){ .shape = { .frame_layer = ms * MS / 12 / 8 }, .speed = 1 };
}

START_TEST(the_earliest_deadline_comes_first)
{
    shoald_due due[] = { due_at(300, 1, 1), due_at(100, 1, 1), due_at(200, 1, 1) };

    shoald_edf_sort(due, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(due[i].deadline_ns, (uint64_t)(100 * (i + 1)) * MS);
}
END_TEST

START_TEST(a_ceiling_keeps_to_each_range)
{
    shoald_due fixed = due_at(0, 9, 9), range = due_at(0, 3, 12);

    ck_assert_int_eq(shoald_edf_depth(&fixed, 4), 9);
    ck_assert_int_eq(shoald_edf_depth(&range, 4), 4);
    ck_assert_int_eq(shoald_edf_depth(&range, 2), 3);
    ck_assert_int_eq(shoald_edf_depth(&range, 200), 12);
}
END_TEST

START_TEST(the_ceiling_falls_until_all_fit)
{
    shoald_due due[40];
    shoald_cost c = cost_of(2);

    for (int i = 0; i < 40; i++)
        due[i] = due_at(1160, 3, 12);
    ck_assert_int_eq(shoald_edf_fit(due, 38, &c, 12, 1000ull * MS), 12);    /* 76 of 80 ms */
    ck_assert_int_eq(shoald_edf_fit(due, 40, &c, 8, 1000ull * MS), 8);
    c = cost_of(4);                                                          /* 160 at 12 */
    ck_assert_int_eq(shoald_edf_fit(due, 40, &c, 12, 1000ull * MS), 6);
    ck_assert_int_eq(shoald_edf_fit(due, 40, &c, 5, 1000ull * MS), 5);
    c = cost_of(400);
    ck_assert_int_eq(shoald_edf_fit(due, 40, &c, 12, 1000ull * MS), 1);
}
END_TEST

/* A stall that has left little work is no reason to go down. */
START_TEST(being_late_alone_lowers_nothing)
{
    shoald_due due[4];
    shoald_cost c = cost_of(2);

    for (int i = 0; i < 4; i++)
        due[i] = due_at(900, 3, 12);
    ck_assert_int_eq(shoald_edf_fit(due, 4, &c, 12, 1000ull * MS), 12);
}
END_TEST

START_TEST(uploads_with_far_deadlines_lower_nothing)
{
    shoald_due due[100];
    shoald_cost c = cost_of(4);

    for (int i = 0; i < 100; i++)
        due[i] = i < 10 ? due_at(1160, 3, 12) : due_at(4000, 3, 12);
    ck_assert_int_eq(shoald_edf_fit(due, 100, &c, 12, 1000ull * MS), 12);
}
END_TEST

START_TEST(a_run_is_as_long_as_it_may_be)
{
    shoald_due due[100];
    shoald_cost c = cost_of(2);
    shoald_work work;
    uint64_t now = 1000ull * MS;

    for (int i = 0; i < 100; i++)
        due[i] = due_at(4000, 12, 12);
    ck_assert_int_eq(shoald_edf_take(due, 100, &c, 12, 512, 21 * MS, now, &work), 10);
    ck_assert_int_eq(work.frames, 80);
    ck_assert_int_eq(shoald_edf_take(due, 3, &c, 12, 512, 21 * MS, now, &work), 3);
    ck_assert_int_eq(shoald_edf_take(due, 100, &c, 12, 40, 21 * MS, now, &work), 5);
    ck_assert_int_eq(shoald_edf_take(due, 100, &c, 12, 4, 0, now, &work), 1);
    for (int i = 0; i < 100; i++)
        due[i] = due_at(1100, 12, 12);         /* 200 ms of work press: a third of them */
    ck_assert_int_eq(shoald_edf_take(due, 100, &c, 12, 512, 40 * MS, now, &work), 33);
    ck_assert_int_eq(shoald_edf_take(due, 100, &c, 12, 512, 21 * MS, now, &work), 21);
}
END_TEST

/* ---- projected load ---- */

/* Of 100 streams at full depth, 12 layers, in proportion to depth. */
static const shoald_price hundredth = { .full_share = 0.01, .depths = 12 };

static const uint64_t second = 1000000000u;

/* A session that has begun to speak. */
static shoald_demand speaker(int depth_min, int depth_max)
{
    shoald_demand d;

    shoald_demand_start(&d, depth_min, depth_max, 8, 0);
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

            shoald_demand_look(&d, floor(now / packets[p] + 1e-9) * packets[p],
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

    shoald_demand_start(&d, 1, 12, 8, 0);
    for (int i = 1; i < 40; i++)
        shoald_demand_look(&d, i * 5.0, (uint64_t)i * second / 4);
    ck_assert_double_gt(d.rate, 10);
    ck_assert_double_eq(shoald_demand_rate(&d), 1);
}
END_TEST

/* Two seconds change nothing, ten nearly all; the first sound counts in full. */
START_TEST(silence_frees_what_a_session_held)
{
    shoald_demand d;
    int i = 0;

    shoald_demand_start(&d, 1, 12, 8, 0);
    for (; i <= 8; i++)
        shoald_demand_look(&d, 0.1, (uint64_t)i * second / 4);
    ck_assert_double_eq(d.rate, 1);
    for (; i <= 100; i++)
        shoald_demand_look(&d, 0.1, (uint64_t)i * second / 4);
    ck_assert_double_lt(d.rate, 0.02);
    ck_assert_double_gt(d.rate, 0);
    shoald_demand_look(&d, 0.12, (uint64_t)i * second / 4);
    ck_assert_double_eq(d.rate, 1);
}
END_TEST

START_TEST(a_session_counts_from_its_first_sound)
{
    shoald_demand d;

    shoald_demand_start(&d, 1, 12, 8, 0);
    for (int i = 0; i < 100; i++) {
        ck_assert_double_lt(d.rate, 0.02);
        shoald_demand_look(&d, 0, (uint64_t)i * second / 4);
    }
    shoald_demand_speak(&d, 25 * second);
    ck_assert_double_eq(d.rate, 1);
    shoald_demand_look(&d, 0.02, 25 * second + second / 4);
    ck_assert_double_eq(d.rate, 1);
}
END_TEST

START_TEST(a_thousand_idle_and_two_hundred_active_fit)
{
    shoald_price thousand = { .full_share = 1.0 / 300, .depths = 12 };
    shoald_load l = { 0 };
    shoald_demand idle, active = speaker(12, 12);

    shoald_demand_start(&idle, 12, 12, 8, 0);    /* they have only just come */
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
    ck_assert_int_eq(shoald_elastic_step(&e, &marks, &l, &calm, second), 4);    /* 67 % */
    ck_assert_double_le(l.at[e.ceiling], marks.high);
    ck_assert_double_gt(l.at[e.ceiling + 1], (marks.high + marks.low) / 2);
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
    for (int i = 1; i <= 240; i++) {          /* a minute */
        const shoald_news *news = e.ceiling > 7 ? &pressed_to_7 : &calm;

        presses += news == &pressed_to_7;
        shoald_elastic_step(&e, &marks, &l, news, (uint64_t)i * second / 4);
    }
    ck_assert_int_ge(presses, 10);
    ck_assert_int_le(presses, 17);            /* every 4 s or so */
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

/* ---- recent latencies ---- */

START_TEST(percentiles_are_of_the_last_minute)
{
    uint64_t counts[SHOALD_RECENT_BUCKETS] = { 0 }, at = 100 * second;
    shoald_recent r;

    ck_assert_int_eq(shoald_recent_init(&r, 4), 0);
    for (int ms = 1; ms <= 100; ms++)
        shoald_recent_add(&r, 3, (uint64_t)ms * MS, at);
    shoald_recent_sum(&r, 3, at, counts);
    ck_assert_double_ge(shoald_recent_percentile(counts, 0.5), 50 * MS);
    ck_assert_double_le(shoald_recent_percentile(counts, 0.5), 60 * MS);
    ck_assert_double_ge(shoald_recent_percentile(counts, 1), 100 * MS);
    ck_assert_double_le(shoald_recent_percentile(counts, 1), 119 * MS);
    shoald_recent_add(&r, 3, 1, at + 30 * second);
    for (int age = 0; age < 4; age++) {            /* 101 values, 1 value, none */
        static const uint64_t expected[] = { 101, 1, 0, 0 };
        uint64_t total = 0;

        memset(counts, 0, sizeof counts);
        shoald_recent_sum(&r, 3, at + (uint64_t)(30 * age + 30) * second, counts);
        for (int i = 0; i < SHOALD_RECENT_BUCKETS; i++)
            total += counts[i];
        ck_assert_uint_eq(total, expected[age]);
    }
    memset(counts, 0, sizeof counts);
    shoald_recent_sum(&r, 2, at, counts);          /* another depth */
    ck_assert_double_eq(shoald_recent_percentile(counts, 0.5), 0);
    shoald_recent_add(&r, 4, UINT64_MAX, 1000 * second);
    shoald_recent_sum(&r, 4, 1000 * second, counts);
    ck_assert_double_gt(shoald_recent_percentile(counts, 0.5), 10e9);
    shoald_recent_free(&r);
}
END_TEST

static Suite *sched_suite(void)
{
    Suite *s = suite_create("sched");
    TCase *cost = tcase_create("cost"), *edf = tcase_create("edf"), *load = tcase_create("load"),
          *elastic = tcase_create("elastic"), *recent = tcase_create("recent");

    tcase_add_test(cost, four_runs_give_the_four_coefficients);
    tcase_add_test(cost, noise_gives_no_negative_costs);
    tcase_add_test(cost, a_run_costs_what_its_parts_cost);
    tcase_add_test(cost, speed_follows_the_machine);
    tcase_add_test(cost, one_outlier_does_not_matter);
    tcase_add_test(cost, what_lies_beside_the_runs_is_counted);
    suite_add_tcase(s, cost);
    tcase_add_test(edf, a_live_chunk_is_due_one_chunk_later);
    tcase_add_test(edf, an_upload_pays_with_later_deadlines);
    tcase_add_test(edf, the_earliest_deadline_comes_first);
    tcase_add_test(edf, a_ceiling_keeps_to_each_range);
    tcase_add_test(edf, the_ceiling_falls_until_all_fit);
    tcase_add_test(edf, being_late_alone_lowers_nothing);
    tcase_add_test(edf, uploads_with_far_deadlines_lower_nothing);
    tcase_add_test(edf, a_run_is_as_long_as_it_may_be);
    suite_add_tcase(s, edf);
    tcase_add_test(load, each_ceiling_has_its_load);
    tcase_add_test(load, a_live_session_counts_as_real_time);
    tcase_add_test(load, an_upload_counts_as_real_time);
    tcase_add_test(load, silence_frees_what_a_session_held);
    tcase_add_test(load, a_session_counts_from_its_first_sound);
    tcase_add_test(load, a_thousand_idle_and_two_hundred_active_fit);
    suite_add_tcase(s, load);
    tcase_add_test(elastic, a_rush_lowers_the_ceiling_at_once);
    tcase_add_test(elastic, after_the_rush_depth_comes_back);
    tcase_add_test(elastic, the_ceiling_does_not_flutter);
    tcase_add_test(elastic, late_chunks_lower_the_ceiling_whatever_is_projected);
    tcase_add_test(elastic, rises_that_do_not_hold_become_rarer);
    tcase_add_test(elastic, layers_that_nobody_may_use_cost_no_time);
    suite_add_tcase(s, elastic);
    tcase_add_test(recent, percentiles_are_of_the_last_minute);
    suite_add_tcase(s, recent);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(sched_suite());

    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

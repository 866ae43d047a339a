/* check_cost.c - what work costs: the cost model and how it learns, on a made-up machine */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "plan/cost.h"
#include "suite.h"

static const shoald_cost_shape truth = { 1000, 50, 400, 20 };

static double time_of(int depth, int streams, int frames)
{
    return depth * truth.layer_run + streams * depth * truth.chunk_layer +
           streams * frames * (truth.frame + depth * truth.frame_layer);
}

static shoald_cost_probe probe(int depth)
{
    return (shoald_cost_probe){ .layers = depth,
                                .first = 1,
                                .streams = 8,
                                .frames = 8,
                                .full = time_of(depth, 8, 8),
                                .shallow = time_of(1, 8, 8),
                                .lone = time_of(depth, 1, 8),
                                .thin = time_of(depth, 8, 1),
                                .other = 30,
                                .speed = 1 };
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
    ck_assert_double_eq(c.shape.other, 30);
}
END_TEST

/* Whatever noise says, no coefficient is negative and deeper is never cheaper. */
START_TEST(noise_gives_no_negative_costs)
{
    srand(1);
    for (int i = 0; i < 1000; i++) {
        shoald_cost_probe p = { .layers = 1 + i % 12,
                                .first = 1,
                                .streams = 8,
                                .frames = 8,
                                .full = rand() % 10000,
                                .shallow = rand() % 10000,
                                .lone = rand() % 10000,
                                .thin = rand() % 10000,
                                .speed = 1 };
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
    ck_assert_double_eq(w.layers, 12);
    ck_assert_int_eq(w.frames, 24);
    ck_assert_double_eq_tol(shoald_cost_run_ns(&c, &w),
                            12 * truth.layer_run + 15 * truth.chunk_layer + 24 * truth.frame +
                                (12 * 8 + 3 * 16) * truth.frame_layer,
                            1e-6);
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
    shoald_cost_saw_run(&c, &w, 3.6e12); /* the lid was shut for an hour */
    ck_assert_double_le(c.speed, 1.1);
    w = (shoald_work){ 0 };
    shoald_cost_saw_run(&c, &w, 1000); /* nothing was run: nothing learned */
    ck_assert(isfinite(c.speed));
}
END_TEST

/* The price of a frame has conversion and log-mel in it, at the speed of the machine. */
START_TEST(what_lies_beside_the_runs_is_counted)
{
    shoald_cost_probe p = probe(12);
    shoald_cost with, without;

    shoald_cost_init(&with, &p);
    p.other = 0;
    shoald_cost_init(&without, &p);
    with.speed = without.speed = 2;
    ck_assert_double_eq_tol(shoald_cost_share(&with, 6, 8) - shoald_cost_share(&without, 6, 8),
                            2 * 30 / 20e6, 1e-12);
}
END_TEST

/* A machine that was thirty times as slow for a while, so that nobody is let in any more: without
 * anybody's work the price comes back to what was calibrated. */
START_TEST(a_slow_spell_is_forgotten_without_work)
{
    shoald_cost_probe p = probe(12);
    shoald_work w = work_of(8, 6, 8);
    shoald_cost c;

    shoald_cost_init(&c, &p);
    for (double spent = 0; spent < 50e9; spent += 30 * time_of(6, 8, 8))
        shoald_cost_saw_run(&c, &w, 30 * time_of(6, 8, 8));
    ck_assert_double_gt(c.speed, 20);
    for (int i = 0; i < 4 * 180; i++)
        shoald_cost_saw_rest(&c, 250e6);
    ck_assert_double_eq_tol(c.speed, 1, 0.5);
    for (int i = 0; i < 4 * 180; i++)
        shoald_cost_saw_rest(&c, 250e6);
    ck_assert_double_eq_tol(c.speed, 1, 0.01);
}
END_TEST

static Suite *cost_suite(void)
{
    Suite *s = suite_create("cost");
    TCase *cost = tcase_create("cost");

    tcase_add_test(cost, four_runs_give_the_four_coefficients);
    tcase_add_test(cost, noise_gives_no_negative_costs);
    tcase_add_test(cost, a_run_costs_what_its_parts_cost);
    tcase_add_test(cost, speed_follows_the_machine);
    tcase_add_test(cost, one_outlier_does_not_matter);
    tcase_add_test(cost, what_lies_beside_the_runs_is_counted);
    tcase_add_test(cost, a_slow_spell_is_forgotten_without_work);
    suite_add_tcase(s, cost);
    return s;
}

int main(void)
{
    return suite_run(cost_suite());
}

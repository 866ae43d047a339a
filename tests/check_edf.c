/* check_edf.c - deadlines, the order of chunks, what fits: pure functions, a made-up clock */
#include <check.h>

#include "plan/edf.h"
#include "suite.h"

enum { MS = 1000000, CHUNK_MS = 160 };

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
    return (shoald_due){ .deadline_ns = (uint64_t)ms * MS,
                         .chunk_ns = (uint64_t)CHUNK_MS * MS,
                         .frames = 8,
                         .depth_min = depth_min,
                         .depth_max = depth_max };
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
    ck_assert_int_eq(shoald_edf_fit(due, 38, &c, 12, 1000ull * MS), 12); /* 76 of 80 ms */
    ck_assert_int_eq(shoald_edf_fit(due, 40, &c, 8, 1000ull * MS), 8);
    c = cost_of(4); /* 160 at 12 */
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
        due[i] = due_at(1100, 12, 12); /* 200 ms of work press: a third of them */
    ck_assert_int_eq(shoald_edf_take(due, 100, &c, 12, 512, 40 * MS, now, &work), 33);
    ck_assert_int_eq(shoald_edf_take(due, 100, &c, 12, 512, 21 * MS, now, &work), 21);
}
END_TEST

START_TEST(runs_are_short_beside_short_chunks)
{
    ck_assert_uint_eq(shoald_edf_run_ns(20), 10 * MS);
    ck_assert_uint_eq(shoald_edf_run_ns(80), 20 * MS);
    ck_assert_uint_eq(shoald_edf_run_ns(160), 40 * MS);
    ck_assert_uint_eq(shoald_edf_run_ns(2560), 40 * MS);
}
END_TEST

static Suite *edf_suite(void)
{
    Suite *s = suite_create("edf");
    TCase *deadlines = tcase_create("deadlines"), *order = tcase_create("order");

    tcase_add_test(deadlines, a_live_chunk_is_due_one_chunk_later);
    tcase_add_test(deadlines, an_upload_pays_with_later_deadlines);
    suite_add_tcase(s, deadlines);
    tcase_add_test(order, the_earliest_deadline_comes_first);
    tcase_add_test(order, a_ceiling_keeps_to_each_range);
    tcase_add_test(order, the_ceiling_falls_until_all_fit);
    tcase_add_test(order, being_late_alone_lowers_nothing);
    tcase_add_test(order, uploads_with_far_deadlines_lower_nothing);
    tcase_add_test(order, a_run_is_as_long_as_it_may_be);
    tcase_add_test(order, runs_are_short_beside_short_chunks);
    suite_add_tcase(s, order);
    return s;
}

int main(void)
{
    return suite_run(edf_suite());
}

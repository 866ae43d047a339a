/* check_recent.c - latencies of the last minute, by depth, on a made-up clock */
#include <check.h>
#include <string.h>

#include "plan/recent.h"
#include "suite.h"

enum { MS = 1000000 };

static const uint64_t second = 1000000000u;

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
    for (int age = 0; age < 4; age++) { /* 101 values, 1 value, none */
        static const uint64_t expected[] = { 101, 1, 0, 0 };
        uint64_t total = 0;

        memset(counts, 0, sizeof counts);
        shoald_recent_sum(&r, 3, at + (uint64_t)(30 * age + 30) * second, counts);
        for (int i = 0; i < SHOALD_RECENT_BUCKETS; i++)
            total += counts[i];
        ck_assert_uint_eq(total, expected[age]);
    }
    memset(counts, 0, sizeof counts);
    shoald_recent_sum(&r, 2, at, counts); /* another depth */
    ck_assert_double_eq(shoald_recent_percentile(counts, 0.5), 0);
    shoald_recent_add(&r, 4, UINT64_MAX, 1000 * second);
    shoald_recent_sum(&r, 4, 1000 * second, counts);
    ck_assert_double_gt(shoald_recent_percentile(counts, 0.5), 10e9);
    shoald_recent_free(&r);
}
END_TEST

static Suite *recent_suite(void)
{
    Suite *s = suite_create("recent");
    TCase *recent = tcase_create("recent");

    tcase_add_test(recent, percentiles_are_of_the_last_minute);
    suite_add_tcase(s, recent);
    return s;
}

int main(void)
{
    return suite_run(recent_suite());
}

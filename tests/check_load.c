/* check_load.c - the parts of shoal-load that need no server: mixes, schedule, calendar,
 * histogram, knee. What goes over the wire: check_load_bytes.c
 */
#include "load/load.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

static load_mix mix(const char *text)
{
    load_mix m;
    char why[256];

    ck_assert_msg(load_mix_parse(&m, text, why, sizeof why) == 0, "%s", why);
    return m;
}

/* ---- mixes ------------------------------------------------------------------------------ */

START_TEST(mix_values)
{
    load_mix m = mix("3:0.5,6-12:1.5");

    ck_assert_int_eq(m.count, 2);
    ck_assert_int_eq(m.item[0].min, 3);
    ck_assert_int_eq(m.item[0].max, 3);
    ck_assert_int_eq(m.item[1].min, 6);
    ck_assert_int_eq(m.item[1].max, 12);
    ck_assert_double_eq_tol(m.item[0].weight, 0.25, 1e-12);
    ck_assert_double_eq_tol(m.item[1].weight, 0.75, 1e-12);
    m = mix("3..12:2,7"); /* as on the wire */
    ck_assert_int_eq(m.item[0].min, 3);
    ck_assert_int_eq(m.item[0].max, 12);
    ck_assert_int_eq(m.item[1].min, 7);
    m = mix("12");
    ck_assert_int_eq(m.count, 1);
    ck_assert_double_eq(m.item[0].weight, 1);
}
END_TEST

static const char *const bad_mixes[] = {
    "",       ",",
    "3,",     "3:",
    "3:0",    "3:-1",
    "3:x",    "3:nan",
    "3:inf",  "x",
    "-3",     "0",
    "12-3",   "3-",
    "3 ",     "3:1;4:1",
    "100000", "3.12",
    "3...12", "12..3",
    "3..",    "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
};

START_TEST(mix_bad)
{
    load_mix m;
    char why[256] = "";

    ck_assert_msg(load_mix_parse(&m, bad_mixes[_i], why, sizeof why) == -1, "accepted: %s",
                  bad_mixes[_i]);
    ck_assert_ptr_nonnull(strstr(why, "3:0.5,12:0.5")); /* the remedy */
}
END_TEST

/* Any first n sessions are within one of the weights. */
START_TEST(mix_prefixes)
{
    load_mix m = mix("1:0.1,2:0.3,3:0.6");
    int chosen[100], taken[3] = { 0 };

    load_mix_assign(&m, chosen, 100);
    for (int n = 1; n <= 100; n++) {
        taken[chosen[n - 1]]++;
        for (int k = 0; k < 3; k++)
            ck_assert_double_le(fabs(taken[k] - m.item[k].weight * n), 1);
    }
    ck_assert_int_eq(taken[0], 10);
    ck_assert_int_eq(taken[1], 30);
    ck_assert_int_eq(taken[2], 60);
}
END_TEST

/* ---- schedule --------------------------------------------------------------------------- */

static load_options some_load(int sessions)
{
    return (load_options){ .sessions = sessions,
                           .ramp_s = 4,
                           .duration_s = 10,
                           .seed = 7,
                           .depths = mix("3:0.5,6-12:0.5"),
                           .chunks = mix("160"),
                           .packets = mix("20") };
}

START_TEST(schedule_is_fixed)
{
    load_options o = some_load(50);
    load_plan a[50], b[50];
    load_window_ns w = load_schedule_make(&o, a);

    load_schedule_make(&o, b);
    ck_assert_mem_eq(a, b, sizeof a);
    o.seed = 8;
    load_schedule_make(&o, b);
    ck_assert_int_ne(a[0].start_ns, b[0].start_ns);
    ck_assert_int_eq(w.from, 5 * LOAD_S); /* 0.5 + 4 + 0.16 s, rounded up */
    ck_assert_int_eq(w.to, 15 * LOAD_S);
}
END_TEST

START_TEST(schedule_times)
{
    load_options o = some_load(50);
    load_plan p[50];
    load_window_ns w = load_schedule_make(&o, p);

    for (int i = 0; i < 50; i++) {
        int64_t lead = p[i].start_ns - p[i].connect_ns;

        ck_assert_int_eq(p[i].connect_ns, 4 * LOAD_S * i / 50);
        ck_assert_int_ge(lead, LOAD_LEAD_MS * LOAD_MS);
        ck_assert_int_lt(lead, (LOAD_LEAD_MS + 160) * LOAD_MS); /* the phase: within a chunk */
        ck_assert_int_eq(load_due_ns(&p[i], 0), p[i].start_ns + 20 * LOAD_MS);
        ck_assert_int_le(load_due_ns(&p[i], p[i].packets - 1), w.to);
        ck_assert_int_gt(load_due_ns(&p[i], p[i].packets), w.to);
        ck_assert_int_eq(p[i].depth_max, i % 2 ? 12 : 3);
    }
}
END_TEST

/* The phases cover the whole chunk: eight eighths, none empty or crowded. */
START_TEST(schedule_phases)
{
    enum { N = 800 };
    load_options o = some_load(N);
    load_plan p[N];
    int eighth[8] = { 0 };

    load_schedule_make(&o, p);
    for (int i = 0; i < N; i++)
        eighth[(p[i].start_ns - p[i].connect_ns - LOAD_LEAD_MS * LOAD_MS) / (20 * LOAD_MS)]++;
    for (int k = 0; k < 8; k++)
        ck_assert_msg(eighth[k] > 60 && eighth[k] < 140, "eighth %d: %d of %d", k, eighth[k], N);
}
END_TEST

START_TEST(schedule_mixes_are_independent)
{
    enum { N = 400 };
    load_options o = some_load(N);
    load_plan p[N];
    int both = 0;

    o.packets = mix("20:1,100:1");
    load_schedule_make(&o, p);
    for (int i = 0; i < N; i++)
        both += p[i].depth_min == 3 && p[i].packet_ms == 100;
    ck_assert_msg(both > N / 4 - 40 && both < N / 4 + 40, "%d of %d", both, N);
}
END_TEST

/* Frames 0..4 need 5 * 20 + 75 ms: with packets of 20 ms that is the 9th one, of 175 the first. */
START_TEST(schedule_packet_holding)
{
    static const struct {
        int packet_ms, ms, k;
    } t[] = {
        { 20, 175, 8 }, { 20, 160, 7 },  { 20, 161, 8 },  { 20, 1, 0 },
        { 20, 20, 0 },  { 175, 175, 0 }, { 1, 175, 174 }, { 1000, 1001, 1 },
    };

    for (int i = 0; i < COUNT(t); i++) {
        load_plan p = { .packet_ms = t[i].packet_ms };
        ck_assert_int_eq(load_packet_holding(&p, t[i].ms), t[i].k);
    }
}
END_TEST

START_TEST(schedule_fast)
{
    load_options o = some_load(2);
    load_plan p[2];

    o.fast = 1;
    load_schedule_make(&o, p);
    ck_assert_int_eq(p[0].packets, 500); /* all of --duration, wherever it began */
    ck_assert_int_eq(p[1].packets, 500);
}
END_TEST

/* 4 sessions, 6 more from second 5 for 3 seconds, 2 that never speak. */
START_TEST(schedule_rush_and_idle)
{
    load_options o = some_load(4);
    load_plan p[12];
    load_window_ns w;

    o.rush = (load_rush){ 6, 5, 3 };
    o.idle = 2;
    ck_assert_int_eq(load_total(&o), 12);
    w = load_schedule_make(&o, p);
    for (int i = 4; i < 10; i++) {
        int64_t late = p[i].start_ns - 5 * LOAD_S;

        ck_assert_int_ge(late, 0);
        ck_assert_int_lt(late, LOAD_S + 160 * LOAD_MS);
        ck_assert_int_le(load_due_ns(&p[i], p[i].packets - 1), 8 * LOAD_S);
        ck_assert_int_gt(load_due_ns(&p[i], p[i].packets), 8 * LOAD_S);
    }
    for (int i = 10; i < 12; i++) {
        ck_assert_int_eq(p[i].packets, 0);
        ck_assert_int_eq(p[i].stay_ns, w.to);
        ck_assert_int_lt(p[i].connect_ns, 4 * LOAD_S);
    }
    ck_assert_int_eq(p[0].stay_ns, 0);
    ck_assert_int_gt(load_due_ns(&p[0], p[0].packets), w.to);
}
END_TEST

START_TEST(calendar_sorts)
{
    load_calendar c;
    uint64_t random = 3;
    int64_t at[500], last = -1;

    ck_assert_int_eq(load_calendar_init(&c, 500), 0);
    ck_assert_int_eq(load_calendar_next(&c), LOAD_NEVER);
    for (int i = 0; i < 500; i++)
        load_calendar_put(&c, at[i] = (int64_t)(load_random(&random) % 200), i);
    load_calendar_put(&c, LOAD_NEVER, 0); /* is not put in */
    for (int i = 0; i < 500; i++) {
        int64_t next = load_calendar_next(&c);

        ck_assert_int_ge(next, last);
        ck_assert_int_eq(at[load_calendar_take(&c)], next);
        last = next;
    }
    ck_assert_int_eq(c.count, 0);
    load_calendar_free(&c);
}
END_TEST

/* ---- histogram -------------------------------------------------------------------------- */

START_TEST(hist_small_is_exact)
{
    load_hist h = { 0 };

    ck_assert_double_eq(load_hist_percentile_ms(&h, 0.5), 0);
    for (int us = 1; us <= 100; us++)
        load_hist_add(&h, us);
    ck_assert_double_eq_tol(load_hist_percentile_ms(&h, 0.50), 0.050, 1e-12);
    ck_assert_double_eq_tol(load_hist_percentile_ms(&h, 0.99), 0.099, 1e-12);
    ck_assert_double_eq_tol(load_hist_percentile_ms(&h, 1.00), 0.100, 1e-12);
    ck_assert_double_eq_tol(load_hist_percentile_ms(&h, 0.00), 0.001, 1e-12);
}
END_TEST

/* A value alone: never told as less, at most 1.6 % more, and never above the maximum. */
START_TEST(hist_error)
{
    for (int64_t v = 1; v < INT64_C(1) << 35; v = v * 5 / 4 + 1) {
        load_hist h = { 0 };

        load_hist_add(&h, v);
        ck_assert_double_eq(load_hist_percentile_ms(&h, 0.5), (double)v / 1000);
        load_hist_add(&h, INT64_C(1) << 35);
        ck_assert_double_ge(load_hist_percentile_ms(&h, 0.5), (double)v / 1000);
        ck_assert_double_le(load_hist_percentile_ms(&h, 0.5), (double)v / 1000 * (1 + 1.0 / 64));
    }
}
END_TEST

START_TEST(hist_extremes)
{
    load_hist h = { 0 };

    load_hist_add(&h, -5);
    load_hist_add(&h, INT64_MAX);
    ck_assert_double_eq(load_hist_percentile_ms(&h, 0.5), 0);
    ck_assert_double_eq(load_hist_max_ms(&h), (double)((INT64_C(1) << 36) - 1) / 1000);
    ck_assert_double_eq(load_hist_percentile_ms(&h, 1), load_hist_max_ms(&h));
}
END_TEST

/* One stall in a thousand must show in p99.9 and the maximum, not in p99. */
START_TEST(hist_tail)
{
    load_hist h = { 0 };

    for (int i = 0; i < 9980; i++)
        load_hist_add(&h, 100);
    for (int i = 0; i < 20; i++)
        load_hist_add(&h, 1000000);
    ck_assert_double_eq_tol(load_hist_percentile_ms(&h, 0.99), 0.1, 1e-9);
    ck_assert_double_eq_tol(load_hist_percentile_ms(&h, 0.999), 1000, 1e-9);
}
END_TEST

/* ---- knee ------------------------------------------------------------------------------- */

/* A server that holds `capacity` sessions, and what it was asked. */
typedef struct fake {
    int capacity, asked, most, stop_after;
} fake;

static int measure_fake(void *user, int n)
{
    fake *f = user;

    ck_assert_int_ge(n, 1);
    f->most = n > f->most ? n : f->most;
    if (++f->asked == f->stop_after)
        return -1;
    return n <= f->capacity;
}

START_TEST(knee_found)
{
    static const int capacities[] = { 1, 2, 3, 4, 5, 7, 8, 9, 100, 333, 1000, 1999 };

    for (int i = 0; i < COUNT(capacities); i++) {
        int c = capacities[i], slack = c / 20 > 1 ? c / 20 : 1;
        fake f = { .capacity = c };
        load_knee k;

        ck_assert_int_eq(load_knee_find(&k, 4, 2000, measure_fake, &f), 0);
        ck_assert_int_le(k.holds, c);
        ck_assert_int_gt(k.breaks, c);
        ck_assert_int_le(k.breaks - k.holds, slack);
        ck_assert_int_le(f.most, 2000);
        ck_assert_int_le(k.steps, 20);
        ck_assert_int_eq(k.steps, f.asked);
    }
}
END_TEST

START_TEST(knee_none)
{
    fake strong = { .capacity = 1 << 30 }, weak = { .capacity = 0 },
         stopped = { .capacity = 100, .stop_after = 3 };
    load_knee k;

    ck_assert_int_eq(load_knee_find(&k, 4, 100, measure_fake, &strong), 0);
    ck_assert_int_eq(k.holds, 100); /* 4 8 16 32 64 100 */
    ck_assert_int_eq(k.breaks, 0);
    ck_assert_int_eq(k.steps, 6);
    ck_assert_int_eq(load_knee_find(&k, 4, 100, measure_fake, &weak), 0);
    ck_assert_int_eq(k.holds, 0);
    ck_assert_int_eq(k.breaks, 1);
    ck_assert_int_eq(load_knee_find(&k, 4, 100, measure_fake, &stopped), -1);
}
END_TEST

/* ---- rush ------------------------------------------------------------------------------- */

START_TEST(rush_parsed)
{
    static const char *const bad[] = {
        "",      "5",      "5@",     "5@3",    "5@3+",      "0@3+4",
        "5@3+1", "5@3+4x", "-5@3+4", "5@-3+4", "99999@3+4", " 5@3+4"
    };
    load_rush r;
    char why[256];

    ck_assert_int_eq(load_rush_parse(&r, "100@20+10", why, sizeof why), 0);
    ck_assert_int_eq(r.sessions, 100);
    ck_assert_int_eq(r.at_s, 20);
    ck_assert_int_eq(r.for_s, 10);
    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(load_rush_parse(&r, bad[i], why, sizeof why) == -1, "accepted: %s", bad[i]);
    ck_assert_ptr_nonnull(strstr(why, "100@20+10")); /* the remedy */
}
END_TEST

/* Depth 12, then 4 in the rush of seconds 3 and 4, then 8, then 12 again in second 6. */
START_TEST(rush_measured)
{
    static const double depth[] = { 1, 12, 12, 4, 4, 8, 12, 12 };
    load_rush rush = { 10, 3, 2 };
    load_row rows[8] = { 0 };
    load_stats st = { .rows = rows, .row_count = 8 };
    load_rush_effect e;

    for (int i = 0; i < 8; i++)
        rows[i] = (load_row){ .t_s = i,
                              .steady = i > 0,
                              .frames = 50,
                              .depth = depth[i],
                              .lag = i == 4 ? 1.5 : 0.5,
                              .active = i == 3 ? 20 : 10 };
    e = load_rush_measure(&rush, &st);
    ck_assert_double_eq(e.before.depth, 12); /* the ramp does not count */
    ck_assert_double_eq(e.during.depth, 4);
    ck_assert_double_eq_tol(e.after.depth, 32.0 / 3, 1e-9);
    ck_assert_double_eq(e.during.lag, 1.5);
    ck_assert_double_eq(e.after.lag, 0.5);
    ck_assert_int_eq(e.during.active, 20);
    ck_assert_int_eq(e.back_s, 1);
    st.row_count = 6;
    ck_assert_int_eq(load_rush_measure(&rush, &st).back_s, -1);
}
END_TEST

static void add_plans(TCase *t)
{
    tcase_add_test(t, mix_values);
    tcase_add_loop_test(t, mix_bad, 0, COUNT(bad_mixes));
    tcase_add_test(t, mix_prefixes);
    tcase_add_test(t, schedule_is_fixed);
    tcase_add_test(t, schedule_times);
    tcase_add_test(t, schedule_phases);
    tcase_add_test(t, schedule_mixes_are_independent);
    tcase_add_test(t, schedule_packet_holding);
    tcase_add_test(t, schedule_fast);
    tcase_add_test(t, schedule_rush_and_idle);
    tcase_add_test(t, rush_parsed);
    tcase_add_test(t, rush_measured);
    tcase_add_test(t, calendar_sorts);
}

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *t = tcase_create("load");

    add_plans(t);
    tcase_add_test(t, hist_small_is_exact);
    tcase_add_test(t, hist_error);
    tcase_add_test(t, hist_extremes);
    tcase_add_test(t, hist_tail);
    tcase_add_test(t, knee_found);
    tcase_add_test(t, knee_none);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

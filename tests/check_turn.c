/* check_turn.c - who runs next and who waits: pure functions, a made-up clock
 *
 * The second half plays a worker with live streams and uploads on that clock; a run takes what the
 * cost model says, some a little more. No machine is measured. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/turn.h"
#include "suite.h"

#define MS 1000000ull

/* Eight frames at depth 12 take 8 ms alone and 5 in company, in proportion to the depth. */
static const shoald_cost costs = {
    .shape = { .layer_run = 3e6 / 12, .frame_layer = 5e6 / 12 / 8 },
    .speed = 1,
};

static shoald_turn_view view_at(uint64_t now_ns, const uint64_t *expected_ns, int expected)
{
    return (shoald_turn_view){ .cost = &costs,
                               .ceiling = 12,
                               .batch_frames = 512,
                               .run_ns = SHOALD_LONGEST_RUN_NS,
                               .expected_ns = expected_ns,
                               .expected = expected,
                               .now_ns = now_ns };
}

static shoald_due chunk_due(uint64_t deadline_ns, uint64_t patient_ns, int depth)
{
    return (shoald_due){ .deadline_ns = deadline_ns,
                         .chunk_ns = 160 * MS,
                         .patient_ns = patient_ns,
                         .frames = 8,
                         .depth_min = depth,
                         .depth_max = depth };
}

/* ---- one turn ---- */

START_TEST(far_ahead_is_patient)
{
    ck_assert_uint_eq(shoald_turn_patience(1500 * MS, 160 * MS, 1000 * MS), 0);
    ck_assert_uint_eq(shoald_turn_patience(1501 * MS, 160 * MS, 1000 * MS), 1120 * MS);
    ck_assert_uint_eq(shoald_turn_patience(900 * MS, 160 * MS, 1000 * MS), 0);
}
END_TEST

/* The earliest deadline says whose run it is; others of its kind come with it, and nobody else. */
START_TEST(a_run_is_of_one_kind)
{
    static const char one, other;
    shoald_due due[] = { chunk_due(1130 * MS, 0, 3), chunk_due(1110 * MS, 0, 3),
                         chunk_due(1140 * MS, 0, 3), chunk_due(1120 * MS, 0, 3) };
    shoald_turn_view v = view_at(1000 * MS, NULL, 0);

    for (int i = 0; i < 4; i++)
        due[i].kind = i < 2 ? &one : &other;
    for (int patient = 0; patient < 2; patient++) {
        shoald_turn t = shoald_turn_take(due, 4, &v);
        ck_assert_int_eq(t.count, 2);
        ck_assert_int_eq(t.work.frames, 16);
        ck_assert_uint_eq(due[0].deadline_ns, 1110 * MS);
        ck_assert_uint_eq(due[1].deadline_ns, 1130 * MS);
        for (int i = 0; i < 4; i++) /* the same in a gap */
            due[i].patient_ns = 5000 * MS;
    }
}
END_TEST

START_TEST(live_chunks_run_at_once_and_without_the_patient)
{
    shoald_due due[] = { chunk_due(3000 * MS, 1100 * MS, 12), chunk_due(1120 * MS, 0, 3),
                         chunk_due(2000 * MS, 1050 * MS, 12), chunk_due(1100 * MS, 0, 3) };
    shoald_turn_view v = view_at(1000 * MS, NULL, 0);
    shoald_turn t = shoald_turn_take(due, 4, &v);

    ck_assert_int_eq(t.count, 2);
    ck_assert_int_eq(t.work.frames, 16);
    ck_assert_uint_eq(due[0].deadline_ns, 1100 * MS);
    ck_assert_uint_eq(due[1].deadline_ns, 1120 * MS);
}
END_TEST

START_TEST(without_patience_a_chunk_takes_its_turn)
{
    shoald_due due[] = { chunk_due(3000 * MS, 1100 * MS, 12), chunk_due(2000 * MS, 1050 * MS, 12) };
    uint64_t expected = 1051 * MS;
    shoald_turn_view v = view_at(1050 * MS, &expected, 1);
    shoald_turn t = shoald_turn_take(due, 2, &v);

    ck_assert_int_eq(t.count, 1);
    ck_assert_uint_eq(due[0].deadline_ns, 2000 * MS);
}
END_TEST

/* 8 ms alone, seven tenths of a gap: 11.43 ms before, 11.43 ms after. */
START_TEST(a_gap_is_measured_from_whoever_is_expected)
{
    static const struct {
        int now_us, expected_us[2], count, again_us;
    } cases[] = {
        { 0, { 11400, 90000 }, 0, 22829 },     /* too near */
        { 0, { 11500, 90000 }, 1, 0 },         /* far enough */
        { 0, { 28000, 90000 }, 3, 0 },         /* room for 18 ms in company */
        { 0, { 90000, 90000 }, 7, 0 },         /* no longer than a run should be */
        { 50000, { 39000, 90000 }, 0, 50429 }, /* missed for 11 ms */
        { 50000, { 38500, 90000 }, 1, 0 },     /* 11.5 ms */
        { 50000, { 49000, 55000 }, 0, 66429 }, /* both in the way: the later */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t base = 1000 * MS, expected[2];
        shoald_due due[10];
        for (int k = 0; k < 2; k++)
            expected[k] = base + (uint64_t)cases[i].expected_us[k] * 1000;
        for (int k = 0; k < 10; k++)
            due[k] = chunk_due(9000 * MS, 5000 * MS, 12);
        shoald_turn_view v = view_at(base + (uint64_t)cases[i].now_us * 1000, expected, 2);
        shoald_turn t = shoald_turn_take(due, 10, &v);
        ck_assert_msg(t.count == cases[i].count, "case %zu: %d", i, t.count);
        ck_assert_msg(t.count || (t.again_ns - base) / 1000 == (uint64_t)cases[i].again_us ||
                          (t.again_ns - base + 999) / 1000 == (uint64_t)cases[i].again_us,
                      "case %zu: again at %llu ns", i, (unsigned long long)(t.again_ns - base));
    }
}
END_TEST

START_TEST(patience_ends_the_wait)
{
    shoald_due due[] = { chunk_due(9000 * MS, 1015 * MS, 12), chunk_due(8000 * MS, 1012 * MS, 12) };
    uint64_t expected = 1005 * MS;
    shoald_turn_view v = view_at(1000 * MS, &expected, 1);

    ck_assert_uint_eq(shoald_turn_take(due, 2, &v).again_ns, 1012 * MS);
}
END_TEST

/* A chunk that no gap has room for does not keep shorter ones from theirs. */
START_TEST(a_long_chunk_is_passed_over)
{
    shoald_due due[] = { chunk_due(2000 * MS, 5000 * MS, 12), chunk_due(9000 * MS, 5000 * MS, 3) };
    uint64_t expected = 1005 * MS;
    shoald_turn_view v = view_at(1000 * MS, &expected, 1);
    shoald_turn t = shoald_turn_take(due, 2, &v);

    ck_assert_int_eq(t.count, 1);
    ck_assert_int_eq(due[0].depth_max, 3);
}
END_TEST

START_TEST(nobody_is_waited_for_for_ever)
{
    ck_assert(!shoald_turn_paused(1000 * MS, 900 * MS));
    ck_assert(!shoald_turn_paused(1000 * MS, 1057 * MS));
    ck_assert(shoald_turn_paused(1000 * MS, 1058 * MS));
}
END_TEST

START_TEST(only_live_chunks_lower_the_ceiling)
{
    shoald_due due[60];
    shoald_turn_view v = view_at(1000 * MS, NULL, 0);

    v.elastic = true;
    for (int i = 0; i < 60; i++) {
        due[i] = chunk_due(1160 * MS, 0, 12);
        due[i].depth_min = 3;
    }
    ck_assert_int_eq(shoald_turn_take(due, 10, &v).ceiling, 12);
    ck_assert_int_lt(shoald_turn_take(due, 60, &v).ceiling, 12);
    for (int i = 10; i < 60; i++)
        due[i].deadline_ns = 5000 * MS, due[i].patient_ns = 900 * MS;
    ck_assert_int_eq(shoald_turn_take(due, 60, &v).ceiling, 12);
}
END_TEST

/* ---- a worker on a made-up clock ---- */

enum { MOST = 64, RECORDS = 1 << 16 };

typedef struct stream {
    int depth;
    bool upload;
    uint64_t chunk_ns, phase_ns;
    uint64_t jitter_ns; /* its chunks come up to this much early or late */
    uint64_t next_ns;   /* when its next chunk is complete */
    int arrived;        /* chunks */
    bool due, paced;
    uint64_t complete_ns, release_ns, deadline_ns, patient_ns, expected_ns;
    int done; /* chunks */
} stream;

typedef struct worker {
    stream streams[MOST];
    int count;
    uint64_t now_ns;
    double waited_ms[RECORDS]; /* of live chunks: complete -> through */
    int waited;
    unsigned seed;
} worker;

static double chance(worker *w)
{
    w->seed = w->seed * 1664525u + 1013904223u;
    return (double)(w->seed >> 8) / (1 << 24);
}

static void plan_next(worker *w, stream *s)
{
    double jitter = (chance(w) - 0.5) * 2 * (double)s->jitter_ns;
    s->next_ns = s->phase_ns + (uint64_t)s->arrived * s->chunk_ns + (uint64_t)(int64_t)jitter;
}

static void add(worker *w, int depth, bool upload, int chunk_ms, int jitter_ms)
{
    stream *s = &w->streams[w->count++];
    *s = (stream){ .depth = depth, .upload = upload, .chunk_ns = (uint64_t)chunk_ms * MS };
    s->jitter_ns = (uint64_t)jitter_ms * MS;
    s->phase_ns = 1000 * MS + (uint64_t)(chance(w) * (double)s->chunk_ns);
    plan_next(w, s);
}

/* As set_deadline of work/worker.c has it. */
static void become_due(worker *w, stream *s)
{
    s->due = true;
    s->complete_ns = s->upload ? 1000 * MS : s->next_ns;
    s->release_ns = shoald_edf_release(s->complete_ns, s->deadline_ns, s->chunk_ns);
    s->deadline_ns = s->release_ns + s->chunk_ns;
    s->patient_ns = shoald_turn_patience(s->release_ns, s->chunk_ns, w->now_ns);
    s->expected_ns = shoald_turn_expect(s->expected_ns, s->complete_ns, s->chunk_ns);
    s->arrived++;
    plan_next(w, s);
}

static int gather(worker *w, shoald_due *due, uint64_t *expected_ns, int *expected)
{
    int n = 0;
    *expected = 0;
    for (int i = 0; i < w->count; i++) {
        stream *s = &w->streams[i];
        if (!s->due && (s->upload || s->next_ns <= w->now_ns))
            become_due(w, s);
        s->paced = s->paced && !s->patient_ns && !shoald_turn_paused(s->expected_ns, w->now_ns);
        if (s->paced)
            expected_ns[(*expected)++] = s->expected_ns;
        if (s->due) {
            due[n] = chunk_due(s->deadline_ns, s->patient_ns, s->depth);
            due[n].chunk_ns = s->chunk_ns;
            due[n].frames = (int)(s->chunk_ns / (20 * MS));
            due[n++].owner = s;
        }
    }
    return n;
}

static uint64_t next_arrival(const worker *w)
{
    uint64_t ns = UINT64_MAX;
    for (int i = 0; i < w->count; i++)
        if (!w->streams[i].upload && w->streams[i].next_ns < ns)
            ns = w->streams[i].next_ns;
    return ns;
}

static void finish(worker *w, const shoald_due *due)
{
    stream *s = due->owner;
    if (!s->upload)
        w->waited_ms[w->waited++] = (double)(w->now_ns - s->complete_ns) / 1e6;
    s->due = false;
    s->paced = s->paced || !s->patient_ns;
    s->done++;
}

static void tick(worker *w)
{
    shoald_due due[MOST];
    uint64_t expected_ns[MOST], arrival_ns;
    int expected, n = gather(w, due, expected_ns, &expected);
    shoald_turn_view v = view_at(w->now_ns, expected_ns, expected);
    shoald_turn t = { .again_ns = UINT64_MAX };
    if (n > 0)
        t = shoald_turn_take(due, n, &v);
    if (t.count == 0) {
        arrival_ns = next_arrival(w);
        ck_assert(t.again_ns > w->now_ns);
        w->now_ns = arrival_ns < t.again_ns ? arrival_ns : t.again_ns;
        return;
    }
    double slow = chance(w) < 0.1 ? 1.3 : 0.9 + 0.2 * chance(w);
    w->now_ns += (uint64_t)(slow * shoald_cost_run_ns(&costs, &t.work));
    for (int i = 0; i < t.count; i++)
        finish(w, &due[i]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ms */
static double percentile(worker *w, double p)
{
    qsort(w->waited_ms, (size_t)w->waited, sizeof(double), by_size);
    return w->waited_ms[(int)(p * (w->waited - 1))];
}

static void play(worker *w, int seconds)
{
    w->now_ns = 1000 * MS;
    while (w->now_ns < (uint64_t)(1 + seconds) * 1000 * MS)
        tick(w);
}

/* live streams at this depth, with or without so many uploads at depth 12 */
static worker *played(int live, int depth, int jitter_ms, int uploads, unsigned seed)
{
    enum { SECONDS = 40 };
    worker *w = calloc(1, sizeof *w);
    w->seed = seed;
    for (int i = 0; i < live; i++)
        add(w, depth, false, 160, jitter_ms);
    for (int i = 0; i < uploads; i++)
        add(w, 12, true, 160, 0);
    play(w, SECONDS);
    return w;
}

/* Seconds of audio of the uploads a second, each. */
static double rate_of_uploads(const worker *w)
{
    double seconds = (double)w->now_ns / 1e9 - 1, least = INFINITY;
    for (int i = 0; i < w->count; i++) {
        const stream *s = &w->streams[i];
        if (s->upload)
            least = fmin(least, (double)s->done * (double)s->chunk_ns / 1e9 / seconds);
    }
    return least;
}

/* p99 beside uploads / p99 alone, the mean of some runs of luck. rate: the uploads' least. */
static double moved(int live, int depth, int jitter_ms, int uploads, double *rate)
{
    enum { SEEDS = 10 };
    double sum = 0;
    *rate = INFINITY;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        worker *alone = played(live, depth, jitter_ms, 0, seed);
        worker *beside = played(live, depth, jitter_ms, uploads, seed);
        sum += percentile(beside, 0.99) / percentile(alone, 0.99);
        *rate = fmin(*rate, rate_of_uploads(beside));
        free(alone);
        free(beside);
    }
    return sum / SEEDS;
}

START_TEST(greedy_uploads_move_no_live_stream)
{
    static const struct {
        int live, depth, jitter_ms, uploads;
        double rate; /* what is left for each upload is much */
    } cases[] = { { 8, 3, 1, 1, 8 }, { 8, 3, 3, 1, 8 },  { 8, 3, 3, 4, 2 },
                  { 4, 6, 2, 1, 8 }, { 16, 3, 3, 1, 4 }, { 8, 12, 3, 1, 4 } };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rate,
            m = moved(cases[i].live, cases[i].depth, cases[i].jitter_ms, cases[i].uploads, &rate);
        ck_assert_msg(m <= 1.2 && rate >= cases[i].rate, "case %zu: p99 x %.2f, uploads x %.2f", i,
                      m, rate);
    }
}
END_TEST

/* Where there are no gaps, uploads come at real time at least, and live streams wait for a short
 * run at most. */
START_TEST(without_gaps_uploads_get_real_time)
{
    static const int cases[][4] = { { 40, 3, 3, 1 }, { 16, 3, 3, 8 }, { 8, 3, 20, 1 } };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int *c = cases[i];
        double rate;
        moved(c[0], c[1], c[2], c[3], &rate);
        ck_assert_msg(rate >= 1.1, "case %zu: %.2f", i, rate);
        worker *w = played(c[0], c[1], c[2], c[3], 1);
        double p99_ms = percentile(w, 0.99);
        ck_assert_msg(p99_ms < 20, "case %zu: %.2f ms", i, p99_ms);
        free(w);
    }
}
END_TEST

/* However much its network jitters, a live stream does not wait for gaps. */
START_TEST(a_live_stream_that_jitters_stays_live)
{
    worker *w = calloc(1, sizeof *w);
    w->seed = 1;
    add(w, 3, false, 160, 79);
    for (int i = 0; i < 40; i++)
        add(w, 3, false, 160, 0);
    play(w, 30);
    ck_assert_double_lt(percentile(w, 1), 40);
    free(w);
}
END_TEST

START_TEST(the_mean_tells_when_a_chunk_is_expected)
{
    uint64_t chunk = 160 * MS, at = shoald_turn_expect(0, 1000 * MS, chunk);

    ck_assert_uint_eq(at, 1160 * MS);
    for (int i = 1; i < 100; i++) /* 8 ms early and late by turns */
        at = shoald_turn_expect(at, 1000 * MS + (uint64_t)i * chunk + (i & 1 ? 8 * MS : 0), chunk);
    ck_assert_double_eq_tol((double)(at - 100 * chunk) / MS, 1004, 1);
    ck_assert_uint_eq(shoald_turn_expect(at, at + 50 * MS, chunk), at + 50 * MS + chunk);
}
END_TEST

static Suite *turn_suite(void)
{
    Suite *s = suite_create("turn");
    TCase *one = tcase_create("one turn");
    TCase *played_out = tcase_create("played");

    tcase_add_test(one, far_ahead_is_patient);
    tcase_add_test(one, a_run_is_of_one_kind);
    tcase_add_test(one, live_chunks_run_at_once_and_without_the_patient);
    tcase_add_test(one, without_patience_a_chunk_takes_its_turn);
    tcase_add_test(one, a_gap_is_measured_from_whoever_is_expected);
    tcase_add_test(one, patience_ends_the_wait);
    tcase_add_test(one, a_long_chunk_is_passed_over);
    tcase_add_test(one, nobody_is_waited_for_for_ever);
    tcase_add_test(one, only_live_chunks_lower_the_ceiling);
    tcase_add_test(one, the_mean_tells_when_a_chunk_is_expected);
    suite_add_tcase(s, one);
    tcase_add_test(played_out, greedy_uploads_move_no_live_stream);
    tcase_add_test(played_out, without_gaps_uploads_get_real_time);
    tcase_add_test(played_out, a_live_stream_that_jitters_stays_live);
    suite_add_tcase(s, played_out);
    return s;
}

int main(void)
{
    return suite_run(turn_suite());
}

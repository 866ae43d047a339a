/* test_overload.c - more than fits: depth goes down and comes back; a worker that is late all the
 * same loses sessions
 *
 * The setting `capacity` says how many streams at full depth count as full load, and a program that
 * is slow on request (slow_shoald.c) makes chunks late, so nothing here depends on how fast this
 * machine is. The test model has 12 layers.
 */
#include "integration.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { STEP_MS = 20, STEP_BYTES = STEP_MS * 32, FULL = 12 };

/* ---- live sessions, all driven by one thread ---- */

typedef struct talker {
    shoal_client *client;
    int ready, depth, lowest, highest; /* depth: of the last packet; 0: none yet */
    int by_load;                       /* `changed` with the reason load */
    int done, closed;
    uint64_t frames;
    shoal_error error;
} talker;

static void open_talker(talker *t, int port, const char *depth)
{
    shoal_client_params p = shoal_client_default_params();
    char url[128], why[256];

    *t = (talker){ .lowest = 255 };
    p.connect_timeout_ms = PATIENCE_MS;
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/?depth=%s&output=posteriors", port, depth);
    ck_assert_msg(shoal_client_open(&t->client, url, &p, why, sizeof why) == 0, "%s", why);
}

static void take_packet(talker *t, const shoal_packet *p)
{
    t->depth = p->depth;
    t->lowest = p->depth < t->lowest ? p->depth : t->lowest;
    t->highest = p->depth > t->highest ? p->depth : t->highest;
    t->frames += (uint64_t)p->frames;
}

static void take_events(talker *t, int timeout_ms)
{
    shoal_client_event e;
    int got;

    while (!t->closed && (got = shoal_client_poll(t->client, timeout_ms, &e)) != 0) {
        timeout_ms = 0;
        t->closed = got < 0;
        if (got < 0)
            return;
        t->ready |= e.type == SHOAL_CLIENT_READY;
        t->done |= e.type == SHOAL_CLIENT_DONE;
        if (e.type == SHOAL_CLIENT_FEATURES)
            take_packet(t, e.packet);
        if (e.type == SHOAL_CLIENT_CHANGED)
            t->by_load += e.changed->reason == SHOAL_REASON_LOAD;
        if (e.type == SHOAL_CLIENT_ERROR)
            t->error = *e.error;
    }
}

static void wait_ready(talker *t)
{
    for (int waited = 0; !t->ready && !t->closed && waited < PATIENCE_MS; waited += STEP_MS)
        take_events(t, STEP_MS);
    ck_assert_msg(t->ready, "not ready: %s", t->error.message);
}

/* Pieces of 20 ms since the last call: speech keeps its pace however slow this machine is. */
static int pieces_due(void)
{
    enum { MOST = 10 }; /* after a pause of the test's own */
    static double said_ms;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double now_ms = (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
    int n = (int)((now_ms - said_ms) / STEP_MS);

    if (n > MOST || n < 1) {
        said_ms = now_ms;
        return n < 1 ? 1 : MOST;
    }
    said_ms += n * STEP_MS;
    return n;
}

/* All say what is due. */
static void talk(talker *t, int n)
{
    static const uint8_t audio[STEP_BYTES];
    struct timespec step = { 0, STEP_MS * 1000000L };

    nanosleep(&step, NULL);
    for (int pieces = pieces_due(); pieces > 0; pieces--)
        for (int i = 0; i < n; i++) {
            ck_assert_uint_eq(shoal_client_send(t[i].client, audio, sizeof audio), sizeof audio);
            take_events(&t[i], 0);
        }
}

static int reaches(const talker *t, int n, int depth)
{
    for (int i = 0; i < n; i++)
        if (t[i].depth != depth)
            return 0;
    return 1;
}

static void talk_until(talker *t, int n, int depth)
{
    for (int waited = 0; !reaches(t, n, depth); waited += STEP_MS) {
        ck_assert_msg(waited < PATIENCE_MS, "depth %d is not reached: it is %d", depth, t->depth);
        talk(t, n);
    }
}

/* Until the first of them has had less than everything and the load is what is aimed at: on a slow
 * machine packets of the time before are still on their way long after the decision, and depth may
 * have come back by the time that the rest is seen. */
static void talk_until_relieved(const daemon_process *d, talker *t, int n)
{
    for (int waited = 0; t->lowest == FULL || daemon_metric(d, "shoal_load_projected_ratio") > 0.86;
         waited += STEP_MS) {
        ck_assert_msg(waited < PATIENCE_MS, "depth %d with load %g", t->depth,
                      daemon_metric(d, "shoal_load_projected_ratio"));
        talk(t, n);
    }
}

static void end(talker *t)
{
    ck_assert_int_eq(shoal_client_end(t->client), 0);
    for (int waited = 0; !t->closed && waited < PATIENCE_MS; waited += 100)
        take_events(t, 100);
}

static void finish(talker *t)
{
    end(t);
    ck_assert_msg(t->done, "no done: %s", t->error.message);
    ck_assert_uint_eq(shoal_client_get_stats(t->client).seq_gaps, 0);
    ck_assert_uint_gt(t->frames, 0);
    shoal_client_free(t->client);
}

/* ---- elastic depth ---- */

enum { RUSH = 8 };

/* 10 streams where 6 fit: those with a range go down to half or less, the fixed one stays, nobody
 * loses anything; when the rush is over the one with a range that is left goes up to the top. */
START_TEST(a_rush_is_served_shallower_and_then_depth_returns)
{
    /* one worker: with two, who is together with whom is chance, and so is who must go down */
    static const char *const args[] = { "--set", "capacity=6", "--workers", "1", NULL };
    daemon_process d;
    talker t[2 + RUSH];

    daemon_start(&d, args);
    open_talker(&t[0], d.port, "3-12");
    open_talker(&t[1], d.port, "12");
    wait_ready(&t[0]);
    wait_ready(&t[1]);
    talk_until(t, 2, FULL);
    for (int i = 0; i < RUSH; i++)
        open_talker(&t[2 + i], d.port, "3-12");
    for (int i = 0; i < RUSH; i++)
        wait_ready(&t[2 + i]);
    talk_until_relieved(&d, t, 2 + RUSH);
    ck_assert_int_lt(t[0].lowest, FULL);
    for (int i = 0; i < RUSH; i++)
        finish(&t[2 + i]);
    talk_until(t, 2, FULL);
    ck_assert_int_lt(t[0].lowest, FULL);
    ck_assert_int_ge(t[0].by_load, 2);   /* down and up */
    ck_assert_int_eq(t[1].lowest, FULL); /* a fixed depth is fixed */
    ck_assert_int_eq(t[1].by_load, 0);
    finish(&t[0]);
    finish(&t[1]);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

START_TEST(without_elastic_depth_is_what_was_asked)
{
    static const char *const args[] = { "--set", "capacity=1",    "--set", "elastic=off",
                                        "--set", "admission=off", NULL };
    daemon_process d;
    talker t[3];

    daemon_start(&d, args);
    for (int i = 0; i < 3; i++)
        open_talker(&t[i], d.port, "3-12");
    for (int i = 0; i < 3; i++)
        wait_ready(&t[i]);
    for (int i = 0; i < 30; i++)
        talk(t, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(t[i].lowest, FULL);
        finish(&t[i]);
    }
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

/* ---- a worker that is late ---- */

enum { SPEAKERS = 6, UPLOAD_S = 5 };

/* From real time to a heap of audio that waits: a chunk of 160 ms of each takes 300 ms now. */
static void upload(talker *t, int n)
{
    static const uint8_t second[32000];

    for (int i = 0; i < n; i++)
        for (int s = 0; s < UPLOAD_S; s++)
            ck_assert_uint_eq(shoal_client_send(t[i].client, second, sizeof second), sizeof second);
}

static void wait_closed(talker *t, int n, const talker *who)
{
    for (int waited = 0; !who->closed; waited += STEP_MS) {
        ck_assert_msg(waited < PATIENCE_MS, "nobody is shed");
        for (int i = 0; i < n; i++)
            take_events(&t[i], i == 0 ? STEP_MS : 0);
    }
}

static void wait_overloaded(const daemon_process *d, talker *t, int n)
{
    struct timespec step = { 0, STEP_MS * 1000000L };
    char page[64] = "";

    for (int waited = 0; raw_http_get(d->port, "/readyz", page, sizeof page) != 503;
         waited += STEP_MS) {
        ck_assert_msg(waited < PATIENCE_MS, "everybody is welcome");
        nanosleep(&step, NULL);
        for (int i = 0; i < n; i++)
            take_events(&t[i], 0);
    }
    ck_assert_str_eq(page, "overloaded\n");
}

static void check_shed(const talker *t)
{
    ck_assert_int_eq(t->error.code, SHOAL_CODE_BACKLOG);
    ck_assert_int_eq(t->error.fatal, 1);
    ck_assert_int_eq(t->error.retry, 1);
}

/* The engine loses its speed under six sessions: nobody new is let in, the newest is told
 * `backlog`. With the speed back, those who were there first get all their results. (When this test
 * is itself held up for seconds, more than one goes, the newest first all the same.) */
START_TEST(a_worker_that_stays_late_loses_its_newest_session)
{
    static const char *const args[] = {
        "--workers",        "1", "--set", "capacity=100000", "--set", "late_limit_ms=500", "--set",
        "backlog_ms=10000", NULL
    };
    daemon_process d;
    talker t[SPEAKERS];
    int left = 0;

    daemon_start_program(&d, slow_shoald_path(), args);
    for (int i = 0; i < SPEAKERS; i++) {
        open_talker(&t[i], d.port, "12");
        wait_ready(&t[i]);
    }
    talk_until(t, SPEAKERS, FULL);
    ck_assert_int_eq(kill(d.pid, SIGUSR2), 0);
    upload(t, SPEAKERS);
    wait_overloaded(&d, t, SPEAKERS);
    wait_closed(t, SPEAKERS, &t[SPEAKERS - 1]);
    ck_assert_int_eq(kill(d.pid, SIGWINCH), 0);
    for (int i = 0; i < SPEAKERS; i++)
        end(&t[i]);
    for (; left < SPEAKERS && t[left].done; left++)
        ck_assert_uint_eq(t[left].frames, t[0].frames);
    ck_assert_int_gt(left, 0);
    ck_assert_uint_ge(t[0].frames, UPLOAD_S * 1000 / SHOAL_FRAME_MS);
    for (int i = left; i < SPEAKERS; i++)
        check_shed(&t[i]);
    for (int i = 0; i < SPEAKERS; i++)
        shoal_client_free(t[i].client);
    ck_assert_double_eq(daemon_metric(&d, "shoal_protocol_errors_total{code=\"backlog\"}"),
                        SPEAKERS - left);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

TCase *overload_case(void)
{
    TCase *t = tcase_create("overload");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, a_rush_is_served_shallower_and_then_depth_returns);
    tcase_add_test(t, without_elastic_depth_is_what_was_asked);
    tcase_add_test(t, a_worker_that_stays_late_loses_its_newest_session);
    return t;
}

/* check_worker.c - a worker's turn: a crowd that comes or goes holds nobody up
 *
 * The worker of the daemon without its thread (but for the last test), lanes put together by hand.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "plan/grant.h"
#include "suite.h"
#include "work/track.h"
#include "work/worker.h"

enum { CROWD = 160, MOST = CROWD + 1, CHUNK = 2560 };

static shoald_service service;
static shoald_worker worker;
static shoald_lane lanes[MOST];
static uv_loop_t loop;
static uv_async_t news;

static void make_lanes(void)
{
    shoal_options o = shoal_options_default();
    shoal_error err;

    o.rate = 16000;
    ck_assert_int_eq(shoald_grant_options(&o, service.model, &(shoald_grant_limits){ 0 }, &err), 0);
    for (int i = 0; i < MOST; i++) {
        lanes[i] = (shoald_lane){ .service = &service, .options = o };
        ck_assert_int_eq(shoald_lane_init(&lanes[i], 2000, 0), 0);
    }
}

static void begin(void)
{
    const shoal_model_params params = shoal_model_default_params();
    char why[256] = "";

    shoald_log_set_level(SHOALD_LOG_ERROR);
    ck_assert_msg(shoald_service_open(&service, SRCDIR "/tests/data/tiny.safetensors", &params, why,
                                      sizeof why) == 0,
                  "%s", why);
    uv_loop_init(&loop);
    uv_async_init(&loop, &news, NULL);
    make_lanes();
}

static void begin_without_thread(void)
{
    begin();
    ck_assert_int_eq(shoald_worker_init(&worker, 0, &service, &news, MOST, 512), 0);
    worker.cost = (shoald_cost){ .shape = { 1e4, 1e3, 1e3, 1e3, 1e3 }, .speed = 1, .prior = 1 };
}

static void end(void)
{
    for (int i = 0; i < MOST; i++)
        shoald_lane_free(&lanes[i]);
    shoald_worker_free(&worker);
    shoald_service_close(&service);
    uv_close((uv_handle_t *)&news, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

static void say(shoald_lane *l, size_t samples)
{
    static const int16_t audio[2 * CHUNK];
    const shoald_record r = { (uint32_t)(2 * samples), SHOALD_IN_AUDIO, 0, uv_hrtime() };

    ck_assert(shoald_queue_put(&l->in, &r, audio));
    shoald_lane_post(l, &worker.port);
}

static int opened(void)
{
    int n = 0;

    for (int i = 0; i < CROWD; i++)
        n += lanes[i].track && lanes[i].track->stream;
    return n;
}

/* Lanes that the worker has let go since this was last asked. */
static int released(void)
{
    int n = 0;

    for (void *mail; (mail = shoald_mailbox_take(&worker.port.outbox));)
        n += SHOALD_MARKED(mail);
    return n;
}

static uint64_t chunks(void)
{
    return atomic_load(&worker.port.stats.chunks);
}

/* The last lane is somebody who has been speaking for a while. */
static shoald_lane *speaker(void)
{
    shoald_lane *l = &lanes[CROWD];

    say(l, 2 * CHUNK);
    while (chunks() < 1)
        shoald_worker_turn(&worker);
    return l;
}

START_TEST(a_crowd_that_comes_is_let_in_by_and_by)
{
    int turns = 0, most = 0, before = 0;

    begin_without_thread();
    shoald_lane *l = speaker();
    uint64_t had = chunks();
    for (int i = 0; i < CROWD; i++)
        say(&lanes[i], 10);
    say(l, 2 * CHUNK);
    shoald_worker_turn(&worker);
    ck_assert_uint_eq(chunks(), had + 1); /* at once */
    ck_assert_int_le(opened(), 4 + CROWD / 8);
    while (opened() < CROWD && turns++ < CROWD) {
        before = opened();
        shoald_worker_turn(&worker);
        most = opened() - before > most ? opened() - before : most;
    }
    ck_assert_int_eq(opened(), CROWD);
    ck_assert_int_le(most, 4 + CROWD / 8);
    ck_assert_int_le(turns, 25); /* with a run in each: a second for a crowd */
    for (int i = 0; i < MOST; i++)
        shoald_lane_post_last(&lanes[i], &worker.port);
    for (int i = 0; i < MOST; i++)
        shoald_worker_turn(&worker);
    ck_assert_int_eq(released(), MOST);
    end();
}
END_TEST

START_TEST(and_so_it_goes)
{
    begin_without_thread();
    shoald_lane *l = speaker();
    for (int i = 0; i < CROWD; i++)
        say(&lanes[i], 10);
    while (opened() < CROWD)
        shoald_worker_turn(&worker);
    uint64_t had = chunks();
    for (int i = 0; i < CROWD; i++)
        shoald_lane_post_last(&lanes[i], &worker.port);
    say(l, 2 * CHUNK);
    shoald_worker_turn(&worker);
    ck_assert_uint_gt(chunks(), had);
    int n = released();
    ck_assert_int_gt(n, 0);
    ck_assert_int_le(n, 4 + CROWD / 8);
    for (int i = 0; i < 25; i++)
        shoald_worker_turn(&worker);
    ck_assert_int_eq(n + released(), CROWD);
    shoald_lane_post_last(l, &worker.port);
    shoald_worker_turn(&worker);
    ck_assert_int_eq(released(), 1);
    end();
}
END_TEST

/* Nobody calls a worker a second time for what it put off, nor when it is to end. */
START_TEST(what_is_put_off_is_done)
{
    int n = 0;

    begin();
    ck_assert_int_eq(shoald_worker_start(&worker, 0, &service, &news, MOST, 512), 0);
    ck_assert_int_eq(shoald_worker_wait(&worker), 0);
    for (int i = 0; i < CROWD; i++) {
        say(&lanes[i], 10);
        shoald_lane_post_last(&lanes[i], &worker.port);
    }
    while ((n += released()) < CROWD) /* else Check ends it */
        uv_sleep(1);
    say(&lanes[CROWD], 10);
    shoald_lane_post_last(&lanes[CROWD], &worker.port);
    shoald_worker_stop(&worker);
    ck_assert_int_eq(released(), 1);
    for (int i = 0; i < MOST; i++)
        ck_assert_ptr_null(lanes[i].track);
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("worker");
    TCase *t = tcase_create("worker");

    tcase_add_test(t, a_crowd_that_comes_is_let_in_by_and_by);
    tcase_add_test(t, and_so_it_goes);
    tcase_add_test(t, what_is_put_off_is_done);
    suite_add_tcase(s, t);
    return suite_run(s);
}

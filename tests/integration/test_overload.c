/* test_overload.c - more than fits: depth goes down and comes back, what is too much is refused,
 * sessions move between workers and nobody sees it; the price list
 *
 * The setting `capacity` says how many streams at full depth count as full load, so nothing here
 * depends on how fast this machine is. The test model has 12 layers.
 */
#include "integration.h"

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECOND = 16000, STEP_MS = 20, STEP_BYTES = STEP_MS * 32, FULL = 12 };

/* ---- live sessions, all driven by one thread ---- */

typedef struct talker {
    shoal_client *client;
    int ready, depth, lowest, highest;     /* depth: of the last packet; 0: none yet */
    int by_load;                           /* `changed` with the reason load */
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

/* All say something for 20 ms. */
static void talk(talker *t, int n)
{
    static const uint8_t audio[STEP_BYTES];
    struct timespec step = { 0, STEP_MS * 1000000L };

    nanosleep(&step, NULL);
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

static void finish(talker *t)
{
    ck_assert_int_eq(shoal_client_end(t->client), 0);
    for (int waited = 0; !t->closed && waited < PATIENCE_MS; waited += 100)
        take_events(t, 100);
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
    static const char *const args[] = { "--set", "capacity=6", NULL };
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
    for (int i = 0; i < 50; i++)
        talk(t, 2 + RUSH);
    ck_assert_int_lt(t[0].depth, FULL);
    ck_assert_int_lt(daemon_metric(&d, "shoal_depth_ceiling"), FULL);
    ck_assert_double_le(daemon_metric(&d, "shoal_load_projected"), 0.86);
    for (int i = 0; i < RUSH; i++)
        finish(&t[2 + i]);
    talk_until(t, 2, FULL);
    ck_assert_int_lt(t[0].lowest, FULL);
    ck_assert_int_ge(t[0].by_load, 2);             /* down and up */
    ck_assert_int_eq(t[1].lowest, FULL);           /* a fixed depth is fixed */
    ck_assert_int_eq(t[1].by_load, 0);
    finish(&t[0]);
    finish(&t[1]);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

START_TEST(without_elastic_depth_is_what_was_asked)
{
    static const char *const args[] = { "--set", "capacity=1", "--set", "elastic=off", "--set",
                                        "admission=off", NULL };
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

/* ---- admission ---- */

enum { TRIES = 50 };    /* a session counts while it speaks, and this machine may be slow */

static int try_upgrade(int port, const char *path, raw_ws *w)
{
    return raw_ws_open(w, port, path, SHOAL_SUBPROTOCOL);
}

static void speak(raw_ws *w)
{
    static const uint8_t audio[SECOND * 2];

    ck_assert_int_eq(raw_ws_send(w, RAW_BINARY, audio, sizeof audio), 0);
}

/* An upgrade that is refused while the first session speaks. */
static void expect_refused(raw_ws *first, int port, const char *path, raw_ws *w)
{
    int status = 0;

    for (int i = 0; i < TRIES && status != 503; i++) {
        if (status == 101)
            raw_ws_close(w);
        speak(first);
        status = try_upgrade(port, path, w);
    }
    ck_assert_int_eq(status, 503);
}

/* Of 1.9 streams: one at full depth is in, a second is not, a range still is. */
START_TEST(what_does_not_fit_is_refused_before_the_upgrade)
{
    static const char *const args[] = { "--set", "capacity=2", "--set", "retry_after_s=7", NULL };
    char page[64];
    daemon_process d;
    raw_ws first, w;
    int status = 0;

    daemon_start(&d, args);
    ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH "?depth=12", &first), 101);
    expect_refused(&first, d.port, SHOAL_PATH "?depth=12", &w);
    ck_assert_ptr_nonnull(strstr(w.head, "Retry-After: 7\r\n"));
    raw_ws_close(&w);
    for (int i = 0; i < TRIES && status != 503; i++) {
        speak(&first);
        status = raw_http_get(d.port, "/readyz", page, sizeof page);
    }
    ck_assert_int_eq(status, 503);
    ck_assert_str_eq(page, "overloaded\n");
    ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH "?depth=3-12", &w), 101);
    raw_ws_close(&w);
    raw_ws_close(&first);
    daemon_wait_empty(&d);
    for (int i = 0; status != 101 && i < 100; i++)
        status = try_upgrade(d.port, SHOAL_PATH "?depth=12", &w);
    ck_assert_int_eq(status, 101);
    raw_ws_close(&w);
    ck_assert_double_ge(daemon_metric(&d, "shoal_sessions_refused_total"), 1);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

static void next_text(raw_ws *w, shoal_server_msg *m)
{
    raw_frame f;
    shoal_error err;

    ck_assert_int_eq(raw_ws_recv_opcode(w, &f, RAW_TEXT, PATIENCE_MS), 1);
    ck_assert_msg(shoal_server_msg_decode(m, (const char *)f.data, f.size, &err) == 0, "%s",
                  err.message);
}

START_TEST(what_does_not_fit_is_refused_at_start)
{
    static const char *const args[] = { "--set", "capacity=2", NULL };
    static const char start[] = "{\"type\":\"start\",\"depth\":12}";
    static shoal_server_msg m;
    daemon_process d;
    raw_ws first, w;
    raw_frame f;

    daemon_start(&d, args);
    ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH "?depth=12", &first), 101);
    for (int i = 0; i < TRIES && m.type != SHOAL_MSG_ERROR; i++) {
        if (m.type)
            raw_ws_close(&w);
        speak(&first);
        ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH, &w), 101);
        raw_ws_send(&w, RAW_TEXT, start, sizeof start - 1);
        next_text(&w, &m);
    }
    ck_assert_int_eq(m.type, SHOAL_MSG_ERROR);
    ck_assert_int_eq(m.u.error.code, SHOAL_CODE_OVERLOADED);
    ck_assert_int_eq(m.u.error.fatal, 1);
    ck_assert_int_eq(m.u.error.retry, 1);
    ck_assert_int_eq(m.u.error.retry_after_ms, 5000);
    ck_assert_int_eq(raw_ws_recv_opcode(&w, &f, RAW_CLOSE, PATIENCE_MS), 1);
    ck_assert_int_eq(raw_frame_close_code(&f), 1013);
    raw_ws_close(&w);
    raw_ws_close(&first);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

enum { IDLE = 40 };

/* Where 2 fit, 40 may be silent; the first to speak may, one more may not, the others stay. */
START_TEST(who_is_silent_takes_nobody_s_place)
{
    static const char *const args[] = { "--set", "capacity=2", NULL };
    static const char ping[] = "{\"type\":\"ping\",\"id\":\"1\"}";
    static shoal_server_msg m;
    daemon_process d;
    raw_ws idle[IDLE];
    raw_frame f;

    daemon_start(&d, args);
    for (int i = 0; i < IDLE; i++) {
        ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH "?depth=12&output=posteriors", &idle[i]),
                         101);
        next_text(&idle[i], &m);
        ck_assert_int_eq(m.type, SHOAL_MSG_READY);
    }
    speak(&idle[0]);
    speak(&idle[1]);
    next_text(&idle[1], &m);
    ck_assert_int_eq(m.type, SHOAL_MSG_ERROR);
    ck_assert_int_eq(m.u.error.code, SHOAL_CODE_OVERLOADED);
    ck_assert_int_eq(m.u.error.fatal, 1);
    ck_assert_int_eq(m.u.error.retry_after_ms, 5000);
    ck_assert_int_eq(raw_ws_recv_opcode(&idle[1], &f, RAW_CLOSE, PATIENCE_MS), 1);
    ck_assert_int_eq(raw_frame_close_code(&f), 1013);
    ck_assert_int_eq(raw_ws_recv_opcode(&idle[0], &f, RAW_BINARY, PATIENCE_MS), 1);
    for (int i = 2; i < IDLE; i++) {
        raw_ws_send(&idle[i], RAW_TEXT, ping, sizeof ping - 1);
        next_text(&idle[i], &m);
        ck_assert_int_eq(m.type, SHOAL_MSG_PONG);
    }
    for (int i = 0; i < IDLE; i++)
        raw_ws_close(&idle[i]);
    daemon_wait_empty(&d);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

/* Deeper than fits is refused, the session goes on as it was; what fits is granted. */
START_TEST(a_set_that_does_not_fit_changes_nothing)
{
    static const char *const args[] = { "--set", "capacity=2", NULL };
    static const char deeper[] = "{\"type\":\"set\",\"depth\":12}",
                      some[] = "{\"type\":\"set\",\"depth\":3}",
                      back[] = "{\"type\":\"set\",\"depth\":1}";
    static shoal_server_msg m;
    daemon_process d;
    raw_ws first, w;

    daemon_start(&d, args);
    ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH "?depth=12", &first), 101);
    ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH "?depth=1", &w), 101);
    next_text(&w, &m);
    ck_assert_int_eq(m.type, SHOAL_MSG_READY);
    for (int i = 0; i < TRIES && m.type != SHOAL_MSG_ERROR; i++) {
        if (m.type == SHOAL_MSG_CHANGED) {
            raw_ws_send(&w, RAW_TEXT, back, sizeof back - 1);
            next_text(&w, &m);
        }
        speak(&first);
        raw_ws_send(&w, RAW_TEXT, deeper, sizeof deeper - 1);
        next_text(&w, &m);
    }
    ck_assert_int_eq(m.type, SHOAL_MSG_ERROR);
    ck_assert_int_eq(m.u.error.code, SHOAL_CODE_OVERLOADED);
    ck_assert_int_eq(m.u.error.fatal, 0);
    ck_assert_str_eq(m.u.error.ref, "depth");
    raw_ws_send(&w, RAW_TEXT, some, sizeof some - 1);
    next_text(&w, &m);
    ck_assert_int_eq(m.type, SHOAL_MSG_CHANGED);
    ck_assert_int_eq(m.u.changed.depth, 3);
    raw_ws_close(&w);
    raw_ws_close(&first);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

/* ---- the price list ---- */

static json_t *get_depths(const daemon_process *d)
{
    static char page[1 << 16];
    json_error_t error;

    ck_assert_int_eq(raw_http_get(d->port, "/v1/depths", page, sizeof page), 200);
    json_t *json = json_loads(page, 0, &error);
    ck_assert_msg(json != NULL, "%s: %s", error.text, page);
    return json;
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    ck_assert_msg(json_is_number(value), "%s is not a number", name);
    return json_number_value(value);
}

/* Deeper costs more; latency is known where something was measured, and only there. */
START_TEST(the_price_list_is_measured)
{
    int16_t *audio = make_audio(SECOND, 42);
    stream_plan p = { .query = "depth=2", .audio = audio, .size = SECOND * 2, .realtime = 1 };
    daemon_process d;
    stream_result r;
    double last = 0;

    daemon_start(&d, NULL);
    stream_run(&r, d.port, &p);
    stream_check_complete(&r, SECOND, 16000);
    json_t *page = get_depths(&d), *list = json_object_get(page, "depths");
    ck_assert_int_eq((int)json_array_size(list), FULL);
    ck_assert_int_eq((int)number(page, "ceiling"), FULL);
    ck_assert_double_gt(number(page, "capacity"), 0);
    for (int depth = 1; depth <= FULL; depth++) {
        const json_t *one = json_array_get(list, (size_t)depth - 1);
        const json_t *latency = json_object_get(one, "latency_ms");

        ck_assert_int_eq((int)number(one, "depth"), depth);
        ck_assert_double_ge(number(one, "cpu_ms"), last);
        last = number(one, "cpu_ms");
        ck_assert_double_gt(number(one, "streams"), 0);
        ck_assert(json_is_null(json_object_get(one, "per")));      /* there is no card */
        ck_assert_int_eq(json_is_object(latency), depth == 2);
        if (depth == 2) {
            ck_assert_int_ge((int)number(latency, "chunks"), 6);
            ck_assert_double_ge(number(latency, "p99"), number(latency, "p50"));
        }
    }
    json_decref(page);
    stream_free(&r);
    free(audio);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

START_TEST(error_rates_are_those_of_the_card)
{
    static const char *const args[] = { "--model", SRCDIR "/models/shoal-base.safetensors", NULL };
    json_t *card = json_load_file(SRCDIR "/models/shoal-base.json", 0, NULL);
    json_t *rates = json_object_get(json_object_get(card, "per_decoded"), "160");
    daemon_process d;

    daemon_start(&d, args);
    json_t *page = get_depths(&d), *list = json_object_get(page, "depths");
    ck_assert_double_eq_tol(number(json_array_get(list, 3), "per"), number(rates, "4"), 0.001);
    json_decref(page);
    json_decref(card);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

/* ---- migration ---- */

/* rebalance_percent=0: somebody moves at every tick of the clock. */
static const char *const restless[] = { "--set", "rebalance_percent=0", NULL };

START_TEST(moving_between_workers_changes_no_byte)
{
    size_t samples = 3 * SECOND;
    int16_t *audio = make_audio(samples, 40);
    stream_plan p = { .query = "depth=3&output=posteriors,embedding,phones", .audio = audio,
                      .size = samples * 2 };
    daemon_process d;
    stream_result still, moved;

    daemon_start(&d, restless);
    stream_run(&still, d.port, &p);                /* too short to move */
    p.realtime = 1;
    stream_run(&moved, d.port, &p);
    stream_check_complete(&moved, samples, 16000);
    stream_check_same(&still.posteriors, &moved.posteriors);
    stream_check_same(&still.embedding, &moved.embedding);
    ck_assert_uint_eq(still.phone_count, moved.phone_count);
    ck_assert_double_ge(daemon_metric(&d, "shoal_migrations_total"), 2);
    stream_free(&still);
    stream_free(&moved);
    free(audio);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

enum { CROWD = 6 };

typedef struct member {
    stream_plan plan;
    stream_result result;
    pthread_t thread;
    int port;
} member;

static void *run_member(void *opaque)
{
    member *m = opaque;

    stream_run(&m->result, m->port, &m->plan);
    return NULL;
}

/* Uploads and live streams, moved about and flushed, while others hang up in mid-stream. */
START_TEST(a_moving_crowd_loses_nothing)
{
    size_t samples = 2 * SECOND;
    int16_t *audio = make_audio(samples, 41);
    static member crowd[CROWD];
    daemon_process d;
    raw_ws w;

    daemon_start(&d, restless);
    for (int i = 0; i < CROWD; i++) {
        crowd[i].port = d.port;
        crowd[i].plan = (stream_plan){ .query = "depth=2&output=posteriors,phones", .audio = audio,
                                       .size = samples * 2, .realtime = i % 3 > 0,
                                       .control_at = samples, .flushes = i % 2 };
        ck_assert(!pthread_create(&crowd[i].thread, NULL, run_member, &crowd[i]));
    }
    for (int i = 0; i < 40; i++) {
        struct timespec pause = { 0, 50000000L };

        ck_assert_int_eq(raw_ws_open(&w, d.port, SHOAL_PATH "?depth=1", SHOAL_SUBPROTOCOL), 101);
        raw_ws_send(&w, RAW_BINARY, audio, 6400);
        nanosleep(&pause, NULL);
        raw_ws_reset(&w);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        stream_check_complete(&crowd[i].result, samples, 16000);
        if (crowd[i].plan.flushes == crowd[0].plan.flushes)
            stream_check_close(&crowd[0].result.posteriors, &crowd[i].result.posteriors, 1e-4f);
    }
    for (int i = 0; i < CROWD; i++)
        stream_free(&crowd[i].result);
    daemon_wait_empty(&d);
    free(audio);
    ck_assert_double_ge(daemon_metric(&d, "shoal_migrations_total"), 2);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

TCase *overload_case(void)
{
    TCase *t = tcase_create("overload");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, a_rush_is_served_shallower_and_then_depth_returns);
    tcase_add_test(t, without_elastic_depth_is_what_was_asked);
    tcase_add_test(t, what_does_not_fit_is_refused_before_the_upgrade);
    tcase_add_test(t, what_does_not_fit_is_refused_at_start);
    tcase_add_test(t, who_is_silent_takes_nobody_s_place);
    tcase_add_test(t, a_set_that_does_not_fit_changes_nothing);
    tcase_add_test(t, the_price_list_is_measured);
    tcase_add_test(t, error_rates_are_those_of_the_card);
    tcase_add_test(t, moving_between_workers_changes_no_byte);
    tcase_add_test(t, a_moving_crowd_loses_nothing);
    return t;
}

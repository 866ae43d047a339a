/* test_admission.c - what does not fit is refused: with the upgrade, at start, at the first
 * sound, at a `set`
 *
 * The setting `capacity` says how many streams at full depth count as full load, so nothing here
 * depends on how fast this machine is. The test model has 12 layers.
 */
#include "integration.h"

#include <signal.h>
#include <string.h>

enum { SECOND = 16000 };

enum { TRIES = 50 }; /* a session counts while it speaks, and this machine may be slow */

static int try_upgrade(int port, const char *path, raw_ws *w)
{
    return raw_ws_open(w, port, path, SHOAL_SUBPROTOCOL);
}

static void speak(raw_ws *w)
{
    static const uint8_t audio[SECOND * 2];

    ck_assert_int_eq(raw_ws_send(w, RAW_BINARY, audio, sizeof audio), 0);
}

static void next_text(raw_ws *w, shoal_server_msg *m)
{
    raw_frame f;
    shoal_error err;

    ck_assert_int_eq(raw_ws_recv_opcode(w, &f, RAW_TEXT, PATIENCE_MS), 1);
    ck_assert_msg(shoal_server_msg_decode(m, (const char *)f.data, f.size, &err) == 0, "%s",
                  err.message);
}

/* Up to a half more: those who are refused together shall not come back together. */
static void expect_spread(int ms, int base_ms)
{
    ck_assert_int_ge(ms, base_ms);
    ck_assert_int_le(ms, base_ms + base_ms / 2);
}

/* An upgrade whose first message says no, while the first session speaks. */
static void expect_refused(raw_ws *first, int port, const char *path, int retry_after_ms)
{
    static shoal_server_msg m;
    raw_frame f;
    raw_ws w;

    memset(&m, 0, sizeof m);
    for (int i = 0; i < TRIES && m.type != SHOAL_MSG_ERROR; i++) {
        if (m.type)
            raw_ws_close(&w);
        speak(first);
        ck_assert_int_eq(try_upgrade(port, path, &w), 101);
        next_text(&w, &m);
    }
    ck_assert_int_eq(m.type, SHOAL_MSG_ERROR);
    ck_assert_int_eq(m.u.error.code, SHOAL_CODE_OVERLOADED);
    expect_spread(m.u.error.retry_after_ms, retry_after_ms);
    ck_assert_int_eq(raw_ws_recv_opcode(&w, &f, RAW_CLOSE, PATIENCE_MS), 1);
    ck_assert_int_eq(raw_frame_close_code(&f), 1013);
    raw_ws_close(&w);
}

/* Of 1.9 streams: one at full depth is in, a second is not, a range still is. */
START_TEST(what_does_not_fit_is_refused_at_the_upgrade)
{
    static const char *const args[] = { "--set", "capacity=2", "--set", "retry_after_s=7", NULL };
    char page[64];
    daemon_process d;
    raw_ws first, w;
    int status = 0;

    daemon_start(&d, args);
    ck_assert_int_eq(try_upgrade(d.port, SHOAL_PATH "?depth=12", &first), 101);
    expect_refused(&first, d.port, SHOAL_PATH "?depth=12", 7000);
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
    expect_spread(m.u.error.retry_after_ms, 5000);
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
    expect_spread(m.u.error.retry_after_ms, 5000);
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

TCase *admission_case(void)
{
    TCase *t = tcase_create("admission");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, what_does_not_fit_is_refused_at_the_upgrade);
    tcase_add_test(t, what_does_not_fit_is_refused_at_start);
    tcase_add_test(t, who_is_silent_takes_nobody_s_place);
    tcase_add_test(t, a_set_that_does_not_fit_changes_nothing);
    return t;
}

/* check_client_session.c - the client's session without a socket: messages in, events out
 *
 * Beginnings and bounds of what is sent, what is kept for a replay, pings of its own, and one kind
 * of failure for all roads on which a server says no. The socket under it is in check_client.c.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_failure.h"
#include "lib/client_session.h"
#include "suite.h"

enum { QUEUE = 64 << 10 };

static shoal__session s;
static uint8_t audio[256 << 10];

static void open_with(size_t keep_bytes, shoal_format format)
{
    shoal__session_params p = { .options = shoal_options_default(),
                                .queue_bytes = QUEUE,
                                .message_bytes = 16 << 10,
                                .keep_bytes = keep_bytes,
                                .keep_alive = 1,
                                .peer = "host:1" };

    p.options.format = format;
    p.options.given |= SHOAL_OPT_FORMAT;
    for (size_t i = 0; i < sizeof audio; i++)
        audio[i] = (uint8_t)(i * 31 + (i >> 8));
    ck_assert_int_eq(shoal__session_init(&s, &p), 0);
}

static void open_session(void)
{
    open_with(0, SHOAL_FORMAT_S16LE);
}

static void close_session(void)
{
    shoal__session_free(&s);
}

static void hear(const char *text)
{
    ck_assert_int_eq(shoal__session_receive(&s, SHOAL__TEXT, text, strlen(text), 1), 0);
}

static shoal_client_event expect(shoal_client_event_type type)
{
    shoal_client_event e;

    ck_assert_msg(shoal__session_next_event(&s, &e) == 1, "no event instead of %d", type);
    ck_assert_msg(e.type == type, "event %d instead of %d%s%s", e.type, type, e.error ? ": " : "",
                  e.error ? e.error->message : "");
    return e;
}

static void expect_nothing(void)
{
    shoal_client_event e;

    ck_assert_msg(shoal__session_next_event(&s, &e) == 0, "event %d instead of none", e.type);
}

static void say_ready(uint64_t max_message_bytes, int idle_timeout_s)
{
    shoal_ready *r = calloc(1, sizeof *r);
    shoal_buf b = { 0 };

    r->options = shoal_options_default();
    r->options.depth_min = r->options.depth_max = r->depth = r->model_depth = 2;
    r->options.left_ms = 500;
    r->model_rate = 16000;
    r->dim = r->classes = 1;
    snprintf(r->labels[0], sizeof r->labels[0], "SIL");
    r->max_message_bytes = max_message_bytes;
    r->idle_timeout_s = idle_timeout_s;
    r->latency_ms = 235;
    ck_assert_int_eq(shoal_ready_encode(&b, r), 0);
    ck_assert_int_eq(shoal__session_receive(&s, SHOAL__TEXT, b.data, b.size, 1), 0);
    shoal_buf_free(&b);
    free(r);
}

static void hear_ready(uint64_t max_message_bytes, int idle_timeout_s)
{
    say_ready(max_message_bytes, idle_timeout_s);
    expect(SHOAL_CLIENT_READY);
}

/* The wire takes all there is. Returns audio bytes; *largest of one message. */
static size_t take_out(size_t *largest)
{
    const uint8_t *bytes;
    size_t n, sum = 0;
    int kind;

    *largest = 0;
    for (; shoal__session_front(&s, &kind, &bytes, &n); shoal__session_sent(&s)) {
        if (kind == SHOAL__TEXT)
            continue;
        sum += n;
        *largest = n > *largest ? n : *largest;
    }
    return sum;
}

/* ---- sending ---- */

START_TEST(before_ready_messages_are_small_enough_for_every_server)
{
    size_t largest;

    ck_assert_uint_eq(shoal__session_send(&s, audio, 30000), 30000);
    ck_assert_uint_eq(take_out(&largest), 30000);
    ck_assert_uint_eq(largest, 1024);
    hear_ready(3000, 60);
    ck_assert_uint_eq(shoal__session_send(&s, audio, 30000), 30000);
    ck_assert_uint_eq(take_out(&largest), 30000);
    ck_assert_uint_eq(largest, 3000);
}
END_TEST

START_TEST(after_ready_messages_are_as_large_as_the_program_likes)
{
    size_t largest;

    hear_ready(1 << 20, 60);
    ck_assert_uint_eq(shoal__session_send(&s, audio, 40000), 40000);
    ck_assert_uint_eq(take_out(&largest), 40000);
    ck_assert_uint_eq(largest, 16 << 10);
}
END_TEST

START_TEST(a_full_queue_takes_less_and_tells_when_there_is_room)
{
    size_t largest, taken = shoal__session_send(&s, audio, sizeof audio);

    ck_assert_uint_lt(taken, QUEUE);
    ck_assert_uint_eq(shoal__session_send(&s, audio, 1), 0);
    expect_nothing();
    take_out(&largest);
    expect(SHOAL_CLIENT_ROOM);
    expect_nothing();
    ck_assert_uint_eq(shoal__session_stats(&s).audio_sent, taken);
}
END_TEST

START_TEST(an_opus_packet_goes_whole_or_not_at_all)
{
    size_t largest;

    shoal__session_free(&s);
    open_with(0, SHOAL_FORMAT_OPUS);
    ck_assert_uint_eq(shoal__session_send(&s, audio, 1500), 1500);
    take_out(&largest);
    ck_assert_uint_eq(largest, 1500);
    ck_assert_uint_eq(shoal__session_send(&s, audio, 17 << 10), 0);
}
END_TEST

/* ---- what is kept ---- */

/* Kept audio is that of [from, taken), whatever its messages are. */
static void check_kept(uint64_t from)
{
    uint64_t at = s.out.kept.from;
    size_t walk = 0, n;
    const uint8_t *bytes;

    ck_assert_uint_eq(at, from);
    while (shoal__out_walk(&s.out, &walk, &bytes, &n))
        for (size_t i = 0; i < n; i++, at++)
            ck_assert_msg(bytes[i] == audio[at], "byte %llu", (unsigned long long)at);
    ck_assert_uint_eq(at, s.audio_taken);
}

static void hear_progress(unsigned seq, uint64_t processed)
{
    char text[256];

    snprintf(text, sizeof text,
             "{\"type\":\"phones\",\"seq\":%u,\"depth\":2,\"received\":%llu,\"processed\":%llu,"
             "\"lag_ms\":0,\"phones\":[]}",
             seq, (unsigned long long)processed, (unsigned long long)processed);
    hear(text);
    expect(SHOAL_CLIENT_PHONES);
}

/* Two layers look back 640 ms (500, in whole chunks) and 320 each; with the latency, the decoder's
 * memory, the hangover and the search for a beginning that is 6175 ms or 98800 samples, and
 * messages are kept whole. */
START_TEST(audio_is_kept_as_far_as_a_replay_needs_it)
{
    size_t largest, sent = 0;

    shoal__session_free(&s);
    open_with(1 << 20, SHOAL_FORMAT_S16LE);
    hear_ready(1 << 20, 60);
    for (int i = 0; i < 5; i++, take_out(&largest))
        sent += shoal__session_send(&s, audio + sent, 50000);
    ck_assert_uint_eq(sent, 250000);
    check_kept(0);
    hear_progress(0, 98800 + 8000);
    check_kept(0); /* the first message is 16384 bytes and needed from byte 16000 on */
    hear_progress(1, 98800 + 8192);
    check_kept(16384);
    hear_progress(2, 98800 + 20000);
    check_kept(32768);
    ck_assert_uint_eq(shoal__session_send(&s, audio + sent, 100), 100);
    check_kept(32768); /* what still waits is part of it */
}
END_TEST

START_TEST(kept_audio_is_bounded)
{
    size_t largest, sent = 0;

    shoal__session_free(&s);
    open_with(50000, SHOAL_FORMAT_S16LE);
    hear_ready(1 << 20, 60);
    for (int i = 0; i < 5; i++, take_out(&largest))
        sent += shoal__session_send(&s, audio + sent, 40000);
    ck_assert_uint_le(shoal__queue_used(&s.out.kept.messages), 50000);
    check_kept(152768); /* the last 40000 bytes, and a message of 7232 before them */
    ck_assert_uint_eq(shoal__session_stats(&s).kept_from, 152768);
}
END_TEST

START_TEST(nothing_is_kept_unless_asked_for)
{
    size_t largest;

    ck_assert_uint_eq(shoal__session_send(&s, audio, 30000), 30000);
    take_out(&largest);
    check_kept(30000);
}
END_TEST

/* ---- staying alive ---- */

START_TEST(a_quiet_session_pings_before_the_idle_timeout)
{
    const uint8_t *bytes;
    size_t n, largest;
    int kind;

    take_out(&largest);
    ck_assert(shoal__session_tick(&s, 1000) == INT64_MAX); /* the server's timeout is unknown */
    hear_ready(1 << 20, 60);
    ck_assert_int_eq(shoal__session_tick(&s, 1000), 21000);
    ck_assert_int_eq(shoal__session_tick(&s, 20999), 21000);
    ck_assert_int_eq(shoal__session_front(&s, &kind, &bytes, &n), 0);
    ck_assert_int_eq(shoal__session_tick(&s, 21000), 41000);
    ck_assert_int_eq(shoal__session_front(&s, &kind, &bytes, &n), 1);
    ck_assert(memmem(bytes, n, "\"ping\"", 6) != NULL);
    shoal__session_sent(&s);
    hear("{\"type\":\"pong\",\"id\":\"libshoal-client: alive\"}");
    expect_nothing(); /* the program did not ask */
    hear("{\"type\":\"pong\",\"id\":\"mine\"}");
    ck_assert_str_eq(expect(SHOAL_CLIENT_PONG).id, "mine");
}
END_TEST

START_TEST(audio_is_a_sign_of_life)
{
    size_t largest;

    hear_ready(1 << 20, 60);
    take_out(&largest);
    shoal__session_tick(&s, 1000);
    ck_assert_uint_eq(shoal__session_send(&s, audio, 100), 100);
    take_out(&largest);
    ck_assert_int_eq(shoal__session_tick(&s, 20000), 40000);
}
END_TEST

START_TEST(no_timeout_no_ping)
{
    hear_ready(1 << 20, 0);
    ck_assert(shoal__session_tick(&s, 1000) == INT64_MAX);
}
END_TEST

/* ---- one failure, many roads ---- */

static const struct {
    const char *error; /* message, or NULL */
    int close_code;
    shoal_client_cause cause;
    int retry_ms, told_code;
} roads[] = {
    { "{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"m\",\"fatal\":true,\"retry\":true,"
      "\"retry_after_ms\":1500}",
      1013, SHOAL_CLIENT_FULL, 1500, 1013 },
    /* libwebsockets 4.1 makes 1002 of the codes from 1012 on */
    { "{\"type\":\"error\",\"code\":\"too_many_sessions\",\"message\":\"m\",\"fatal\":true,"
      "\"retry\":true}",
      1002, SHOAL_CLIENT_FULL, 2000, 1013 },
    { "{\"type\":\"error\",\"code\":\"draining\",\"message\":\"m\",\"fatal\":true,\"retry\":true}",
      1002, SHOAL_CLIENT_RESTARTING, 500, 1012 },
    { "{\"type\":\"error\",\"code\":\"bad_option\",\"message\":\"m\",\"fatal\":true,"
      "\"retry\":false}",
      1008, SHOAL_CLIENT_REJECTED, -1, 1008 },
    { "{\"type\":\"error\",\"code\":\"internal\",\"message\":\"m\",\"fatal\":true,\"retry\":true}",
      1011, SHOAL_CLIENT_BROKEN, 2000, 1011 },
    { NULL, 1013, SHOAL_CLIENT_FULL, 2000, 1013 },
    { NULL, 1012, SHOAL_CLIENT_RESTARTING, 500, 1012 },
    { NULL, 1001, SHOAL_CLIENT_RESTARTING, 500, 1001 },
    { NULL, 1011, SHOAL_CLIENT_LOST, 500, 1011 },
    { NULL, 0, SHOAL_CLIENT_LOST, 500, 1006 },
};

START_TEST(every_road_gives_one_failure)
{
    shoal_client_event e;

    if (roads[_i].error)
        hear(roads[_i].error);
    if (roads[_i].close_code)
        shoal__session_close(&s, roads[_i].close_code, "", 0);
    shoal__session_gone(&s);
    e = expect(SHOAL_CLIENT_ERROR);
    ck_assert_ptr_nonnull(e.failure);
    ck_assert_int_eq(e.failure->cause, roads[_i].cause);
    ck_assert_int_eq(e.failure->retry_ms, roads[_i].retry_ms);
    ck_assert_int_eq(e.error->retry, roads[_i].retry_ms >= 0);
    ck_assert_str_ne(e.error->message, "");
    e = expect(SHOAL_CLIENT_CLOSED);
    ck_assert_int_eq(e.close_code, roads[_i].told_code);
    ck_assert_int_eq(e.failure->cause, roads[_i].cause);
    expect_nothing();
}
END_TEST

static const struct {
    int status, retry_after_s;
    shoal_client_cause cause;
    int retry_ms;
} statuses[] = {
    { 503, 7, SHOAL_CLIENT_FULL, 7000 },   { 503, 0, SHOAL_CLIENT_FULL, 2000 },
    { 429, 3, SHOAL_CLIENT_FULL, 3000 },   { 401, 0, SHOAL_CLIENT_REJECTED, -1 },
    { 404, 0, SHOAL_CLIENT_REJECTED, -1 }, { 500, 0, SHOAL_CLIENT_BROKEN, 2000 },
};

START_TEST(a_refused_upgrade_is_the_same_failure)
{
    shoal_client_failure f =
        shoal__failure_of_status(statuses[_i].status, statuses[_i].retry_after_s, "host:1");

    ck_assert_int_eq(f.cause, statuses[_i].cause);
    ck_assert_int_eq(f.retry_ms, statuses[_i].retry_ms);
    ck_assert_int_eq(f.http_status, statuses[_i].status);
    ck_assert_str_eq(f.error.name, "upgrade_refused");
    ck_assert_msg(strstr(f.error.message, "host:1") != NULL, "%s", f.error.message);
}
END_TEST

START_TEST(a_session_that_was_done_did_not_fail)
{
    shoal_client_event e;

    hear("{\"type\":\"done\",\"received\":0,\"processed\":0,\"frames\":0,\"phones\":0,"
         "\"packets\":0,\"seconds\":0}");
    shoal__session_close(&s, 1000, "", 0);
    shoal__session_gone(&s);
    expect(SHOAL_CLIENT_DONE);
    e = expect(SHOAL_CLIENT_CLOSED);
    ck_assert_ptr_null(e.failure);
    ck_assert_int_eq(e.close_code, 1000);
}
END_TEST

START_TEST(an_error_that_is_not_fatal_fails_nothing)
{
    hear("{\"type\":\"error\",\"code\":\"bad_option\",\"message\":\"m\",\"fatal\":false,"
         "\"retry\":false}");
    ck_assert_ptr_null(expect(SHOAL_CLIENT_ERROR).failure);
    ck_assert_uint_eq(shoal__session_send(&s, audio, 100), 100);
    ck_assert_uint_eq(s.audio_taken, 100);
}
END_TEST

START_TEST(rubbish_is_the_last_that_is_heard)
{
    hear("{\"type\":\"pong\",\"id\":\"good\"}");
    hear("rubbish");
    hear("{\"type\":\"pong\",\"id\":\"too late\"}");
    ck_assert_str_eq(expect(SHOAL_CLIENT_PONG).id, "good");
    ck_assert_str_eq(expect(SHOAL_CLIENT_ERROR).error->name, "bad_answer");
    expect(SHOAL_CLIENT_CLOSED);
    ck_assert_int_eq(shoal__session_receive(&s, SHOAL__TEXT, "{}", 2, 1), -1);
    expect_nothing();
}
END_TEST

START_TEST(a_second_ready_makes_no_sense)
{
    hear_ready(8000, 0);
    say_ready(8000, 0);
    ck_assert_str_eq(expect(SHOAL_CLIENT_ERROR).error->name, "bad_answer");
    expect(SHOAL_CLIENT_CLOSED);
}
END_TEST

START_TEST(reasons_are_fit_for_a_terminal)
{
    static const char reason[] = "go \033[31m away\n";

    shoal__session_close(&s, 1008, reason, sizeof reason - 1);
    shoal__session_gone(&s);
    ck_assert_ptr_null(strpbrk(expect(SHOAL_CLIENT_ERROR).error->message, "\033\n"));
    ck_assert_str_eq(expect(SHOAL_CLIENT_CLOSED).close_reason, "go  [31m away ");
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

static Suite *session_suite(void)
{
    Suite *suite = suite_create("client session");
    TCase *t = tcase_create("session");

    tcase_add_checked_fixture(t, open_session, close_session);
    tcase_add_test(t, before_ready_messages_are_small_enough_for_every_server);
    tcase_add_test(t, after_ready_messages_are_as_large_as_the_program_likes);
    tcase_add_test(t, a_full_queue_takes_less_and_tells_when_there_is_room);
    tcase_add_test(t, an_opus_packet_goes_whole_or_not_at_all);
    tcase_add_test(t, audio_is_kept_as_far_as_a_replay_needs_it);
    tcase_add_test(t, kept_audio_is_bounded);
    tcase_add_test(t, nothing_is_kept_unless_asked_for);
    tcase_add_test(t, a_quiet_session_pings_before_the_idle_timeout);
    tcase_add_test(t, audio_is_a_sign_of_life);
    tcase_add_test(t, no_timeout_no_ping);
    tcase_add_loop_test(t, every_road_gives_one_failure, 0, COUNT(roads));
    tcase_add_loop_test(t, a_refused_upgrade_is_the_same_failure, 0, COUNT(statuses));
    tcase_add_test(t, a_session_that_was_done_did_not_fail);
    tcase_add_test(t, an_error_that_is_not_fatal_fails_nothing);
    tcase_add_test(t, rubbish_is_the_last_that_is_heard);
    tcase_add_test(t, a_second_ready_makes_no_sense);
    tcase_add_test(t, reasons_are_fit_for_a_terminal);
    suite_add_tcase(suite, t);
    return suite;
}

int main(void)
{
    return suite_run(session_suite());
}

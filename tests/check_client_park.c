/* check_client_park.c - a session that the server has kept, without a socket and without a clock
 *
 * What a client asks for when it comes back, what of its audio and requests goes again, and what it
 * does where it is not let back. With real servers: resume/check_resume.py.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_again.h"
#include "session_util.h"
#include "suite.h"

#define TICKET(n) "0123456789abcdef0123456789abcde" #n

static void open_with(shoal_options o)
{
    open_session_of(o);
    server.park_ms = 30000;
    snprintf(server.ticket, sizeof server.ticket, TICKET(1));
}

static void open_session(void)
{
    open_with(shoal_options_default());
}

static void hear_back(const char *ticket, uint64_t bytes, uint64_t requests)
{
    server.is_resumed = 1;
    server.held_bytes = bytes;
    server.held_requests = requests;
    snprintf(server.ticket, sizeof server.ticket, "%s", ticket);
    hear_ready();
    server.is_resumed = 0;
}

/* The connection breaks, and the next one reaches a server that has so much of the session. */
static void come_back(const char *ticket, uint64_t bytes, uint64_t requests)
{
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    hear_back(ticket, bytes, requests);
}

/* Everything that goes, as "text" and "<from>..<to>" of the audio, in order. */
static char wire[4096];

static void take_out(void)
{
    static uint64_t from;
    const uint8_t *bytes;
    size_t n, at = 0;
    int kind;

    for (wire[0] = 0; shoal__session_front(&s, &kind, &bytes, &n); shoal__session_sent(&s)) {
        if (kind == SHOAL__TEXT) {
            at +=
                (size_t)snprintf(wire + at, sizeof wire - at, "%.*s ", (int)n, (const char *)bytes);
            continue;
        }
        for (from = 0; from + n <= sizeof audio && memcmp(audio + from, bytes, n) != 0;)
            from++;
        at +=
            (size_t)snprintf(wire + at, sizeof wire - at, "%llu+%zu ", (unsigned long long)from, n);
    }
}

static void expect_out(const char *want)
{
    take_out();
    ck_assert_str_eq(wire, want);
}

static void send_audio(size_t bytes)
{
    size_t from = (size_t)s.audio_taken;

    ck_assert_uint_eq(shoal__session_send(&s, audio + from, bytes), bytes);
}

static void expect_query(const char *want)
{
    char query[SHOAL__RESUME_QUERY];

    shoal__resume_query(&s, query);
    ck_assert_str_eq(query, want);
}

/* READY, two seconds and four requests, of which some have answers: six messages of the server. */
static void first_part(void)
{
    expect_query("");
    hear_ready();
    expect(SHOAL_CLIENT_READY);
    take_out();
    send_audio(16000);
    ck_assert_int_eq(shoal__session_flush(&s, "a"), 0);
    send_audio(16000);
    ck_assert_int_eq(shoal__session_ping(&s, "b"), 0);
    ck_assert_int_eq(shoal__session_flush(&s, "c"), 0);
    send_audio(32000);
    ck_assert_int_eq(shoal__session_ping(&s, "d"), 0);
    take_out();
    hear_rows(0, 0, 22, 0);
    expect(SHOAL_CLIENT_FEATURES);
    hear("{\"type\":\"flushed\",\"id\":\"a\",\"received\":8000,\"processed\":7040,\"frames\":22}");
    expect(SHOAL_CLIENT_FLUSHED);
    hear("{\"type\":\"pong\",\"id\":\"b\"}");
    expect(SHOAL_CLIENT_PONG);
    hear("{\"type\":\"something new\"}");
    expect_nothing();
}

static void cannot_resume(void)
{
    hear("{\"type\":\"error\",\"code\":\"cannot_resume\",\"message\":\"no\",\"fatal\":true,"
         "\"retry\":false,"
         "\"ref\":\"resume\"}");
    shoal__session_close(&s, 1008, "", 0);
    shoal__session_gone(&s);
}

START_TEST(it_goes_on_where_it_was)
{
    first_part();
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    expect_query("resume=" TICKET(1) "&got=4");
    send_audio(1000);
    expect_out(""); /* before it is known what the server has */
    hear_back(TICKET(2), 33000, 3);
    shoal_client_event e = expect(SHOAL_CLIENT_RESUMED);
    ck_assert_int_eq(e.gap->parked, 1);
    ck_assert_uint_eq(e.gap->samples, 0);
    ck_assert_uint_eq(e.gap->replayed, (64000 - 33000) / 2);
    expect_out(
        "33000+7000 40000+8000 48000+8000 56000+8000 {\"type\":\"ping\",\"id\":\"d\"} 64000+1000 ");
    hear_rows(1, 22, 8, 0); /* nothing is dropped, numbers go on */
    e = expect(SHOAL_CLIENT_FEATURES);
    ck_assert_uint_eq(e.packet->seq, 1);
    ck_assert_uint_eq(e.packet->first_frame, 22);
    hear("{\"type\":\"flushed\",\"id\":\"c\",\"received\":16000,\"processed\":9600,\"frames\":30}");
    expect(SHOAL_CLIENT_FLUSHED);
    ck_assert_uint_eq(shoal__session_stats(&s).seq_gaps, 0);
    break_connection(); /* and once more, with the new ticket */
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    expect_query("resume=" TICKET(2) "&got=6");
    hear_back(TICKET(3), 64000, 3);
    expect(SHOAL_CLIENT_RESUMED);
    expect_out("{\"type\":\"ping\",\"id\":\"d\"} 64000+1000 ");
}
END_TEST

/* Requests at the place where the audio ends: those that have arrived, and those that have not. */
START_TEST(requests_between_the_same_bytes)
{
    static const char *const rest[] = {
        "{\"type\":\"ping\",\"id\":\"b\"} {\"type\":\"flush\",\"id\":\"c\"} ",
        "{\"type\":\"flush\",\"id\":\"c\"} ",
        "",
    };
    char want[300];

    first_part();
    come_back(TICKET(2), 32000, (uint64_t)_i + 1);
    expect(SHOAL_CLIENT_RESUMED);
    snprintf(want, sizeof want,
             "%s32000+8000 40000+8000 48000+8000 56000+8000 {\"type\":\"ping\",\"id\":\"d\"} ",
             rest[_i]);
    expect_out(want);
}
END_TEST

START_TEST(who_is_not_let_back_replays)
{
    first_part();
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    cannot_resume();
    shoal_client_event e = expect(SHOAL_CLIENT_AWAY);
    ck_assert_str_eq(e.failure->error.name, "cannot_resume");
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    expect_query("");
    take_out();
    ck_assert_ptr_nonnull(strstr(wire, "\"start\""));
    snprintf(server.ticket, sizeof server.ticket, TICKET(4));
    hear_ready();
    e = expect(SHOAL_CLIENT_RESUMED);
    ck_assert_int_eq(e.gap->parked, 0);
    expect_out("0+8000 8000+8000 {\"type\":\"flush\",\"id\":\"a\"} 16000+8000 24000+8000 "
               "{\"type\":\"flush\",\"id\":\"c\"} 32000+8000 40000+8000 48000+8000 56000+8000 "
               "{\"type\":\"ping\",\"id\":\"d\"} ");
    hear_rows(0, 0, 22, 0); /* dropped, but the new session has given it */
    expect_nothing();
    break_connection(); /* the new session's own count of messages and requests */
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    expect_query("resume=" TICKET(4) "&got=1");
    hear_back(TICKET(5), 64000, 2);
    expect(SHOAL_CLIENT_RESUMED);
    expect_out("{\"type\":\"ping\",\"id\":\"d\"} ");
}
END_TEST

START_TEST(what_the_server_holds_must_be_possible)
{
    static const uint64_t held[][2] = {
        { 64001, 4 }, { 64000, 5 }, { 64000, 0 }, { 20000, 4 }, { SHOAL_MAX_COUNT, SHOAL_MAX_COUNT }
    };

    first_part();
    come_back(TICKET(2), held[_i][0], held[_i][1]);
    if (_i == 3) /* more requests than lie there, which is what a later client would have sent */
        return;
    shoal_client_event e = expect(SHOAL_CLIENT_AWAY);
    ck_assert_str_eq(e.failure->error.name, "cannot_resume");
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    expect_query("");
}
END_TEST

START_TEST(a_link_that_breaks_again_keeps_the_ticket)
{
    first_part();
    break_connection();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(shoal__resume_begin(&s), 0);
        expect_query("resume=" TICKET(1) "&got=4");
        if (i == 1)
            hear("{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"no\",\"fatal\":true,"
                 "\"retry\":true,\"retry_after_ms\":7100}");
        shoal__session_gone(&s);
        shoal_client_event e = expect(SHOAL_CLIENT_AWAY);
        ck_assert(i != 1 || e.failure->retry_ms == 7100);
    }
}
END_TEST

/* What cannot be replayed can be parked; if it was not, its failure says so. */
START_TEST(what_cannot_be_replayed)
{
    shoal_options o = shoal_options_default();

    if (_i == 0)
        o.every = 5;
    else if (_i == 1)
        o.pool = SHOAL_POOL_UTTERANCE;
    else if (_i == 2)
        o.activity_max_ms = 15000;
    else if (_i == 3)
        o.format = SHOAL_FORMAT_OPUS;
    close_session();
    open_with(o);
    if (_i == 2)
        server.options.outputs |= SHOAL_OUTPUT_ACTIVITY;
    hear_ready();
    expect(SHOAL_CLIENT_READY);
    take_out();
    if (_i == 4)
        ck_assert_int_eq(shoal__session_skip(&s, 16000), 0);
    o.chunk_ms = 320;
    o.given = SHOAL_OPT_CHUNK_MS;
    if (_i == 5)
        ck_assert_int_eq(shoal__session_set(&s, &o), 0);
    send_audio(4000);
    take_out();
    come_back(TICKET(2), 4000, _i > 3);
    expect(SHOAL_CLIENT_RESUMED);
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    cannot_resume();
    shoal_client_event e = expect(SHOAL_CLIENT_ERROR);
    ck_assert_str_eq(e.error->name, "cannot_resume");
    expect(SHOAL_CLIENT_CLOSED);
}
END_TEST

START_TEST(skip_is_a_request_with_a_place)
{
    hear_ready();
    expect(SHOAL_CLIENT_READY);
    take_out();
    ck_assert_int_eq(shoal__session_skip(&s, 319), SHOAL_CLIENT_EINVAL); /* less than a frame */
    ck_assert_int_eq(shoal__session_skip(&s, SHOAL_MAX_COUNT + 1), SHOAL_CLIENT_EINVAL);
    send_audio(8000);
    ck_assert_int_eq(shoal__session_skip(&s, 1600000), 0);
    send_audio(8000);
    expect_out("0+8000 {\"type\":\"skip\",\"samples\":1600000} 8000+8000 ");
    hear_rows(0, 5012, 8, 0); /* 100 s behind; that forgets none of the bytes after the skip */
    expect(SHOAL_CLIENT_FEATURES);
    come_back(TICKET(2), 8000, 0);
    expect(SHOAL_CLIENT_RESUMED);
    expect_out("{\"type\":\"skip\",\"samples\":1600000} 8000+8000 ");
    ck_assert_int_eq(shoal__session_end(&s), 0);
    ck_assert_int_eq(shoal__session_skip(&s, 1600), SHOAL_CLIENT_ESTATE);
}
END_TEST

/* The library's own pings are messages too, as the server counts. */
START_TEST(pings_of_our_own_are_counted)
{
    server.idle_timeout_s = 3;
    hear_ready();
    expect(SHOAL_CLIENT_READY);
    take_out();
    ck_assert_int_eq(shoal__session_tick(&s, 1000), 2000);
    (void)shoal__session_tick(&s, 2001);
    send_audio(4000);
    expect_out("{\"type\":\"ping\",\"id\":\"libshoal-client: alive\"} 0+4000 ");
    ck_assert_int_eq(shoal__session_flush(&s, "a"), 0);
    take_out();
    come_back(TICKET(2), 4000, 1);
    expect(SHOAL_CLIENT_RESUMED);
    expect_out("{\"type\":\"flush\",\"id\":\"a\"} ");
}
END_TEST

START_TEST(how_far_a_replay_goes_back_says_the_server)
{
    server.options.left_ms = 1280;
    server.options.depth_max = 12;
    ck_assert_uint_eq(shoal__again_reach_ms(&server), 12 * 1600 + 235 + 2560 + 300);
    server.replay_ms = 4321;
    ck_assert_uint_eq(shoal__again_reach_ms(&server), 4321);
}
END_TEST

static Suite *park_suite(void)
{
    Suite *suite = suite_create("client_park");
    TCase *t = tcase_create("park");

    tcase_add_checked_fixture(t, open_session, close_session);
    tcase_add_test(t, it_goes_on_where_it_was);
    tcase_add_loop_test(t, requests_between_the_same_bytes, 0, 3);
    tcase_add_test(t, who_is_not_let_back_replays);
    tcase_add_loop_test(t, what_the_server_holds_must_be_possible, 0, 5);
    tcase_add_test(t, a_link_that_breaks_again_keeps_the_ticket);
    tcase_add_loop_test(t, what_cannot_be_replayed, 0, 6);
    tcase_add_test(t, skip_is_a_request_with_a_place);
    tcase_add_test(t, pings_of_our_own_are_counted);
    tcase_add_test(t, how_far_a_replay_goes_back_says_the_server);
    suite_add_tcase(suite, t);
    return suite;
}

int main(void)
{
    return suite_run(park_suite());
}

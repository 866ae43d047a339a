/* check_client.c - libshoal-client against a server that a test controls byte by byte
 *
 * What only a wrong, dying or silent server shows: each failure gives one ERROR that names cause
 * and remedy, then CLOSED, then SHOAL_CLIENT_ECLOSED, never a hang and never unbounded memory.
 * How connections begin is in check_client_open.c, the session without a socket in
 * check_client_session.c; the client against the real shoald is in integration/.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_util.h"
#include "fake_server.h"
#include "suite.h"

static void hold(fake_peer *p)
{
    while (recv(p->fd, p->message, sizeof p->message, 0) > 0)
        ;
}

static void read_nothing(fake_peer *p)
{
    while (fake_read(p))
        ;
}

/* ---- a session ---- */

static void whole_session(fake_peer *p)
{
    size_t audio = 0;

    fake_read_until(p, "start");
    fake_send_ready(p);
    fake_send_packet(p, SHOAL_ENCODING_F32, 0, 8, 2);
    fake_send_packet(p, SHOAL_ENCODING_F16, 1, 8, 2);
    fake_send_packet(p, SHOAL_ENCODING_JSON, 2, 8, 2);
    fake_send_text(p, "{\"type\":\"of the future\"}");
    while (fake_read(p) && p->opcode != 1)
        audio += p->size;
    if (audio == 100000 && strstr((char *)p->message, "flush"))
        fake_send_text(p, "{\"type\":\"flushed\",\"id\":\"f1\",\"received\":50000,"
                          "\"processed\":50000,\"frames\":24}");
    fake_read_until(p, "end");
    fake_send_text(p, "{\"type\":\"done\",\"received\":50000,\"processed\":50000,\"frames\":24,"
                      "\"phones\":0,\"packets\":3,\"seconds\":3.125}");
    fake_send_close(p, 1000, "");
    read_nothing(p);
}

static void expect_rows(shoal_client *c, uint32_t seq)
{
    shoal_client_event e = expect(c, SHOAL_CLIENT_FEATURES);

    ck_assert_uint_eq(e.packet->seq, seq);
    ck_assert_int_eq(e.packet->frames, 8);
    for (int i = 0; i < 16; i++)
        ck_assert_float_eq(e.rows[i], (float)(seq * 8) + (float)i);
}

START_TEST(a_session_in_order)
{
    shoal_client *c = connect_to(fake_server_start(whole_session, 0), NULL);
    static uint8_t audio[100000];
    shoal_client_event e;

    ck_assert_uint_eq(shoal_client_send(c, audio, sizeof audio), sizeof audio);
    ck_assert_int_eq(shoal_client_flush(c, "f1"), 0);
    ck_assert_int_eq(shoal_client_end(c), 0);
    ck_assert_int_eq(shoal_client_end(c), SHOAL_CLIENT_ESTATE);
    ck_assert_uint_eq(shoal_client_send(c, audio, 1), 0);
    ck_assert(expect(c, SHOAL_CLIENT_READY).ready->dim == 2);
    for (uint32_t seq = 0; seq < 3; seq++)
        expect_rows(c, seq);
    ck_assert_str_eq(expect(c, SHOAL_CLIENT_FLUSHED).flushed->id, "f1");
    ck_assert_uint_eq(expect(c, SHOAL_CLIENT_DONE).done->packets, 3);
    ck_assert_int_eq(expect(c, SHOAL_CLIENT_CLOSED).close_code, 1000);
    ck_assert_int_eq(shoal_client_poll(c, -1, &e), SHOAL_CLIENT_ECLOSED);
    shoal_client_stats s = shoal_client_get_stats(c);
    ck_assert_uint_eq(s.audio_sent, sizeof audio);
    ck_assert_uint_eq(s.seq_gaps, 0);
    ck_assert_uint_eq(s.frames, 24);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

static void lose_one(fake_peer *p)
{
    fake_send_ready(p);
    fake_send_packet(p, SHOAL_ENCODING_F32, 0, 1, 2);
    fake_send_packet(p, SHOAL_ENCODING_F32, 2, 1, 2);
    read_nothing(p);
}

START_TEST(missing_results_are_counted)
{
    shoal_client *c = connect_to(fake_server_start(lose_one, 0), NULL);

    expect(c, SHOAL_CLIENT_READY);
    expect(c, SHOAL_CLIENT_FEATURES);
    expect(c, SHOAL_CLIENT_FEATURES);
    ck_assert_uint_eq(shoal_client_get_stats(c).seq_gaps, 1);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

START_TEST(wake_ends_a_wait)
{
    shoal_client *c = connect_to(fake_server_start(lose_one, 0), NULL);
    shoal_client_event e;

    for (int i = 0; i < 3; i++)
        next(c);
    shoal_client_wake(c);
    ck_assert_int_eq(shoal_client_poll(c, -1, &e), 0);
    ck_assert_int_eq(shoal_client_poll(c, 0, &e), 0);
    ck_assert_int_eq(shoal_client_poll(c, 50, &e), 0);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

static void hear_skip(fake_peer *p)
{
    fake_send_ready(p);
    if (fake_read_until(p, "skip"))
        fake_send_text(p, strstr((char *)p->message, "\"samples\":640}")
                              ? "{\"type\":\"pong\",\"id\":\"well\"}"
                              : "{\"type\":\"pong\",\"id\":\"wrong\"}");
    read_nothing(p);
}

START_TEST(a_skip_is_said)
{
    shoal_client *c = connect_to(fake_server_start(hear_skip, 0), NULL);

    expect(c, SHOAL_CLIENT_READY);
    ck_assert_int_eq(shoal_client_skip(c, 0), SHOAL_CLIENT_EINVAL);
    ck_assert_int_eq(shoal_client_skip(c, 640), 0);
    ck_assert_str_eq(expect(c, SHOAL_CLIENT_PONG).id, "well");
    ck_assert_int_eq(shoal_client_end(c), 0);
    ck_assert_int_eq(shoal_client_skip(c, 640), SHOAL_CLIENT_ESTATE);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

/* What has no results is still there when the server has died. */
START_TEST(audio_is_kept_on_request)
{
    shoal_client_params p = shoal_client_default_params();
    uint8_t audio[3000], kept[3000];
    size_t at = 0, n, sum = 0;
    const void *bytes;

    for (size_t i = 0; i < sizeof audio; i++)
        audio[i] = (uint8_t)(i * 7 + i / 256);
    p.keep_bytes = sizeof audio;
    shoal_client *c = connect_to(fake_server_start(lose_one, 0), &p);
    expect(c, SHOAL_CLIENT_READY);
    ck_assert_uint_eq(shoal_client_send(c, audio, sizeof audio), sizeof audio);
    while (shoal_client_get_kept(c, &at, &bytes, &n)) {
        ck_assert_uint_le(sum + n, sizeof kept);
        memcpy(kept + sum, bytes, n);
        sum += n;
    }
    ck_assert_uint_eq(sum, sizeof audio);
    ck_assert_mem_eq(kept, audio, sum);
    ck_assert_uint_eq(shoal_client_get_stats(c).kept_from, 0);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

START_TEST(codes_have_texts_and_the_library_a_version)
{
    char parts[32];

    for (int code = SHOAL_CLIENT_EFAILED; code < 0; code++) {
        ck_assert_str_ne(shoal_client_strerror(code), "unknown error");
        for (int other = code + 1; other <= 0; other++)
            ck_assert_str_ne(shoal_client_strerror(code), shoal_client_strerror(other));
    }
    ck_assert_str_eq(shoal_client_strerror(SHOAL_CLIENT_EFAILED - 1), "unknown error");
    snprintf(parts, sizeof parts, "%d.%d.%d", SHOAL_CLIENT_VERSION_MAJOR,
             SHOAL_CLIENT_VERSION_MINOR, SHOAL_CLIENT_VERSION_PATCH);
    ck_assert_str_eq(shoal_client_version(), parts);
}
END_TEST

/* ---- servers that go wrong ---- */

static void die(fake_peer *p)
{
    fake_send_ready(p);
    fake_send_packet(p, SHOAL_ENCODING_F32, 0, 1, 2);
    fake_read_until(p, "start");
}

START_TEST(a_dying_server_is_an_error_after_its_last_result)
{
    shoal_client *c = connect_to(fake_server_start(die, 0), NULL);

    expect(c, SHOAL_CLIENT_READY);
    expect(c, SHOAL_CLIENT_FEATURES);
    expect_failure(c, "connection_lost", "start the session again");
    fake_server_join();
}
END_TEST

static void freeze(fake_peer *p)
{
    fake_send_ready(p);
    hold(p);
}

START_TEST(a_frozen_server_is_given_up)
{
    shoal_client_params p = shoal_client_default_params();

    p.ping_s = 1;
    shoal_client *c = connect_to(fake_server_start(freeze, 0), &p);
    expect(c, SHOAL_CLIENT_READY);
    expect_failure(c, "connection_lost", "the server died");
    fake_server_join();
}
END_TEST

static void close_early(fake_peer *p)
{
    fake_send_ready(p);
    fake_send_close(p, 1011, "restart");
    read_nothing(p);
}

START_TEST(an_early_close_tells_its_code)
{
    shoal_client *c = connect_to(fake_server_start(close_early, 0), NULL);

    expect(c, SHOAL_CLIENT_READY);
    expect_failure(c, "closed_early", "1011: restart");
    fake_server_join();
}
END_TEST

static void refuse(fake_peer *p)
{
    fake_send_text(p, "{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"busy: try later\","
                      "\"fatal\":true,\"retry\":true,\"retry_after_ms\":1500}");
    fake_send_close(p, 1013, "");
    read_nothing(p);
}

START_TEST(an_error_of_the_server_is_given_once)
{
    shoal_client *c = connect_to(fake_server_start(refuse, 0), NULL);
    shoal_client_event e = expect(c, SHOAL_CLIENT_ERROR);

    ck_assert_int_eq(e.error->code, SHOAL_CODE_OVERLOADED);
    ck_assert_int_eq(e.error->retry_after_ms, 1500);
    ck_assert_int_eq(expect(c, SHOAL_CLIENT_CLOSED).close_code, 1013);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

static void rubbish_text(fake_peer *p)
{
    fake_send_text(p, "{\"type\":\"ready\"");
    read_nothing(p);
}

static void rubbish_binary(fake_peer *p)
{
    fake_send(p, 0x82, "rubbish", 7);
    read_nothing(p);
}

static void enormous(fake_peer *p)
{
    static uint8_t megabyte[1 << 20];

    fake_send(p, 0x02, megabyte, sizeof megabyte);
    for (int i = 0; i < 12; i++)
        fake_send(p, 0x00, megabyte, sizeof megabyte);
    read_nothing(p);
}

static fake_script *const wrong_scripts[] = { rubbish_text, rubbish_binary, enormous };

START_TEST(rubbish_ends_the_session)
{
    expect_failure(connect_to(fake_server_start(wrong_scripts[_i], 0), NULL), "bad_answer", "");
    fake_server_join();
}
END_TEST

static void fragments(fake_peer *p)
{
    static const char text[] = "{\"type\":\"pong\",\"id\":\"in pieces\"}";

    fake_send(p, 0x01, text, 5);
    for (size_t i = 5; i < sizeof text - 2; i++)
        fake_send(p, 0x00, text + i, 1);
    fake_send(p, 0x89, "ping between", 12);
    fake_send(p, 0x80, text + sizeof text - 2, 1);
    read_nothing(p);
}

START_TEST(fragmented_messages_are_put_together)
{
    shoal_client *c = connect_to(fake_server_start(fragments, 0), NULL);

    ck_assert_str_eq(expect(c, SHOAL_CLIENT_PONG).id, "in pieces");
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

/* ---- bounds ---- */

static void stall_then_read(fake_peer *p)
{
    size_t audio = 0;

    fake_send_ready(p);
    if (fake_read(p))
        usleep(300000);
    while (fake_read(p) && !(p->opcode == 1 && strstr((char *)p->message, "end")))
        audio += p->opcode == 2 ? p->size : 0;
    fake_send_text(p, audio == 16 << 20 ? "{\"type\":\"pong\",\"id\":\"all\"}"
                                        : "{\"type\":\"pong\",\"id\":\"not all\"}");
    read_nothing(p);
}

START_TEST(a_full_queue_takes_less_and_asks_for_more_later)
{
    shoal_client *c = connect_to(fake_server_start(stall_then_read, 0), NULL);
    static uint8_t audio[1 << 20];
    size_t left = 16 << 20;
    int rooms = 0;

    while (left > 0) {
        size_t want = left < sizeof audio ? left : sizeof audio;
        size_t taken = shoal_client_send(c, audio, want);
        shoal_client_event e;

        left -= taken;
        ck_assert_uint_le(shoal_client_get_stats(c).queued_bytes, 256 << 10);
        if (shoal_client_poll(c, taken < want ? PATIENCE_MS : 0, &e) == 1)
            rooms += e.type == SHOAL_CLIENT_ROOM;
    }
    ck_assert_int_gt(rooms, 0);
    ck_assert_int_eq(shoal_client_end(c), 0);
    shoal_client_event e;
    while ((e = next(c)).type == SHOAL_CLIENT_ROOM)
        ;
    ck_assert_int_eq(e.type, SHOAL_CLIENT_PONG);
    ck_assert_str_eq(e.id, "all");
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

START_TEST(control_fits_beside_a_full_queue_but_not_for_ever)
{
    shoal_client *c = connect_to(fake_server_start(hold, 1), NULL);
    static uint8_t audio[1 << 20];
    int r = 0, n = 0;

    ck_assert_uint_lt(shoal_client_send(c, audio, sizeof audio), sizeof audio);
    ck_assert_int_eq(shoal_client_flush(c, "x"), 0);
    while ((r = shoal_client_ping(c, "a ping id of some length")) == 0 && n < 100000)
        n++;
    ck_assert_int_eq(r, SHOAL_CLIENT_EFULL);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

START_TEST(an_opus_packet_is_never_cut)
{
    shoal_client_params p = shoal_client_default_params();
    static uint8_t packet[1500];
    size_t taken;

    p.queue_bytes = 4096;
    p.options.format = SHOAL_FORMAT_OPUS;
    p.options.given = SHOAL_OPT_FORMAT;
    shoal_client *c = connect_to(fake_server_start(hold, 1), &p);
    while ((taken = shoal_client_send(c, packet, sizeof packet)) != 0)
        ck_assert_uint_eq(taken, sizeof packet);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

static Suite *client_suite(void)
{
    Suite *s = suite_create("client");
    TCase *session = tcase_create("session"), *wrong = tcase_create("wrong servers"),
          *bounds = tcase_create("bounds");

    tcase_add_test(session, a_session_in_order);
    tcase_add_test(session, missing_results_are_counted);
    tcase_add_test(session, wake_ends_a_wait);
    tcase_add_test(session, a_skip_is_said);
    tcase_add_test(session, audio_is_kept_on_request);
    tcase_add_test(session, codes_have_texts_and_the_library_a_version);
    tcase_add_test(wrong, a_dying_server_is_an_error_after_its_last_result);
    tcase_add_test(wrong, a_frozen_server_is_given_up);
    tcase_add_test(wrong, an_early_close_tells_its_code);
    tcase_add_test(wrong, an_error_of_the_server_is_given_once);
    tcase_add_loop_test(wrong, rubbish_ends_the_session, 0,
                        sizeof wrong_scripts / sizeof *wrong_scripts);
    tcase_add_test(wrong, fragmented_messages_are_put_together);
    tcase_add_test(bounds, a_full_queue_takes_less_and_asks_for_more_later);
    tcase_add_test(bounds, control_fits_beside_a_full_queue_but_not_for_ever);
    tcase_add_test(bounds, an_opus_packet_is_never_cut);
    suite_add_tcase(s, session);
    suite_add_tcase(s, wrong);
    suite_add_tcase(s, bounds);
    return s;
}

int main(void)
{
    return suite_run(client_suite());
}

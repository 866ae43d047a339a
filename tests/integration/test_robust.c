/* test_robust.c - clients that vanish, clients that do not read, a daemon that is told to stop */
#include "integration.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM SHOAL_PATH "?depth=1&output=phones"

enum { DISCONNECTS = 200, CYCLES = 1000, GROWTH_KB = 64 << 10 };

/* ---- clients that vanish ---- */

/* Hang up at a point that differs with i: in the handshake, after it, in the middle of a frame
 * header, of audio, right after end. */
static void vanish(int i, const int16_t *audio)
{
    raw_ws w = { .fd = -1 };

    if (i % 5 == 0) {
        w.fd = raw_tcp_connect(shared.port, 0);
        raw_ws_send_bytes(&w, "GET " STREAM, 20);
        raw_ws_reset(&w);
        return;
    }
    ck_assert_int_eq(raw_ws_open(&w, shared.port, STREAM, SHOAL_SUBPROTOCOL), 101);
    if (i % 5 == 2)
        raw_ws_send_bytes(&w, "\x82\xfe\x10", 3);
    if (i % 5 >= 3)
        raw_ws_send(&w, RAW_BINARY, audio, 640 * (size_t)(1 + i % 40));
    if (i % 5 == 4)
        raw_ws_send(&w, RAW_TEXT, "{\"type\":\"end\"}", 14);
    raw_ws_reset(&w);
}

START_TEST(reset_connections_leave_no_session)
{
    int16_t *audio = make_audio(16000, 30);

    for (int i = 1; i <= DISCONNECTS; i++)
        vanish(i, audio);
    daemon_wait_empty(&shared);
    free(audio);
}
END_TEST

static void cycle(int i, const int16_t *audio)
{
    raw_ws w;
    raw_frame f;

    ck_assert_int_eq(raw_ws_open(&w, shared.port, STREAM, SHOAL_SUBPROTOCOL), 101);
    ck_assert_int_eq(raw_ws_send(&w, RAW_BINARY, audio, 6400), 0);
    if (i % 2) {
        raw_ws_send(&w, RAW_TEXT, "{\"type\":\"end\"}", 14);
        ck_assert_int_eq(raw_ws_recv_opcode(&w, &f, RAW_CLOSE, PATIENCE_MS), 1);
        ck_assert_int_eq(raw_frame_close_code(&f), 1000);
    }
    raw_ws_close(&w);
}

START_TEST(a_thousand_cycles_leave_no_session)
{
    int16_t *audio = make_audio(3200, 31);

    for (int i = 0; i < CYCLES; i++)
        cycle(i, audio);
    daemon_wait_empty(&shared);
    free(audio);
}
END_TEST

/* ---- clients that do not read ---- */

/* Sends much and reads nothing: the daemon stops taking, then gives up on the client; neither its
 * memory nor other clients suffer. */
START_TEST(a_slow_reader_is_bounded)
{
    static const char *const args[] = { "--set", "slow_reader_timeout_s=1", NULL };
    static uint8_t audio[1 << 16];
    daemon_process d;
    raw_ws w;
    int sent = 0;

    daemon_start(&d, args);
    int fd = raw_tcp_connect(d.port, 4096);
    char request[512];
    snprintf(request, sizeof request,
             "GET " SHOAL_PATH "?depth=1&output=posteriors,embedding&encoding=json HTTP/1.1\r\n"
             "Host: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             d.port);
    ck_assert_int_eq(raw_ws_open_request(&w, fd, d.port, request), 101);
    long before = daemon_rss_kb(&d);
    while (sent < 4096 && raw_ws_send(&w, RAW_BINARY, audio, sizeof audio) == 0)
        sent++;
    ck_assert_msg(sent < 4096, "the daemon took 256 MB of audio whose results nobody read");
    ck_assert_int_lt(daemon_rss_kb(&d) - before, GROWTH_KB);
    raw_ws_reset(&w);
    daemon_wait_empty(&d);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

/* ---- being told to stop ---- */

static shoal_client_event next_of(shoal_client *c, shoal_client_event_type type)
{
    shoal_client_event e;
    int r;

    do {
        r = shoal_client_poll(c, PATIENCE_MS, &e);
        ck_assert_msg(r == 1, "no event %d came: %d", type, r);
    } while (e.type != type);
    return e;
}

/* Everything received before SIGTERM is computed and sent, then an error says to come back. */
START_TEST(sigterm_finishes_what_was_received)
{
    size_t samples = 24000;
    int16_t *audio = make_audio(samples, 32);
    daemon_process d;
    shoal_client *c;
    char url[96], why[512];

    daemon_start(&d, NULL);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/?depth=2&output=posteriors&chunk_ms=640", d.port);
    ck_assert_int_eq(shoal_client_open(&c, url, NULL, why, sizeof why), 0);
    ck_assert_uint_eq(shoal_client_send(c, audio, samples * 2), samples * 2);
    ck_assert_int_eq(shoal_client_ping(c, "all sent"), 0);
    next_of(c, SHOAL_CLIENT_PONG);
    kill(d.pid, SIGTERM);
    shoal_client_event e = next_of(c, SHOAL_CLIENT_ERROR);
    ck_assert_msg(e.error->code == SHOAL_CODE_DRAINING, "%s: %s", e.error->name, e.error->message);
    ck_assert_int_eq(next_of(c, SHOAL_CLIENT_CLOSED).close_code, 1012);
    ck_assert_uint_eq(shoal_client_get_stats(c).frames, samples / 320);
    ck_assert_uint_eq(shoal_client_get_stats(c).processed, samples);
    shoal_client_free(c);
    ck_assert_int_eq(daemon_stop(&d, 0), 0);
    free(audio);
}
END_TEST

/* The daemon dies by SIGKILL: the client says so at once and does not hang. */
START_TEST(a_killed_daemon_is_a_clear_error)
{
    int16_t *audio = make_audio(16000, 33);
    daemon_process d;
    shoal_client *c;
    char url[96], why[512];

    daemon_start(&d, NULL);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d", d.port);
    ck_assert_int_eq(shoal_client_open(&c, url, NULL, why, sizeof why), 0);
    ck_assert_uint_eq(shoal_client_send(c, audio, 32000), 32000);
    next_of(c, SHOAL_CLIENT_PHONES);
    kill(d.pid, SIGKILL);
    shoal_client_event e = next_of(c, SHOAL_CLIENT_ERROR);
    ck_assert_str_eq(e.error->name, "connection_lost");
    next_of(c, SHOAL_CLIENT_CLOSED);
    shoal_client_free(c);
    daemon_stop(&d, SIGKILL);
    free(audio);
}
END_TEST

/* ---- starting ---- */

static int take_port(int *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert(!bind(fd, (struct sockaddr *)&a, n) && !listen(fd, 1) &&
              !getsockname(fd, (struct sockaddr *)&a, &n));
    *port = ntohs(a.sin_port);
    return fd;
}

START_TEST(a_taken_port_is_a_clear_failure)
{
    char address[32], log[8192];
    int port, fd = take_port(&port);
    const char *args[] = { "--listen", address, "--model", test_model_path(), NULL };

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    ck_assert_int_eq(daemon_fail(args, log, sizeof log), 1);
    ck_assert_msg(strstr(log, address) != NULL && strstr(log, "use") != NULL, "%s", log);
    close(fd);
}
END_TEST

static const char *const bad_models[] = { "/nonexistent/model.safetensors", "/etc/passwd",
                                          "/dev/null", "/tmp" };

START_TEST(an_unreadable_model_is_a_clear_failure)
{
    const char *args[] = { "--listen", "127.0.0.1:0", "--model", bad_models[_i], NULL };
    char log[8192];

    ck_assert_int_eq(daemon_fail(args, log, sizeof log), 1);
    ck_assert_msg(strstr(log, bad_models[_i]) != NULL, "%s", log);
}
END_TEST

static const char *const bad_lines[][2] = { { "wrokers=2", "workers" },
                                            { "workers=-1", "workers" },
                                            { "max_sessions=many", "max_sessions" } };

START_TEST(a_wrong_setting_is_a_clear_failure)
{
    const char *args[] = { "--set", bad_lines[_i][0], "--check", NULL };
    char log[8192];

    ck_assert_int_ne(daemon_fail(args, log, sizeof log), 0);
    ck_assert_msg(strstr(log, bad_lines[_i][1]) != NULL, "%s", log);
}
END_TEST

static const char *sample_config(void)
{
    static const char *const places[] = { TOP_BUILDDIR "/daemon/shoald.conf",
                                          TOP_BUILDDIR "/shoald.conf", SRCDIR "/daemon/shoald.conf",
                                          SRCDIR "/daemon/shoald.conf.in" };

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!access(places[i], R_OK))
            return places[i];
    return NULL;
}

START_TEST(a_folder_is_no_config)
{
    const char *args[] = { "--config", "/tmp", "--check", NULL };
    char log[8192];

    ck_assert_int_eq(daemon_fail(args, log, sizeof log), 1);
    ck_assert_msg(strstr(log, "/tmp: Is a directory") != NULL, "%s", log);
}
END_TEST

START_TEST(the_sample_config_loads)
{
    const char *args[] = { "--config", sample_config(), "--check", NULL };
    char log[8192];

    ck_assert_msg(args[1] != NULL, "no shoald.conf in %s", TOP_BUILDDIR);
    ck_assert_msg(daemon_fail(args, log, sizeof log) == 0, "%s", log);
}
END_TEST

/* Wherever it stands on the command line, --version tells of what the rest asks for. */
START_TEST(the_version_is_that_of_the_other_options)
{
    const char *after[] = { shoald_path(), "--version", "--model", test_model_path(),
                            "--backend",   "openblas",  NULL };
    const char *wrong[] = { shoald_path(), "--precision", "none", "--version", NULL };
    char out[4096], err[4096];

    ck_assert_int_eq(run_program(after, out, sizeof out, err, sizeof err), 0);
    ck_assert_msg(strstr(out, "\nmodel: tiny,") && strstr(out, "\nmatrices: openblas"), "%s", out);
    ck_assert_msg(strstr(out, "; matrices openblas") &&
                      strstr(out, ": asked for; precision fp32: as set\n"),
                  "%s", out);
    ck_assert_int_eq(run_program(wrong, out, sizeof out, err, sizeof err), 2);
    ck_assert_msg(strstr(err, "precision: \"none\" is unknown") != NULL, "%s", err);
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

TCase *robust_case(void)
{
    TCase *t = tcase_create("robust");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_test(t, reset_connections_leave_no_session);
    tcase_add_test(t, a_thousand_cycles_leave_no_session);
    return t;
}

TCase *lifecycle_case(void)
{
    TCase *t = tcase_create("life cycle");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, a_slow_reader_is_bounded);
    tcase_add_test(t, sigterm_finishes_what_was_received);
    tcase_add_test(t, a_killed_daemon_is_a_clear_error);
    tcase_add_test(t, a_taken_port_is_a_clear_failure);
    tcase_add_loop_test(t, an_unreadable_model_is_a_clear_failure, 0, COUNT(bad_models));
    tcase_add_loop_test(t, a_wrong_setting_is_a_clear_failure, 0, COUNT(bad_lines));
    tcase_add_test(t, the_sample_config_loads);
    tcase_add_test(t, a_folder_is_no_config);
    tcase_add_test(t, the_version_is_that_of_the_other_options);
    return t;
}

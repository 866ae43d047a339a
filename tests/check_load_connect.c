/* check_load_connect.c - shoal-load against a server that refuses, or has two addresses
 *
 * A refusal is counted as one whatever the road: it is not a failure of the server.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_server.h"
#include "load/load.h"
#include "suite.h"

static load_stats *stats;

/* One session of a second. */
static void run_against(const char *host, int port)
{
    static const volatile sig_atomic_t interrupts;
    char url[64], why[512] = "";
    const char *argv[] = { "shoal-load", "--url",  url, "--sessions", "1", "--duration",
                           "1",          "--ramp", "0", "--quiet",    NULL };
    load_options o;
    load_audio audio;

    snprintf(url, sizeof url, "ws://%s:%d", host, port);
    ck_assert_int_eq(load_options_parse(&o, 10, (char **)argv), -1);
    ck_assert_int_eq(load_audio_open(&audio, &o, why, sizeof why), 0);
    stats = load_stats_new(&o);
    ck_assert_msg(load_run_all(&o, &audio, stats, NULL, &interrupts, why, sizeof why) == 0, "%s",
                  why);
    load_audio_free(&audio);
    fake_server_join();
}

static void forget(void)
{
    load_stats_free(stats);
    stats = NULL;
}

static void read_all(fake_peer *p)
{
    while (fake_read(p))
        ;
}

static void grant_and_finish(fake_peer *p)
{
    fake_send_ready(p);
    fake_read_until(p, "end");
    fake_send_text(p, "{\"type\":\"done\",\"received\":0,\"processed\":0,\"frames\":0,"
                      "\"phones\":0,\"packets\":0,\"seconds\":0}");
    fake_send_close(p, 1000, "");
    read_all(p);
}

START_TEST(all_addresses_of_a_name_are_tried)
{
    run_against("two.test", fake_server_start(grant_and_finish, 0));
    ck_assert_msg(stats->admitted == 1, "%s", stats->reason[0].text);
    ck_assert_int_eq(stats->finished, 1);
}
END_TEST

static void over_http_503(fake_peer *p)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n"
                                 "Content-Length: 0\r\n\r\n";

    if (recv(p->fd, p->message, sizeof p->message, 0) > 0 &&
        write(p->fd, answer, sizeof answer - 1) > 0)
        recv(p->fd, p->message, 1, 0);
}

static void over_http_429(fake_peer *p)
{
    static const char answer[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";

    if (recv(p->fd, p->message, sizeof p->message, 0) > 0 &&
        write(p->fd, answer, sizeof answer - 1) > 0)
        recv(p->fd, p->message, 1, 0);
}

static void by_error(fake_peer *p)
{
    fake_send_text(p, "{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"m\","
                      "\"fatal\":true,\"retry\":true}");
    fake_send_close(p, 1013, "");
    read_all(p);
}

static void by_close_alone(fake_peer *p)
{
    fake_send_close(p, 1013, "");
    read_all(p);
}

static void by_restart(fake_peer *p)
{
    fake_send_close(p, 1012, "");
    read_all(p);
}

static void for_good(fake_peer *p)
{
    fake_send_text(p, "{\"type\":\"error\",\"code\":\"bad_option\",\"message\":\"m\","
                      "\"fatal\":true,\"retry\":false}");
    fake_send_close(p, 1008, "");
    read_all(p);
}

/* Who is silent may stay where nobody else fits, and is refused when it begins to speak. */
static void at_first_audio(fake_peer *p)
{
    fake_send_ready(p);
    by_error(p);
}

static const struct {
    fake_script *script;
    int raw, refused, admitted;
} roads[] = { { over_http_503, 1, 1 },    { over_http_429, 1, 1 }, { by_error, 0, 1 },
              { by_close_alone, 0, 1 },   { by_restart, 0, 1 },    { for_good, 0, 0 },
              { at_first_audio, 0, 1, 1 } };

START_TEST(a_refusal_is_one_whatever_the_road)
{
    run_against("127.0.0.1", fake_server_start(roads[_i].script, roads[_i].raw));
    ck_assert_int_eq(stats->admitted, roads[_i].admitted);
    ck_assert_msg(stats->refused == roads[_i].refused, "%s", stats->reason[0].text);
    ck_assert_int_eq(stats->failed, !roads[_i].refused);
    ck_assert_int_eq(stats->reasons, 1);
    if (roads[_i].refused)
        ck_assert_uint_eq(stats->missing, 0);
}
END_TEST

static Suite *connect_suite(void)
{
    Suite *s = suite_create("load connect");
    TCase *t = tcase_create("connect");

    tcase_add_checked_fixture(t, NULL, forget);
    tcase_add_test(t, all_addresses_of_a_name_are_tried);
    tcase_add_loop_test(t, a_refusal_is_one_whatever_the_road, 0, sizeof roads / sizeof *roads);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(connect_suite());
}

/* check_client_open.c - libshoal-client: URL, options, handshake, and servers that refuse it */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_util.h"
#include "fake_server.h"
#include "suite.h"

/* ---- opening ---- */

START_TEST(bad_urls_are_refused)
{
    static const char *const bad[] = {
        "",
        "http://h:1",
        "ws://",
        "ws://:80",
        "ws://h:0",
        "ws://h:65536",
        "ws://h:1x",
        "ws://h:",
        "ws://u@h:1",
        "ws://[::1",
        "ws://[]:1",
        "ws://h:1/a#b",
        "ws://h :1",
        "ws://h:1/?depth=0",
        "ws://h:1/?nonsense=1",
        "ws://h:1/?rate=9&rate=9",
        "ws://[::1]7350",
    };
    shoal_client *c = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char why[512] = "";

        ck_assert_msg(shoal_client_open(&c, bad[i], NULL, why, sizeof why) == SHOAL_CLIENT_EURL,
                      "accepted: %s", bad[i]);
        ck_assert_msg(why[0] != 0, "no reason: %s", bad[i]);
    }
    ck_assert_int_eq(shoal_client_open(&c, "nonsense", NULL, NULL, 0), SHOAL_CLIENT_EURL);
}
END_TEST

START_TEST(options_of_params_win_over_the_url)
{
    shoal_client_params p = shoal_client_default_params();
    shoal_client *c;
    char why[512];

    p.options.chunk_ms = 320;
    p.options.outputs = SHOAL_OUTPUT_ACTIVITY;
    p.options.taps[p.options.tap_count++] = (shoal_tap){ 4, SHOAL_OUTPUT_PHONES };
    p.options.activity_threshold = 90;
    p.options.durations = SHOAL_ON;
    p.options.settle_ms = 480;
    p.options.tentative = SHOAL_ON;
    p.options.precision = SHOAL_ONLY_INT8;
    p.options.given |= SHOAL_OPT_CHUNK_MS | SHOAL_OPT_OUTPUT | SHOAL_OPT_ACTIVITY_THRESHOLD |
                       SHOAL_OPT_DURATIONS | SHOAL_OPT_SETTLE_MS | SHOAL_OPT_TENTATIVE |
                       SHOAL_OPT_PRECISION;
    ck_assert_int_eq(shoal_client_open(&c,
                                       "ws://[::1]:9/?chunk_ms=160&format=mulaw&depth=3-12"
                                       "&output=embedding@2,embedding@3&activity_hangover_ms=500"
                                       "&lm=off&durations=off&settle_silence_ms=100&tentative=off"
                                       "&precision=fp32",
                                       &p, why, sizeof why),
                     0);
    const shoal_options *o = shoal_client_get_options(c);
    ck_assert_int_eq(o->chunk_ms, 320);
    ck_assert_int_eq(o->format, SHOAL_FORMAT_MULAW);
    ck_assert_int_eq(o->rate, 8000);
    ck_assert_int_eq(o->depth_min, 3);
    ck_assert_int_eq(o->depth_max, 12);
    ck_assert_uint_eq(o->outputs, SHOAL_OUTPUT_ACTIVITY);
    ck_assert_int_eq(o->tap_count, 1);
    ck_assert_int_eq(o->taps[0].depth, 4);
    ck_assert_int_eq(o->activity_threshold, 90);
    ck_assert_int_eq(o->activity_hangover_ms, 500);
    ck_assert_int_eq(o->lm, SHOAL_OFF);
    ck_assert_int_eq(o->durations, SHOAL_ON);
    ck_assert_int_eq(o->settle_ms, 480);
    ck_assert_int_eq(o->settle_silence_ms, 100);
    ck_assert_int_eq(o->tentative, SHOAL_ON);
    ck_assert_int_eq(o->precision, SHOAL_ONLY_INT8);
    shoal_client_free(c);
}
END_TEST

/* Whatever the rows of the options are: what params say is what is asked for. */
START_TEST(each_option_of_params_is_taken)
{
    static const char query[] =
        "format=f32le&rate=48000&channels=2&depth=3-9&chunk_ms=80&left_ms=640&output=mel"
        "&encoding=f16&activity_threshold=70&activity_hangover_ms=400&lm=off&durations=on"
        "&program=base&settle_ms=480&settle_silence_ms=100&tentative=on&precision=int8&every=4"
        "&channel=2&t0=1234567890.123&activity_min_ms=100&activity_max_ms=5000"
        "&activity_pad_ms=60";
    shoal_client_params p = shoal_client_default_params();
    shoal_client *c;
    shoal_error err;
    char why[512];

    ck_assert_msg(shoal_options_parse_query(&p.options, query, strlen(query), &err) == 0, "%s",
                  err.message);
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), 0);
    ck_assert_mem_eq(shoal_client_get_options(c), &p.options, sizeof p.options);
    shoal_client_free(c);
    p.options.every = 1; /* of the two only one at a time */
    p.options.pool = SHOAL_POOL_UTTERANCE;
    p.options.given |= SHOAL_OPT_POOL;
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), 0);
    ck_assert_int_eq(shoal_client_get_options(c)->pool, SHOAL_POOL_UTTERANCE);
    shoal_client_free(c);
}
END_TEST

START_TEST(params_are_checked)
{
    shoal_client_params p = shoal_client_default_params();
    shoal_client *c;
    char why[512];

    p.queue_bytes = 10;
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), SHOAL_CLIENT_EINVAL);
    p = shoal_client_default_params();
    p.options.chunk_ms = 7;
    p.options.given = SHOAL_OPT_CHUNK_MS;
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), SHOAL_CLIENT_EINVAL);
    ck_assert(strstr(why, "chunk_ms") != NULL);
    p = shoal_client_default_params();
    p.ca_file = "/etc/ssl/certs/ca-certificates.crt";
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), SHOAL_CLIENT_EINVAL);
    ck_assert(strstr(why, "write wss://") != NULL);
}
END_TEST

static void read_nothing(fake_peer *p)
{
    while (fake_read(p))
        ;
}

START_TEST(refused_connection_says_so)
{
    int port = fake_server_start(read_nothing, 1);
    shoal_client *c = connect_to(port, NULL);

    shoal_client_free(c);
    fake_server_join();
    expect_failure(connect_to(port, NULL), "connection_refused", "is shoald running");
}
END_TEST

static void hold(fake_peer *p)
{
    while (recv(p->fd, p->message, sizeof p->message, 0) > 0)
        ;
}

START_TEST(silent_server_times_out)
{
    shoal_client_params p = shoal_client_default_params();

    p.connect_timeout_ms = 300;
    expect_failure(connect_to(fake_server_start(hold, 1), &p), "connect_timeout",
                   "no answer within 300 ms");
    fake_server_join();
}
END_TEST

START_TEST(upgraded_but_silent_server_times_out)
{
    shoal_client_params p = shoal_client_default_params();

    p.connect_timeout_ms = 300;
    expect_failure(connect_to(fake_server_start(read_nothing, 0), &p), "connect_timeout",
                   "no answer");
    fake_server_join();
}
END_TEST

static const struct {
    const char *status;
    int retry_ms;
} refusals[] = { { "503 Service Unavailable\r\nRetry-After: 7", 7000 },
                 { "503 Service Unavailable", 2000 },
                 { "429 Too Many Requests\r\nRetry-After: 3", 3000 } };
static int refusal;

static void refuse_upgrade(fake_peer *p)
{
    char answer[128];
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n",
                     refusals[refusal].status);

    if (recv(p->fd, p->message, sizeof p->message, 0) > 0 && write(p->fd, answer, (size_t)n) > 0)
        hold(p);
}

START_TEST(refused_upgrade_tells_the_status)
{
    shoal_client_failure f;

    refusal = _i;
    f = expect_failure(connect_to(fake_server_start(refuse_upgrade, 1), NULL), "upgrade_refused",
                       "try again later");
    ck_assert_int_eq(f.cause, SHOAL_CLIENT_FULL);
    ck_assert_int_eq(f.http_status, atoi(refusals[_i].status));
    ck_assert_int_eq(f.retry_ms, refusals[_i].retry_ms);
    fake_server_join();
}
END_TEST

static void answer_rubbish(fake_peer *p)
{
    if (write(p->fd, "SSH-2.0-OpenSSH_9.2\r\n\r\n", 23) > 0)
        usleep(100000);
}

START_TEST(another_kind_of_server_is_recognised)
{
    shoal_client *c = connect_to(fake_server_start(answer_rubbish, 1), NULL);
    shoal_client_event e = expect(c, SHOAL_CLIENT_ERROR);

    ck_assert(strstr(e.error->message, "shoal server") != NULL);
    expect(c, SHOAL_CLIENT_CLOSED);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

/* ---- what goes into the handshake ---- */

static const char *const bad_tokens[] = {
    "", "a b", "tab\t", "line\n", "a\r\nX-Evil: 1", "\xc3\xa4"
};

START_TEST(bad_tokens_are_refused_by_name)
{
    shoal_client_params p = shoal_client_default_params();
    char why[512] = "";
    shoal_client *c;

    p.token = bad_tokens[_i];
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), SHOAL_CLIENT_EINVAL);
    ck_assert_msg(strstr(why, "token") != NULL, "%s", why);
}
END_TEST

static char handshake[16384];

/* Read a request whole, into handshake. */
static void read_handshake(fake_peer *p)
{
    size_t n = 0;

    while (n < sizeof handshake - 1 && recv(p->fd, handshake + n, 1, 0) == 1) {
        handshake[++n] = 0;
        if (n >= 4 && !strcmp(handshake + n - 4, "\r\n\r\n"))
            return;
    }
}

START_TEST(a_long_token_arrives_whole)
{
    shoal_client_params p = shoal_client_default_params();
    static char token[5000], line[5100];
    char why[512] = "";
    shoal_client *c;

    memset(token, 'x', 4096);
    p.token = token;
    c = connect_to(fake_server_start(read_handshake, 1), &p);
    expect(c, SHOAL_CLIENT_ERROR);
    shoal_client_free(c);
    fake_server_join();
    snprintf(line, sizeof line, "Bearer %s\r\n", token);
    ck_assert_msg(strstr(handshake, line) != NULL, "%s", handshake);
    token[4096] = 'x';
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), SHOAL_CLIENT_EINVAL);
    ck_assert_msg(strstr(why, "4096") != NULL, "%s", why);
}
END_TEST

static void ready_then_read(fake_peer *p)
{
    fake_send_ready(p);
    read_nothing(p);
}

static const char *const proxy_variables[] = { "http_proxy", "HTTP_PROXY", "all_proxy",
                                               "socks_proxy", "https_proxy" };

START_TEST(no_proxy_of_the_environment_is_used)
{
    shoal_client *c;

    setenv(proxy_variables[_i], "127.0.0.1:1", 1);
    c = connect_to(fake_server_start(ready_then_read, 0), NULL);
    expect(c, SHOAL_CLIENT_READY);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

START_TEST(a_proxy_is_used_when_it_is_asked_for)
{
    shoal_client_params p = shoal_client_default_params();
    char proxy[64], why[512];
    shoal_client *c;

    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d/", fake_server_start(read_handshake, 1));
    p.proxy = proxy;
    c = connect_to_host("shoal.invalid", 7350, &p);
    expect(c, SHOAL_CLIENT_ERROR);
    shoal_client_free(c);
    fake_server_join();
    ck_assert_msg(!strncmp(handshake, "CONNECT shoal.invalid:7350 HTTP/1.", 34), "%s", handshake);
    p.proxy = "http://nonsense";
    ck_assert_int_eq(shoal_client_open(&c, "ws://h:1", &p, why, sizeof why), SHOAL_CLIENT_EINVAL);
    ck_assert_msg(strstr(why, "proxy") != NULL, "%s", why);
}
END_TEST

/* two.test: see two_addresses.c */
START_TEST(all_addresses_of_a_name_are_tried)
{
    shoal_client *c = connect_to_host("two.test", fake_server_start(ready_then_read, 0), NULL);

    expect(c, SHOAL_CLIENT_READY);
    shoal_client_free(c);
    fake_server_join();
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

static Suite *open_suite(void)
{
    Suite *s = suite_create("client open");
    TCase *t = tcase_create("opening");

    tcase_add_test(t, bad_urls_are_refused);
    tcase_add_test(t, options_of_params_win_over_the_url);
    tcase_add_test(t, each_option_of_params_is_taken);
    tcase_add_test(t, params_are_checked);
    tcase_add_test(t, refused_connection_says_so);
    tcase_add_test(t, silent_server_times_out);
    tcase_add_test(t, upgraded_but_silent_server_times_out);
    tcase_add_loop_test(t, refused_upgrade_tells_the_status, 0, COUNT(refusals));
    tcase_add_test(t, another_kind_of_server_is_recognised);
    tcase_add_loop_test(t, bad_tokens_are_refused_by_name, 0, COUNT(bad_tokens));
    tcase_add_test(t, a_long_token_arrives_whole);
    tcase_add_loop_test(t, no_proxy_of_the_environment_is_used, 0, COUNT(proxy_variables));
    tcase_add_test(t, a_proxy_is_used_when_it_is_asked_for);
    tcase_add_test(t, all_addresses_of_a_name_are_tried);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(open_suite());
}

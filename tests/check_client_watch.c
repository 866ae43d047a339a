/* check_client_watch.c - a session that a libuv loop polls, against a server of the test's own */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "client_util.h"
#include "fake_server.h"
#include "suite.h"

typedef struct seen {
    int count[SHOAL_CLIENT_ACTIVITY + 1];
    int order[64], n;
    int free_at;  /* the event in whose callback the client is freed; 0: CLOSED */
    int at_ready; /* what is sent then: bytes, and end */
    uint64_t sent;
} seen;

static uint8_t audio[100000];

static void on_event(shoal_client *c, const shoal_client_event *e, void *user)
{
    seen *s = user;

    s->count[e->type]++;
    ck_assert_int_lt(s->n, 64);
    s->order[s->n++] = e->type;
    if (e->type == SHOAL_CLIENT_READY && s->at_ready) {
        s->sent = shoal_client_send(c, audio, (size_t)s->at_ready);
        ck_assert_int_eq(shoal_client_end(c), 0);
    }
    if (e->type == (s->free_at ? (shoal_client_event_type)s->free_at : SHOAL_CLIENT_CLOSED))
        shoal_client_free(c);
}

static void read_nothing(fake_peer *p)
{
    while (fake_read(p))
        ;
}

/* The loop ends by itself: a session that is over holds nothing. */
static void watch_until_the_end(fake_script *script, seen *s)
{
    shoal_client *c = connect_to(fake_server_start(script, 0), NULL);
    uv_loop_t loop;

    uv_loop_init(&loop);
    ck_assert_int_eq(shoal_client_watch(c, &loop, on_event, s), 0);
    ck_assert_int_eq(shoal_client_watch(c, &loop, on_event, s), SHOAL_CLIENT_ESTATE);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    fake_server_join();
}

static void whole(fake_peer *p)
{
    size_t got = 0;

    fake_read_until(p, "start");
    fake_send_ready(p);
    fake_send_packet(p, SHOAL_ENCODING_F32, 0, 8, 2);
    while (fake_read(p) && p->opcode != 1)
        got += p->size;
    if (got == sizeof audio && strstr((char *)p->message, "end"))
        fake_send_text(p, "{\"type\":\"done\",\"received\":50000,\"processed\":50000,\"frames\":8,"
                          "\"phones\":0,\"packets\":1,\"seconds\":3.125}");
    fake_send_close(p, 1000, "");
    read_nothing(p);
}

START_TEST(a_session_in_order)
{
    seen s = { .at_ready = sizeof audio };
    const int order[] = { SHOAL_CLIENT_READY, SHOAL_CLIENT_FEATURES, SHOAL_CLIENT_DONE,
                          SHOAL_CLIENT_CLOSED };

    watch_until_the_end(whole, &s);
    ck_assert_int_eq(s.n, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(s.order[i], order[i]);
    ck_assert_uint_eq(s.sent, sizeof audio);
}
END_TEST

/* More events than a turn of the loop gives out, and the client is freed among them. */
static void flood(fake_peer *p)
{
    fake_send_ready(p);
    for (uint32_t i = 0; i < 100; i++)
        fake_send_packet(p, SHOAL_ENCODING_F32, i, 1, 2);
    read_nothing(p);
}

static void count_features(shoal_client *c, const shoal_client_event *e, void *user)
{
    int *left = user;

    if (e->type == SHOAL_CLIENT_FEATURES && --*left == 0)
        shoal_client_free(c);
}

START_TEST(freed_in_a_callback)
{
    for (int stop_at = 1; stop_at <= 100; stop_at += 33) {
        shoal_client *c = connect_to(fake_server_start(flood, 0), NULL);
        uv_loop_t loop;
        int left = stop_at;

        uv_loop_init(&loop);
        ck_assert_int_eq(shoal_client_watch(c, &loop, count_features, &left), 0);
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_int_eq(left, 0);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
        fake_server_join();
    }
}
END_TEST

/* What is closed with something unread takes ready back: read first. */
static void die(fake_peer *p)
{
    fake_read_until(p, "start");
    fake_send_ready(p);
}

START_TEST(a_dead_server_is_told)
{
    seen s = { 0 };

    watch_until_the_end(die, &s);
    ck_assert_int_eq(s.n, 3);
    ck_assert_int_eq(s.order[1], SHOAL_CLIENT_ERROR);
    ck_assert_int_eq(s.order[2], SHOAL_CLIENT_CLOSED);
}
END_TEST

START_TEST(nobody_answers)
{
    shoal_client *c = connect_to(1, NULL);
    seen s = { 0 };
    uv_loop_t loop;

    uv_loop_init(&loop);
    ck_assert_int_eq(shoal_client_watch(c, &loop, on_event, &s), 0);
    shoal_client_wake(c);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    ck_assert_int_eq(s.n, 2);
    ck_assert_int_eq(s.order[0], SHOAL_CLIENT_ERROR);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_watch");
    TCase *t = tcase_create("loop");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_session_in_order);
    tcase_add_test(t, freed_in_a_callback);
    tcase_add_test(t, a_dead_server_is_told);
    tcase_add_test(t, nobody_answers);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

/* check_client_patience.c - libshoal-client against servers that break, and break again
 *
 * The rule by itself is in check_client_again.c.
 */
#include <check.h>
#include <stdio.h>

#include "client_util.h"
#include "fake_server.h"
#include "suite.h"

static void ready_and_gone(fake_peer *p)
{
    fake_read_until(p, "start");
    fake_send_ready(p);
    fake_read(p);
}

static shoal_client *connect_again(int port, int reconnect_ms)
{
    shoal_client_params p = shoal_client_default_params();

    p.reconnect_ms = reconnect_ms;
    shoal_client *c = connect_to(port, &p);
    expect(c, SHOAL_CLIENT_READY);
    ck_assert_uint_eq(shoal_client_send(c, "abcd", 4), 4);
    return c;
}

static shoal_client_event_type last_but(shoal_client *c, shoal_client_event *e)
{
    int n = 0;

    do
        *e = next(c);
    while ((e->type == SHOAL_CLIENT_AWAY || e->type == SHOAL_CLIENT_RESUMED) && n++ < 12);
    return e->type;
}

START_TEST(a_server_that_breaks_at_the_same_place_is_given_up)
{
    shoal_client *c = connect_again(fake_server_start_again(ready_and_gone, 0), 1500);
    shoal_client_event e;

    ck_assert_int_eq(last_but(c, &e), SHOAL_CLIENT_ERROR);
    ck_assert_str_eq(e.error->name, "connection_lost");
    ck_assert_int_eq(expect(c, SHOAL_CLIENT_CLOSED).failure->cause, SHOAL_CLIENT_LOST);
    shoal_client_free(c);
    ck_assert_int_ge(fake_server_join(), 3);
}
END_TEST

static int asked_ms;

static void ready_then_full(fake_peer *p)
{
    char text[200];

    fake_read_until(p, "start");
    fake_send_ready(p);
    snprintf(text, sizeof text,
             "{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"full\",\"fatal\":true,"
             "\"retry\":true,\"retry_after_ms\":%d}",
             asked_ms);
    fake_read(p);
    fake_send_text(p, text);
    fake_send_close(p, 1013, "");
}

START_TEST(a_server_that_asks_for_too_long_is_not_waited_for)
{
    shoal_client_event e;

    asked_ms = _i ? 2147483647 : 60000;
    shoal_client *c = connect_again(fake_server_start_again(ready_then_full, 0), 3000);
    ck_assert_int_eq(next(c).type, SHOAL_CLIENT_ERROR);
    e = expect(c, SHOAL_CLIENT_CLOSED);
    ck_assert_str_eq(e.failure->error.name, "overloaded");
    ck_assert_int_eq(e.failure->retry_ms, asked_ms);
    shoal_client_free(c);
    ck_assert_int_eq(fake_server_join(), 1);
}
END_TEST

static Suite *patience_suite(void)
{
    Suite *s = suite_create("client_patience");
    TCase *t = tcase_create("patience");

    tcase_add_test(t, a_server_that_breaks_at_the_same_place_is_given_up);
    tcase_add_loop_test(t, a_server_that_asks_for_too_long_is_not_waited_for, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(patience_suite());
}

/* client_util.c - see client_util.h */
#include "client_util.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

shoal_client *connect_to_host(const char *host, int port, const shoal_client_params *params)
{
    shoal_client *c;
    char url[128], why[512];

    snprintf(url, sizeof url, "ws://%s:%d", host, port);
    ck_assert_msg(shoal_client_open(&c, url, params, why, sizeof why) == 0, "%s", why);
    return c;
}

shoal_client *connect_to(int port, const shoal_client_params *params)
{
    return connect_to_host("127.0.0.1", port, params);
}

shoal_client_event next(shoal_client *c)
{
    shoal_client_event e;
    int r = shoal_client_poll(c, PATIENCE_MS, &e);

    ck_assert_msg(r == 1, "no event: %d", r);
    return e;
}

shoal_client_event expect(shoal_client *c, shoal_client_event_type type)
{
    shoal_client_event e = next(c);

    ck_assert_msg(e.type == type, "event %d instead of %d%s%s", e.type, type, e.error ? ": " : "",
                  e.error ? e.error->message : "");
    return e;
}

shoal_client_failure expect_failure(shoal_client *c, const char *name, const char *remedy)
{
    shoal_client_event e = expect(c, SHOAL_CLIENT_ERROR);
    shoal_client_failure f;

    ck_assert_str_eq(e.error->name, name);
    ck_assert_msg(strstr(e.error->message, remedy) != NULL, "%s", e.error->message);
    ck_assert_int_eq(e.error->fatal, 1);
    f = *expect(c, SHOAL_CLIENT_CLOSED).failure;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(shoal_client_poll(c, 0, &e), SHOAL_CLIENT_ECLOSED);
    ck_assert_uint_eq(shoal_client_send(c, "abc", 3), 3);
    shoal_client_free(c);
    return f;
}

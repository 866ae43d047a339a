/* check_proxy.c - whom a proxy speaks for, and whose word is taken */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/trust.h"
#include "net/proxy.h"
#include "suite.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
/* 192.0.2.7:4660 -> 10.0.0.1:7350 */
#define FOUR SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\x1c\xb6"
/* the same as IPv6, 2001:db8::7, with a TLV of 4 bytes behind */
#define SIX                                                                                        \
    SIGNATURE "\x21\x21\0\x28\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                           \
              "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34\x1c\xb6\x04\0\x01z"

static shoald_peer peer_of(const struct sockaddr_storage *from)
{
    shoald_peer p;
    shoald_peer_set(&p, from);
    return p;
}

/* Asks for no byte beyond the header, however it comes. */
static void expect_peer(const char *bytes, size_t n, const char *name)
{
    shoald_proxied p;
    for (size_t have = 0; have < n; have++) {
        int more = shoald_proxy_take(&p, (const unsigned char *)bytes, have);
        ck_assert_int_gt(more, 0);
        ck_assert_uint_le(have + (size_t)more, n);
    }
    ck_assert_int_eq(shoald_proxy_take(&p, (const unsigned char *)bytes, n), 0);
    ck_assert_uint_eq(p.size, n);
    ck_assert_int_eq(p.known, name != NULL);
    if (name)
        ck_assert_str_eq(peer_of(&p.from).name, name);
}

START_TEST(headers_say_who_it_is)
{
    expect_peer(FOUR, sizeof FOUR - 1, "192.0.2.7:4660");
    expect_peer(SIX, sizeof SIX - 1, "[2001:db8::7]:4660");
}
END_TEST

/* Health checks of the proxy's own, and what it does not know. */
START_TEST(some_say_nothing)
{
    static const char local[] = SIGNATURE "\x20\0\0\0", unspecified[] = SIGNATURE "\x21\0\0\x03zzz";
    char socket[16 + 216] = SIGNATURE "\x21\x31\0\xd8";
    expect_peer(local, sizeof local - 1, NULL);
    expect_peer(unspecified, sizeof unspecified - 1, NULL);
    expect_peer(socket, sizeof socket, NULL);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
} wrong[] = {
#define WRONG(text)                                                                                \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
    WRONG("GET / HTTP/1.1\r\n"),
    WRONG("PROXY TCP4 192.0.2.7"),
    WRONG("\r\n\r\nG"),
    WRONG(SIGNATURE "\x11\x11\0\x0c"),
    WRONG(SIGNATURE "\x22\x11\0\x0c"),
    WRONG(SIGNATURE "\x21\x11\xff\xff"),
    WRONG(SIGNATURE "\x21\x11\0\x01z"),
    WRONG(SIGNATURE "\x21\x21\0\x0czzzzzzzzzzzz"),
    WRONG(SIGNATURE "\x21\x12\0\x0czzzzzzzzzzzz"),
};

START_TEST(what_is_none_is_refused)
{
    shoald_proxied p;
    ck_assert_int_eq(shoald_proxy_take(&p, (const unsigned char *)wrong[_i].bytes, wrong[_i].n),
                     -1);
    ck_assert_ptr_nonnull(p.why);
}
END_TEST

static shoald_peer peer_named(const char *host)
{
    struct sockaddr_storage from = { .ss_family = AF_UNIX };
    if (inet_pton(AF_INET, host, &((struct sockaddr_in *)&from)->sin_addr) == 1)
        from.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)&from)->sin6_addr) == 1)
        from.ss_family = AF_INET6;
    return peer_of(&from);
}

static const struct {
    const char *list, *peer;
    bool has;
} trusts[] = {
    { "", "127.0.0.1", false },
    { "127.0.0.1", "127.0.0.1", true },
    { "127.0.0.1", "127.0.0.2", false },
    { "127.0.0.1", "unix", false },
    { "127.0.0.1", "::ffff:127.0.0.1", true },
    { "::1, unix", "unix", true },
    { "unix", "::", false },
    { "10.0.0.0/8,192.168.1.128/25", "10.255.0.1", true },
    { "10.0.0.0/8,192.168.1.128/25", "192.168.1.200", true },
    { "10.0.0.0/8 192.168.1.128/25", "192.168.1.100", false },
    { "2001:db8::/33", "2001:db8:7fff::1", true },
    { "2001:db8::/33", "2001:db8:8000::1", false },
    { "0.0.0.0/0", "192.0.2.1", true },
    { "0.0.0.0/0", "2001:db8::1", false },
};

START_TEST(lists_have_addresses_and_networks)
{
    char why[256];
    shoald_peer peer = peer_named(trusts[_i].peer);
    ck_assert_int_eq(shoald_trust_check(trusts[_i].list, why, sizeof why), 0);
    ck_assert_msg(shoald_trust_has(trusts[_i].list, &peer) == trusts[_i].has, "\"%s\" and %s",
                  trusts[_i].list, trusts[_i].peer);
}
END_TEST

START_TEST(lists_that_are_none_are_named)
{
    static const char *const bad[] = { "localhost", "10.0.0.0/33",  "10.0.0.0/",   "::1/129",
                                       "1.2.3",     "127.0.0.1, x", "10.0.0.0/-1", "10.0.0.0/8x" };
    char why[256];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(shoald_trust_check(bad[i], why, sizeof why) == -1, "%s", bad[i]);
    ck_assert_ptr_nonnull(strstr(why, "\"10.0.0.0/8x\""));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy");
    TCase *t = tcase_create("proxy");
    tcase_add_test(t, headers_say_who_it_is);
    tcase_add_test(t, some_say_nothing);
    tcase_add_loop_test(t, what_is_none_is_refused, 0, sizeof wrong / sizeof wrong[0]);
    tcase_add_loop_test(t, lists_have_addresses_and_networks, 0, sizeof trusts / sizeof trusts[0]);
    tcase_add_test(t, lists_that_are_none_are_named);
    suite_add_tcase(s, t);
    return suite_run(s);
}

/* check_waiting.c - who has to go so that the newcomer gets in */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "net/waiting.h"
#include "suite.h"

enum { LIMIT = 16, NEAR = 4, MANY = 64 };

static shoald_waiting waiting;
static shoald_member members[MANY];
static shoald_peer peers[MANY];
static int added;

static shoald_peer peer_of(const char *host)
{
    struct sockaddr_storage from = { 0 };
    shoald_peer p;
    struct sockaddr_in *four = (void *)&from;
    struct sockaddr_in6 *six = (void *)&from;
    if (strcmp(host, "unix") == 0) {
        from.ss_family = AF_UNIX;
    } else if (strchr(host, ':')) {
        from.ss_family = AF_INET6;
        ck_assert_int_eq(inet_pton(AF_INET6, host, &six->sin6_addr), 1);
    } else {
        from.ss_family = AF_INET;
        ck_assert_int_eq(inet_pton(AF_INET, host, &four->sin_addr), 1);
    }
    shoald_peer_set(&p, &from);
    return p;
}

static void start(void)
{
    memset(&waiting, 0, sizeof waiting);
    added = 0;
}

static shoald_member *add(const char *host)
{
    peers[added] = peer_of(host);
    shoald_waiting_add(&waiting, &members[added], &peers[added]);
    return &members[added++];
}

static shoald_member *victim(const char *host)
{
    shoald_peer p = peer_of(host);
    return shoald_waiting_victim(&waiting, &p, LIMIT, NEAR);
}

START_TEST(the_oldest_goes_when_it_is_full)
{
    for (int i = 0; i < LIMIT; i++) {
        ck_assert_ptr_null(victim("127.0.0.1"));
        add("127.0.0.1");
    }
    ck_assert_ptr_eq(victim("127.0.0.1"), &members[0]);
    shoald_waiting_remove(&waiting, &members[0]);
    ck_assert_ptr_null(victim("127.0.0.1"));
    add("127.0.0.1");
    ck_assert_ptr_eq(victim("127.0.0.1"), &members[1]);
}
END_TEST

/* after an answer it is the youngest again */
START_TEST(who_has_just_asked_stays)
{
    for (int i = 0; i < LIMIT; i++)
        add("127.0.0.1");
    shoald_waiting_move(&waiting, &members[0], SHOALD_ANSWERING);
    shoald_waiting_move(&waiting, &members[0], SHOALD_ASKING);
    ck_assert_ptr_eq(victim("127.0.0.1"), &members[1]);
}
END_TEST

START_TEST(one_address_has_a_share)
{
    add("10.0.0.1");
    for (int i = 0; i < NEAR; i++)
        add("10.0.0.2");
    ck_assert_ptr_eq(victim("10.0.0.2"), &members[1]);
    ck_assert_ptr_null(victim("10.0.0.1"));
    ck_assert_ptr_null(victim("10.0.0.3"));
    shoald_waiting_move(&waiting, &members[1], SHOALD_ANSWERING); /* it has asked for something */
    ck_assert_ptr_null(victim("10.0.0.2"));
}
END_TEST

START_TEST(an_ipv6_network_is_one_address)
{
    for (int i = 0; i < NEAR; i++) {
        char host[32];
        snprintf(host, sizeof host, "2001:db8:0:1::%d", i + 1);
        add(host);
    }
    ck_assert_ptr_eq(victim("2001:db8:0:1:ffff::1"), &members[0]);
    ck_assert_ptr_null(victim("2001:db8:0:2::1"));
    ck_assert_ptr_null(victim("10.0.0.1"));
}
END_TEST

START_TEST(a_proxy_on_this_machine_has_no_share)
{
    static const char *const hosts[] = { "127.0.0.1", "::1", "unix" };
    for (size_t h = 0; h < 3; h++) {
        start();
        for (int i = 0; i < LIMIT - 1; i++)
            add(hosts[h]);
        ck_assert_ptr_null(victim(hosts[h]));
    }
    start();
    for (int i = 0; i < NEAR; i++)
        add("127.0.0.2");
    ck_assert_ptr_eq(victim("127.0.0.2"), &members[0]);
}
END_TEST

/* half of the room: unread answers; the other half is for those who come */
START_TEST(unread_answers_do_not_take_the_room)
{
    for (int i = 0; i < LIMIT; i++)
        add("127.0.0.1");
    for (int i = 0; i < LIMIT / 2; i++)
        shoald_waiting_move(&waiting, &members[i], SHOALD_ANSWERING);
    ck_assert_ptr_eq(victim("127.0.0.1"), &members[LIMIT / 2]);
    shoald_waiting_move(&waiting, &members[LIMIT / 2], SHOALD_ANSWERING);
    ck_assert_ptr_eq(victim("127.0.0.1"), &members[0]);
}
END_TEST

START_TEST(who_lingers_does_not_either)
{
    for (int i = 0; i < LIMIT; i++)
        add("127.0.0.1");
    for (int i = 0; i <= LIMIT / 4; i++)
        shoald_waiting_move(&waiting, &members[LIMIT - 1 - i], SHOALD_LINGERING);
    ck_assert_ptr_eq(victim("127.0.0.1"), &members[LIMIT - 1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("waiting");
    TCase *tc = tcase_create("waiting");
    tcase_add_checked_fixture(tc, start, NULL);
    tcase_add_test(tc, the_oldest_goes_when_it_is_full);
    tcase_add_test(tc, who_has_just_asked_stays);
    tcase_add_test(tc, one_address_has_a_share);
    tcase_add_test(tc, an_ipv6_network_is_one_address);
    tcase_add_test(tc, a_proxy_on_this_machine_has_no_share);
    tcase_add_test(tc, unread_answers_do_not_take_the_room);
    tcase_add_test(tc, who_lingers_does_not_either);
    suite_add_tcase(s, tc);
    return suite_run(s);
}

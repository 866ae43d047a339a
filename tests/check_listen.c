/* check_listen.c - one `listen`, all its addresses; --check without harm */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/listen.h"
#include "suite.h"

enum { ROOM = 8 };

static shoald_listener l[ROOM];
static char why[512], folder[64], path[128];

static void make_folder(void)
{
    strcpy(folder, "/tmp/shoal-listen.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "unix:%s/socket", folder);
}

static void close_all(int count)
{
    for (int i = 0; i < count; i++)
        shoald_listen_close(&l[i]);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return good;
}

START_TEST(a_star_is_every_family_at_one_port)
{
    int port, other, count = shoald_listen_bind(l, ROOM, "*:0", why, sizeof why);

    ck_assert_msg(count >= 1, "%s", why);
    ck_assert_int_eq(count, has_ipv6() ? 2 : 1);
    if (count == 2) {
        ck_assert_int_eq(sscanf(strrchr(l[0].name, ':'), ":%d", &port), 1);
        ck_assert_int_eq(sscanf(strrchr(l[1].name, ':'), ":%d", &other), 1);
        ck_assert_int_eq(port, other);
        ck_assert_int_ne(port, 0);
        ck_assert(strchr(l[0].name, '[') == NULL || strchr(l[1].name, '[') == NULL);
    }
    close_all(count);
}
END_TEST

START_TEST(too_little_room_binds_nothing)
{
    if (!has_ipv6())
        return;
    ck_assert_int_eq(shoald_listen_bind(l, 1, "*:0", why, sizeof why), -1);
    ck_assert_int_eq(l[0].fd, 0);
}
END_TEST

static const char *const bad[] = {
    "not an address",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:99999",
    "127.0.0.1:-1",
    "127.0.0.1: 80",
    "::1:80",
    "[::1:80",
    "[::1]80",
    "198.51.100.7:0",
    "no.such.invalid:80",
    "unix:",
    "127.0.0.1:8x",
    "unix:/nonexistent/socket",
};

START_TEST(what_cannot_be_bound_is_refused_with_words)
{
    why[0] = '\0';
    ck_assert_int_eq(shoald_listen_check(bad[_i], why, sizeof why), -1);
    ck_assert_int_gt(strlen(why), 0);
    why[0] = '\0';
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, bad[_i], why, sizeof why), -1);
    ck_assert_int_gt(strlen(why), 0);
}
END_TEST

START_TEST(a_path_that_is_too_long_is_refused)
{
    char longer[200] = "unix:/tmp/";
    memset(longer + 10, 'a', 110);
    ck_assert_int_eq(shoald_listen_check(longer, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "107"));
}
END_TEST

START_TEST(an_address_in_use_is_good)
{
    char taken[SHOALD_ADDRESS_NAME];
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, "127.0.0.1:0", why, sizeof why), 1);
    strcpy(taken, l[0].name);
    ck_assert_int_eq(shoald_listen_check(taken, why, sizeof why), 0);
    ck_assert_int_eq(shoald_listen_bind(l + 1, ROOM - 1, taken, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "another"));
    close_all(1);
}
END_TEST

START_TEST(nothing_is_left_behind_or_removed)
{
    struct stat before, after;
    make_folder();
    ck_assert_int_eq(shoald_listen_check(path, why, sizeof why), 0);
    ck_assert_int_ne(lstat(path + 5, &before), 0);

    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, why, sizeof why), 1);
    ck_assert_int_eq(lstat(path + 5, &before), 0);
    ck_assert_int_eq(shoald_listen_check(path, why, sizeof why), 0); /* in use */
    ck_assert_int_eq(shoald_listen_bind(l + 1, ROOM - 1, path, why, sizeof why), -1);
    ck_assert_int_eq(lstat(path + 5, &after), 0);
    ck_assert_int_eq(before.st_ino, after.st_ino);
    close_all(1);
    ck_assert_int_ne(lstat(path + 5, &before), 0);
    rmdir(folder);
}
END_TEST

START_TEST(a_file_that_is_no_socket_stays)
{
    struct stat st;
    make_folder();
    close(open(path + 5, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(shoald_listen_check(path, why, sizeof why), -1);
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, why, sizeof why), -1);
    ck_assert_int_eq(lstat(path + 5, &st), 0);
    unlink(path + 5);
    rmdir(folder);
}
END_TEST

/* who came after us and took the name */
START_TEST(the_socket_of_another_stays)
{
    struct stat st;
    make_folder();
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, why, sizeof why), 1);
    unlink(path + 5);
    ck_assert_int_eq(shoald_listen_bind(l + 1, ROOM - 1, path, why, sizeof why), 1);
    shoald_listen_close(&l[0]);
    ck_assert_int_eq(lstat(path + 5, &st), 0);
    shoald_listen_close(&l[1]);
    ck_assert_int_ne(lstat(path + 5, &st), 0);
    rmdir(folder);
}
END_TEST

/* left behind by a crash */
START_TEST(a_stale_socket_is_taken_over)
{
    make_folder();
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, why, sizeof why), 1);
    close(l[0].fd);
    ck_assert_int_eq(shoald_listen_check(path, why, sizeof why), 0);
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, why, sizeof why), 1);
    close_all(1);
    rmdir(folder);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listen");
    TCase *tc = tcase_create("listen");
    tcase_add_test(tc, a_star_is_every_family_at_one_port);
    tcase_add_test(tc, too_little_room_binds_nothing);
    tcase_add_loop_test(tc, what_cannot_be_bound_is_refused_with_words, 0,
                        (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tc, a_path_that_is_too_long_is_refused);
    tcase_add_test(tc, an_address_in_use_is_good);
    tcase_add_test(tc, nothing_is_left_behind_or_removed);
    tcase_add_test(tc, a_file_that_is_no_socket_stays);
    tcase_add_test(tc, the_socket_of_another_stays);
    tcase_add_test(tc, a_stale_socket_is_taken_over);
    suite_add_tcase(s, tc);
    return suite_run(s);
}

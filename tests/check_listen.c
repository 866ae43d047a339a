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
    int port, other, count = shoald_listen_bind(l, ROOM, "*:0", true, why, sizeof why);

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
    ck_assert_int_eq(shoald_listen_bind(l, 1, "*:0", true, why, sizeof why), -1);
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
    ck_assert_int_eq(shoald_listen_check(bad[_i], true, why, sizeof why), -1);
    ck_assert_int_gt(strlen(why), 0);
    why[0] = '\0';
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, bad[_i], true, why, sizeof why), -1);
    ck_assert_int_gt(strlen(why), 0);
}
END_TEST

static const char *const far[] = { "0.0.0.0:0", "*:0", "[::]:0", "192.0.2.7:0" };

/* The remedy is in the words, and nothing is bound. */
START_TEST(where_others_reach_is_not_listened_unless_it_is_said)
{
    ck_assert_int_eq(shoald_listen_check(far[_i], false, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "--insecure-listen"));
    why[0] = '\0';
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, far[_i], false, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "insecure_listen = on"));
    ck_assert_int_eq(l[0].fd, 0);
}
END_TEST

static const char *const near[] = { "127.0.0.1:0", "127.8.9.10:0", "localhost:0" };

START_TEST(loopback_needs_no_word)
{
    ck_assert_int_eq(shoald_listen_check(near[_i], false, why, sizeof why), 0);
    int count = shoald_listen_bind(l, ROOM, near[_i], false, why, sizeof why);
    ck_assert_msg(count >= 1, "%s: %s", near[_i], why);
    close_all(count);
}
END_TEST

/* Of systemd's sockets, too. */
START_TEST(inherited_ones_are_held_to_the_same)
{
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, "0.0.0.0:0", true, why, sizeof why), 1);
    ck_assert_int_eq(shoald_listen_inherit(l + 1, l[0].fd, false, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "0.0.0.0:"));
    ck_assert_int_eq(shoald_listen_inherit(l + 1, l[0].fd, true, why, sizeof why), 0);
    memset(l + 1, 0, sizeof l[1]);
    close_all(1);
}
END_TEST

START_TEST(a_path_that_is_too_long_is_refused)
{
    char longer[200] = "unix:/tmp/";
    memset(longer + 10, 'a', 110);
    ck_assert_int_eq(shoald_listen_check(longer, true, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "107"));
}
END_TEST

START_TEST(an_address_in_use_is_good)
{
    char taken[SHOALD_ADDRESS_NAME];
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, "127.0.0.1:0", true, why, sizeof why), 1);
    strcpy(taken, l[0].name);
    ck_assert_int_eq(shoald_listen_check(taken, true, why, sizeof why), 0);
    ck_assert_int_eq(shoald_listen_bind(l + 1, ROOM - 1, taken, true, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "another"));
    close_all(1);
}
END_TEST

static const struct {
    const char *one, *other;
    bool go_together;
} pairs[] = {
    { "127.0.0.1:7350", "127.0.0.1:7350", false }, { "*:7350", "127.0.0.1:7350", false },
    { "127.0.0.1:7350", "0.0.0.0:7350", false },   { "unix:/tmp/a", "unix:/tmp/a", false },
    { "127.0.0.1:0", "127.0.0.1:0", true },        { "127.0.0.1:7350", "127.0.0.1:7351", true },
    { "127.0.0.1:7350", "127.0.0.2:7350", true },  { "127.0.0.1:7350", "[::1]:7350", true },
    { "0.0.0.0:7350", "[::]:7350", true },         { "[::1]:7350", "[::]:7350", false },
    { "unix:/tmp/a", "unix:/tmp/b", true },        { "unix:/tmp/a", "127.0.0.1:7350", true },
};

START_TEST(of_two_that_exclude_each_other_both_are_named)
{
    const char *one = pairs[_i].one, *other = pairs[_i].other;
    int result = shoald_listen_compare(one, other, why, sizeof why);
    ck_assert_msg(result == (pairs[_i].go_together ? 0 : -1), "%s and %s: %d", one, other, result);
    if (result < 0)
        ck_assert_msg(strstr(why, one) && strstr(why, other), "%s", why);
}
END_TEST

START_TEST(nothing_is_left_behind_or_removed)
{
    struct stat before, after;
    make_folder();
    ck_assert_int_eq(shoald_listen_check(path, true, why, sizeof why), 0);
    ck_assert_int_ne(lstat(path + 5, &before), 0);

    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, true, why, sizeof why), 1);
    ck_assert_int_eq(lstat(path + 5, &before), 0);
    ck_assert_int_eq(shoald_listen_check(path, true, why, sizeof why), 0); /* in use */
    ck_assert_int_eq(shoald_listen_bind(l + 1, ROOM - 1, path, true, why, sizeof why), -1);
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
    ck_assert_int_eq(shoald_listen_check(path, true, why, sizeof why), -1);
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, true, why, sizeof why), -1);
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
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, true, why, sizeof why), 1);
    unlink(path + 5);
    ck_assert_int_eq(shoald_listen_bind(l + 1, ROOM - 1, path, true, why, sizeof why), 1);
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
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, true, why, sizeof why), 1);
    close(l[0].fd);
    ck_assert_int_eq(shoald_listen_check(path, true, why, sizeof why), 0);
    ck_assert_int_eq(shoald_listen_bind(l, ROOM, path, true, why, sizeof why), 1);
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
    tcase_add_loop_test(tc, where_others_reach_is_not_listened_unless_it_is_said, 0,
                        sizeof far / sizeof far[0]);
    tcase_add_loop_test(tc, loopback_needs_no_word, 0, sizeof near / sizeof near[0]);
    tcase_add_test(tc, inherited_ones_are_held_to_the_same);
    tcase_add_test(tc, a_path_that_is_too_long_is_refused);
    tcase_add_test(tc, an_address_in_use_is_good);
    tcase_add_loop_test(tc, of_two_that_exclude_each_other_both_are_named, 0,
                        sizeof pairs / sizeof pairs[0]);
    tcase_add_test(tc, nothing_is_left_behind_or_removed);
    tcase_add_test(tc, a_file_that_is_no_socket_stays);
    tcase_add_test(tc, the_socket_of_another_stays);
    tcase_add_test(tc, a_stale_socket_is_taken_over);
    suite_add_tcase(s, tc);
    return suite_run(s);
}

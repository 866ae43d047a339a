/* check_log.c - log lines: never waited for, lost ones counted; whose journal it is
 *
 * Check forks for each test, so stderr can be what a test needs.
 */
#include "base/log.h"
#include "suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int reader;

static void stderr_to(int fds[2])
{
    reader = fds[0];
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
}

static void stderr_to_pipe(void)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    stderr_to(fds);
}

static void stderr_to_socket(void)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    stderr_to(fds);
}

/* What has been written and nobody has read. */
static const char *drain(void)
{
    static char text[1 << 20];
    size_t n = 0;
    ssize_t m;

    fcntl(reader, F_SETFL, O_NONBLOCK);
    while (n < sizeof text - 1 && (m = read(reader, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)m;
    text[n] = 0;
    return text;
}

static int count(const char *text, const char *word)
{
    int n = 0;

    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

/* Where it waited, Check's timeout would end the test. */
static void fill(void)
{
    enum { LINES = 20000 };

    shoald_log_open();
    for (int i = 0; i < LINES; i++)
        shoald_log(SHOALD_LOG_INFO, "event", "number=%d", i);
    uint64_t lost = shoald_log_lost();
    ck_assert_uint_gt(lost, 0);
    const char *text = drain();
    ck_assert_uint_eq((uint64_t)count(text, " event number=") + lost, LINES);
    ck_assert_int_eq(count(text, "\n"), count(text, " event number=")); /* whole lines only */
    shoald_log(SHOALD_LOG_INFO, "event", "number=%d", LINES);
    char expected[64];
    snprintf(expected, sizeof expected, "warning log_lost lines=%llu\n", (unsigned long long)lost);
    text = drain();
    ck_assert_msg(strstr(text, expected) != NULL, "%s", text);
    ck_assert_int_eq(count(text, "event number=20000\n"), 1);
    ck_assert_uint_eq(shoald_log_lost(), lost);
    shoald_log(SHOALD_LOG_INFO, "event", "number=%d", LINES);
    ck_assert_int_eq(count(drain(), "log_lost"), 0); /* told once */
}

START_TEST(a_pipe_that_nobody_drains_holds_nothing_up)
{
    stderr_to_pipe();
    fill();
}
END_TEST

START_TEST(nor_does_a_socket)
{
    stderr_to_socket();
    fill();
}
END_TEST

/* The shell that started us writes to the same open pipe. */
START_TEST(others_who_share_stderr_keep_their_flags)
{
    stderr_to_pipe();
    shoald_log_open();
    shoald_log(SHOALD_LOG_INFO, "event", "number=1");
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(count(drain(), "event number=1\n"), 1);
}
END_TEST

static char first_of_line(const char *journal_stream)
{
    if (journal_stream)
        setenv("JOURNAL_STREAM", journal_stream, 1);
    else
        unsetenv("JOURNAL_STREAM");
    shoald_log_open();
    shoald_log(SHOALD_LOG_INFO, "event", "x=1");
    return drain()[0];
}

/* "<6>" for journald, "2026-..." for everybody else, whatever was inherited. */
START_TEST(only_the_journal_itself_gets_priorities)
{
    struct stat st;
    char mine[64], other[64];

    stderr_to_pipe();
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(mine, sizeof mine, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    snprintf(other, sizeof other, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino + 1);
    ck_assert_int_eq(first_of_line(mine), '<');
    ck_assert_int_eq(first_of_line(other), '2');
    ck_assert_int_eq(first_of_line("nonsense"), '2');
    ck_assert_int_eq(first_of_line(NULL), '2');
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");

    tcase_add_test(t, a_pipe_that_nobody_drains_holds_nothing_up);
    tcase_add_test(t, nor_does_a_socket);
    tcase_add_test(t, others_who_share_stderr_keep_their_flags);
    tcase_add_test(t, only_the_journal_itself_gets_priorities);
    suite_add_tcase(s, t);
    return suite_run(s);
}

/* check_log.c - log lines: never waited for, lost ones counted; whose journal it is, and its fields
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
#include <sys/un.h>
#include <unistd.h>

/* Nobody listens there, unless a test does. */
static const char *journal_socket = "/nowhere/journal";
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

    shoald_log_open(journal_socket);
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
    shoald_log_open(journal_socket);
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
    shoald_log_open(journal_socket);
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

/* ---- journald, played by a socket ---- */

static char folder[] = "/tmp/shoal-log.XXXXXX", socket_path[64];
static int journal = -1;

static void remove_journal(void)
{
    unlink(socket_path);
    rmdir(folder);
}

static void name_ourselves_the_journal(void)
{
    struct stat st;
    char mine[64];

    stderr_to_pipe();
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(mine, sizeof mine, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", mine, 1);
}

static void listen_as_journald(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (journal >= 0)
        close(journal);
    journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    memcpy(a.sun_path, socket_path, sizeof socket_path);
    ck_assert_int_eq(bind(journal, (struct sockaddr *)&a, sizeof a), 0);
}

static void start_journal(void)
{
    name_ourselves_the_journal();
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    listen_as_journald();
    journal_socket = socket_path;
    shoald_log_open(journal_socket);
}

/* The next datagram; "" if there is none. */
static const char *entry(void)
{
    static char text[1 << 16];
    ssize_t n = recv(journal, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = 0;
    return text;
}

START_TEST(each_key_is_a_field_of_the_journal)
{
    char peer[64];

    start_journal();
    shoald_log_quote(peer, sizeof peer, "a \"b\" \\ c\nd=1");
    shoald_log(SHOALD_LOG_WARNING, "session_refused",
               "session=6f1c peer=%s code=overloaded why=", peer);
    ck_assert_str_eq(entry(), "MESSAGE=session_refused session=6f1c peer=\"a \\\"b\\\" \\\\ "
                              "c\\x0ad=1\" code=overloaded why=\n"
                              "PRIORITY=4\n"
                              "SYSLOG_IDENTIFIER=shoald\n"
                              "SHOAL_EVENT=session_refused\n"
                              "SHOAL_SESSION=6f1c\n"
                              "SHOAL_PEER=a \"b\" \\ c\\x0ad=1\n"
                              "SHOAL_CODE=overloaded\n"
                              "SHOAL_WHY=\n");
    shoald_log(SHOALD_LOG_INFO, "event", "two words Key=1 =2 k-y=3 x=4");
    ck_assert_str_eq(entry(), "MESSAGE=event two words Key=1 =2 k-y=3 x=4\nPRIORITY=6\n"
                              "SYSLOG_IDENTIFIER=shoald\nSHOAL_EVENT=event\nSHOAL_X=4\n");
    ck_assert_str_eq(drain(), ""); /* not twice */
    ck_assert_uint_eq(shoald_log_lost(), 0);
    remove_journal();
}
END_TEST

/* A line has no more than 2048 bytes, so with its fields there is always room for it. */
START_TEST(a_long_value_is_whole_in_its_field)
{
    char value[3000], field[3100];

    start_journal();
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    shoald_log(SHOALD_LOG_INFO, "event", "why=%s", value);
    snprintf(field, sizeof field, "\nSHOAL_WHY=%.*s\n", 2048 - (int)strlen("<6>event why=") - 2,
             value);
    const char *text = entry();
    ck_assert_msg(strstr(text, field) != NULL, "%s", text);
    remove_journal();
}
END_TEST

START_TEST(a_journald_that_is_busy_is_not_waited_for)
{
    enum { LINES = 5000 };
    int taken = 0;

    start_journal();
    for (int i = 0; i < LINES; i++)
        shoald_log(SHOALD_LOG_INFO, "event", "number=%d", i);
    uint64_t lost = shoald_log_lost();
    ck_assert_uint_gt(lost, 0);
    while (*entry())
        taken++;
    ck_assert_uint_eq((uint64_t)taken + lost, LINES);
    shoald_log(SHOALD_LOG_INFO, "event", "number=%d", LINES);
    char expected[64];
    snprintf(expected, sizeof expected, "SHOAL_LINES=%llu\n", (unsigned long long)lost);
    ck_assert_ptr_nonnull(strstr(entry(), expected));
    ck_assert_ptr_nonnull(strstr(entry(), "SHOAL_NUMBER=5000\n"));
    ck_assert_str_eq(drain(), "");
    remove_journal();
}
END_TEST

START_TEST(a_journald_that_went_is_told_by_stderr_until_it_is_back)
{
    start_journal();
    unlink(socket_path);
    shoald_log(SHOALD_LOG_NOTICE, "event", "x=1");
    ck_assert_str_eq(drain(), "<5>event x=1\n");
    listen_as_journald();
    shoald_log(SHOALD_LOG_NOTICE, "event", "x=2");
    ck_assert_ptr_nonnull(strstr(entry(), "SHOAL_X=2\n"));
    ck_assert_str_eq(drain(), "");
    ck_assert_uint_eq(shoald_log_lost(), 0);
    remove_journal();
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
    tcase_add_test(t, each_key_is_a_field_of_the_journal);
    tcase_add_test(t, a_long_value_is_whole_in_its_field);
    tcase_add_test(t, a_journald_that_is_busy_is_not_waited_for);
    tcase_add_test(t, a_journald_that_went_is_told_by_stderr_until_it_is_back);
    suite_add_tcase(s, t);
    return suite_run(s);
}

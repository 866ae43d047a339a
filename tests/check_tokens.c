/* check_tokens.c - the file of tokens: what a line may say, who is found, what each may have */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/settings.h"
#include "base/tokens.h"
#include "net/access.h"
#include "suite.h"

/* SHA-256 of "test", "abc" and of nothing (FIPS 180-2) */
#define TEST  "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char path[] = "/tmp/shoal-tokens.XXXXXX";
static char why[512];

static void make_file(void)
{
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void remove_file(void)
{
    unlink(path);
}

static int read_text(shoald_tokens *t, const char *text)
{
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    return shoald_tokens_read(t, path, why, sizeof why);
}

static const char *owner(const shoald_tokens *t, const char *token)
{
    uint8_t hash[SHOALD_TOKEN_HASH];
    shoald_token_hash(hash, token, strlen(token));
    const shoald_token *found = shoald_tokens_find(t, hash);
    return found ? found->name : "nobody";
}

START_TEST(lines_say_who_and_how_much)
{
    shoald_tokens t;
    ck_assert_msg(read_text(&t, "# who\n\n  a.b-c_1 " TEST "  depth=6 rate=30 sessions=2 # ward 3\n"
                                "\tplain\t" ABC "\r\n") == 0,
                  "%s", why);
    ck_assert(t.required && t.count == 2);
    ck_assert_str_eq(owner(&t, "test"), "a.b-c_1");
    ck_assert_str_eq(owner(&t, "abc"), "plain");
    ck_assert_str_eq(owner(&t, "abcd"), "nobody");
    ck_assert_str_eq(owner(&t, ""), "nobody");
    ck_assert_int_eq(t.list[0].most_sessions, 2);
    ck_assert_int_eq(t.list[0].most_depth, 6);
    ck_assert_int_eq(t.list[0].sessions_a_minute, 30);
    ck_assert(!t.list[1].most_sessions && !t.list[1].most_depth && !t.list[1].sessions_a_minute);
    shoald_tokens_free(&t);
}
END_TEST

START_TEST(no_file_is_for_everybody_an_empty_one_for_nobody)
{
    shoald_tokens t;
    ck_assert_int_eq(shoald_tokens_read(&t, "", why, sizeof why), 0);
    ck_assert(!t.required);
    ck_assert_int_eq(read_text(&t, "# none yet\n"), 0);
    ck_assert(t.required && t.count == 0);
    ck_assert_str_eq(owner(&t, "test"), "nobody");
    shoald_tokens_free(&t);
}
END_TEST

/* what the file says, and what is said of it */
static const char *const wrong[][2] = {
    { "a\n", "line 1: what follows the name is not a SHA-256" },
    { "a " TEST "0\n", "line 1: what follows the name is not a SHA-256" },
    { "a x" TEST "\n", "line 1: what follows the name is not a SHA-256" },
    { "# 1\na " TEST "\nshoal_v3rYs3cr3t\n", "line 3: what follows" },
    { "a " EMPTY "\n", "line 1: the hash is that of an empty token" },
    { "a/b " TEST "\n", "line 1: the name is not 1 to 32" },
    { "abcdefghijklmnopqrstuvwxyz1234567 " TEST "\n", "line 1: the name is not" },
    { "a " TEST "\na " ABC "\n", "line 2: another line has the same name" },
    { "a " TEST "\nb " TEST "\n", "line 2: another line has the same hash" },
    { "a " TEST " depth=0\n", "line 1: depth is to be given once, 1..255" },
    { "a " TEST " depth=3x\n", "line 1: depth is" },
    { "a " TEST " depth= 3\n", "line 1: depth is" },
    { "a " TEST " rate=5 rate=6\n", "line 1: rate is to be given once" },
    { "a " TEST " sessions=-1\n", "line 1: sessions is" },
    { "a " TEST " speed=3\n", "none of sessions=N, depth=N, rate=N" },
    { "a " TEST " shoal_v3rYs3cr3t\n", "none of sessions=N, depth=N, rate=N" },
};

START_TEST(what_is_wrong_is_named_by_line_and_not_shown)
{
    shoald_tokens t;
    ck_assert_msg(read_text(&t, wrong[_i][0]) == -1, "taken: %s", wrong[_i][0]);
    ck_assert_msg(strstr(why, path) && strstr(why, wrong[_i][1]), "%s: %s", wrong[_i][0], why);
    ck_assert_ptr_null(strstr(why, "s3cr3t"));
}
END_TEST

START_TEST(there_may_be_a_thousand)
{
    shoald_tokens t;
    FILE *f = fopen(path, "w");
    for (int i = 0; i < SHOALD_MAX_TOKENS; i++)
        fprintf(f, "n%d %064x\n", i, i);
    fclose(f);
    ck_assert_msg(shoald_tokens_read(&t, path, why, sizeof why) == 0, "%s", why);
    ck_assert_int_eq(t.count, SHOALD_MAX_TOKENS);
    shoald_tokens_free(&t);
    f = fopen(path, "a");
    fprintf(f, "more %064x\n", SHOALD_MAX_TOKENS);
    fclose(f);
    ck_assert_int_eq(shoald_tokens_read(&t, path, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "line 1001: there are more than 1000 tokens"));
}
END_TEST

START_TEST(files_that_cannot_be_read_are_named)
{
    shoald_tokens t;
    char line[600];
    ck_assert_int_eq(shoald_tokens_read(&t, "/nonexistent/tokens", why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "/nonexistent/tokens: No such file"));
    ck_assert_int_eq(shoald_tokens_read(&t, "/tmp", why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "/tmp: Is a directory"));
    memset(line, 'a', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    ck_assert_int_eq(read_text(&t, line), -1);
    ck_assert_ptr_nonnull(strstr(why, "line 1: it is longer than"));
}
END_TEST

/* Whoever opens it would wait for a writer: at a reload the whole daemon. So with settings. */
START_TEST(a_pipe_is_not_waited_for)
{
    static shoald_settings c;
    shoald_tokens t;
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(shoald_tokens_read(&t, path, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, ": it is a pipe"));
    shoald_settings_default(&c);
    ck_assert_int_eq(shoald_settings_read(&c, path, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, ": it is a pipe"));
    ck_assert_int_eq(shoald_settings_read(&c, "/dev/null", why, sizeof why), 0);
}
END_TEST

static void write_bytes(const char *bytes, size_t n)
{
    FILE *f = fopen(path, "w");
    fwrite(bytes, 1, n, f);
    fclose(f);
}

/* What stands behind a NUL would be cut off in silence: limits, of a token. So with settings, which
 * are read by the same function. */
START_TEST(a_byte_order_mark_is_skipped_and_a_nul_told)
{
    static const char marked[] = "\xef\xbb\xbf"
                                 "a " TEST "\nb " ABC;
    static const char cut[] = "a " TEST "\nb " ABC "\0 sessions=1\n",
                      last[] = "a " TEST "\0 depth=1";
    static const char workers[] = "\xef\xbb\xbfworkers = 7", nul[] = "workers = 7\0 # so\n";
    static shoald_settings c;
    shoald_tokens t;
    write_bytes(marked, sizeof marked - 1);
    ck_assert_msg(shoald_tokens_read(&t, path, why, sizeof why) == 0, "%s", why);
    ck_assert_str_eq(owner(&t, "test"), "a");
    ck_assert_str_eq(owner(&t, "abc"), "b");
    shoald_tokens_free(&t);
    write_bytes(cut, sizeof cut - 1);
    ck_assert_int_eq(shoald_tokens_read(&t, path, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "line 2: there is a NUL in it"));
    write_bytes(last, sizeof last - 1);
    ck_assert_int_eq(shoald_tokens_read(&t, path, why, sizeof why), -1);

    shoald_settings_default(&c);
    write_bytes(workers, sizeof workers - 1);
    ck_assert_msg(shoald_settings_read(&c, path, why, sizeof why) == 0, "%s", why);
    ck_assert_int_eq(c.workers, 7);
    write_bytes(nul, sizeof nul - 1);
    ck_assert_int_eq(shoald_settings_read(&c, path, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "line 1: there is a NUL in it"));
}
END_TEST

/* Every place of the list, and hashes that differ from one of them in a single bit. */
START_TEST(whoever_is_listed_is_found_wherever_that_is)
{
    enum { COUNT = 100 };
    shoald_token list[COUNT] = { 0 };
    shoald_tokens t = { true, list, COUNT };
    char text[16];
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        shoald_token_hash(list[i].hash, text, strlen(text));
    }
    for (int i = 0; i < COUNT; i++) {
        uint8_t hash[SHOALD_TOKEN_HASH];
        memcpy(hash, list[i].hash, sizeof hash);
        ck_assert_ptr_eq(shoald_tokens_find(&t, hash), &list[i]);
        for (size_t bit = 0; bit < 8 * sizeof hash; bit++) {
            hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
            ck_assert_ptr_null(shoald_tokens_find(&t, hash));
            hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    t.count = 0;
    ck_assert_ptr_null(shoald_tokens_find(&t, list[0].hash));
}
END_TEST

START_TEST(a_rate_is_of_a_minute)
{
    const uint64_t s = 1000000000u;
    shoald_token t = { .sessions_a_minute = 6, .ready = 6 }, free_one = { .most_depth = 3 };
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(shoald_token_begin(&t, s), 0);
    int wait = shoald_token_begin(&t, s);
    ck_assert_msg(wait >= 10000 && wait <= 10001, "%d", wait); /* one in ten seconds */
    wait = shoald_token_begin(&t, 6 * s);
    ck_assert_msg(wait >= 5000 && wait <= 5001, "%d", wait);
    ck_assert_int_eq(shoald_token_begin(&t, 11 * s + s / 100), 0);
    ck_assert_int_gt(shoald_token_begin(&t, 11 * s + s / 100), 0);
    for (int i = 0; i < 6; i++) /* an hour saves no more than a minute */
        ck_assert_int_eq(shoald_token_begin(&t, 3600 * s), 0);
    ck_assert_int_gt(shoald_token_begin(&t, 3600 * s), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(shoald_token_begin(&free_one, s), 0);
}
END_TEST

START_TEST(a_new_file_gives_nobody_a_fresh_minute)
{
    shoald_tokens t, fresh;
    ck_assert_int_eq(read_text(&t, "a " TEST " rate=2\nb " ABC " rate=2\n"), 0);
    ck_assert_int_eq(shoald_token_begin(&t.list[0], 5), 0);
    ck_assert_int_eq(shoald_token_begin(&t.list[0], 5), 0);
    ck_assert_int_eq(read_text(&fresh, "b " ABC " rate=1\na " TEST " rate=2 depth=1\n"), 0);
    shoald_tokens_replace(&t, &fresh);
    ck_assert(t.count == 2 && fresh.count == 0 && !fresh.list);
    ck_assert_int_eq(t.list[1].most_depth, 1);
    ck_assert_int_gt(shoald_token_begin(&t.list[1], 5), 0);
    ck_assert_int_eq(shoald_token_begin(&t.list[0], 5), 0);
    ck_assert_int_gt(shoald_token_begin(&t.list[0], 5), 0);
    shoald_tokens_free(&t);
}
END_TEST

START_TEST(new_ones_are_let_in_and_differ)
{
    char token[2][SHOALD_TOKEN_SIZE], line[160], text[200];
    shoald_tokens t;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(shoald_token_make("ward-3", token[i], line, sizeof line, why, sizeof why),
                         0);
    ck_assert_str_ne(token[0], token[1]);
    ck_assert_uint_eq(strlen(token[0]), 49);
    ck_assert_uint_eq(strspn(token[1] + 6, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789-_"),
                      43);
    snprintf(text, sizeof text, "%s depth=3\n", line);
    ck_assert_msg(read_text(&t, text) == 0, "%s", why);
    ck_assert_str_eq(owner(&t, token[1]), "ward-3");
    ck_assert_str_eq(owner(&t, token[0]), "nobody");
    shoald_tokens_free(&t);
    ck_assert_int_eq(shoald_token_make("a b", token[0], line, sizeof line, why, sizeof why), -1);
}
END_TEST

/* ---- as requests show them ----------------------------------------------------------- */

/* head, and the token that its hash is of; NULL: none is shown */
static const char *const shown[][2] = {
    { "Authorization: Bearer test\r\n", "test" },
    { "authorization:bearer \t test  \r\n", "test" },
    { "Authorization: Bearer a b\r\n", "a b" },
    { "Authorization: Bearer \r\n", NULL },
    { "Authorization: Bearertest\r\n", NULL },
    { "Authorization: Basic dGVzdA==\r\n", NULL },
    { "X-Authorization: Bearer test\r\n", NULL },
    { "Sec-WebSocket-Protocol: shoal.v1, shoal.token.dGVzdA\r\n", "test" },
    { "Sec-WebSocket-Protocol: shoal.token.dGVzdA\r\nSec-WebSocket-Protocol: shoal.v1\r\n",
      "test" },
    { "Sec-WebSocket-Protocol: shoal.token.-_-_\r\n", "\xfb\xff\xbf" },
    { "Sec-WebSocket-Protocol: shoal.token.d+/*\r\n", "" }, /* nobody's */
    { "Sec-WebSocket-Protocol: shoal.token.\r\n", NULL },
    { "Sec-WebSocket-Protocol: shoal.v1\r\n", NULL },
};

START_TEST(requests_show_tokens)
{
    char text[256];
    uint8_t hash[SHOALD_TOKEN_HASH], want[SHOALD_TOKEN_HASH];
    shoald_head h = { 0 };
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", shown[_i][0]);
    ck_assert_msg(shoald_head_take(&h, text, strlen(text)) == SHOALD_HEAD_WHOLE, "%s", h.why);
    ck_assert_int_eq(shoald_access_hash(hash, &h, text), shown[_i][1] != NULL);
    if (!shown[_i][1])
        return;
    shoald_token_hash(want, shown[_i][1], strlen(shown[_i][1]));
    ck_assert_mem_eq(hash, want, sizeof want);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tokens");
    TCase *t = tcase_create("tokens");
    tcase_add_checked_fixture(t, make_file, remove_file);
    tcase_add_test(t, lines_say_who_and_how_much);
    tcase_add_test(t, no_file_is_for_everybody_an_empty_one_for_nobody);
    tcase_add_loop_test(t, what_is_wrong_is_named_by_line_and_not_shown, 0,
                        sizeof wrong / sizeof wrong[0]);
    tcase_add_test(t, there_may_be_a_thousand);
    tcase_add_test(t, files_that_cannot_be_read_are_named);
    tcase_add_test(t, a_pipe_is_not_waited_for);
    tcase_add_test(t, a_byte_order_mark_is_skipped_and_a_nul_told);
    tcase_add_test(t, whoever_is_listed_is_found_wherever_that_is);
    tcase_add_test(t, a_rate_is_of_a_minute);
    tcase_add_test(t, a_new_file_gives_nobody_a_fresh_minute);
    tcase_add_test(t, new_ones_are_let_in_and_differ);
    tcase_add_loop_test(t, requests_show_tokens, 0, sizeof shown / sizeof shown[0]);
    suite_add_tcase(s, t);
    return suite_run(s);
}

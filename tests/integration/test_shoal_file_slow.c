/* test_shoal_file_slow.c - shoal-file between a source that pauses and a reader that does not read
 *
 * The daemon here gives up a client that is silent or does not read for 2 s; pauses are longer.
 */
#include "shoal_file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static daemon_process strict;

static void strict_setup(void)
{
    static const char *const args[] = { "--set",   "idle_timeout_s=2",
                                        "--set",   "slow_reader_timeout_s=2",
                                        ANY_SPEED, NULL };

    daemon_start(&strict, args);
}

static void strict_teardown(void)
{
    shared_failures += daemon_stop(&strict, SIGTERM) != 0;
}

/* 60 s: 3000 lines of 40 values, far more than a pipe and all buffers of sockets hold. */
START_TEST(every_line_reaches_a_reader_that_comes_late)
{
    write_wav(in_dir("a.wav"), 60 * SECOND, 16000, 1);
    ck_assert_int_eq(shell_with(strict.port,
                                "eval $P --fast --depth 2 --output jsonl --outputs posteriors "
                                "a.wav | (sleep 6; wc -l)"),
                     0);
    ck_assert_str_eq(err, "");
    ck_assert_int_eq(atoi(out), 3000);
}
END_TEST

static const char *const paces[] = { "", "--fast" };

START_TEST(a_source_that_pauses_loses_nothing)
{
    char command[512];

    write_wav(in_dir("a.wav"), 2 * SECOND, 16000, 1);
    snprintf(command, sizeof command,
             "mkfifo fifo.wav; (sleep 3; head -c 30000 a.wav; sleep 5; tail -c +30001 a.wav) > "
             "fifo.wav & eval $P %s --depth 2 --output npy fifo.wav",
             paces[_i]);
    ck_assert_msg(shell_with(strict.port, command) == 0, "%s", err);
    ck_assert_int_eq(check_npy(in_dir("fifo.posteriors.npy"), 40), 100);
}
END_TEST

/* Without an answer to Ctrl-C these take as long as the sleep, which is longer than a test may. */
static const char *const stuck[] = {
    /* the source pauses in mid-speech */
    "mkfifo f.wav; (head -c 30000 a.wav; exec sleep 500) > f.wav & S=$!; "
    "eval exec $P --depth 2 f.wav & sleep 2; kill -INT $!; wait $!; C=$?; kill $S; exit $C",
    /* its header does not come */
    "mkfifo f.wav; sleep 500 > f.wav & S=$!; "
    "eval exec $P --depth 2 f.wav & sleep 1; kill -INT $!; wait $!; C=$?; kill $S; exit $C",
    /* nobody reads */
    "mkfifo o; sleep 500 < o & S=$!; "
    "eval exec $P --fast --depth 2 --output jsonl --outputs posteriors a.wav > o & "
    "sleep 2; kill -INT $!; wait $!; C=$?; kill $S; exit $C",
};

START_TEST(ctrl_c_is_obeyed_whatever_input_and_output_do)
{
    write_wav(in_dir("a.wav"), 60 * SECOND, 16000, 1);
    ck_assert_msg(shell_with(strict.port, stuck[_i]) == 130, "%s", err);
}
END_TEST

START_TEST(a_reader_that_goes_away_ends_it_without_a_word)
{
    write_wav(in_dir("a.wav"), 60 * SECOND, 16000, 1);
    shell_with(strict.port, "(eval $P --fast --depth 2 --output jsonl --outputs posteriors a.wav; "
                            "echo code $? >&2) | head -n 1");
    ck_assert_str_eq(err, "code 141\n");
}
END_TEST

/* ---- audio that is not what it says ---- */

START_TEST(a_file_that_was_cut_off_gives_what_there_is_and_says_so)
{
    write_wav(in_dir("a.wav"), 3 * SECOND, 16000, 1);
    ck_assert_int_eq(shell_with(strict.port, "head -c 64044 a.wav > cut.wav; "
                                             "eval $P --fast --output npy cut.wav"),
                     1);
    ck_assert_msg(strstr(err, "2.000 s of 3.000 s") != NULL, "%s", err);
    ck_assert_int_eq(check_npy(in_dir("cut.posteriors.npy"), 40), 100);
}
END_TEST

START_TEST(a_kind_that_cannot_be_read_is_named_with_its_remedy)
{
    FILE *f = fopen(in_dir("a.m4a"), "wb");

    fwrite("\0\0\0\x20"
           "ftypM4A \0\0\0\0",
           16, 1, f);
    fclose(f);
    ck_assert_int_eq(shell_with(strict.port, "eval $P --fast a.m4a"), 1);
    ck_assert_msg(strstr(err, "M4A") && strstr(err, "ffmpeg -i 'a.m4a'"), "%s", err);
}
END_TEST

/* A name may be anything; the terminal of who reads it shall not obey it. */
START_TEST(no_control_character_of_a_name_reaches_stderr)
{
    const char *cut = in_dir("cut\033[31m\n\302\233.wav");

    write_wav(cut, SECOND, 16000, 1);
    ck_assert_int_eq(truncate(cut, 20044), 0);
    ck_assert_int_eq(shell_with(strict.port, "eval $P --fast --output npy 'cut*.wav' "
                                             "'\"nope\033.wav\"'"),
                     1);
    ck_assert_msg(strstr(err, "cut\\x1b[31m\\x0a\\xc2\\x9b.wav: the file is cut off") != NULL, "%s",
                  err);
    ck_assert_msg(strstr(err, "nope\\x1b.wav: ") && !strchr(err, '\033'), "%s", err);
}
END_TEST

START_TEST(no_proxy_of_the_environment_is_asked)
{
    write_wav(in_dir("a.wav"), SECOND, 16000, 1);
    ck_assert_msg(shell_with(strict.port, "export http_proxy=http://127.0.0.1:1 "
                                          "HTTP_PROXY=http://127.0.0.1:1; "
                                          "eval $P --fast a.wav") == 0,
                  "%s", err);
    ck_assert_int_eq(shell_with(strict.port, "eval $P --fast --proxy http://127.0.0.1:1 a.wav"), 3);
    ck_assert_msg(strstr(err, "127.0.0.1:1") != NULL, "%s", err);
}
END_TEST

/* ---- the program in shoal-client.h ---- */

START_TEST(the_example_of_the_header_hears_what_shoal_file_hears)
{
    char command[512];

    write_wav(in_dir("a.wav"), 3 * SECOND, 16000, 1);
    snprintf(command, sizeof command,
             "tail -c +45 a.wav | " TOP_BUILDDIR "/clients/example ws://127.0.0.1:%d > example.txt "
             "&& eval $P --fast --output text a.wav | grep -v '^#' | awk '{ print $1, $2, $3 }' > "
             "file.txt && test -s file.txt && diff example.txt file.txt",
             strict.port);
    ck_assert_msg(shell_with(strict.port, command) == 0, "%s%s", out, err);
}
END_TEST

START_TEST(the_example_of_the_header_says_what_is_wrong)
{
    ck_assert_int_eq(shell_with(strict.port, TOP_BUILDDIR "/clients/example ws://127.0.0.1:9 "
                                                          "< /dev/null"),
                     1);
    ck_assert_msg(strstr(err, "is shoald running") != NULL, "%s", err);
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

TCase *shoal_file_slow_case(void)
{
    TCase *t = tcase_create("shoal-file, slow");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, strict_setup, strict_teardown);
    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_add_test(t, every_line_reaches_a_reader_that_comes_late);
    tcase_add_loop_test(t, a_source_that_pauses_loses_nothing, 0, COUNT(paces));
    tcase_add_loop_test(t, ctrl_c_is_obeyed_whatever_input_and_output_do, 0, COUNT(stuck));
    tcase_add_test(t, a_reader_that_goes_away_ends_it_without_a_word);
    tcase_add_test(t, a_file_that_was_cut_off_gives_what_there_is_and_says_so);
    tcase_add_test(t, a_kind_that_cannot_be_read_is_named_with_its_remedy);
    tcase_add_test(t, no_control_character_of_a_name_reaches_stderr);
    tcase_add_test(t, no_proxy_of_the_environment_is_asked);
    tcase_add_test(t, the_example_of_the_header_hears_what_shoal_file_hears);
    tcase_add_test(t, the_example_of_the_header_says_what_is_wrong);
    return t;
}

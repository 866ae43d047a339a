/* check_cut.c - utterances cut out of a stream of sound: see out_cut.h */
#include <check.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "out/out_cut.h"
#include "suite.h"

enum { RATE = 8000, PAD = RATE * OUT_CUT_PAD_MS / 1000 };

static char dir[64], why[512];
static out_cut *cut;
static uint64_t added;
static struct {
    char path[128];
    double start, end;
} files[16];
static int file_count;

static void on_file(void *user, const char *path, double start, double end)
{
    (void)user;
    ck_assert_int_lt(file_count, 16);
    snprintf(files[file_count].path, sizeof files[0].path, "%s", path);
    files[file_count].start = start;
    files[file_count++].end = end;
}

static void begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/shoal-cut.XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
    cut = out_cut_open(&(out_cut_params){
        .dir = dir, .stem = "talk", .rate = RATE, .channels = 1, .on_file = on_file });
    ck_assert(cut != NULL);
    added = 0;
    file_count = 0;
}

static void end(void)
{
    out_cut_free(cut);
    for (int i = 0; i < file_count; i++)
        unlink(files[i].path);
    ck_assert_int_eq(rmdir(dir), 0); /* nothing else was written */
}

/* Sample i is i modulo 30000. */
static void add_to(uint64_t to)
{
    int16_t block[1333];

    while (added < to) {
        size_t n = to - added < 1333 ? (size_t)(to - added) : 1333;

        for (size_t i = 0; i < n; i++)
            block[i] = (int16_t)((added + i) % 30000);
        ck_assert_int_eq(out_cut_add(cut, block, n, why, sizeof why), 0);
        added += n;
        out_cut_processed(cut, added);
    }
}

static void turn(int speech, uint64_t sample)
{
    ck_assert_int_eq(out_cut_turn(cut, speech, sample, why, sizeof why), 0);
}

static void check_file(int i, uint64_t from, uint64_t to)
{
    SF_INFO info = { 0 };
    SNDFILE *f;
    static short samples[RATE * 70];

    ck_assert_int_gt(file_count, i);
    ck_assert_double_eq_tol(files[i].start, (double)from / RATE, 1e-9);
    ck_assert_double_eq_tol(files[i].end, (double)to / RATE, 1e-9);
    f = sf_open(files[i].path, SFM_READ, &info);
    ck_assert(f != NULL);
    ck_assert_int_eq(info.samplerate, RATE);
    ck_assert_int_eq(sf_read_short(f, samples, RATE * 70), (sf_count_t)(to - from));
    for (uint64_t k = from; k < to; k++)
        if (samples[k - from] != (int)(k % 30000))
            ck_abort_msg("sample %llu is %d", (unsigned long long)k, samples[k - from]);
    sf_close(f);
}

START_TEST(an_utterance_has_what_lies_around_it)
{
    add_to(40000);
    turn(1, 35000);
    add_to(60000);
    turn(0, 59000); /* its pad is not there yet */
    ck_assert_int_eq(file_count, 0);
    add_to(62000);
    check_file(0, 35000 - PAD, 59000 + PAD);
    ck_assert_ptr_nonnull(strstr(files[0].path, "/talk.0001.wav"));
    turn(1, 61000);
    turn(0, 61500);
    ck_assert_int_eq(out_cut_finish(cut, why, sizeof why), 0);
    check_file(1, 61000 - PAD, 62000);
    ck_assert_int_eq(file_count, 2);
}
END_TEST

START_TEST(speech_that_goes_on_at_once_is_one_utterance)
{
    add_to(8000);
    turn(1, 0);
    turn(0, 7000);
    turn(1, 7500);
    add_to(30000);
    turn(0, 20000);
    check_file(0, 0, 20000 + PAD);
    ck_assert_int_eq(file_count, 1);
}
END_TEST

START_TEST(an_endless_one_is_cut_and_memory_is_bounded)
{
    uint64_t most = (uint64_t)RATE * OUT_CUT_MOST_S;

    add_to(1000);
    turn(1, 0);
    add_to(2 * most + 5000);
    ck_assert_int_eq(file_count, 2);
    check_file(0, 0, most);
    check_file(1, most, 2 * most);
    turn(0, 2 * most + 3000);
    check_file(2, 2 * most, 2 * most + 3000 + PAD);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_said)
{
    out_cut *bad = out_cut_open(
        &(out_cut_params){ .dir = "/nonexistent", .stem = "a", .rate = RATE, .channels = 1 });
    int16_t zeros[100] = { 0 };

    ck_assert_int_eq(out_cut_turn(bad, 1, 0, why, sizeof why), 0);
    ck_assert_int_eq(out_cut_add(bad, zeros, 100, why, sizeof why), 0);
    ck_assert_int_eq(out_cut_finish(bad, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "/nonexistent/a.0001.wav"));
    out_cut_free(bad);
}
END_TEST

static Suite *cut_suite(void)
{
    Suite *suite = suite_create("cut");
    TCase *t = tcase_create("cut");

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, an_utterance_has_what_lies_around_it);
    tcase_add_test(t, speech_that_goes_on_at_once_is_one_utterance);
    tcase_add_test(t, an_endless_one_is_cut_and_memory_is_bounded);
    tcase_add_test(t, a_folder_that_is_not_there_is_said);
    suite_add_tcase(suite, t);
    return suite;
}

int main(void)
{
    return suite_run(cut_suite());
}

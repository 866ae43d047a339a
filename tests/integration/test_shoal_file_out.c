/* test_shoal_file_out.c - what shoal-file writes for other programs, read back as they would */
#include "shoal_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char bytes[ROOM], more[ROOM];

static const char *text_of(const char *path)
{
    size_t n = read_bytes(path, bytes, sizeof bytes - 1);

    bytes[n] = '\0';
    return bytes;
}

typedef struct row {
    double start, end, confidence;
    char label[16];
} row;

enum { MAX_ROWS = 4096 };

/* Rows of the text that the program printed. */
static int printed_rows(row *rows)
{
    int n = 0;

    for (char *line = strtok(out, "\n"); line && n < MAX_ROWS; line = strtok(NULL, "\n"))
        if (*line != '#')
            ck_assert_msg(sscanf(line, "%lf %lf %15s %lf", &rows[n].start, &rows[n].end,
                                 rows[n].label, &rows[n].confidence) == 4 &&
                              ++n,
                          "%s", line);
    return n;
}

START_TEST(labels_and_ctm_hold_what_text_says)
{
    static row rows[MAX_ROWS];
    const char *wav = in_dir("a b.wav");
    const char *p;
    int n, at = 0;

    write_wav(wav, 3 * SECOND, 16000, 1);
    RUN("--output", "text,labels,ctm", "--outputs", "phones,phones@2", "--depth", "3", wav);
    RUN("--depth", "3", wav);
    n = printed_rows(rows);
    ck_assert_int_gt(n, 0);
    p = text_of(in_dir("a b.phones.txt"));
    for (int i = 0; i < n; i++, p += at) {
        char label[16];
        double start, end;

        ck_assert_int_eq(sscanf(p, "%lf\t%lf\t%15s\n%n", &start, &end, label, &at), 3);
        ck_assert_str_eq(label, rows[i].label);
        ck_assert_double_eq_tol(start, rows[i].start, 0.0051); /* text has hundredths */
        ck_assert_double_eq_tol(end, rows[i].end, 0.0051);
    }
    ck_assert_str_eq(p, "");
    p = text_of(in_dir("a b.phones.ctm"));
    for (int i = 0; i < n; i++, p += at) {
        char label[16];
        double start, long_s, sure;

        ck_assert_int_eq(
            sscanf(p, "a_b 1 %lf %lf %15s %lf\n%n", &start, &long_s, label, &sure, &at), 4);
        ck_assert_str_eq(label, rows[i].label);
        ck_assert_double_eq_tol(start + long_s, rows[i].end, 0.0061);
        ck_assert_double_eq_tol(sure, rows[i].confidence, 0.0051);
    }
    ck_assert_str_eq(p, "");
    ck_assert_int_eq(access(in_dir("a b.phones@2.ctm"), R_OK), 0);
}
END_TEST

/* The bytes of the matrix are those of the NPY file; the list points at it. */
START_TEST(kaldi_has_the_rows_of_npy)
{
    static const char head[] = "talk \0BFM \4\x65\0\0\0\4\x28\0\0"; /* 101 rows, 40 columns */
    const char *wav = in_dir("talk.wav");
    char list[300];
    size_t n;

    write_wav(wav, 2 * SECOND + 1, 16000, 1);
    RUN("--output", "npy,kaldi", "--depth", "2", "--outputs", "posteriors,embedding@1", wav);
    n = read_bytes(in_dir("talk.posteriors.ark"), bytes, ROOM);
    ck_assert_uint_eq(n, sizeof head + 101 * 40 * 4);
    ck_assert_mem_eq(bytes, head, sizeof head);
    ck_assert_uint_eq(read_bytes(in_dir("talk.posteriors.npy"), more, ROOM), 128 + 101 * 40 * 4);
    ck_assert_mem_eq(bytes + sizeof head, more + 128, 101 * 40 * 4);
    snprintf(list, sizeof list, "talk %s:5\n", in_dir("talk.posteriors.ark"));
    ck_assert_str_eq(text_of(in_dir("talk.posteriors.scp")), list);
    ck_assert_int_eq(access(in_dir("talk.embedding@1.scp"), R_OK), 0);
}
END_TEST

TCase *shoal_file_out_case(void)
{
    TCase *t = tcase_create("shoal-file out");

    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, labels_and_ctm_hold_what_text_says);
    tcase_add_test(t, kaldi_has_the_rows_of_npy);
    return t;
}

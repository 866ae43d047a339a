/* test_shoal_file_out.c - what shoal-file writes for other programs, read back as they would */
#include "shoal_file.h"

#include <math.h>
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

static void check_same_files(const char *a, const char *b)
{
    size_t n = read_bytes(a, bytes, ROOM);

    ck_assert_uint_gt(n, 128);
    ck_assert_uint_eq(read_bytes(b, more, ROOM), n);
    ck_assert_msg(!memcmp(bytes, more, n), "%s and %s differ", a, b);
}

static void check_different_files(const char *a, const char *b)
{
    size_t n = read_bytes(a, bytes, ROOM);

    ck_assert_uint_eq(read_bytes(b, more, ROOM), n);
    ck_assert(memcmp(bytes, more, n) != 0);
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

/* A list has a path a line and no escapes: such a name is refused before anything is sent. Blanks
 * are fine but in front, and only Kaldi's lists mind. */
START_TEST(kaldi_refuses_paths_that_a_list_cannot_hold)
{
    static const char *const bad[] = { "a\nb.wav", "a\rb.wav", "a\tb.wav", " a.wav" };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_wav(in_dir("%s", bad[i]), SECOND, 16000, 1);
        setenv("BAD", bad[i], 1);
        ck_assert_int_eq(shell("eval ${P% --out-dir*} --fast --beside --output kaldi '\"$BAD\"'"),
                         1);
        ck_assert_msg(strstr(err, "rename the file") != NULL, "%s", err);
    }
    ck_assert_int_eq(shell("ls *.scp *.ark *.part"), 2);
    ck_assert_msg(
        shell("eval ${P% --out-dir*} --fast --beside --output npy '\"$BAD\"' && test -e ' "
              "a.posteriors.npy' &&"
              "eval $P --fast --output kaldi '\"$BAD\"' && mkdir 'c d' && mv ' a.wav' 'c d/a "
              "b.wav' &&"
              "eval ${P% --out-dir*} --fast --beside --output kaldi '\"c d/a b.wav\"' &&"
              "grep -qx 'a_b c d/a b.posteriors.ark:4' 'c d/a b.posteriors.scp'") == 0,
        "%s", err);
    unsetenv("BAD");
}
END_TEST

/* Each kind under its own name: layers as wide as the model, log-mels two rows a frame. */
START_TEST(hidden_and_mel_have_their_names_and_sizes)
{
    write_wav(in_dir("talk.wav"), SECOND, 16000, 1);
    RUN("--depth", "2", "--output", "npy,jsonl", "--outputs", "hidden,hidden@0,hidden@1,mel",
        in_dir("talk.wav"));
    ck_assert_int_eq(check_npy(in_dir("talk.hidden.npy"), 32), 50);
    ck_assert_int_eq(check_npy(in_dir("talk.hidden@0.npy"), 32), 50);
    ck_assert_int_eq(check_npy(in_dir("talk.hidden@1.npy"), 32), 50);
    ck_assert_int_eq(check_npy(in_dir("talk.mel.npy"), 80), 100);
    check_different_files(in_dir("talk.hidden.npy"), in_dir("talk.hidden@1.npy"));
    ck_assert_ptr_nonnull(strstr(out, "\"output\": \"mel\", \"frame\": 1, \"start\": 0.02, "
                                      "\"end\": 0.03"));
    ck_assert_ptr_nonnull(strstr(out, "\"output\": \"mel\", \"frame\": 1, \"start\": 0.03, "
                                      "\"end\": 0.04"));
}
END_TEST

/* Each is as long as the activity says, and 200 ms around it. */
START_TEST(utterances_are_cut_where_speech_is)
{
    const char *at;
    double from, to;
    int n = 0;

    write_wav(in_dir("t.wav"), 5 * SECOND, 16000, 1);
    RUN("--depth", "2", "--output", "labels", "--outputs", "activity", "--activity-threshold", "30",
        "--activity-hangover-ms", "20", "--utterances", in_dir("cut/t"), in_dir("t.wav"));
    snprintf(more, sizeof more, "%s", text_of(in_dir("t.activity.txt")));
    for (at = more; sscanf(at, "%lf\t%lf\tspeech", &from, &to) == 2; at = strchr(at, '\n') + 1) {
        size_t size, samples;

        n++;
        from = from > 0.2 ? from - 0.2 : 0;
        to = to < 4.8 ? to + 0.2 : 5;
        samples = (size_t)((to - from) * 16000 + 0.5);
        size = read_bytes(in_dir("cut/t/t.%04d.wav", n), bytes, ROOM);
        ck_assert_uint_eq(size, 44 + 2 * samples);
        read_bytes(in_dir("t.wav"), out, ROOM);
        ck_assert_mem_eq(bytes + 44, out + 44 + 2 * (size_t)(from * 16000 + 0.5), 2 * samples);
    }
    ck_assert_int_gt(n, 0);
    ck_assert_int_ne(access(in_dir("t.%04d.wav", n + 1), F_OK), 0);
}
END_TEST

/* ---- what it reads ---- */

/* Left and right differ; the WAV header is 44 bytes. */
static void write_stereo(const char *path)
{
    int16_t *left = make_audio(2 * SECOND, 3), *right = make_audio(2 * SECOND, 4);
    int16_t *both = malloc(sizeof *both * 4 * SECOND);
    FILE *f;

    for (size_t i = 0; i < 2 * SECOND; i++) {
        both[2 * i] = left[i];
        both[2 * i + 1] = right[i];
    }
    write_wav(path, 2 * SECOND, 16000, 2);
    f = fopen(path, "r+b");
    fseek(f, 44, SEEK_SET);
    fwrite(both, sizeof *both, 4 * SECOND, f);
    fclose(f);
    free(left);
    free(right);
    free(both);
}

START_TEST(standard_input_is_heard_with_and_without_header)
{
    write_wav(in_dir("a.wav"), 2 * SECOND, 16000, 1);
    ck_assert_msg(shell("eval $P --fast --depth 2 --output npy a.wav &&"
                        "cat a.wav | eval $P --fast --depth 2 --output npy - &&"
                        "tail -c +45 a.wav > raw.s16 &&"
                        "eval $P --fast --depth 2 --raw s16le --output npy raw.s16") == 0,
                  "%s", err);
    check_same_files(in_dir("a.posteriors.npy"), in_dir("stdin.posteriors.npy"));
    check_same_files(in_dir("a.posteriors.npy"), in_dir("raw.posteriors.npy"));
    ck_assert_int_eq(shell("tail -c +45 a.wav | eval $P --fast --raw s16le --rate 8000 --output "
                           "jsonl - | grep -c '\"file\": \"stdin\"'"),
                     0);
}
END_TEST

START_TEST(who_hears_nothing_is_told_why)
{
    ck_assert_int_eq(shell("head -c 64000 /dev/zero | eval $P --fast --raw s16le - 2> said &&"
                           "grep -q 'nothing but zeros' said"),
                     0);
    ck_assert_int_eq(shell("head -c 16000 /dev/zero | tr '\\0' '\\325' |"
                           "eval $P --fast --outputs mel --output npy --raw alaw - 2> said &&"
                           "grep -q 'no sample is above -72 dB' said"),
                     0);
}
END_TEST

START_TEST(channels_are_picked_or_heard_each)
{
    write_stereo(in_dir("st.wav"));
    ck_assert_msg(shell("eval $P --fast --depth 2 --output npy,kaldi --channel each st.wav &&"
                        "cp st.wav one.wav && cp st.wav two.wav &&"
                        "eval $P --fast --depth 2 --output npy --channel left one.wav &&"
                        "eval $P --fast --depth 2 --output npy --channel 2 two.wav &&"
                        "eval $P --fast --depth 2 --output npy st.wav") == 0,
                  "%s", err);
    check_same_files(in_dir("st.ch1.posteriors.npy"), in_dir("one.posteriors.npy"));
    check_same_files(in_dir("st.ch2.posteriors.npy"), in_dir("two.posteriors.npy"));
    check_different_files(in_dir("st.ch1.posteriors.npy"), in_dir("st.ch2.posteriors.npy"));
    check_different_files(in_dir("st.ch1.posteriors.npy"), in_dir("st.posteriors.npy"));
    ck_assert(strstr(text_of(in_dir("st.ch2.posteriors.scp")), "st.ch2 ") != NULL);
    ck_assert_int_eq(shell("eval $P --fast --depth 2 --output jsonl --channel each st.wav |"
                           "grep -q '\"channel\": 2'"),
                     0);
    ck_assert_int_eq(shell("eval $P --fast --channel 3 st.wav"), 1);
    ck_assert_msg(strstr(err, "no channel 3") != NULL, "%s", err);
}
END_TEST

/* ---- many at a time ---- */

START_TEST(jobs_give_what_one_after_the_other_gives)
{
    for (int i = 0; i < 6; i++)
        write_wav(in_dir("f%d.wav", i), (size_t)(i + 1) * SECOND / 2, 16000, 1);
    ck_assert_msg(shell("eval $P --fast --depth 2 --output jsonl,npy f*.wav > one &&"
                        "mkdir many && eval $P --fast --depth 2 --output jsonl,npy --out-dir many "
                        "--jobs 4 f*.wav > four && sort one > a && sort four > b && cmp a b") == 0,
                  "%s", err);
    for (int i = 0; i < 6; i++)
        check_same_files(in_dir("f%d.posteriors.npy", i), in_dir("many/f%d.posteriors.npy", i));
    /* a file's lines stay together */
    ck_assert_int_eq(shell("test $(cut -d, -f1 four | uniq | wc -l) = "
                           "$(cut -d, -f1 four | sort -u | wc -l)"),
                     0);
    ck_assert_int_eq(shell("eval $P --fast --jobs 3 --output npy f1.wav none.wav f2.wav"), 1);
    ck_assert_msg(strstr(err, "none.wav") != NULL, "%s", err);
}
END_TEST

START_TEST(results_may_lie_beside_their_inputs)
{
    ck_assert_int_eq(shell("mkdir x y"), 0);
    write_wav(in_dir("x/a.wav"), SECOND, 16000, 1);
    write_wav(in_dir("y/a.wav"), 2 * SECOND, 16000, 1);
    ck_assert_msg(shell("eval ${P% --out-dir*} --fast --beside --output npy x/a.wav y/a.wav") == 0,
                  "%s", err);
    ck_assert_int_eq(check_npy(in_dir("x/a.posteriors.npy"), 40), 50);
    ck_assert_int_eq(check_npy(in_dir("y/a.posteriors.npy"), 40), 100);
}
END_TEST

static const struct {
    const char *command, *says;
} wrong[] = {
    { "--raw pcm a.wav", "--raw takes" },
    { "--rate 8000 a.wav", "--raw" },
    { "--channel middle a.wav", "--channel" },
    { "--jobs 0 a.wav", "--jobs" },
    { "--channel each - < a.wav", "--raw" },
    { "- - < a.wav", "only once" },
    { "--reconnect -1 a.wav", "--reconnect" },
    { "--beside a.wav", "choose one" },
    { "--output kaldi --priors server --smooth on a.wav", "--smooth on" },
};

START_TEST(what_does_not_go_together_is_said)
{
    char command[128];

    write_wav(in_dir("a.wav"), SECOND, 16000, 1);
    snprintf(command, sizeof command, "eval $P %s", wrong[_i].command);
    ck_assert_int_eq(shell(command), 2);
    ck_assert_msg(strstr(err, wrong[_i].says) != NULL, "%s", err);
}
END_TEST

/* Counts in a file: class i was heard i + 1 times. */
START_TEST(kaldi_takes_the_priors_off)
{
    const float *posteriors = (const float *)(const void *)(more + 128);
    FILE *f = fopen(in_dir("priors"), "w");
    size_t n;

    for (int i = 1; i <= 40; i++)
        fprintf(f, "%d\n", i);
    fclose(f);
    write_wav(in_dir("talk.wav"), SECOND, 16000, 1);
    RUN("--output", "npy,kaldi", "--depth", "2", "--priors", in_dir("priors"), in_dir("talk.wav"));
    n = read_bytes(in_dir("talk.loglikes.ark"), bytes, ROOM);
    ck_assert_uint_eq(n, 20 + 50 * 40 * 4);
    ck_assert_int_gt(read_bytes(in_dir("talk.posteriors.npy"), more, ROOM), 0);
    for (int i = 0; i < 50 * 40; i++) {
        float value;

        memcpy(&value, bytes + 20 + 4 * i, 4);
        ck_assert_float_eq_tol(value, posteriors[i] - logf((float)(i % 40 + 1) / 820), 1e-5f);
    }
    /* a model without priors says so */
    ck_assert_int_eq(
        shoal_file("--output", "kaldi", "--priors", "server", in_dir("talk.wav"), NULL), 1);
    ck_assert_msg(strstr(err, "does not tell priors") != NULL, "%s", err);
    ck_assert_int_eq(shell("echo 1 x > bad; eval $P --output kaldi --priors bad talk.wav"), 1);
    ck_assert_msg(strstr(err, "number 2") != NULL, "%s", err);
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
    tcase_add_test(t, kaldi_takes_the_priors_off);
    tcase_add_test(t, kaldi_refuses_paths_that_a_list_cannot_hold);
    tcase_add_test(t, hidden_and_mel_have_their_names_and_sizes);
    tcase_add_test(t, utterances_are_cut_where_speech_is);
    tcase_add_test(t, standard_input_is_heard_with_and_without_header);
    tcase_add_test(t, who_hears_nothing_is_told_why);
    tcase_add_test(t, channels_are_picked_or_heard_each);
    tcase_add_test(t, jobs_give_what_one_after_the_other_gives);
    tcase_add_test(t, results_may_lie_beside_their_inputs);
    tcase_add_loop_test(t, what_does_not_go_together_is_said, 0,
                        (int)(sizeof wrong / sizeof *wrong));
    return t;
}

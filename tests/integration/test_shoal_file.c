/* test_shoal_file.c - the program shoal-file, as scripts use it
 *
 * The names in JSON lines, the shape of NPY files and the cover of TextGrids are contracts:
 * they are read back here, not compared with a recording.
 */
#include "shoal_file.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what it writes ---- */

START_TEST(json_lines_have_the_promised_names)
{
    const char *wav = in_dir("a b.wav");
    double last = 0;
    int lines = 0;

    write_wav(wav, 3 * SECOND, 16000, 1);
    RUN("--depth", "2", "--chunk-ms", "320", "--output", "jsonl", wav);
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        json_t *o = json_loads(line, 0, NULL);
        const char *file, *phone;
        double start, end, confidence;
        int depth;

        ck_assert_msg(o != NULL, "not JSON: %s", line);
        ck_assert_msg(!json_unpack(o, "{s:s, s:s, s:F, s:F, s:F, s:i !}", "file", &file, "phone",
                                   &phone, "start", &start, "end", &end, "confidence", &confidence,
                                   "depth", &depth),
                      "%s", line);
        ck_assert_int_eq(depth, 2);
        ck_assert_str_eq(file, wav);
        ck_assert_str_ne(phone, "SIL");
        ck_assert_msg(start >= last && end > start && end <= 3, "%s", line);
        ck_assert_msg(confidence >= 0 && confidence <= 1, "%s", line);
        last = start;
        json_decref(o);
    }
    ck_assert_int_gt(lines, 0);
}
END_TEST

START_TEST(text_has_a_line_a_phone)
{
    const char *wav = in_dir("a.wav");
    int lines = 0;

    write_wav(wav, 3 * SECOND, 16000, 1);
    RUN("--depth", "1-3", wav);
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        double start, end, confidence;
        char phone[16];

        ck_assert_msg(sscanf(line, "%lf %lf %15s %lf", &start, &end, phone, &confidence) == 4, "%s",
                      line);
    }
    ck_assert_int_gt(lines, 0);
}
END_TEST

START_TEST(text_names_each_of_several_files_in_one_line)
{
    write_wav(in_dir("a.wav"), SECOND, 16000, 1);
    write_wav(in_dir("b\n0.10 0.20 AA 1.00\033[2J.wav"), SECOND, 16000, 1);
    ck_assert_int_eq(shell("eval $P --fast --depth 1 a.wav 'b*.wav'"), 0);
    ck_assert_ptr_nonnull(strstr(out, "# a.wav\n"));
    ck_assert_ptr_nonnull(strstr(out, "# b\\x0a0.10 0.20 AA 1.00\\x1b[2J.wav\n"));
}
END_TEST

START_TEST(npy_holds_every_frame_and_does_not_depend_on_pace)
{
    static char fast[ROOM], paced[ROOM];
    const char *wav = in_dir("talk.wav");
    size_t n;

    write_wav(wav, 2 * SECOND + 1, 16000, 1);
    RUN("--depth", "3", "--output", "npy", "--outputs", "posteriors,embedding", wav);
    ck_assert_int_eq(check_npy(in_dir("talk.posteriors.npy"), 40), 101);
    ck_assert_int_eq(check_npy(in_dir("talk.embedding.npy"), 32), 101);
    n = read_bytes(in_dir("talk.posteriors.npy"), fast, ROOM);
    RUN("--realtime", "--depth", "3", "--output", "npy", wav);
    ck_assert_uint_eq(read_bytes(in_dir("talk.posteriors.npy"), paced, ROOM), n);
    ck_assert(!memcmp(fast, paced, n));
    ck_assert_int_ne(access(in_dir("talk.posteriors.npy.part"), F_OK), 0);
}
END_TEST

/* All intervals of a tier lie end to end from 0 to duration. Returns how many there are. */
static int check_tier(const char *text, const char *name, double duration)
{
    char line[64];
    double at = 0, from, to;
    int size = 0;

    snprintf(line, sizeof line, "name = \"%s\"", name);
    const char *p = strstr(text, line);
    ck_assert_msg(p != NULL, "no tier %s", name);
    p = strstr(p, "intervals: size = ");
    ck_assert(p && sscanf(p, "%*s size = %d", &size) == 1);
    for (int i = 0; i < size; i++) {
        p = strstr(p, "xmin = ");
        ck_assert(p && sscanf(p, "xmin = %lf xmax = %lf", &from, &to) == 2);
        ck_assert_double_eq_tol(from, at, 1e-9);
        ck_assert_double_gt(to, from);
        at = to;
        p += 6;
    }
    p = strstr(p, "xmin = ");
    ck_assert_msg(!p || strncmp(p + 7, "0 ", 2) == 0, "%s has more than %d intervals", name, size);
    ck_assert_double_eq_tol(at, duration, 1e-9);
    return size;
}

static const char *read_textgrid(const char *path)
{
    static char text[ROOM];

    text[read_bytes(path, text, ROOM - 1)] = 0;
    return text;
}

static void check_textgrid(const char *path, double duration)
{
    const char *text = read_textgrid(path);

    ck_assert(strstr(text, "\nsize = 1 ") != NULL);
    check_tier(text, "phones", duration);
}

static const struct {
    size_t samples;
    unsigned rate, channels;
} shapes[] = { { 30001, 16000, 1 }, { 30001, 44100, 2 }, { 96001, 96000, 1 },
               { 9000, 6000, 1 },   { 30000, 16000, 9 }, { 1, 16000, 1 } };

START_TEST(a_textgrid_covers_the_file_at_any_rate)
{
    const char *wav = in_dir("talk.wav");

    write_wav(wav, shapes[_i].samples, shapes[_i].rate, shapes[_i].channels);
    RUN("--depth", "2", "--output", "textgrid", wav);
    check_textgrid(in_dir("talk.TextGrid"), (double)shapes[_i].samples / shapes[_i].rate);
}
END_TEST

START_TEST(each_output_has_its_tier_and_array)
{
    const char *wav = in_dir("talk.wav");
    double duration = (2 * SECOND + 1) / 16000.0;

    write_wav(wav, 2 * SECOND + 1, 16000, 1);
    RUN("--output", "textgrid,npy", "--depth", "3", "--outputs",
        "phones@2,phones,activity,activity@3,embedding@3,embedding@1,posteriors", wav);
    const char *text = read_textgrid(in_dir("talk.TextGrid"));
    ck_assert(strstr(text, "\nsize = 4 ") != NULL);
    check_tier(text, "phones", duration);
    ck_assert_int_gt(check_tier(text, "phones@2", duration), 1);
    check_tier(text, "activity", duration);
    check_tier(text, "activity@3", duration);
    ck_assert_int_eq(check_npy(in_dir("talk.posteriors.npy"), 40), 101);
    ck_assert_int_eq(check_npy(in_dir("talk.embedding@1.npy"), 32), 101);
    ck_assert_int_eq(check_npy(in_dir("talk.embedding@3.npy"), 32), 101);
}
END_TEST

START_TEST(json_lines_tell_depths_apart)
{
    const char *wav = in_dir("talk.wav");
    int phones = 0, activity = 0, features = 0, speech = 0;

    write_wav(wav, 3 * SECOND, 16000, 1);
    RUN("--depth", "1-6", "--output", "jsonl", "--outputs", "phones@4,activity@2,posteriors",
        "--activity-threshold", "30", "--activity-hangover-ms", "20", wav);
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *o = json_loads(line, 0, NULL);
        int tap = (int)json_integer_value(json_object_get(o, "tap"));
        const char *state = json_string_value(json_object_get(o, "activity"));

        ck_assert_msg(o != NULL, "not JSON: %s", line);
        ck_assert_int_eq(json_integer_value(json_object_get(o, "depth")), tap ? tap : 6);
        phones += json_object_get(o, "phone") && tap == 4;
        features += json_object_get(o, "values") && tap == 0;
        if (state) {
            ck_assert_msg(tap == 2 && json_is_real(json_object_get(o, "time")), "%s", line);
            ck_assert_str_eq(state, speech ? "silence" : "speech");
            speech = !speech;
            activity++;
        }
        json_decref(o);
    }
    ck_assert_int_gt(phones, 0);
    ck_assert_int_gt(activity, 0);
    ck_assert_int_eq(features, 150);
    ck_assert_int_eq(speech, 0);
}
END_TEST

START_TEST(empty_audio_gives_empty_results)
{
    const char *wav = in_dir("empty.wav");

    write_wav(wav, 0, 16000, 1);
    RUN("--output", "npy,jsonl", wav);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(check_npy(in_dir("empty.posteriors.npy"), 40), 0);
}
END_TEST

START_TEST(a_real_recording_goes_through)
{
    static const char wav[] = "/usr/share/sounds/alsa/Front_Center.wav";

    if (access(wav, R_OK))
        return;
    RUN("--output", "textgrid,jsonl", wav);
    check_textgrid(in_dir("Front_Center.TextGrid"), 68545 / 48000.0);
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(one_bad_file_does_not_stop_the_rest)
{
    const char *bad = in_dir("bad.wav"), *good = in_dir("good.wav");
    FILE *f = fopen(bad, "w");

    fputs("this is no audio", f);
    fclose(f);
    write_wav(good, SECOND, 16000, 1);
    ck_assert_int_eq(shoal_file("--output", "npy", bad, "/nonexistent.wav", good, NULL), 1);
    ck_assert_msg(strstr(err, "bad.wav: ") && strstr(err, "/nonexistent.wav: "), "%s", err);
    ck_assert_int_eq(check_npy(in_dir("good.posteriors.npy"), 40), 50);
}
END_TEST

START_TEST(the_input_is_never_overwritten)
{
    static char before[ROOM], after[ROOM];
    const char *input = in_dir("audio.TextGrid");

    write_wav(input, SECOND, 16000, 1);
    size_t n = read_bytes(input, before, ROOM);
    ck_assert_int_eq(shoal_file("--output", "textgrid", input, NULL), 1);
    ck_assert_msg(strstr(err, "overwrite") != NULL, "%s", err);
    ck_assert_uint_eq(read_bytes(input, after, ROOM), n);
    ck_assert(!memcmp(before, after, n));
}
END_TEST

START_TEST(two_inputs_of_one_name_do_not_overwrite_each_other)
{
    const char *a = in_dir("a.wav"), *b = in_dir("sub/a.wav");

    ck_assert(!mkdir(in_dir("sub"), 0700));
    write_wav(a, SECOND, 16000, 1);
    write_wav(b, 2 * SECOND, 16000, 1);
    ck_assert_int_eq(shoal_file("--output", "npy", a, b, NULL), 1);
    ck_assert_msg(strstr(err, "sub/a.wav") && strstr(err, "already written"), "%s", err);
    ck_assert_int_eq(check_npy(in_dir("a.posteriors.npy"), 40), 50);
}
END_TEST

START_TEST(a_full_disk_is_a_clear_error)
{
    write_wav(in_dir("a.wav"), 3 * SECOND, 16000, 1);
    ck_assert_int_eq(shell("eval $P --fast a.wav > /dev/full"), 1);
    ck_assert_msg(strstr(err, "No space left") != NULL, "%s", err);
    ck_assert_int_eq(shell("ln -s /dev/full a.posteriors.npy.part; "
                           "eval $P --fast --output npy a.wav"),
                     1);
    ck_assert_msg(strstr(err, "No space left") != NULL, "%s", err);
}
END_TEST

START_TEST(an_unwritable_folder_is_a_clear_error)
{
    write_wav(in_dir("a.wav"), SECOND, 16000, 1);
    ck_assert_int_eq(shell("eval $P --fast --output npy --out-dir /dev/null/x a.wav"), 1);
    ck_assert_msg(strstr(err, "--out-dir /dev/null/x: cannot write there") != NULL, "%s", err);
}
END_TEST

START_TEST(ctrl_c_keeps_what_came)
{
    write_wav(in_dir("a.wav"), 120 * SECOND, 16000, 1);
    ck_assert_int_eq(shell("eval timeout --preserve-status -s INT 2 $P --output npy a.wav"), 130);
    ck_assert_msg(strstr(err, "interrupted") != NULL, "%s", err);
    ck_assert_int_lt(check_npy(in_dir("a.posteriors.npy"), 40), 120 * 50);
}
END_TEST

START_TEST(no_daemon_is_a_clear_error)
{
    write_wav(in_dir("a.wav"), SECOND, 16000, 1);
    ck_assert_int_eq(shell("eval $P --url ws://127.0.0.1:9 a.wav"), 3);
    ck_assert_msg(strstr(err, "is shoald running") != NULL, "%s", err);
    ck_assert_int_ne(access(in_dir("a.posteriors.npy"), F_OK), 0);
}
END_TEST

START_TEST(an_error_of_the_server_is_shown)
{
    write_wav(in_dir("a.wav"), SECOND, 16000, 1);
    ck_assert_int_eq(shell("eval $P --fast --depth 200 --output npy a.wav"), 1);
    ck_assert_msg(strstr(err, "depth") != NULL, "%s", err);
    ck_assert_int_ne(access(in_dir("a.posteriors.npy"), F_OK), 0);
    ck_assert_int_ne(access(in_dir("a.posteriors.npy.part"), F_OK), 0);
}
END_TEST

static const char *const usages[] = {
    "--depth 0 a.wav",
    "--chunk-ms 70 a.wav",
    "--output csv a.wav",
    "--outputs words a.wav",
    "--output text,jsonl a.wav",
    "--output textgrid --outputs embedding a.wav",
    "--output npy --outputs phones@4,activity a.wav",
    "--outputs phones@ a.wav",
    "--nonsense",
    "",
};

START_TEST(a_wrong_command_line_exits_with_2)
{
    char command[128];

    snprintf(command, sizeof command, "eval $P %s", usages[_i]);
    ck_assert_int_eq(shell(command), 2);
    ck_assert_str_ne(err, "");
}
END_TEST

START_TEST(help_is_a_manual)
{
    ck_assert_int_eq(shell("eval $P --help all"), 0);
    ck_assert(strstr(out, "--chunk-ms") && strstr(out, "Examples:"));
    ck_assert_int_eq(shell("eval $P --version"), 0);
    ck_assert(strstr(out, "shoal-file ") == out);
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

TCase *shoal_file_case(void)
{
    TCase *t = tcase_create("shoal-file");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_add_test(t, json_lines_have_the_promised_names);
    tcase_add_test(t, text_has_a_line_a_phone);
    tcase_add_test(t, text_names_each_of_several_files_in_one_line);
    tcase_add_test(t, npy_holds_every_frame_and_does_not_depend_on_pace);
    tcase_add_loop_test(t, a_textgrid_covers_the_file_at_any_rate, 0, COUNT(shapes));
    tcase_add_test(t, each_output_has_its_tier_and_array);
    tcase_add_test(t, json_lines_tell_depths_apart);
    tcase_add_test(t, empty_audio_gives_empty_results);
    tcase_add_test(t, a_real_recording_goes_through);
    tcase_add_test(t, one_bad_file_does_not_stop_the_rest);
    tcase_add_test(t, the_input_is_never_overwritten);
    tcase_add_test(t, two_inputs_of_one_name_do_not_overwrite_each_other);
    tcase_add_test(t, a_full_disk_is_a_clear_error);
    tcase_add_test(t, an_unwritable_folder_is_a_clear_error);
    tcase_add_test(t, ctrl_c_keeps_what_came);
    tcase_add_test(t, no_daemon_is_a_clear_error);
    tcase_add_test(t, an_error_of_the_server_is_shown);
    tcase_add_loop_test(t, a_wrong_command_line_exits_with_2, 0, COUNT(usages));
    tcase_add_test(t, help_is_a_manual);
    return t;
}

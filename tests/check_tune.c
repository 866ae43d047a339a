/* check_tune.c - the parts of shoal-tune that need no server: errors, intervals, the choice, lists
 */
#include "tune/tune.h"
#include "suite.h"

#include <check.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tune_labels labels(const char *text)
{
    tune_labels l = { 0 };

    for (; *text; text++)
        ck_assert_int_eq(tune_labels_add(&l, *text), 0);
    return l;
}

/* ---- measures ---- */

START_TEST(edits_are_the_fewest)
{
    static const struct {
        const char *a, *b;
        int edits;
    } t[] = { { "", "", 0 },     { "abc", "abc", 0 },        { "", "abc", 3 },
              { "abc", "", 3 },  { "kitten", "sitting", 3 }, { "abcd", "bcda", 2 },
              { "aab", "ab", 1 } };

    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        tune_labels a = labels(t[i].a), b = labels(t[i].b);

        ck_assert_int_eq(tune_edits(&a, &b), t[i].edits);
        free(a.at);
        free(b.at);
    }
}
END_TEST

START_TEST(percentiles_lie_between_values)
{
    double values[] = { 40, 10, 30, 20 };
    tune_numbers n = { values, 4, 4 }, none = { 0 };

    ck_assert_double_eq(tune_percentile(&n, 0), 10);
    ck_assert_double_eq(tune_percentile(&n, 0.5), 25);
    ck_assert_double_eq(tune_percentile(&n, 1), 40);
    ck_assert(isnan(tune_percentile(&none, 0.5)));
}
END_TEST

/* ---- a grid: 2 chunk lengths, 2 depths ---- */

enum { CLIPS = 8, SETTINGS = 4 };

static tune_grid grid;
static tune_setting settings[SETTINGS];
static tune_clip clips[CLIPS];
static tune_labels heard[SETTINGS][CLIPS];
static int differs[SETTINGS][CLIPS], wrong[SETTINGS][CLIPS];

/* Setting i makes errors[i] substitutions in each of the clips, which are ten phones long. */
static void make_grid(const int *errors, int transcripts)
{
    grid = (tune_grid){ .chunks = { 80, 160 },
                        .depths = { 6, 12 },
                        .chunk_count = 2,
                        .depth_count = 2,
                        .at = settings };
    grid.clips = (tune_clips){ clips, CLIPS, CLIPS };
    for (int i = 0; i < SETTINGS; i++) {
        settings[i] = (tune_setting){ .chunk_ms = grid.chunks[i / 2],
                                      .depth = grid.depths[i % 2],
                                      .heard = heard[i],
                                      .differs = differs[i],
                                      .wrong = wrong[i] };
        settings[i].cpu_ms = settings[i].cost = 10 * (i % 2 + 1) + (i < 2 ? 5 : 0);
        for (int k = 0; k < CLIPS; k++) {
            heard[i][k] = labels("abcdefghij");
            for (int e = 0; e < errors[i]; e++)
                heard[i][k].at[e] = 'z';
        }
        for (int late = 0; late <= 10; late++)
            ck_assert_int_eq(tune_numbers_add(&settings[i].late, grid.chunks[i / 2] + 10 * late),
                             0);
    }
    for (int k = 0; k < CLIPS; k++)
        clips[k] = (tune_clip){ .has_said = transcripts, .said = labels("abcdefghij") };
    ck_assert_int_eq(tune_measure(&grid), 0);
}

static void free_grid(void)
{
    for (int i = 0; i < SETTINGS; i++) {
        for (int k = 0; k < CLIPS; k++)
            free(heard[i][k].at);
        free(settings[i].late.at);
    }
    for (int k = 0; k < CLIPS; k++)
        free(clips[k].said.at);
}

START_TEST(errors_count_by_transcript_and_against_the_deepest)
{
    make_grid((int[]){ 4, 3, 2, 1 }, 1);
    ck_assert_double_eq_tol(settings[0].per, 40, 1e-9);
    ck_assert_double_eq_tol(settings[3].per, 10, 1e-9);
    ck_assert_double_eq_tol(settings[0].disagreement, 30, 1e-9);
    ck_assert_double_eq_tol(settings[3].disagreement, 0, 1e-9);
    ck_assert_double_eq_tol(settings[0].settled[1], 170, 1e-9);
    ck_assert_double_eq_tol(tune_excess(&grid, &settings[0]), 30, 1e-9);
    free_grid();
    make_grid((int[]){ 4, 3, 2, 1 }, 0);
    ck_assert_double_lt(settings[0].per, 0);
    ck_assert_double_eq_tol(tune_error(&settings[1]), 20, 1e-9);
    free_grid();
}
END_TEST

START_TEST(the_cheapest_within_the_limit_or_the_truest)
{
    tune_choice c;

    make_grid((int[]){ 4, 3, 2, 1 }, 1); /* cost 15 25 10 20, p90 170 170 250 250 */
    c = tune_choose(&grid, &(tune_goal){ .within = 15 });
    ck_assert_int_eq(c.met, 1);
    ck_assert_ptr_eq(c.best, &settings[2]);
    ck_assert_double_eq_tol(c.excess, 10, 1e-9);
    c = tune_choose(&grid, &(tune_goal){ .latency_ms = 200 });
    ck_assert_ptr_eq(c.best, &settings[1]);
    c = tune_choose(&grid, &(tune_goal){ .cpu_ms = 20 });
    ck_assert_ptr_eq(c.best, &settings[3]);
    c = tune_choose(&grid, &(tune_goal){ .latency_ms = 200, .within = 1 });
    ck_assert_int_eq(c.met, 0);
    ck_assert_ptr_eq(c.best, &settings[3]); /* 25 % too late is nearer than 19 times the errors */
    free_grid();
}
END_TEST

START_TEST(the_front_has_what_nothing_beats)
{
    tune_choice c;

    make_grid((int[]){ 4, 1, 2, 1 }, 1); /* 3 is as true as 1, cheaper, later; 0 beats nobody */
    c = tune_choose(&grid, &(tune_goal){ .within = 50 });
    ck_assert_int_eq(c.on_front[0], 1); /* cheaper than 1, sooner than 2 */
    ck_assert_int_eq(c.on_front[1], 1);
    ck_assert_int_eq(c.on_front[2], 1);
    ck_assert_int_eq(c.on_front[3], 1);
    settings[2].cost = 30; /* now 3 is better in everything */
    c = tune_choose(&grid, &(tune_goal){ .within = 50 });
    ck_assert_int_eq(c.on_front[2], 0);
    free_grid();
}
END_TEST

START_TEST(differences_have_an_interval)
{
    tune_difference d;

    make_grid((int[]){ 4, 1, 1, 1 }, 1);
    d = tune_compare(&grid, &settings[0], &settings[1]);
    ck_assert_double_eq_tol(d.mean, 30, 1e-9);
    ck_assert_double_eq_tol(d.low, 30, 1e-9); /* the same in every clip */
    ck_assert_int_eq(d.clips, 0);
    d = tune_compare(&grid, &settings[1], &settings[2]);
    ck_assert_double_eq_tol(d.mean, 0, 1e-9);
    ck_assert_int_eq(d.clips, INT32_MAX); /* no number of clips will do */
    wrong[1][0] += 3;
    wrong[1][1] -= 1;
    d = tune_compare(&grid, &settings[1], &settings[2]);
    ck_assert_double_eq_tol(d.mean, 2.5, 1e-9);
    ck_assert_double_lt(d.low, 0);
    ck_assert_double_gt(d.high, 2.5);
    ck_assert_int_gt(d.clips, CLIPS);
    free_grid();
}
END_TEST

/* ---- lists ---- */

START_TEST(lists_name_clips_and_what_is_said)
{
    char path[] = "/tmp/shoal-tune-XXXXXX";
    tune_options o = { .list = path };
    tune_clips c = { 0 };
    tune_model m = { .classes = 3, .labels = { "SIL", "AH", "HH" } };
    FILE *f = fdopen(mkstemp(path), "w");

    ck_assert_ptr_nonnull(f);
    fputs("# ours\na b.wav\tHH AH0 SIL\n\n/else/c.flac\r\n", f);
    fclose(f);
    ck_assert_int_eq(tune_clips_find(&c, &o), 0);
    ck_assert_int_eq(c.count, 2);
    ck_assert_str_eq(c.at[0].path, "/tmp/a b.wav");
    ck_assert_str_eq(c.at[1].path, "/else/c.flac");
    ck_assert_int_eq(tune_clips_transcribe(&c, &o, &m), 0);
    ck_assert_int_eq(c.at[0].said.count, 2);
    ck_assert_int_eq(c.at[0].said.at[1], 1);
    ck_assert_int_eq(c.at[1].has_said, 0);
    m.classes = 2; /* no HH: refused by name, on stderr */
    ck_assert_int_eq(tune_clips_transcribe(&c, &o, &m), -1);
    tune_clips_free(&c);
    unlink(path);
}
END_TEST

START_TEST(options_are_checked)
{
    static const char *const bad[][2] = { { "--chunks", "80,90" },
                                          { "--chunks", "80,80" },
                                          { "--within", "-1" },
                                          { "--max-latency", "soon" },
                                          { "--nothing", "1" } };
    static char program[] = "shoal-tune", audio[] = "a.wav", chunks[] = "--chunks=320,80",
                within[] = "--within=2%";
    char *good[] = { program, chunks, within, audio, NULL };
    tune_options o;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char option[32], *argv[] = { program, option, audio, NULL };

        snprintf(option, sizeof option, "%s=%s", bad[i][0], bad[i][1]);
        optind = 0;
        ck_assert_int_eq(tune_options_parse(&o, 3, argv), TOOL_EXIT_USAGE);
    }
    optind = 0;
    ck_assert_int_eq(tune_options_parse(&o, 4, good), -1);
    ck_assert_int_eq(o.chunks[0], 80);
    ck_assert_int_eq(o.chunk_count, 2);
    ck_assert_double_eq(o.goal.within, 2);
    ck_assert_double_eq(o.goal.latency_ms, 0);
    ck_assert_int_eq(o.path_count, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tune");
    TCase *t = tcase_create("tune");

    tcase_add_test(t, edits_are_the_fewest);
    tcase_add_test(t, percentiles_lie_between_values);
    tcase_add_test(t, errors_count_by_transcript_and_against_the_deepest);
    tcase_add_test(t, the_cheapest_within_the_limit_or_the_truest);
    tcase_add_test(t, the_front_has_what_nothing_beats);
    tcase_add_test(t, differences_have_an_interval);
    tcase_add_test(t, lists_name_clips_and_what_is_said);
    tcase_add_test(t, options_are_checked);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

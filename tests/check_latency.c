/* check_latency.c - how late phones are, counted in audio: see file_latency.h */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/file_latency.h"
#include "suite.h"

static file_latency latency;
static file_latency_watch watch;
static shoal_phones m;

static void begin(void)
{
    static shoal_ready r;

    r.options = shoal_options_default();
    r.options.rate = 16000;
    r.latency_ms = 235;
    r.depth = 6;
    memset(&latency, 0, sizeof latency);
    file_latency_begin(&latency, &watch, &r);
}

static void end(void)
{
    file_latency_free(&latency);
}

static shoal_wire_phone phone(const char *label, double start, double stop)
{
    shoal_wire_phone p = { .start = start, .end = stop };

    snprintf(p.phone, sizeof p.phone, "%s", label);
    return p;
}

/* A message at so many seconds: settled (NULL: none), tentative (NULL: none). */
static void message(double processed, const shoal_wire_phone *settled,
                    const shoal_wire_phone *tentative)
{
    memset(&m, 0, sizeof m);
    m.processed = (uint64_t)(processed * 16000 + 0.5);
    if (settled)
        m.phones[m.count++] = *settled;
    if (tentative)
        m.tentative[m.tentative_count++].phone = *tentative;
    ck_assert_int_eq(file_latency_take(&latency, &watch, &m, 0), 0);
}

/* What the model looks ahead, 75 ms, was heard by then too. */
START_TEST(waits_are_counted_in_audio)
{
    shoal_wire_phone ah = phone("AH", 1.0, 1.1), early = phone("AH", 1.03, 1.06),
                     other = phone("IH", 1.0, 1.1), s = phone("S", 2.0, 2.1);

    message(1.12, NULL, &other); /* another label does not count */
    message(1.28, NULL, &early); /* 30 ms beside is the same phone */
    message(1.44, &ah, NULL);
    message(2.24, &s, NULL); /* never shown before; AH was the last before a pause */
    ck_assert_double_eq_tol(latency.of[FILE_LATENCY_SETTLED].ms[0], 415, 1e-6);
    ck_assert_double_eq_tol(latency.of[FILE_LATENCY_SHOWN].ms[0], 255, 1e-6);
    ck_assert_double_eq_tol(latency.of[FILE_LATENCY_SETTLED].ms[1], 215, 1e-6);
    ck_assert_double_eq_tol(latency.of[FILE_LATENCY_SHOWN].ms[1], 215, 1e-6);
    ck_assert_uint_eq(latency.of[FILE_LATENCY_PAUSE].count, 1);
    ck_assert_double_eq_tol(latency.of[FILE_LATENCY_PAUSE].ms[0], 415, 1e-6);
    ck_assert_int_eq(latency.shown_before, 1);
    ck_assert_int_eq(latency.algorithmic_ms, 235);
}
END_TEST

START_TEST(first_is_when_it_was_first_shown)
{
    shoal_wire_phone ah = phone("AH", 1.0, 1.1);

    message(1.12, NULL, &ah);
    message(1.28, NULL, &ah);
    message(1.44, &ah, NULL);
    ck_assert_double_eq_tol(latency.of[FILE_LATENCY_SHOWN].ms[0], 95, 1e-6);
}
END_TEST

START_TEST(the_end_of_the_audio_and_other_depths_say_nothing)
{
    shoal_wire_phone ah = phone("AH", 1.0, 1.1);

    memset(&m, 0, sizeof m);
    m.phones[m.count++] = ah;
    ck_assert_int_eq(file_latency_take(&latency, &watch, &m, 1), 0);
    m.tap = 3;
    ck_assert_int_eq(file_latency_take(&latency, &watch, &m, 0), 0);
    ck_assert_uint_eq(latency.of[FILE_LATENCY_SETTLED].count, 0);
}
END_TEST

START_TEST(files_add_up_and_are_told)
{
    file_latency all = { 0 };
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    for (int i = 0; i < 100; i++) {
        shoal_wire_phone p = phone("AH", i, i + 0.5);

        message(i + 0.5 + i / 1000.0 - 0.075, &p, NULL);
    }
    ck_assert_int_eq(file_latency_add(&all, &latency), 0);
    file_latency_print(f, &all,
                       "{\"depths\":[{},{},{},{},{},{\"latency_ms\":{\"p50\":3.5,"
                       "\"p99\":9.25,\"chunks\":7}}]}");
    fclose(f);
    ck_assert_double_eq_tol(file_latency_percentile(&all.of[FILE_LATENCY_SETTLED], 50), 49, 0.1);
    ck_assert_double_eq_tol(file_latency_percentile(&all.of[FILE_LATENCY_SETTLED], 90), 89, 0.1);
    ck_assert_msg(strstr(text, "100 phones") && strstr(text, "235 at the latest") &&
                      strstr(text, "  3.5") && strstr(text, "  9.2") && strstr(text, "0.0 %"),
                  "%s", text);
    free(text);
    file_latency_free(&all);
}
END_TEST

static Suite *latency_suite(void)
{
    Suite *suite = suite_create("latency");
    TCase *t = tcase_create("latency");

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, waits_are_counted_in_audio);
    tcase_add_test(t, first_is_when_it_was_first_shown);
    tcase_add_test(t, the_end_of_the_audio_and_other_depths_say_nothing);
    tcase_add_test(t, files_add_up_and_are_told);
    suite_add_tcase(suite, t);
    return suite;
}

int main(void)
{
    return suite_run(latency_suite());
}

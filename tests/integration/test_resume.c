/* test_resume.c - a session goes on when its server is killed: the library replays what is needed
 *
 * The server gets SIGKILL at a fixed frame and starts again at the same port, with the same model
 * or another. What the program gets is compared with a session that nothing happened to.
 */
#include "file/file_audio.h"
#include "integration.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000, SECONDS = 14 };

static const char query[] = "depth=2&left_ms=320&output=posteriors,embedding@1,phones,phones@1,"
                            "activity@2&activity_threshold=30&activity_hangover_ms=20";

typedef struct accident {
    daemon_process d;
    uint64_t at_frame;          /* when so many were given */
    int times;                  /* that it happens */
    const char *before, *after; /* models; NULL: the small one of the tests */
} accident;

static const char base[] = SRCDIR "/models/shoal-base.safetensors";

static void start(accident *a, int port, const char *model)
{
    char listen[64];
    const char *all[] = { ANY_SPEED, "--model", model ? model : test_model_path(),
                          NULL,      listen,    NULL };

    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    all[10] = port ? "--listen" : NULL;
    daemon_start(&a->d, all);
    a->d.port = port ? port : a->d.port;
}

static void happen(void *user, const shoal_client_event *e)
{
    accident *a = user;
    int port = a->d.port;

    if (e->type != SHOAL_CLIENT_FEATURES || !a->times || e->packet->first_frame < a->at_frame)
        return;
    a->times--;
    a->at_frame += 300;
    ck_assert_int_eq(daemon_stop(&a->d, SIGKILL), 128 + SIGKILL);
    start(a, port, a->after);
}

/* What lies beyond the accident waits for it, so that no server can be done before. */
static size_t limit(const void *user)
{
    const accident *a = user;

    return a->times ? (size_t)(a->at_frame + 100) * 640 : SIZE_MAX;
}

/* Of somebody who says the same again and again. Caller frees. */
static int16_t *speech(void)
{
    static const file_audio_limits limits = { RATE, RATE, 1, RATE };
    int16_t *audio = malloc(SECONDS * RATE * sizeof *audio);
    file_audio *file;
    char why[512];
    size_t n = 0;

    ck_assert(audio != NULL);
    ck_assert_msg(
        file_audio_open(&file, SRCDIR "/clients/web/sample.flac", &limits, why, sizeof why) == 0,
        "%s", why);
    for (ptrdiff_t got = 1; got > 0 && n < SECONDS * RATE; n += (size_t)got)
        ck_assert((got = file_audio_read(file, audio + n, SECONDS * RATE - n, why, sizeof why)) >=
                  0);
    file_audio_close(file);
    for (size_t first = n; n < SECONDS * RATE; n++)
        audio[n] = audio[n - first];
    return audio;
}

static stream_plan plan_of(const int16_t *audio, accident *a)
{
    return (stream_plan){ .query = query,
                          .audio = audio,
                          .size = SECONDS * RATE * 2,
                          .control_at = 4 * RATE * 2 + 1000,
                          .flushes = 1,
                          .reconnect_ms = PATIENCE_MS,
                          .each = a ? happen : NULL,
                          .limit = a ? limit : NULL,
                          .user = a };
}

static void check_phones(const shoal_wire_phone *a, size_t n, const shoal_wire_phone *b, size_t m)
{
    ck_assert_uint_gt(n, 10);
    ck_assert_uint_eq(n, m);
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(!strcmp(a[i].phone, b[i].phone) && fabs(a[i].start - b[i].start) < 1e-6 &&
                          fabs(a[i].end - b[i].end) < 1e-6,
                      "phone %zu: %s %.3f-%.3f, not %s %.3f-%.3f", i, b[i].phone, b[i].start,
                      b[i].end, a[i].phone, a[i].start, a[i].end);
    }
}

static void check_same_results(stream_result *a, stream_result *b)
{
    stream_check_complete(a, SECONDS * RATE, RATE);
    stream_check_complete(b, SECONDS * RATE, RATE);
    stream_check_close(&a->posteriors, &b->posteriors, 1e-4f);
    stream_check_close(&stream_get_tap(a, 1)->embedding, &stream_get_tap(b, 1)->embedding, 1e-4f);
    check_phones(a->phones, a->phone_count, b->phones, b->phone_count);
    check_phones(stream_get_tap(a, 1)->phones, stream_get_tap(a, 1)->phone_count,
                 stream_get_tap(b, 1)->phones, stream_get_tap(b, 1)->phone_count);
    ck_assert_int_gt(a->activity_count, 3);
    ck_assert_int_eq(a->activity_count, b->activity_count);
    for (int i = 0; i < a->activity_count; i++)
        ck_assert_uint_eq(a->activity[i].frame, b->activity[i].frame);
    ck_assert_int_eq(b->flushed_count, 1);
    ck_assert_uint_eq(a->flushed[0].frames, b->flushed[0].frames);
    ck_assert_uint_eq(a->done.frames, b->done.frames);
    ck_assert_uint_eq(a->done.phones, b->done.phones);
}

/* undisturbed, killed: results of the two. */
static void run_both(accident *a, stream_result *undisturbed, stream_result *killed)
{
    int16_t *audio = speech();
    stream_plan plan = plan_of(audio, NULL);

    start(a, 0, a->before);
    stream_run(undisturbed, a->d.port, &plan);
    plan = plan_of(audio, a);
    stream_run(killed, a->d.port, &plan);
    ck_assert_int_eq(daemon_stop(&a->d, SIGTERM), 0);
    free(audio);
}

/* All audio goes again while what results depend on begins with the first sample, so positions,
 * which count from there, give the same bytes. */
START_TEST(a_killed_server_costs_nothing)
{
    accident a = { .at_frame = 96, .times = 1, .before = base, .after = base };
    stream_result undisturbed, killed;

    run_both(&a, &undisturbed, &killed);
    check_same_results(&undisturbed, &killed);
    if (features_are_invariant())
        stream_check_same(&undisturbed.posteriors, &killed.posteriors);
    ck_assert_int_eq(killed.resumed_count, 1);
    ck_assert_int_ge(killed.away_count, 1);
    ck_assert_uint_eq(killed.gap.samples, 0);
    ck_assert_str_eq(killed.gap.name, "");
    ck_assert_uint_gt(killed.gap.replayed, 0);
    stream_free(&undisturbed);
    stream_free(&killed);
}
END_TEST

/* Behind the flush, where chunks count from there, and far behind it. */
START_TEST(killed_again_and_again)
{
    accident a = { .at_frame = 260, .times = 2, .before = base, .after = base };
    stream_result undisturbed, killed;

    run_both(&a, &undisturbed, &killed);
    check_same_results(&undisturbed, &killed);
    ck_assert_int_eq(killed.resumed_count, 2);
    stream_free(&undisturbed);
    stream_free(&killed);
}
END_TEST

/* ---- why not ---- */

static void run_killed(accident *a, stream_result *r, size_t keep_bytes, int allow_gaps)
{
    int16_t *audio = speech();
    stream_plan plan = plan_of(audio, a);

    plan.keep_bytes = keep_bytes;
    plan.allow_gaps = allow_gaps;
    plan.flushes = 0;
    start(a, 0, a->before);
    stream_run(r, a->d.port, &plan);
    ck_assert_int_eq(daemon_stop(&a->d, SIGTERM), 0);
    free(audio);
}

START_TEST(another_model_is_refused_by_name)
{
    accident a = { .at_frame = 400, .times = 1, .after = SRCDIR "/tests/data/tiny2.safetensors" };
    stream_result r;

    run_killed(&a, &r, 0, 0);
    ck_assert_str_eq(r.error.name, "other_model");
    ck_assert(!r.has_done);
    ck_assert_int_eq(r.resumed_count, 0);
    stream_free(&r);
}
END_TEST

START_TEST(audio_that_is_not_kept_is_told)
{
    accident a = { .at_frame = 400, .times = 1 };
    stream_result r;

    run_killed(&a, &r, 64 << 10, 0); /* two seconds, of which messages of 64 KiB keep none */
    ck_assert_str_eq(r.error.name, "audio_forgotten");
    stream_free(&r);
}
END_TEST

/* ---- in one call ---- */

static void check_rows(const shoal_client_result *r, shoal_kind kind, int tap,
                       const stream_rows *want)
{
    for (int i = 0; i < r->rows_count; i++)
        if (r->rows[i].kind == kind && r->rows[i].tap == tap) {
            stream_rows have = { .rows = r->rows[i].values,
                                 .frames = r->rows[i].frames,
                                 .dim = r->rows[i].dim };

            stream_check_close(want, &have, 1e-4f);
            return;
        }
    ck_abort_msg("no rows of kind %d at %d", kind, tap);
}

START_TEST(one_call_gives_what_events_tell)
{
    accident a = { .times = 0 };
    int16_t *audio = speech();
    stream_plan plan = plan_of(audio, NULL);
    shoal_client_result r;
    stream_result events;
    char url[512], why[512];

    start(&a, 0, NULL);
    plan.flushes = 0;
    stream_run(&events, a.d.port, &plan);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/?%s", a.d.port, query);
    ck_assert_int_eq(shoal_client_run(&r, url, NULL, audio, plan.size, why, sizeof why), 0);
    ck_assert_int_eq(r.rows_count, 2);
    check_rows(&r, SHOAL_KIND_POSTERIORS, 0, &events.posteriors);
    check_rows(&r, SHOAL_KIND_EMBEDDING, 1, &stream_get_tap(&events, 1)->embedding);
    ck_assert_uint_eq(r.phone_count, events.phone_count + stream_get_tap(&events, 1)->phone_count);
    ck_assert_uint_eq(r.activity_count, (size_t)events.activity_count);
    ck_assert_uint_eq(r.done.frames, events.done.frames);
    ck_assert_int_eq(r.failure.cause, 0);
    shoal_client_result_free(&r);
    ck_assert_int_eq(shoal_client_run(&r, url, NULL, audio, 0, why, sizeof why), 0);
    ck_assert_uint_eq(r.done.frames, 0);
    shoal_client_result_free(&r);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/?depth=99", a.d.port);
    ck_assert_int_eq(shoal_client_run(&r, url, NULL, audio, plan.size, why, sizeof why),
                     SHOAL_CLIENT_EFAILED);
    ck_assert_int_eq(r.failure.cause, SHOAL_CLIENT_REJECTED);
    shoal_client_result_free(&r);
    stream_free(&events);
    free(audio);
    ck_assert_int_eq(daemon_stop(&a.d, SIGTERM), 0);
}
END_TEST

TCase *resume_case(void)
{
    TCase *t = tcase_create("resume");

    tcase_set_timeout(t, 3 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, a_killed_server_costs_nothing);
    tcase_add_test(t, killed_again_and_again);
    tcase_add_test(t, another_model_is_refused_by_name);
    tcase_add_test(t, audio_that_is_not_kept_is_told);
    tcase_add_test(t, one_call_gives_what_events_tell);
    return t;
}

/* check_track.c - a session as its worker sees it, without worker, loop and client
 *
 * Records are put into a lane by hand and what comes out of it is read. The engine's functions
 * below fail when they are told to (-Wl,--wrap, tests/Makefile.am), so that every code is seen on
 * its way from there to the client. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "work/track.h"
#include "suite.h"

enum { RATE = 16000 };

/* ---- an engine that fails when it is told to ---- */

static const char *failing; /* name; NULL: none does */
static int failing_with;

#define FAILS(name) (failing && strcmp(failing, #name) == 0)
#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return FAILS(name) ? failing_with : __real_##name arguments;                               \
    }

WRAP(int, shoal_stream_new,
     (shoal_stream * *out, const shoal_model *m, const shoal_stream_params *p), (out, m, p))
WRAP(ptrdiff_t, shoal_stream_feed, (shoal_stream * s, const float *pcm, size_t n), (s, pcm, n))
WRAP(int, shoal_stream_flush, (shoal_stream * s), (s))
WRAP(int, shoal_stream_finish, (shoal_stream * s), (s))
WRAP(int, shoal_stream_set_depth, (shoal_stream * s, int depth), (s, depth))
WRAP(int, shoal_stream_set_taps, (shoal_stream * s, uint64_t taps), (s, taps))
WRAP(int, shoal_pcm_new, (shoal_pcm * *out, shoal_pcm_format f, int rate, int channels),
     (out, f, rate, channels))
WRAP(ptrdiff_t, shoal_pcm_convert,
     (shoal_pcm * p, const void *bytes, size_t n, size_t *used, float *out, size_t max),
     (p, bytes, n, used, out, max))
WRAP(ptrdiff_t, shoal_pcm_drain, (shoal_pcm * p, float *out, size_t max), (p, out, max))
WRAP(int, shoal_decoder_new,
     (shoal_decoder * *out, const shoal_model *m, const shoal_decoder_params *p), (out, m, p))

/* ---- a lane ---- */

static shoald_service service;
static shoald_port port;
static shoald_bench bench;
static shoald_lane lane;

static void begin(int rate)
{
    const shoal_model_params params = shoal_model_default_params();
    char why[256] = "";
    shoald_log_set_level(SHOALD_LOG_ERROR);
    failing = NULL;
    ck_assert_msg(shoald_service_open(&service, SRCDIR "/tests/data/tiny.safetensors", &params, why,
                                      sizeof why) == 0,
                  "%s", why);
    ck_assert_int_eq(shoald_port_init(&port, 0, service.depth, NULL, 4), 0);
    ck_assert_int_eq(shoald_bench_init(&bench, &service, &port, 4, 512), 0);
    memset(&lane, 0, sizeof lane);
    lane.service = &service;
    lane.options = shoal_options_default();
    lane.options.rate = rate;
    lane.options.outputs = SHOAL_OUTPUT_PHONES;
    lane.options.depth_min = lane.options.depth_max = service.depth;
    lane.options.left_ms = 640;
    ck_assert_int_eq(shoald_lane_init(&lane, 10000, 0), 0); /* room for two steps */
}

static void end(void)
{
    failing = NULL;
    shoald_track_close(&lane);
    shoald_lane_free(&lane);
    shoald_bench_free(&bench);
    shoald_port_free(&port);
    shoald_service_close(&service);
}

static void put(int kind, const void *bytes, size_t n)
{
    const shoald_record r = { (uint32_t)n, (uint16_t)kind, 0, 1 };
    ck_assert(shoald_queue_put(&lane.in, &r, bytes));
    atomic_fetch_add(&lane.received_bytes, kind == SHOALD_IN_AUDIO ? n : 0); /* as the loop does */
}

static void put_audio(int samples)
{
    static int16_t audio[4 * RATE];
    for (int i = 0; i < samples; i++)
        audio[i] = (int16_t)(8000 * sin(i * 0.05) * sin(i * 0.0007) + i % 7);
    put(SHOALD_IN_AUDIO, audio, (size_t)samples * 2);
}

static void put_depth(int depth)
{
    shoal_options o = lane.options;
    shoald_change change;
    o.given = SHOAL_OPT_DEPTH;
    o.depth_min = o.depth_max = depth;
    put(SHOALD_IN_SET, &change, shoald_change_of(&change, &o));
}

/* As far as it goes. */
static void work(void)
{
    if (!lane.track && shoald_track_make(&lane, &bench) < 0)
        return;
    shoald_track_state state;
    while ((state = shoald_track_advance(&lane, &bench)) == SHOALD_READY || state == SHOALD_MORE) {
        if (state == SHOALD_MORE)
            continue;
        ck_assert_int_eq(shoal_batch_run(bench.batch, &lane.track->stream, 1, bench.results), 0);
        shoald_track_deliver(&lane, &bench, &bench.results[0], 1, 2);
    }
}

/* The next text; its close code. NULL: there is none. */
static const char *take(int *close_code)
{
    static char text[1 << 16];
    shoald_record r;
    if (!shoald_queue_peek(&lane.out, &r))
        return NULL;
    ck_assert_uint_lt(r.size, sizeof text);
    shoald_queue_copy(&lane.out, SHOALD_RECORD_BYTES, text, r.size);
    shoald_queue_drop(&lane.out, SHOALD_RECORD_BYTES + r.size);
    text[r.size] = '\0';
    *close_code = r.code;
    return text;
}

/* The last one is this error, and there is one only. */
static void expect_error(const char *code, bool retry, int closes)
{
    char member[64], last[1024] = "";
    int close_code = 0, errors = 0;
    for (const char *text; (text = take(&close_code));) {
        errors += strstr(text, "\"type\":\"error\"") != NULL;
        snprintf(last, sizeof last, "%s", text);
    }
    snprintf(member, sizeof member, "\"code\":\"%s\"", code);
    ck_assert_msg(errors == 1 && strstr(last, member), "%d errors, the last text: %s", errors,
                  last);
    ck_assert_msg(strstr(last, retry ? "\"retry\":true" : "\"retry\":false"), "%s", last);
    ck_assert_int_eq(close_code, closes);
}

/* ---- codes ---- */

static const char *const functions[] = {
    "shoal_stream_new",    "shoal_pcm_new",          "shoal_decoder_new",  "shoal_stream_feed",
    "shoal_pcm_convert",   "shoal_stream_set_depth", "shoal_stream_flush", "shoal_pcm_drain",
    "shoal_stream_finish", "shoal_stream_set_taps",
};

/* Wherever the engine finds no memory, the client learns that the server is to blame and that it
 * may try again; not that its audio is bad. */
START_TEST(no_memory_is_internal_and_worth_a_retry)
{
    begin(RATE);
    failing = functions[_i];
    failing_with = SHOAL_ENOMEM;
    put_audio(RATE / 2);
    put_depth(1);
    put(SHOALD_IN_FLUSH, "x", 2);
    put_audio(RATE / 2);
    put(SHOALD_IN_END, NULL, 0);
    work();
    expect_error("internal", true, 1011);
    ck_assert_int_eq(atomic_load(&lane.totals.error), SHOAL_CODE_INTERNAL);
    ck_assert(!atomic_load(&lane.totals.done));
    work(); /* and nothing more is said */
    ck_assert_uint_eq(shoald_queue_fill(&lane.out), 0);
    end();
}
END_TEST

START_TEST(bad_audio_is_the_clients)
{
    static const char *const takers[] = { "shoal_stream_feed", "shoal_pcm_convert" };
    begin(RATE);
    failing = takers[_i];
    failing_with = SHOAL_EAUDIO;
    put_audio(RATE / 2);
    work();
    expect_error("audio_not_finite", false, 1007);
    end();
}
END_TEST

/* Without memory for more layers a chunk runs as deep as the last one did, and is announced as
 * what it is: not at all. */
START_TEST(elastic_depth_without_memory_stays)
{
    int close_code;
    begin(RATE);
    lane.options.depth_min = 1;
    atomic_store(&port.ceiling, 1);
    put_audio(RATE / 2);
    work();
    while (take(&close_code))
        ;
    failing = "shoal_stream_set_depth";
    failing_with = SHOAL_ENOMEM;
    shoald_track_set_depth(&lane, &bench, service.depth);
    ck_assert_ptr_null(take(&close_code));
    failing = NULL;
    shoald_track_set_depth(&lane, &bench, service.depth);
    ck_assert_ptr_nonnull(strstr(take(&close_code), "\"type\":\"changed\""));
    end();
}
END_TEST

/* ---- room ---- */

/* The caller makes sure of room; a bug there must end the session, not lose a result. */
START_TEST(a_result_without_room_closes)
{
    begin(RATE);
    lane.options.outputs = SHOAL_OUTPUT_POSTERIORS;
    put_audio(RATE / 2);
    work();
    ck_assert(!atomic_load(&lane.overflow));
    atomic_store(&lane.out_step, 0);
    for (int i = 0; i < 500 && !atomic_load(&lane.overflow); i++) {
        put_audio(RATE / 2);
        work();
    }
    ck_assert(atomic_load(&lane.overflow));
    ck_assert_int_eq(lane.track->phase, SHOALD_TRACK_OVER);
    ck_assert(port.mail_sent);
    end();
}
END_TEST

START_TEST(without_room_it_waits)
{
    int close_code;
    begin(RATE);
    put_audio(RATE / 2);
    atomic_store(&lane.out_step, shoald_queue_room(&lane.out) + 1);
    ck_assert_int_eq(shoald_track_make(&lane, &bench), 0);
    ck_assert_int_eq(shoald_track_advance(&lane, &bench), SHOALD_BLOCKED);
    ck_assert_ptr_null(take(&close_code));
    end();
}
END_TEST

/* ---- the end ---- */

static double last_end(void)
{
    double latest = 0;
    int close_code;
    for (const char *text; (text = take(&close_code));) {
        const char *at = text;
        while ((at = strstr(at, "\"end\":")))
            latest = fmax(latest, strtod(at += 6, NULL));
    }
    return latest;
}

/* The last frame is 12 ms of sound and 8 of padding. */
START_TEST(no_phone_ends_after_the_sound)
{
    static const int rates[] = { 16000, 8000, 48000 };
    int samples = (int)(1.428 * rates[_i] + 0.5);
    begin(rates[_i]);
    for (int left = samples; left > 0; left -= RATE)
        put_audio(left < RATE ? left : RATE);
    put(SHOALD_IN_END, NULL, 0);
    work();
    ck_assert_double_eq_tol(last_end(), 1.428, 1e-9);
    ck_assert(atomic_load(&lane.totals.done));
    end();
}
END_TEST

/* Nor before a gap, however much has come from behind it. */
START_TEST(no_phone_reaches_into_a_gap)
{
    const uint64_t samples = 10 * RATE;
    begin(RATE);
    put_audio((int)(1.428 * RATE + 0.5));
    put(SHOALD_IN_SKIP, &samples, sizeof samples);
    atomic_fetch_add(&lane.received_bytes, 2 * 20000); /* waiting with the loop */
    work();
    ck_assert_double_eq_tol(last_end(), 1.428, 1e-9);
    end();
}
END_TEST

/* As work(), but what the model hears is another phone every 120 ms. */
static void work_with_phones(void)
{
    static float logp[64 * 40];
    shoal_result *r = &bench.results[0];
    if (!lane.track && shoald_track_make(&lane, &bench) < 0)
        return;
    while (shoald_track_advance(&lane, &bench) == SHOALD_READY) {
        ck_assert_int_eq(shoal_batch_run(bench.batch, &lane.track->stream, 1, bench.results), 0);
        r->logp = logp;
        for (int i = 0; i < r->frames * 40; i++)
            logp[i] = (r->first_frame + i / 40) / 6 % 39 + 1 == i % 40 ? -0.04f : -7;
        shoald_track_deliver(&lane, &bench, r, 1, 2);
    }
}

/* Settled-phone latency is counted in audio: what had been heard when a phone was told, that is the
 * frames told (processed) and what lies between those and the samples that they need. */
START_TEST(when_phones_are_settled_is_counted_in_audio)
{
    double ahead, sum = 0, counted = 0;
    int phones = 0, close_code;
    begin(RATE);
    ahead = shoald_service_algorithmic_ms(service.info, 0) / 1e3;
    for (int i = 0; i < 4; i++) {
        put_audio(RATE);
        work_with_phones();
        for (const char *text; (text = take(&close_code));) {
            const char *at = strstr(text, "\"processed\":");
            double told = at ? strtod(at + 12, NULL) / RATE + ahead : 0;
            for (at = text; (at = strstr(at, "\"end\":")); phones++)
                sum += told - strtod(at += 6, NULL);
        }
    }
    for (int i = 0; i <= SHOALD_SETTLED_BUCKETS; i++)
        counted += (double)atomic_load(&port.stats.settled.counts[i]);
    ck_assert_int_gt(phones, 4);
    ck_assert_double_eq(counted, phones);
    ck_assert_double_eq_tol((double)atomic_load(&port.stats.settled.sum) / 1e6, sum, 1e-3);
    ck_assert_double_gt(sum / phones, ahead);
    end();
}
END_TEST

/* ---- what is not what it says ---- */

static void put_inverted(int frames)
{
    static int16_t audio[2 * RATE];
    for (int i = 0; i < frames; i++) {
        audio[2 * i] = (int16_t)(8000 * sin(i * 0.05));
        audio[2 * i + 1] = (int16_t)-audio[2 * i];
    }
    put(SHOALD_IN_AUDIO, audio, (size_t)frames * 4);
}

START_TEST(cancelling_channels_are_told_and_go_on)
{
    int warnings = 0, close_code = 0;
    begin(RATE);
    lane.options.channels = 2;
    for (int i = 0; i < 3; i++) {
        put_inverted(RATE / 4);
        put(SHOALD_IN_FLUSH, "x", 2);
        work();
    }
    put(SHOALD_IN_END, NULL, 0);
    work();
    for (const char *text; (text = take(&close_code));)
        warnings += strstr(text, "\"ref\":\"channels\"") && strstr(text, "\"fatal\":false");
    ck_assert_int_eq(warnings, 1);
    ck_assert_int_eq(close_code, SHOAL_CLOSE_NORMAL);
    end();
}
END_TEST

START_TEST(a_short_clip_of_floats_is_refused_at_its_end)
{
    static float audio[RATE / 2];
    begin(RATE);
    for (int i = 0; i < RATE / 2; i++)
        audio[i] = (float)(0.3 * sin(i * 0.05) + 0.01 * sin(i * 1.7));
    put(SHOALD_IN_AUDIO, audio, sizeof audio);
    put(_i ? SHOALD_IN_FLUSH : SHOALD_IN_END, "", _i);
    work();
    expect_error("bad_audio_format", false, 1003);
    end();
}
END_TEST

/* What comes first, and bytes of the file before that. */
static const struct {
    int kind;
    size_t bytes;
} before_files[] = { { SHOALD_IN_FLUSH, 0 }, { SHOALD_IN_SKIP, 0 }, { SHOALD_IN_FLUSH, 2 } };

/* Nothing, or too little to tell, has been looked at then. */
START_TEST(a_file_is_recognised_after_a_flush_or_a_skip)
{
    static const char file[800] = "fLaC\0\0\0\042\020\0\020";
    const uint64_t samples = RATE;
    size_t n = before_files[_i].bytes;
    int close_code;

    begin(RATE);
    if (n)
        put(SHOALD_IN_AUDIO, file, n);
    if (before_files[_i].kind == SHOALD_IN_FLUSH)
        put(SHOALD_IN_FLUSH, "x", 2);
    else
        put(SHOALD_IN_SKIP, &samples, sizeof samples);
    work();
    if (n) /* all the same it has been heard */
        ck_assert_uint_eq(lane.track->in.converted, n / 2);
    while (take(&close_code))
        ck_assert_int_eq(close_code, 0);
    put(SHOALD_IN_AUDIO, file + n, sizeof file - n);
    work();
    expect_error("bad_audio_format", false, 1003);
    end();
}
END_TEST

/* Sound in messages of one sample: others have their turns long before a chunk is together. */
START_TEST(crumbs_hold_nobody_up)
{
    enum { CRUMBS = 2000, MOST = 64 };
    static const int16_t crumb = 1000;
    size_t size = SHOALD_RECORD_BYTES + sizeof crumb, before, turns = 0;
    begin(RATE);
    ck_assert_int_eq(shoald_track_make(&lane, &bench), 0);
    for (int i = 0; i < CRUMBS; i++)
        put(SHOALD_IN_AUDIO, &crumb, sizeof crumb);
    do {
        before = shoald_queue_fill(&lane.in);
        turns++;
    } while (shoald_track_advance(&lane, &bench) == SHOALD_MORE &&
             before - shoald_queue_fill(&lane.in) <= MOST * size);
    ck_assert_uint_eq(shoald_queue_fill(&lane.in), 0);
    ck_assert_uint_ge(turns, CRUMBS / MOST);
    put(SHOALD_IN_END, NULL, 0);
    work();
    ck_assert_uint_eq(atomic_load(&lane.totals.samples), CRUMBS);
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("track");
    TCase *codes = tcase_create("codes"), *rest = tcase_create("rest");

    tcase_add_loop_test(codes, no_memory_is_internal_and_worth_a_retry, 0,
                        sizeof functions / sizeof *functions);
    tcase_add_loop_test(codes, bad_audio_is_the_clients, 0, 2);
    tcase_add_test(codes, elastic_depth_without_memory_stays);
    suite_add_tcase(s, codes);
    tcase_add_test(rest, a_result_without_room_closes);
    tcase_add_test(rest, without_room_it_waits);
    tcase_add_test(rest, crumbs_hold_nobody_up);
    tcase_add_loop_test(rest, no_phone_ends_after_the_sound, 0, 3);
    tcase_add_test(rest, no_phone_reaches_into_a_gap);
    tcase_add_test(rest, when_phones_are_settled_is_counted_in_audio);
    tcase_add_test(rest, cancelling_channels_are_told_and_go_on);
    tcase_add_loop_test(rest, a_file_is_recognised_after_a_flush_or_a_skip, 0, 3);
    tcase_add_loop_test(rest, a_short_clip_of_floats_is_refused_at_its_end, 0, 2);
    suite_add_tcase(s, rest);
    return suite_run(s);
}

/* check_skip.c - audio that was left out, chunks that change their length, one channel of several
 *
 * On the engine's streams, and on sessions: what follows a gap is what a new session gives, and all
 * that counts time goes on as if the audio had been there.
 */
#include "engine_util.h"
#include "golden_util.h"
#include "model/safetensors.h"
#include "track_util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 10000, FRAMES = 32, DIM = 32, CLASSES = 40 };

/* ---- streams ---- */

static float pcm[2 * SAMPLES];

static void feed_all(shoal_batch *b, shoal_stream *s, const float *x, size_t n, float *rows,
                     int64_t *first, int *count)
{
    shoal_result r;
    *count = 0;
    for (size_t at = 0; at < n || (shoal_stream_finish(s) == 0) || shoal_stream_ready(s);) {
        at += at < n ? (size_t)shoal_stream_feed(s, x + at, n - at) : 0;
        while (shoal_stream_ready(s)) {
            ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
            *first = *count == 0 ? r.first_frame : *first;
            if (r.frames)
                memcpy(rows + *count * DIM, r.embedding, (size_t)(r.frames * DIM) * sizeof *rows);
            *count += r.frames;
        }
    }
}

/* The same as a new stream that hears silence up to the place in its first frame. */
START_TEST(a_resumed_stream_is_a_new_one)
{
    static const int64_t gaps[] = { 320, 333, 1000003, 16000 };
    static float late[SAMPLES + 320], want[64 * DIM], got[64 * DIM];
    int64_t at = SAMPLES + gaps[_i], first = 0, fresh_first = 0;
    size_t rest = (size_t)(at % 320);
    int n, fresh;
    shoal_model *m = util_tiny();
    shoal_stream *s, *t;
    shoal_batch *b;
    util_signal(pcm, 2 * SAMPLES);
    memcpy(late + rest, pcm + SAMPLES, SAMPLES * sizeof *late);
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 12, 8, 16 }), 0);
    ck_assert_int_eq(shoal_stream_new(&t, m, &(shoal_stream_params){ 12, 8, 16 }), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 8), 0);
    ck_assert_int_eq(shoal_stream_resume(s, SAMPLES), SHOAL_ESTATE);
    feed_all(b, s, pcm, SAMPLES, got, &first, &n);
    ck_assert_int_eq(n, FRAMES);
    ck_assert_int_eq(shoal_stream_resume(s, SAMPLES), SHOAL_EINVAL); /* its frame is given */
    ck_assert_int_eq(shoal_stream_resume(s, at), 0);
    ck_assert_int_eq(shoal_stream_next_frame(s), at / 320);
    ck_assert_int_eq(shoal_stream_samples_fed(s), at);
    feed_all(b, s, pcm + SAMPLES, SAMPLES, got, &first, &n);
    feed_all(b, t, late, SAMPLES + rest, want, &fresh_first, &fresh);
    ck_assert_int_eq(fresh_first, 0);
    ck_assert_int_eq(first, at / 320);
    ck_assert_int_eq(n, fresh);
    util_close("after the gap", got, want, (size_t)(n * DIM), DIM, 0);
    ck_assert_int_eq(shoal_stream_samples_done(s), at + SAMPLES);
    shoal_stream_free(s);
    shoal_stream_free(t);
    shoal_batch_free(b);
    shoal_model_close(m);
}
END_TEST

/* The silence before its place in the frame is all that it hears: one frame, as of a new stream. */
START_TEST(a_resumed_stream_may_end_at_once)
{
    static const float silence[333 - 320] = { 0 };
    static float want[64 * DIM], got[64 * DIM];
    int64_t first = 0, fresh_first = 0;
    int n, fresh;
    shoal_model *m = util_tiny();
    shoal_stream *s, *t;
    shoal_batch *b;
    util_signal(pcm, 2 * SAMPLES);
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 3, 8, 16 }), 0);
    ck_assert_int_eq(shoal_stream_new(&t, m, &(shoal_stream_params){ 12, 8, 16 }), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 8), 0);
    feed_all(b, s, pcm, SAMPLES - 80, got, &first, &n);
    ck_assert_int_eq(shoal_stream_set_depth(s, 12), 0);
    ck_assert_int_eq(shoal_stream_resume(s, SAMPLES + 320 + 13 - 80), 0);
    feed_all(b, s, NULL, 0, got, &first, &n);
    feed_all(b, t, silence, 13, want, &fresh_first, &fresh);
    ck_assert_int_eq(fresh, 1);
    ck_assert_int_eq(n, 1);
    util_close("the last frame", got, want, DIM, DIM, 0);
    shoal_stream_free(s);
    shoal_stream_free(t);
    shoal_batch_free(b);
    shoal_model_close(m);
}
END_TEST

/* Chunks of 8, cut short after 4000 samples, and of 4 from there on: the masked reference. */
START_TEST(chunks_of_another_length_equal_pytorch)
{
    shoal_model *m = util_tiny();
    shoal_stream *s;
    shoal_batch *b;
    features f = features_new(m);
    golden_file golden = golden_open(SRCDIR "/tests/data/tiny_golden.safetensors");
    const float *want = golden_tensor(&golden, "rechunk", FRAMES, DIM);
    util_signal(pcm, SAMPLES);
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 12, 8, 16 }), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 64), 0);
    util_feed(b, s, pcm, 4000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_set_chunk(s, 4), SHOAL_ESTATE); /* frames wait for their chunk */
    ck_assert_int_eq(shoal_stream_flush(s), 0);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(shoal_stream_set_chunk(s, 0), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_stream_set_chunk(s, 65), SHOAL_EINVAL);
    size_t before = shoal_stream_memory(s);
    ck_assert_int_eq(shoal_stream_set_chunk(s, 64), 0); /* longer than it was made for */
    ck_assert_uint_gt(shoal_stream_memory(s), before);
    ck_assert_int_eq(shoal_stream_set_chunk(s, 4), 0);
    util_feed(b, s, pcm + 4000, SAMPLES - 4000, (slicing){ 1, 300 }, &f);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    ck_assert_int_eq(shoal_stream_set_chunk(s, 8), SHOAL_ESTATE);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(f.frames, FRAMES);
    util_close("rechunk", f.embedding, want, FRAMES * DIM, DIM, 2e-5);
    features_free(&f);
    shoal_batch_free(b);
    shoal_stream_free(s);
    shoal_model_close(m);
    golden_close(&golden);
}
END_TEST

/* ---- sessions ---- */

static float *rows_from(uint64_t frame, int *count)
{
    float *rows = NULL;
    *count = 0;
    for (int i = 0; i < track.packet_count; i++) {
        const shoal_packet *p = &track.packets[i].p;
        if (p->first_frame < frame)
            continue;
        ck_assert_uint_eq(p->first_frame, frame + (uint64_t)*count);
        rows = realloc(rows, (size_t)((*count + p->frames) * DIM + 1) * sizeof *rows);
        ck_assert_ptr_nonnull(rows);
        memcpy(rows + *count * DIM, track.packets[i].values,
               (size_t)(p->frames * DIM) * sizeof *rows);
        *count += p->frames;
    }
    return rows;
}

/* So many samples of the audio from 8000 on give the same rows in a session of their own, to the
 * bit. */
static void expect_fresh(const char *what, const float *got, int n, size_t samples)
{
    int fresh;
    track_begin("output=embedding");
    track.sent = 8000;
    track_audio(samples);
    track_end();
    float *want = rows_from(0, &fresh);
    ck_assert_int_eq(n, fresh);
    util_close(what, got, want, (size_t)(n * DIM), DIM, 0);
    free(want);
    track_free();
}

/* rate, samples left out; 5000 come before */
static const struct {
    int rate;
    uint64_t samples;
} skips[] = {
    { 16000, 11000 }, { 16000, 320 }, { 16000, 4600 }, { 48000, 100003 }, { 8000, 80000000 }
};

START_TEST(a_session_goes_on_after_what_was_left_out)
{
    char query[128];
    int rate = skips[_i].rate, n;
    uint64_t samples = skips[_i].samples, all = 5000 + samples + 12000;
    uint64_t at = (5000 + samples) * 16000 / (uint64_t)rate, frame = at / 320;
    snprintf(query, sizeof query, "rate=%d&output=embedding,phones,activity&tentative=on", rate);
    track_begin(query);
    track.sent = 8000; /* in the midst of speech */
    track_audio(5000);
    int before = track.place;
    track_put(SHOALD_IN_SKIP, &samples, sizeof samples);
    ck_assert_int_gt(track.place, before); /* phones settle, and features are whole */
    const shoal_packet *last = &track.packets[track.packet_count - 1].p;
    uint64_t frames = (5000u * 50 + (uint64_t)rate - 1) / (uint64_t)rate;
    ck_assert_uint_ge(last->first_frame + (uint64_t)last->frames, frames);
    ck_assert_ptr_nonnull(
        strstr(track.texts[track.text_count - 2].text, "\"tentative\":[]")
            ?: strstr(track.texts[track.text_count - 1].text, "\"tentative\":[]"));
    track.sent = 8000;
    track_audio(12000);
    track_end();
    frame = frame > frames ? frame : frames;
    float *got = rows_from(frame, &n);
    const char *done = track.texts[track.text_count - 1].text;
    ck_assert_double_eq(track_number(done, "received"), (double)all);
    ck_assert_double_eq(track_number(done, "processed"), (double)all);
    ck_assert_double_eq_tol(track_number(done, "seconds"), (double)all / rate, 0.001);
    track_free();

    if (at % 320 == 0 && rate == 16000)
        expect_fresh("after the gap", got, n, 12000); /* it ends with a frame */
    free(got);
}
END_TEST

/* Half a sample before a gap is told and left out; what follows begins with a whole one. */
START_TEST(half_a_sample_stays_before_the_gap)
{
    const uint64_t samples = 11000;
    int n;
    track_begin("output=embedding");
    track.sent = 8000;
    track_audio(5000);
    track_put(SHOALD_IN_AUDIO, "\1", 1);
    atomic_fetch_sub(&track.lane.received_bytes, 1); /* as the loop does */
    track_put(SHOALD_IN_SKIP, &samples, sizeof samples);
    const char *told = track_find("\"ref\":\"skip\"", 0);
    ck_assert_msg(told && strstr(told, "bad_audio_format") && strstr(told, "\"fatal\":false"), "%s",
                  told ? told : "nothing");
    track.sent = 8000;
    track_audio(12000);
    track_put(SHOALD_IN_AUDIO, "\1", 1);
    track_end();
    ck_assert_ptr_nonnull(track_find("\"ref\":\"end\"", 0));
    const char *done = track.texts[track.text_count - 1].text;
    ck_assert_double_eq(track_number(done, "received"), 5000 + 11000 + 12000);
    float *got = rows_from(50, &n);
    track_free();
    expect_fresh("after half a sample", got, n, 12000);
    free(got);
}
END_TEST

/* What began before a gap ends there, and phones behind it have their own times. */
START_TEST(speech_and_phones_do_not_reach_across)
{
    uint64_t samples = 160000;
    int events = 0;
    track_begin("output=phones,activity&depth=2&activity_threshold=99&t0=1764270000.25");
    track.sent = 8000;
    track_audio(14000);
    track_put(SHOALD_IN_SKIP, &samples, sizeof samples);
    track.sent = 8000;
    track_audio(14000);
    track_end();
    ck_assert_ptr_nonnull(strstr(track.texts[0].text, "\"t0\":1764270000.250"));
    for (int i = 0; i < track.text_count; i++) {
        const char *text = track.texts[i].text;
        if (strstr(text, "\"type\":\"phones\"") || strstr(text, "\"type\":\"activity\""))
            ck_assert_ptr_nonnull(strstr(text, "\"t0\":1764270000.250,"));
        if (!strstr(text, "\"state\""))
            continue;
        ck_assert_int_eq(strstr(text, "\"state\":\"speech\"") != NULL, events++ % 2 == 0);
        double time = track_number(text, "time");
        ck_assert_msg(time <= 0.9 || time >= 10.86, "%s", text);
    }
    ck_assert_int_ge(events, 4);
    for (int i = 0; i < track.text_count; i++)
        for (const char *at = track.texts[i].text; (at = strstr(at, "\"start\":")); at++) {
            double start = strtod(at + 8, NULL);
            ck_assert_msg(start <= 0.88 || start >= 10.86, "%s", track.texts[i].text);
        }
    track_free();
}
END_TEST

/* Everything of a session whose chunks get another length, in its place. */
START_TEST(set_changes_the_chunks)
{
    shoal_options o;
    track_begin("output=embedding");
    track_audio(4000);
    o = track.lane.options;
    o.given = SHOAL_OPT_CHUNK_MS;
    o.chunk_ms = 80;
    track_set(&o);
    const char *changed = track_find("\"type\":\"changed\"", 0);
    ck_assert_double_eq(track_number(changed, "chunk_ms"), 80);
    ck_assert_double_eq(track_number(changed, "from_frame"), 9);
    ck_assert_double_eq(track_number(changed, "latency_ms"), 80 + 55); /* 40 ahead, 15 of window */
    ck_assert_int_eq(track.packet_count, 2);
    ck_assert_int_eq(track.packets[1].p.frames, 3);
    ck_assert_uint_eq(track.packets[1].p.flags, SHOAL_PACKET_CUT);
    track_audio(6000);
    ck_assert_int_eq(track.packets[2].p.frames, 4);
    ck_assert_uint_eq(track.packets[2].p.flags, 0);
    o.chunk_ms = 1280;
    track_set(&o);
    track_audio(40000);
    ck_assert_int_eq(track.packets[track.packet_count - 1].p.frames, 64);
    track_end();
    track_free();
}
END_TEST

/* ---- channels ---- */

static void put_stereo(int16_t left, int16_t right)
{
    int16_t audio[2 * 800];
    for (int part = 0; part < 20; part++) {
        for (int i = 0; i < 800; i++) {
            int16_t x = track_sample(8000 + (size_t)(800 * part + i));
            audio[2 * i] = (int16_t)(left * x);
            audio[2 * i + 1] = (int16_t)(right * x);
        }
        track_put(SHOALD_IN_AUDIO, audio, sizeof audio);
    }
}

/* The channel that is asked for, whatever the other one holds; and no word about their mix. */
START_TEST(one_channel_is_heard)
{
    static const char *const queries[] = { "channel=left", "channel=2", "channel=right" };
    int n;
    char query[128];
    snprintf(query, sizeof query, "output=embedding&channels=2&%s", queries[_i]);
    track_begin(query);
    put_stereo(_i ? -1 : 1, _i ? 1 : -1);
    track_end();
    ck_assert_ptr_null(track_find("\"error\"", 0));
    float *got = rows_from(0, &n);
    track_free();
    expect_fresh("channel", got, n, 16000);
    free(got);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("skip");
    TCase *t = tcase_create("skip");
    tcase_add_loop_test(t, a_resumed_stream_is_a_new_one, 0, 4);
    tcase_add_test(t, a_resumed_stream_may_end_at_once);
    tcase_add_test(t, chunks_of_another_length_equal_pytorch);
    tcase_add_loop_test(t, a_session_goes_on_after_what_was_left_out, 0, 5);
    tcase_add_test(t, half_a_sample_stays_before_the_gap);
    tcase_add_test(t, speech_and_phones_do_not_reach_across);
    tcase_add_test(t, set_changes_the_chunks);
    tcase_add_loop_test(t, one_channel_is_heard, 0, 3);
    suite_add_tcase(s, t);
    return suite_run(s);
}

/* check_stream.c - one client's stream: slicing, totals, flush, depth, bad input, long runs
 *
 * The promise: features depend on audio, depth, chunk and left context, and on nothing else.
 * Comparisons between two runs of the same chunks ask for the same bytes; only where positions
 * or the order of history differ is there a tolerance. check_golden.c has the comparisons
 * with PyTorch, of flush and depth change too.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "run/stream.h"

enum { RATE = 16000, FRAME = 320, DEPTH = 12, DELAY = 2, MOST = 20 * RATE };

static shoal_model *m;
static float pcm[MOST];

static void set_up(void)
{
    m = util_tiny();
    util_signal(pcm, MOST);
}

static void tear_down(void)
{
    shoal_model_close(m);
}

static shoal_stream *new_stream(int depth, int chunk, int left)
{
    shoal_stream *s;
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ depth, chunk, left }), 0);
    return s;
}

static shoal_batch *new_batch(void)
{
    shoal_batch *b;
    ck_assert_int_eq(shoal_batch_new(&b, m, 64), 0);
    return b;
}

/* ---- slicing and totals ------------------------------------------------------------------ */

static const uint32_t slices[] = { 1, 7, 159, 321, 2000, 9000 };

START_TEST(any_slicing_gives_the_same_bytes)
{
    int depth = _i + 1, chunk = 1 + 5 * _i % 17, left = 7 * _i % 33;
    shoal_stream_params p = { depth, chunk, left };
    features whole = util_stream(m, p, pcm, 24001, util_whole);
    ck_assert_int_eq(whole.frames, 76);
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        features cut = util_stream(m, p, pcm, 24001, (slicing){ (uint32_t)depth, slices[i] });
        util_same_bytes("slices", &cut, &whole);
        features_free(&cut);
    }
    features_free(&whole);
}
END_TEST

START_TEST(frames_are_samples_over_320_rounded_up)
{
    static const size_t lengths[] = {
        0,   1,   159, 160, 319,  320,  321,  399,  400,  401,  559,
        560, 561, 640, 641, 2559, 2560, 2561, 2799, 2800, 5120, 5121
    };
    static const int chunks[] = { 1, 2, 3, 8, 64 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t n = lengths[i];
        features f =
            util_stream(m, (shoal_stream_params){ 2, chunks[_i], 8 }, pcm, n, (slicing){ 1, 100 });
        ck_assert_msg((size_t)f.frames == (n + FRAME - 1) / FRAME,
                      "%zu samples, chunk %d: %d frames", n, chunks[_i], f.frames);
        features_free(&f);
    }
}
END_TEST

START_TEST(empty_stream_ends_at_once)
{
    shoal_stream *s = new_stream(3, 1 + _i, 8);
    ck_assert_int_eq(shoal_stream_ready(s), 0);
    ck_assert_int_eq(shoal_stream_flush(s), 0);
    ck_assert_int_eq(shoal_stream_ready(s), 0);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    ck_assert_int_eq(shoal_stream_ready(s), 0);
    ck_assert_int_eq(shoal_stream_next_frame(s), 0);
    ck_assert_int_eq(shoal_stream_samples_done(s), 0);
    shoal_stream_free(s);
}
END_TEST

START_TEST(finished_streams_take_nothing_more)
{
    shoal_stream *s = new_stream(3, 4, 8);
    shoal_batch *b = new_batch();
    features f = features_new(m);
    util_feed(b, s, pcm, 1, util_whole, &f);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    ck_assert_int_eq(shoal_stream_finish(s), SHOAL_ESTATE);
    ck_assert_int_eq(shoal_stream_flush(s), SHOAL_ESTATE);
    ck_assert_int_eq(shoal_stream_feed(s, pcm, 1), SHOAL_ESTATE);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(f.frames, 1);
    ck_assert_int_eq(shoal_stream_samples_done(s), 1);
    ck_assert_int_eq(shoal_stream_feed(s, pcm, 1), SHOAL_ESTATE);
    shoal_batch_free(b);
    shoal_stream_free(s);
    features_free(&f);
}
END_TEST

START_TEST(parameters_out_of_range_are_refused)
{
    static const shoal_stream_params bad[] = {
        { 0, 8, 16 },  { 13, 8, 16 }, { -1, 8, 16 }, { 3, 0, 16 },
        { 3, 65, 16 }, { 3, -8, 16 }, { 3, 8, -1 },  { 3, 8, 257 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        shoal_stream *s = NULL;
        ck_assert_int_eq(shoal_stream_new(&s, m, &bad[i]), SHOAL_EINVAL);
        ck_assert_ptr_null(s);
    }
    shoal_stream *s = new_stream(1, 64, 256);
    ck_assert_int_eq(shoal_stream_set_depth(s, 0), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_stream_set_depth(s, 13), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_stream_get_depth(s), 1);
    shoal_stream_free(s);
}
END_TEST

/* ---- flush ------------------------------------------------------------------------------- */

/* Random feeds, flushes and depths; nothing may be lost, doubled or left waiting. */
START_TEST(any_order_of_calls_keeps_every_frame)
{
    uint32_t rng = (uint32_t)_i + 1;
    shoal_stream *s = new_stream(2, 1 + (int)(util_rand(&rng) % 12), (int)(util_rand(&rng) % 20));
    shoal_batch *b = new_batch();
    features f = features_new(m);
    size_t at = 0;
    for (int step = 0; step < 60; step++) {
        switch (util_rand(&rng) % 5) {
        case 0: ck_assert_int_eq(shoal_stream_flush(s), 0); break;
        case 1:
            ck_assert_int_eq(shoal_stream_set_depth(s, 1 + (int)(util_rand(&rng) % 4)), 0);
            break;
        case 2: util_run_ready(b, s, &f); break;
        default: {
            ptrdiff_t took = shoal_stream_feed(s, pcm + at, util_rand(&rng) % 3000);
            ck_assert_int_ge(took, 0);
            at += (size_t)took;
        }
        }
        ck_assert_int_eq(shoal_stream_samples_fed(s), (int64_t)at);
        ck_assert_int_le(shoal_stream_samples_done(s), (int64_t)at);
        ck_assert_int_eq(shoal_stream_samples_done(s), shoal_stream_next_frame(s) * FRAME);
    }
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(f.frames, (int)((at + FRAME - 1) / FRAME));
    ck_assert_int_eq(shoal_stream_samples_done(s), (int64_t)at);
    util_all_finite("logp", f.logp, (size_t)f.frames * (size_t)f.classes);
    shoal_batch_free(b);
    shoal_stream_free(s);
    features_free(&f);
}
END_TEST

/* A flush leaves behind less than a frame and the mel window, besides the look-ahead. */
START_TEST(flush_makes_every_whole_frame_ready)
{
    shoal_batch *b = new_batch();
    for (size_t n = 0; n < 6000; n += 157) {
        shoal_stream *s = new_stream(2, 64, 8);
        features f = features_new(m);
        ck_assert_int_eq(shoal_stream_feed(s, pcm, n), (ptrdiff_t)n);
        ck_assert_int_eq(shoal_stream_flush(s), 0);
        util_run_ready(b, s, &f);
        int64_t whole = n < 560 ? 0 : ((int64_t)n - 240) / FRAME;
        ck_assert_int_eq(f.frames, whole < DELAY ? 0 : whole - DELAY);
        ck_assert_int_eq(shoal_stream_feed(s, pcm, 10), 10); /* and it takes audio again */
        shoal_stream_free(s);
        features_free(&f);
    }
    shoal_batch_free(b);
}
END_TEST

/* A flush where a chunk ends anyway changes no byte. */
START_TEST(flush_on_a_boundary_changes_nothing)
{
    shoal_stream *s = new_stream(4, 8, 16);
    shoal_batch *b = new_batch();
    features f = features_new(m), want;
    util_feed(b, s, pcm, 20480, util_whole, &f); /* 8 chunks, the last 240 samples short */
    ck_assert_int_eq(shoal_stream_feed(s, pcm + 20480, 240), 240);
    ck_assert_int_eq(shoal_stream_ready(s), 8);
    ck_assert_int_eq(shoal_stream_flush(s), 0);
    util_run_ready(b, s, &f);
    util_feed(b, s, pcm + 20720, 10000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    want = util_stream(m, (shoal_stream_params){ 4, 8, 16 }, pcm, 30720, util_whole);
    util_same_bytes("flush", &f, &want);
    features_free(&f);
    features_free(&want);
    shoal_stream_free(s);
    shoal_batch_free(b);
}
END_TEST

/* ---- depth in mid-stream ----------------------------------------------------------------- */

/* Layers below both depths never sleep: going 12 -> k, the rest equals depth k all along. */
START_TEST(lowered_depth_equals_that_depth_all_along)
{
    int low = _i + 1;
    shoal_stream *s = new_stream(DEPTH, 8, 16);
    shoal_batch *b = new_batch();
    features f = features_new(m), deep, shallow;
    util_feed(b, s, pcm, 9000, util_whole, &f);
    int changed = (int)shoal_stream_next_frame(s);
    ck_assert_int_eq(shoal_stream_set_depth(s, low), 0);
    util_feed(b, s, pcm + 9000, 9000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    deep = util_stream(m, (shoal_stream_params){ DEPTH, 8, 16 }, pcm, 18000, util_whole);
    shallow = util_stream(m, (shoal_stream_params){ low, 8, 16 }, pcm, 18000, util_whole);
    ck_assert_int_eq(f.frames, deep.frames);
    for (int i = 0; i < f.frames; i++) {
        const features *want = i < changed ? &deep : &shallow;
        ck_assert_int_eq(f.depth[i], i < changed ? DEPTH : low);
        util_close("frame", f.embedding + i * f.dim, want->embedding + i * f.dim, (size_t)f.dim,
                   f.dim, 0.0);
    }
    features_free(&f), features_free(&deep), features_free(&shallow);
    shoal_stream_free(s);
    shoal_batch_free(b);
}
END_TEST

/* Set and taken back before a run: as if nothing had been said. */
START_TEST(only_the_depth_at_the_run_counts)
{
    shoal_stream *s = new_stream(DEPTH, 8, 16);
    shoal_batch *b = new_batch();
    features f = features_new(m), want;
    for (size_t at = 0; at < 18000; at += 1000) {
        ck_assert_int_eq(shoal_stream_set_depth(s, 1 + (int)(at / 1000) % 11), 0);
        ck_assert_int_eq(shoal_stream_set_depth(s, DEPTH), 0);
        util_feed(b, s, pcm + at, 1000, util_whole, &f);
    }
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    want = util_stream(m, (shoal_stream_params){ DEPTH, 8, 16 }, pcm, 18000, util_whole);
    util_same_bytes("depth", &f, &want);
    features_free(&f);
    features_free(&want);
    shoal_stream_free(s);
    shoal_batch_free(b);
}
END_TEST

/* ---- bad and dull input ------------------------------------------------------------------ */

START_TEST(nan_is_refused_without_harm)
{
    shoal_stream *s = new_stream(3, 8, 16);
    shoal_batch *b = new_batch();
    features f = features_new(m), want;
    float bad[3000];
    for (size_t at = 0; at < 18000; at += 1000) {
        static const float poison[] = { NAN, INFINITY, -INFINITY, 3e38f, -2e15f };
        memcpy(bad, pcm, sizeof bad);
        bad[at % 2999] = poison[at / 1000 % 5];
        int64_t fed = shoal_stream_samples_fed(s);
        ck_assert_int_eq(shoal_stream_feed(s, bad, 3000), SHOAL_EAUDIO);
        ck_assert_int_eq(shoal_stream_samples_fed(s), fed);
        util_feed(b, s, pcm + at, 1000, util_whole, &f);
    }
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    want = util_stream(m, (shoal_stream_params){ 3, 8, 16 }, pcm, 18000, util_whole);
    util_same_bytes("after NaN", &f, &want);
    features_free(&f);
    features_free(&want);
    shoal_stream_free(s);
    shoal_batch_free(b);
}
END_TEST

START_TEST(silence_and_noise_of_any_level_stay_finite)
{
    static const float levels[] = { 0.0f, 1e-30f, 1e-3f, 1e3f, 1e9f, 1e15f };
    float *x = malloc(RATE * sizeof *x);
    for (int i = 0; i < RATE; i++)
        x[i] = pcm[i] * levels[_i];
    features f = util_stream(m, (shoal_stream_params){ DEPTH, 8, 16 }, x, RATE, util_whole);
    util_all_finite("embedding", f.embedding, (size_t)f.frames * (size_t)f.dim);
    util_all_finite("logp", f.logp, (size_t)f.frames * (size_t)f.classes);
    for (int t = 0; t < f.frames; t++) {
        double sum = 0.0;
        for (int c = 0; c < f.classes; c++)
            sum += exp((double)f.logp[t * f.classes + c]);
        ck_assert_double_eq_tol(sum, 1.0, 1e-5);
    }
    features_free(&f);
    free(x);
}
END_TEST

/* ---- long runs --------------------------------------------------------------------------- */

/* As if the stream had been running for `frames` already. */
static void age(shoal_stream *s, int64_t frames)
{
    s->position = frames;
    s->fed = frames * FRAME;
}

/* 8 hours and 2^33 frames on, the same audio gives the same features. */
START_TEST(old_streams_equal_fresh_ones)
{
    static const int64_t ages[] = { 8LL * 3600 * 50, (1LL << 31) - 20, 1LL << 33 };
    shoal_stream_params p = { DEPTH, 8, 16 };
    shoal_stream *s = new_stream(p.depth, p.chunk_frames, p.left_frames);
    shoal_batch *b = new_batch();
    features want = util_stream(m, p, pcm, 32000, util_whole);
    int64_t at = 0, n = 32000;
    age(s, ages[_i]);
    for (int64_t frame = -DELAY; frame < want.frames;) {
        shoal_result r;
        if (at < n)
            at += shoal_stream_feed(s, pcm + at, (size_t)(n - at));
        else if (!s->finishing)
            ck_assert_int_eq(shoal_stream_finish(s), 0);
        if (!shoal_stream_ready(s))
            continue;
        ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
        ck_assert_int_eq(r.first_frame, ages[_i] + frame);
        for (int i = frame < 0 ? (int)-frame : 0; i < r.frames; i++)
            util_close("aged", r.embedding + i * want.dim, want.embedding + (frame + i) * want.dim,
                       (size_t)want.dim, want.dim, 1e-4);
        frame += r.frames;
    }
    ck_assert_int_eq(shoal_stream_ready(s), 0);
    ck_assert_int_eq(shoal_stream_samples_done(s), ages[_i] * FRAME + n);
    features_free(&want);
    shoal_stream_free(s);
    shoal_batch_free(b);
}
END_TEST

/* Three minutes; then the last frames come from the end's receptive field alone. */
START_TEST(last_frames_depend_on_the_receptive_field_only)
{
    static const int depths[] = { 2, 6, DEPTH };
    shoal_stream_params p = { depths[_i], 8, 16 };
    shoal_stream *s = new_stream(p.depth, p.chunk_frames, p.left_frames);
    shoal_batch *b = new_batch();
    features f = features_new(m), tail;
    size_t silent = shoal_stream_memory(s), scratch = shoal_batch_memory(b), bytes = 0;
    for (int i = 0; i < 9; i++) {
        util_feed(b, s, pcm, MOST, util_whole, &f);
        ck_assert_uint_eq(shoal_stream_memory(s), i ? bytes : shoal_stream_memory(s));
        bytes = shoal_stream_memory(s);
    }
    ck_assert_uint_gt(bytes, silent);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(f.frames, 9 * MOST / FRAME);
    ck_assert_uint_eq(shoal_stream_memory(s), silent); /* the caches went with the last frame */
    ck_assert_uint_eq(shoal_batch_memory(b), scratch);
    /* a layer sees its chunk, 16 frames of attention and 14 of convolution before it; the
     * subsampling 2 more: whole chunks of that many frames are skipped at the tail's start */
    int field = (p.depth * (16 + 14 + 8) + 8) / 8 * 8, keep = 64;
    int start = MOST / FRAME - field - keep;
    start -= start % 8; /* 9 * MOST holds whole chunks, so this is a chunk's first frame */
    tail = util_stream(m, p, pcm + start * FRAME, (size_t)(MOST - start * FRAME), util_whole);
    const float *got = f.embedding + (f.frames - keep) * f.dim;
    util_close("tail", got, tail.embedding + (tail.frames - keep) * f.dim, (size_t)(keep * f.dim),
               f.dim, 1e-4);
    features_free(&f);
    features_free(&tail);
    shoal_stream_free(s);
    shoal_batch_free(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *c = tcase_create("stream");
    tcase_add_unchecked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, any_slicing_gives_the_same_bytes, 0, DEPTH);
    tcase_add_loop_test(c, frames_are_samples_over_320_rounded_up, 0, 5);
    tcase_add_loop_test(c, empty_stream_ends_at_once, 0, 5);
    tcase_add_test(c, finished_streams_take_nothing_more);
    tcase_add_test(c, parameters_out_of_range_are_refused);
    tcase_add_loop_test(c, any_order_of_calls_keeps_every_frame, 0, 50);
    tcase_add_test(c, flush_makes_every_whole_frame_ready);
    tcase_add_test(c, flush_on_a_boundary_changes_nothing);
    tcase_add_loop_test(c, lowered_depth_equals_that_depth_all_along, 0, DEPTH);
    tcase_add_test(c, only_the_depth_at_the_run_counts);
    tcase_add_test(c, nan_is_refused_without_harm);
    tcase_add_loop_test(c, silence_and_noise_of_any_level_stay_finite, 0, 6);
    tcase_add_loop_test(c, old_streams_equal_fresh_ones, 0, 3);
    tcase_add_loop_test(c, last_frames_depend_on_the_receptive_field_only, 0, 3);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

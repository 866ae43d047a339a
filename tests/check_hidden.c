/* check_hidden.c - layers as they are, and log-mel rows, beside the results of a run
 *
 * Against PyTorch (training/golden.py), and against the same audio in other slices, other company
 * and, for log-mels, other chunks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "golden_util.h"
#include "run/stream.h"

enum { SAMPLES = 10000, FRAMES = 32, DIM = 32, MELS = 80, MOST = 4 };

static shoal_model *m;
static float pcm[SAMPLES + 2 * SHOAL__WINDOW]; /* the signal, then silence */

static void set_up(void)
{
    m = util_tiny();
    memset(pcm, 0, sizeof pcm);
    util_signal(pcm, SAMPLES);
}

static void tear_down(void)
{
    shoal_model_close(m);
}

/* ---- a run that keeps everything ---- */

typedef struct kept {
    int layers[MOST + 1]; /* 0-terminated but for the first, which may be 0 */
    int count;
    float hidden[MOST][FRAMES * DIM];
    float last[FRAMES * DIM]; /* the deepest layer's */
    float mel[2 * FRAMES * MELS];
    int frames, mel_frames;
} kept;

static void keep(kept *k, const shoal_batch *b, int at, const shoal_result *r)
{
    ck_assert_int_eq(r->first_frame, k->frames);
    if (r->mel_frames)
        ck_assert_int_eq(r->mel_first_frame, k->mel_frames);
    ck_assert_int_le(k->frames + r->frames, FRAMES);
    ck_assert_int_le(k->mel_frames + r->mel_frames, FRAMES);
    for (int i = 0; i < k->count; i++) {
        shoal_result h;
        ck_assert_int_eq(shoal_batch_get_hidden(b, at, k->layers[i], &h), 0);
        ck_assert_int_eq(h.frames, r->frames);
        ck_assert_int_eq(h.first_frame, r->first_frame);
        ck_assert_int_eq(h.depth, k->layers[i]);
        memcpy(k->hidden[i] + k->frames * DIM, h.hidden, (size_t)(h.frames * DIM) * sizeof(float));
    }
    memcpy(k->last + k->frames * DIM, r->hidden, (size_t)(r->frames * DIM) * sizeof(float));
    memcpy(k->mel + 2 * k->mel_frames * MELS, r->mel,
           (size_t)(2 * r->mel_frames * MELS) * sizeof(float));
    k->frames += r->frames;
    k->mel_frames += r->mel_frames;
}

/* Another stream of the same program and another depth goes along. */
static shoal_stream *companion(int depth)
{
    shoal_stream *s;
    const shoal_stream_params p = { depth, 4, 8 };
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_stream_set_hidden(s, 3), 0);
    return s;
}

static void run(kept *k, shoal_batch *b, shoal_stream *s, shoal_stream *other)
{
    shoal_stream *both[2] = { other, s };
    shoal_result r[2];
    while (shoal_stream_ready(s)) {
        int n = other ? 2 : 1;
        if (other && !shoal_stream_ready(other))
            ck_assert_int_gt(shoal_stream_feed(other, pcm, 2000), 0);
        ck_assert_int_eq(shoal_batch_run(b, both + 2 - n, n, r), 0);
        keep(k, b, n - 1, &r[n - 1]);
    }
}

static kept *stream(shoal_stream_params p, int n, const int *layers, size_t slice, int company)
{
    static const shoal_batch_room room = { .frames = 40, .hidden_frames = 160 };
    kept *k = calloc(1, sizeof *k);
    uint64_t bits = 0;
    shoal_stream *s, *other = company ? companion(company) : NULL;
    shoal_batch *b;
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_batch_new_room(&b, m, &room), 0);
    for (int i = 0; i < n; i++)
        bits |= (uint64_t)1 << (k->layers[k->count++] = layers[i]);
    ck_assert_int_eq(shoal_stream_set_hidden(s, bits), 0);
    shoal_stream_set_mel(s, 1);
    for (size_t at = 0; at < SAMPLES; run(k, b, s, other))
        at += (size_t)shoal_stream_feed(s, pcm + at, slice < SAMPLES - at ? slice : SAMPLES - at);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    run(k, b, s, other);
    ck_assert_int_eq(k->frames, FRAMES);
    ck_assert_int_eq(k->mel_frames, FRAMES);
    shoal_stream_free(s);
    shoal_stream_free(other);
    shoal_batch_free(b);
    return k;
}

/* ---- hidden layers ---- */

static const int layers[] = { 0, 1, 2, 6 };

static void expect(const golden_file *golden, int layer, const float *got)
{
    char name[32];
    snprintf(name, sizeof name, "c8l16.hidden%d", layer);
    util_close(name, got, golden_tensor(golden, name, FRAMES, DIM), FRAMES * DIM, DIM, 2e-5);
}

/* Alone, and among others that are deeper or shallower. */
START_TEST(hidden_layers_equal_pytorch)
{
    static const int company[] = { 0, 3, 12 };
    golden_file golden = golden_open(SRCDIR "/tests/data/tiny_golden.safetensors");
    kept *deep = stream((shoal_stream_params){ 12, 8, 16 }, 4, layers, SAMPLES, company[_i]);
    kept *flat = stream((shoal_stream_params){ 6, 8, 16 }, 3, layers, 333, company[_i]);
    for (int i = 0; i < 4; i++)
        expect(&golden, layers[i], deep->hidden[i]);
    expect(&golden, 12, deep->last);
    for (int i = 0; i < 3; i++)
        expect(&golden, layers[i], flat->hidden[i]);
    expect(&golden, 6, flat->last);
    free(deep);
    free(flat);
    golden_close(&golden);
}
END_TEST

START_TEST(hidden_layers_that_are_not_there)
{
    shoal_stream *s;
    shoal_batch *b;
    shoal_result r;
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 3, 8, 16 }), 0);
    ck_assert_int_eq(shoal_stream_set_hidden(s, 1 << 13), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_stream_set_hidden(s, 1 | 1 << 5), 0); /* 5 is ignored at depth 3 */
    ck_assert_int_eq(shoal_batch_new(&b, m, 8), 0);
    ck_assert_int_gt(shoal_stream_feed(s, pcm, SAMPLES), 0);
    ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), SHOAL_EINVAL); /* it has no room */
    shoal_batch_free(b);
    ck_assert_int_eq(
        shoal_batch_new_room(&b, m, &(shoal_batch_room){ .frames = 8, .hidden_frames = 8 }), 0);
    ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
    ck_assert_ptr_null(r.mel);
    ck_assert_int_eq(shoal_batch_get_hidden(b, 0, 0, &r), 0);
    ck_assert_int_eq(shoal_batch_get_hidden(b, 0, 1, &r), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_batch_get_hidden(b, 0, 5, &r), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_batch_get_hidden(b, 0, -1, &r), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_batch_get_hidden(b, 1, 0, &r), SHOAL_EINVAL);
    shoal_batch_free(b);
    shoal_stream_free(s);
}
END_TEST

/* ---- log-mels ---- */

/* In chunks of any length, those of the whole audio: the kernel's rows, one hop after the other. */
START_TEST(mel_rows_equal_the_kernels)
{
    static const int chunks[] = { 1, 3, 8, 32 };
    float want[2 * FRAMES * MELS];
    for (int i = 0; i < 2 * FRAMES; i++)
        m->kern->log_mel(want + MELS * i, pcm + SHOAL__HOP * i, &m->mel);
    kept *k = stream((shoal_stream_params){ 2, chunks[_i], 16 }, 0, NULL, 777, _i % 2 ? 12 : 0);
    util_close("mel", k->mel, want, 2 * FRAMES * MELS, MELS, 0);
    free(k);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hidden");
    TCase *c = tcase_create("rows");
    tcase_add_unchecked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, hidden_layers_equal_pytorch, 0, 3);
    tcase_add_test(c, hidden_layers_that_are_not_there);
    tcase_add_loop_test(c, mel_rows_equal_the_kernels, 0, 4);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

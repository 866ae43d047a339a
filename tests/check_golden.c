/* check_golden.c - the engine against PyTorch, stage by stage
 *
 * tests/data/tiny_golden.safetensors holds what training/golden.py computed on the signal of
 * util_signal(), 10000 samples; see there for the tensors. The engine has no taps inside a
 * block, so single modules are seen through a copy of the model in which the last matrices of
 * all other modules are zero. Tolerances: embeddings are layer-normed (size 1), so 2e-5 is
 * about 100 float roundings; log posteriors the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "golden_util.h"
#include "model/safetensors.h"

enum { SAMPLES = 10000, FRAMES = 32, DIM = 32, CLASSES = 40, MELS = 80 };

static const double TOLERANCE = 2e-5;

static golden_file golden;
static float pcm[SAMPLES];

static void open_golden(void)
{
    golden = golden_open(SRCDIR "/tests/data/tiny_golden.safetensors");
    util_signal(pcm, SAMPLES);
}

static void close_golden(void)
{
    golden_close(&golden);
}

static void expect(const char *name, const float *got, int rows, int columns)
{
    util_close(name, got, golden_tensor(&golden, name, rows, columns), (size_t)(rows * columns),
               columns, TOLERANCE);
}

static const struct {
    int chunk, left;
} pairs[] = { { 4, 8 }, { 8, 16 }, { 16, 64 } };

/* Each pair on each backend that this build and CPU have. */
START_TEST(depths_equal_pytorch)
{
    int chunk = pairs[_i % 3].chunk, left = pairs[_i % 3].left;
    static const int depths[] = { 1, 2, 6, 12 };
    static const shoal_backend backends[] = { SHOAL_BACKEND_OPENBLAS, SHOAL_BACKEND_ONEDNN,
                                              SHOAL_BACKEND_AMX, SHOAL_BACKEND_OWN };
    shoal_model *m = util_tiny_on(backends[_i / 3], SHOAL_FP32);
    if (!m)
        return;
    for (int i = 0; i < 4; i++) {
        char name[32];
        features f = util_stream(m, (shoal_stream_params){ depths[i], chunk, left }, pcm, SAMPLES,
                                 util_whole);
        ck_assert_int_eq(f.frames, FRAMES);
        snprintf(name, sizeof name, "c%dl%d.d%d", chunk, left, depths[i]);
        expect(name, f.embedding, FRAMES, DIM);
        snprintf(name, sizeof name, "c%dl%d.logp", chunk, left);
        if (depths[i] == 12)
            expect(name, f.logp, FRAMES, CLASSES);
        features_free(&f);
    }
    shoal_model_close(m);
}
END_TEST

/* Zero a tensor inside the bytes of a model file. */
static void blank(unsigned char *file, size_t size, const char *name, int rank, int d0, int d1)
{
    shoal__safetensors *st;
    char why[200] = "";
    int shape[2] = { d0, d1 };
    ck_assert_int_eq(shoal__safetensors_parse(&st, file, size, why, sizeof why), 0);
    const float *p;
    shoal__safetensors_f32(st, name, rank, shape, &p, why, sizeof why);
    ck_assert_msg(p != NULL, "%s", why);
    size_t offset = (size_t)((const unsigned char *)p - file);
    memset(file + offset, 0, sizeof(float) * (size_t)(d0 * (rank == 2 ? d1 : 1)));
    shoal__safetensors_free(st);
}

static const struct {
    const char *module, *last;
    int inner; /* inputs of the module's last matrix */
} modules[] = {
    { "ffn1", "ffn1.down", 64 }, { "att", "att.out", 32 }, { "conv", "conv.pw2", 32 },
    { "ffn2", "ffn2.down", 64 }, { "none", NULL, 0 },
};

/* The tiny model with every module but modules[keep] switched off. */
static shoal_model *single_module(int keep)
{
    size_t size;
    shoal_model *m = NULL;
    unsigned char *file = util_read_file(SRCDIR "/tests/data/tiny.safetensors", &size);
    for (int i = 0; i < 4; i++) {
        char name[64];
        if (i == keep)
            continue;
        snprintf(name, sizeof name, "blocks.0.%s.weight", modules[i].last);
        blank(file, size, name, 2, DIM, modules[i].inner);
        snprintf(name, sizeof name, "blocks.0.%s.bias", modules[i].last);
        blank(file, size, name, 1, DIM, 0);
    }
    ck_assert_int_eq(shoal_model_open_memory(&m, file, size, NULL, 0), 0);
    free(file);
    return m;
}

START_TEST(each_module_equals_pytorch)
{
    char name[32];
    shoal_model *m = single_module(_i);
    features f = util_stream(m, (shoal_stream_params){ 1, 4, 8 }, pcm, SAMPLES, util_whole);
    snprintf(name, sizeof name, "only.%s", modules[_i].module);
    expect(name, f.embedding, 16, DIM);
    features_free(&f);
    shoal_model_close(m);
}
END_TEST

/* A flush ends a chunk early: the same as a mask whose chunks begin where ours do. */
START_TEST(flush_equals_masked_reference)
{
    shoal_model *m = util_tiny();
    shoal_stream *s;
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 12, 8, 16 }), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 8), 0);
    util_feed(b, s, pcm, 4000, util_whole, &f);
    ck_assert_int_eq(f.frames, 6);
    ck_assert_int_eq(shoal_stream_flush(s), 0);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(f.frames, 9);
    util_feed(b, s, pcm + 4000, SAMPLES - 4000, (slicing){ 1, 300 }, &f);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(f.frames, FRAMES);
    expect("flush", f.embedding, FRAMES, DIM);
    features_free(&f);
    shoal_batch_free(b);
    shoal_stream_free(s);
    shoal_model_close(m);
}
END_TEST

/* Layers 3 to 12 sleep during the second chunk and wake with empty history for the third. */
START_TEST(woken_layers_equal_a_fresh_start)
{
    shoal_model *m = util_tiny();
    shoal_stream *s;
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 12, 8, 16 }), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 8), 0);
    util_feed(b, s, pcm, 3200, util_whole, &f); /* one chunk of 8 internal frames */
    ck_assert_int_eq(shoal_stream_next_frame(s), 6);
    ck_assert_int_eq(shoal_stream_set_depth(s, 2), 0);
    util_feed(b, s, pcm + 3200, 2560, util_whole, &f);
    ck_assert_int_eq(shoal_stream_next_frame(s), 14);
    ck_assert_int_eq(shoal_stream_set_depth(s, 12), 0);
    util_feed(b, s, pcm + 5760, SAMPLES - 5760, util_whole, &f);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    ck_assert_int_eq(f.frames, FRAMES);
    for (int i = 0; i < FRAMES; i++)
        ck_assert_int_eq(f.depth[i], i >= 6 && i < 14 ? 2 : 12);
    expect("wake", f.embedding + (size_t)(14 * DIM), 18, DIM);
    features_free(&f);
    shoal_batch_free(b);
    shoal_stream_free(s);
    shoal_model_close(m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden");
    TCase *c = tcase_create("pytorch");
    tcase_add_checked_fixture(c, open_golden, close_golden);
    tcase_add_loop_test(c, depths_equal_pytorch, 0, 12);
    tcase_add_loop_test(c, each_module_equals_pytorch, 0, 5);
    tcase_add_test(c, flush_equals_masked_reference);
    tcase_add_test(c, woken_layers_equal_a_fresh_start);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

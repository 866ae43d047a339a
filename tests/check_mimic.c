/* check_mimic.c - mimic_linear and mimic_transformer: small layers in place of many
 *
 * tests/data/tiny_mimic.safetensors is the tiny model with programs of mimics beside its own;
 * tiny_mimic_golden.safetensors is what PyTorch makes of util_signal() (training/golden.py).
 */
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "golden_util.h"
#include "model/model.h"
#include "model_image.h"

#define MODEL  SRCDIR "/tests/data/tiny_mimic.safetensors"
#define GOLDEN SRCDIR "/tests/data/tiny_mimic_golden.safetensors"

enum { SAMPLES = 10000, FRAMES = 32, DIM = 32, CLASSES = 40, CHUNK = 8, LEFT = 16, PROGRAMS = 5 };

static const struct {
    const char *name;
    int depth, after; /* `after` conformers come first */
} programs[PROGRAMS] = {
    { "base", 12, 12 }, { "linear", 1, 0 },  { "transformer", 1, 0 },
    { "two", 2, 0 },    { "after-3", 5, 3 },
};

static float pcm[SAMPLES];
static image im;

static void set_up(void)
{
    util_signal(pcm, SAMPLES);
    im = image_open(MODEL);
}

static void tear_down(void)
{
    image_close(&im);
}

static shoal_stream_params params(int program)
{
    return (shoal_stream_params){ programs[program].depth, CHUNK, LEFT, SHOAL_WAKE_COPY, program };
}

/* The golden tensor, or its .logp. */
static void expect(const char *program, const char *what, const float *got, int columns)
{
    char name[64];
    golden_file golden = golden_open(GOLDEN);
    snprintf(name, sizeof name, "%s%s", program, what);
    util_close(name, got, golden_tensor(&golden, name, FRAMES, columns), (size_t)(FRAMES * columns),
               columns, 2e-5);
    golden_close(&golden);
}

static void expect_golden(const shoal_model *m, int which, int program)
{
    shoal_stream_params p = params(which);
    p.program = program;
    features f = util_stream(m, p, pcm, SAMPLES, util_whole);
    ck_assert_int_eq(f.frames, FRAMES);
    expect(programs[which].name, "", f.embedding, DIM);
    expect(programs[which].name, ".logp", f.logp, CLASSES);
    features_free(&f);
}

/* On each backend that this build and CPU have. */
START_TEST(mimics_equal_pytorch)
{
    static const shoal_backend backends[] = { SHOAL_BACKEND_AUTO, SHOAL_BACKEND_OPENBLAS,
                                              SHOAL_BACKEND_ONEDNN, SHOAL_BACKEND_AMX,
                                              SHOAL_BACKEND_OWN };
    shoal_model_params p = { .backend = backends[_i], .precision = SHOAL_FP32 };
    shoal_model *m;
    if (shoal_model_open_with(&m, MODEL, &p, NULL, 0) < 0)
        return;
    for (int i = 1; i < PROGRAMS; i++)
        expect_golden(m, i, i);
    shoal_model_close(m);
}
END_TEST

/* A file none of whose programs has a conformer: attention finds the scratch that it works in. */
START_TEST(a_mimic_needs_no_conformer)
{
    json_t *all = json_object_get(im.config, "programs");
    json_t *only = json_incref(json_array_get(all, 2));
    json_array_clear(all);
    json_array_append_new(all, only);
    shoal_model *m = image_accept(&im);
    expect_golden(m, 2, 0);
    shoal_model_close(m);
}
END_TEST

START_TEST(any_slicing_gives_the_same)
{
    shoal_model *m = image_accept(&im);
    for (uint32_t most = 1; most < 3000; most = 7 * most + 400) {
        features whole = util_stream(m, params(_i), pcm, SAMPLES, util_whole);
        features cut = util_stream(m, params(_i), pcm, SAMPLES, (slicing){ 5 + most, most });
        ck_assert_int_eq(whole.frames, FRAMES);
        util_same_bytes("sliced", &cut, &whole);
        features_free(&whole);
        features_free(&cut);
    }
    shoal_model_close(m);
}
END_TEST

/* Two streams of each program in one batch. The default backend may sum in another order there. */
START_TEST(company_changes_nothing)
{
    enum { STREAMS = 2 * PROGRAMS, BLOCK = CHUNK * 320 };
    shoal_model *m = image_accept(&im);
    shoal_stream *s[STREAMS];
    shoal_result r[STREAMS];
    features got[STREAMS];
    shoal_batch *b;
    ck_assert_int_eq(shoal_batch_new(&b, m, STREAMS * CHUNK), 0);
    for (int i = 0; i < STREAMS; i++) {
        shoal_stream_params p = params(i % PROGRAMS);
        ck_assert_int_eq(shoal_stream_new(&s[i], m, &p), 0);
        got[i] = features_new(m);
    }
    for (size_t at = 0, n = BLOCK + 240; at + n <= SAMPLES; at += n, n = BLOCK) {
        for (int i = 0; i < STREAMS; i++)
            ck_assert_int_eq(shoal_stream_feed(s[i], pcm + at, n), (ssize_t)n);
        ck_assert_int_eq(shoal_batch_run(b, s, STREAMS, r), 0);
        for (int i = 0; i < STREAMS; i++)
            features_add(&got[i], &r[i]);
    }
    for (int i = 0; i < STREAMS; i++) {
        features alone = util_stream(m, params(i % PROGRAMS), pcm, SAMPLES, util_whole);
        ck_assert_int_eq(got[i].frames, 3 * CHUNK - 2);
        util_close(programs[i % PROGRAMS].name, got[i].embedding, alone.embedding,
                   (size_t)got[i].frames * DIM, DIM, 1e-5);
        features_free(&alone);
        features_free(&got[i]);
        shoal_stream_free(s[i]);
    }
    shoal_batch_free(b);
    shoal_model_close(m);
}
END_TEST

static shoal_cost cost_of(const shoal_model *m, int program, int layer)
{
    shoal_cost cost;
    const shoal_step step = { program, layer, 1, CHUNK, LEFT };
    ck_assert_int_eq(shoal_model_cost(m, &step, 1, &cost), 0);
    return cost;
}

START_TEST(costs_are_their_own)
{
    shoal_model *m = image_accept(&im);
    shoal_cost linear = cost_of(m, 1, 0), transformer = cost_of(m, 2, 0), two = cost_of(m, 3, 1);
    shoal_cost conformer = cost_of(m, 0, 0);
    ck_assert_double_eq(linear.flops, CHUNK * 4.0 * DIM * 24);
    ck_assert_double_eq(two.flops, CHUNK * 4.0 * DIM * 40);
    ck_assert_uint_eq(linear.cache_bytes, 0);
    ck_assert_int_eq(linear.reach_frames, 0);
    ck_assert_double_eq(transformer.flops,
                        CHUNK * 2.0 * DIM * (4 * DIM + 2 * 48 + 2 * (CHUNK + LEFT)));
    ck_assert_uint_gt(transformer.cache_bytes, 2 * LEFT * DIM * sizeof(float) - 1);
    ck_assert_uint_lt(transformer.cache_bytes, conformer.cache_bytes);
    ck_assert_int_eq(transformer.reach_frames, LEFT);
    shoal_model_close(m);
}
END_TEST

static json_t *entry_of(int program, int layer)
{
    json_t *p = json_array_get(json_object_get(im.config, "programs"), (size_t)program);
    return json_array_get(json_object_get(p, "layers"), (size_t)layer);
}

START_TEST(entries_take_what_there_is)
{
    json_object_set_new(entry_of(2, 0), "mimic", json_integer(3));
    image_refuse(&im, "program 'transformer' entry 0");
    json_object_set_new(entry_of(2, 0), "mimic", json_integer(-1));
    image_refuse(&im, "mimic");
    json_object_del(entry_of(2, 0), "mimic");
    image_refuse(&im, "mimic");
    json_object_set_new(entry_of(2, 0), "mimic", json_integer(0));
    json_object_set_new(entry_of(2, 0), "block", json_integer(0));
    image_refuse(&im, "block");
    json_object_del(entry_of(2, 0), "block");
    shoal_model_close(image_accept(&im));
    json_object_del(im.config, "mimic_transformer");
    image_refuse(&im, "lists no 'mimic_transformer'");
}
END_TEST

START_TEST(widths_are_checked)
{
    static const char *const bad[] = {
        "[]", "7", "[24, 40, 0]", "[24, 40, 8193]", "[24, 40, \"8\"]", "{}"
    };
    json_object_set_new(im.config, "mimic_linear", json_loads(bad[_i], JSON_DECODE_ANY, NULL));
    image_refuse(&im, "mimic_linear");
}
END_TEST

/* A wider one than the file has, one more, and one less, whose tensors then mean nothing. */
START_TEST(tensors_are_those_that_are_listed)
{
    json_t *widths = json_object_get(im.config, "mimic_linear");
    ck_assert_uint_eq(json_array_size(widths), 3);
    json_array_set_new(widths, 0, json_integer(25));
    image_refuse(&im, "mimic_linear.0.up.weight");
    json_array_set_new(widths, 0, json_integer(24));
    json_array_append_new(widths, json_integer(24));
    image_refuse(&im, "mimic_linear.3.up.weight");
    json_array_remove(widths, 3);
    shoal_model_close(image_accept(&im));
    json_object_del(im.header, "mimic_transformer.1.norm.out.bias");
    image_refuse(&im, "mimic_transformer.1.norm.out.bias");
}
END_TEST

START_TEST(what_nothing_lists_is_refused)
{
    json_array_append_new(json_object_get(im.config, "mimic_transformer"), json_integer(112));
    image_refuse(&im, "mimic_transformer.3.att.qkv.weight");
    json_array_remove(json_object_get(im.config, "mimic_transformer"), 3);
    image_add_tensor(&im, "mimic_linear.3.norm.weight", 24, 0, NULL);
    image_refuse(&im, "mimic_linear.3.norm.weight");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mimic");
    TCase *c = tcase_create("mimic");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, mimics_equal_pytorch, 0, 5);
    tcase_add_test(c, a_mimic_needs_no_conformer);
    tcase_add_loop_test(c, any_slicing_gives_the_same, 1, PROGRAMS);
    tcase_add_test(c, company_changes_nothing);
    tcase_add_test(c, costs_are_their_own);
    tcase_add_test(c, entries_take_what_there_is);
    tcase_add_loop_test(c, widths_are_checked, 0, 6);
    tcase_add_test(c, tensors_are_those_that_are_listed);
    tcase_add_test(c, what_nothing_lists_is_refused);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

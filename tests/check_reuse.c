/* check_reuse.c - the operation "reuse": PyTorch's features, company, waking up, bytes, refusals
 *
 * tests/data/tiny_reuse.safetensors is a shared model (two blocks of three layers) with programs in
 * which every layer has its own map, or two, or three layers have one. tiny_values.safetensors is
 * an unshared one whose second and fourth layer have no queries and keys in the file. Their _golden
 * files are the oracle's (training/golden.py).
 */
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "golden_util.h"
#include "model/model.h"
#include "model_image.h"
#include "ops/conformer.h"
#include "ops/history.h"
#include "run/stream.h"

#define SHARED SRCDIR "/tests/data/tiny_reuse"
#define VALUES SRCDIR "/tests/data/tiny_values"

enum { SAMPLES = 10000, FRAMES = 32, DEPTH = 6, OWN = 0, TWO = 1, THREE = 2, PROGRAMS = 3 };

static const char *const names[PROGRAMS] = { "own", "two", "three" };
static float pcm[SAMPLES];
static shoal_model *m;

static void set_up(void)
{
    util_signal(pcm, SAMPLES);
    m = util_open(SHARED ".safetensors", shoal_model_default_params());
}

static void tear_down(void)
{
    shoal_model_close(m);
    m = NULL;
}

static shoal_stream_params params(int program, int depth, int chunk)
{
    return (shoal_stream_params){ depth, chunk, 16, SHOAL_WAKE_COPY, program };
}

/* ---- PyTorch ------------------------------------------------------------------------------- */

static void equals_golden(const char *path, int program, const char *name, int depth)
{
    char key[32];
    features f = util_stream(m, params(program, depth, 8), pcm, SAMPLES, util_whole);
    golden_file golden = golden_open(path);
    snprintf(key, sizeof key, "%s.d%d", name, depth);
    util_close(key, f.embedding, golden_tensor(&golden, key, FRAMES, f.dim),
               (size_t)(FRAMES * f.dim), f.dim, 2e-5);
    golden_close(&golden);
    features_free(&f);
}

START_TEST(features_equal_pytorch)
{
    equals_golden(SHARED "_golden.safetensors", _i % PROGRAMS, names[_i % PROGRAMS],
                  1 + _i / PROGRAMS);
}
END_TEST

START_TEST(layers_without_queries_equal_pytorch)
{
    tear_down();
    m = util_open(VALUES ".safetensors", shoal_model_default_params());
    equals_golden(VALUES "_golden.safetensors", 0, "base", _i);
}
END_TEST

/* ---- company ------------------------------------------------------------------------------- */

static const struct {
    shoal_precision precision;
    shoal_cache cache;
} kinds[] = {
    { SHOAL_FP32, SHOAL_CACHE_F32 },  { SHOAL_FP32, SHOAL_CACHE_F16 },
    { SHOAL_FP32, SHOAL_CACHE_BF16 }, { SHOAL_FP32, SHOAL_CACHE_INT8 },
    { SHOAL_INT8, SHOAL_CACHE_INT8 },
};
enum { KINDS = sizeof kinds / sizeof *kinds, STREAMS = 12 };

/* What stream i of a crowd is. */
static shoal_stream_params one_of(int i)
{
    static const int chunks[] = { 8, 3, 16 };
    return params(i % PROGRAMS, 1 + i % DEPTH, chunks[i / PROGRAMS % 3]);
}

START_TEST(company_and_slices_change_no_byte)
{
    shoal_stream *s[STREAMS];
    features got[STREAMS];
    shoal_batch *b;
    tear_down();
    m = util_open(SHARED ".safetensors",
                  (shoal_model_params){ SHOAL_BACKEND_OWN, kinds[_i].precision, kinds[_i].cache });
    ck_assert_int_eq(shoal_batch_new(&b, m, STREAMS * 16), 0);
    for (int i = 0; i < STREAMS; i++) {
        shoal_stream_params p = one_of(i);
        ck_assert_int_eq(shoal_stream_new(&s[i], m, &p), 0);
        got[i] = features_new(m);
    }
    util_run_together(b, s, STREAMS, pcm, SAMPLES, got);
    for (int i = 0; i < STREAMS; i++) {
        features alone = util_stream(m, one_of(i), pcm, SAMPLES, (slicing){ (uint32_t)i + 1, 700 });
        alone.frames = got[i].frames; /* those that only an end brings are not asked for */
        ck_assert_int_ge(got[i].frames, 14);
        util_same_bytes("in company", &got[i], &alone);
        features_free(&alone);
        features_free(&got[i]);
        shoal_stream_free(s[i]);
    }
    shoal_batch_free(b);
}
END_TEST

/* ---- waking up ----------------------------------------------------------------------------- */

static size_t cache_size(const shoal_stream *s, int layer)
{
    return shoal__layer_cache_bytes(m, &m->programs[s->params.program].layers[layer], &s->params);
}

/* A reader that slept has its source's values: the same block made them. */
START_TEST(readers_wake_with_what_their_source_knows)
{
    shoal_stream_params p = params(TWO, _i, 4);
    shoal_stream *s;
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 4), 0);
    util_feed(b, s, pcm, 6000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_set_depth(s, 2), 0);
    shoal__cache_wake(s);
    ck_assert_uint_lt(cache_size(s, 1), cache_size(s, 0));
    ck_assert_mem_eq(s->caches[1], s->caches[0], cache_size(s, 1));
    util_feed(b, s, pcm + 6000, 4000, util_whole, &f);
    util_all_finite("woken", f.embedding, (size_t)(f.frames * f.dim));
    features_free(&f);
    shoal_batch_free(b);
    shoal_stream_free(s);
}
END_TEST

/* Of another block nothing is to be had: what was slept through counts as 0, whatever lay there. */
START_TEST(what_was_slept_through_counts_as_nothing)
{
    const size_t bytes = shoal__history_value_bytes(m, 16);
    shoal__history *h = aligned_alloc(64, bytes), as = { .filled = 9, .next = 9 };
    memset(h, 0x41, bytes);
    *h = (shoal__history){ 0 };
    shoal__history_follow(m, 16, h, (shoal__history){ 0 });
    ck_assert_int_eq(h->filled, 0);
    ck_assert_int_eq(((unsigned char *)h)[bytes - 1], 0x41);
    shoal__history_follow(m, 16, h, as);
    ck_assert_int_eq(h->filled, 9);
    ck_assert_int_eq(h->next, 9);
    for (size_t i = 64; i < bytes; i++)
        ck_assert_int_eq(((unsigned char *)h)[i], 0);
    free(h);
}
END_TEST

START_TEST(layers_without_queries_wake_up_empty)
{
    tear_down();
    m = util_open(VALUES ".safetensors", shoal_model_default_params());
    shoal_stream_params p = params(0, 1, 4);
    shoal_stream *s;
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 4), 0);
    util_feed(b, s, pcm, 6000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_set_depth(s, 4), 0);
    util_feed(b, s, pcm + 6000, 4000, util_whole, &f);
    util_all_finite("woken", f.embedding, (size_t)(f.frames * f.dim));
    const shoal__history *source, *reader;
    size_t at = shoal__conformer_attention_at(m);
    source = (const shoal__history *)(const void *)(s->caches[0] + at);
    reader = (const shoal__history *)(const void *)(s->caches[1] + at);
    ck_assert_int_eq(reader->filled, source->filled);
    ck_assert_int_eq(reader->next, source->next);
    features_free(&f);
    shoal_batch_free(b);
    shoal_stream_free(s);
}
END_TEST

/* ---- maps, bytes, arithmetic --------------------------------------------------------------- */

START_TEST(maps_live_until_their_last_reader)
{
    static const int keeps[PROGRAMS][DEPTH] = { { 0 }, { 1, 0, 1, 0, 1, 0 }, { 1, 0, 0, 1, 0, 0 } };
    const shoal__conformer_pools *pools = m->pools[SHOAL__CONFORMER];
    ck_assert_int_eq(pools->maps, 1);
    for (int p = 0; p < PROGRAMS; p++)
        for (int i = 0; i < DEPTH; i++)
            ck_assert_int_eq(m->programs[p].layers[i].keeps_map, keeps[p][i]);
}
END_TEST

/* Keys are what a reader does not keep, and their products what it does not make. */
START_TEST(readers_keep_and_compute_less)
{
    shoal_cost own, reader;
    const double frame = 2 * (2 * 32 * 32 + 32 * (16 + 8));
    ck_assert_int_eq(shoal_model_cost(m, &(shoal_step){ TWO, 0, 1, 8, 16 }, 1, &own), 0);
    ck_assert_int_eq(shoal_model_cost(m, &(shoal_step){ TWO, 1, 1, 8, 16 }, 1, &reader), 0);
    ck_assert_uint_eq(own.cache_bytes - reader.cache_bytes, 16 * 32 * 4);
    ck_assert_double_eq(own.flops - reader.flops, 8 * frame);
    ck_assert_int_eq(own.reach_frames, reader.reach_frames);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------ */

static image im;

static void take_apart(void)
{
    im = image_open(SHARED ".safetensors");
}

static void put_away(void)
{
    image_close(&im);
}

static json_t *entry_of(size_t program, size_t layer)
{
    json_t *p = json_array_get(json_object_get(im.config, "programs"), program);
    return json_array_get(json_object_get(p, "layers"), layer);
}

static void refuse_source(json_t *entry, const char *json, const char *word)
{
    json_t *good = json_incref(json_object_get(entry, "source"));
    if (json)
        json_object_set_new(entry, "source", json_loads(json, JSON_DECODE_ANY, NULL));
    else
        json_object_del(entry, "source");
    image_refuse(&im, word);
    json_object_set_new(entry, "source", good);
}

START_TEST(sources_are_layers_before_with_a_map)
{
    static const char *const orphans[] = { "1", "3", "4", "5", "63" };
    json_t *entry = entry_of(TWO, 3);
    for (size_t i = 0; i < sizeof orphans / sizeof *orphans; i++)
        refuse_source(entry, orphans[i], "program 'two' entry 3: 'source'");
    refuse_source(entry, "-1", "'source'");
    refuse_source(entry, "64", "'source'");
    refuse_source(entry, "null", "'source'");
    refuse_source(entry, NULL, "'source'");
    json_object_set_new(entry, "attn", json_string("own"));
    image_refuse(&im, "'attn'");
    json_object_del(entry, "attn");
    json_object_set_new(entry, "source", json_integer(0)); /* farther away is as good */
    shoal_model *opened = image_accept(&im);
    const shoal__conformer_pools *pools = opened->pools[SHOAL__CONFORMER];
    ck_assert_int_eq(pools->maps, 1); /* the map of entry 2 has no reader now */
    shoal_model_close(opened);
}
END_TEST

/* Pruning that takes a source away: what is left points at nothing, or at what has no map. */
START_TEST(a_source_that_was_taken_out_is_missed)
{
    json_t *layers =
        json_object_get(json_array_get(json_object_get(im.config, "programs"), TWO), "layers");
    json_object_clear(json_array_get(layers, 2));
    json_object_set_new(json_array_get(layers, 2), "op", json_string("identity"));
    image_refuse(&im, "program 'two' entry 3: 'source' 2");
    json_array_remove(layers, 0);
    image_refuse(&im, "program 'two' entry 0: 'source' 0");
}
END_TEST

/* Two maps at once, when readers stand crosswise. */
START_TEST(maps_that_live_at_once_have_places)
{
    json_object_set_new(entry_of(THREE, 1), "op", json_string("conformer"));
    json_object_set_new(entry_of(THREE, 1), "attn", json_string("own"));
    json_object_del(entry_of(THREE, 1), "source");
    json_object_set_new(entry_of(THREE, 4), "source", json_integer(1));
    shoal_model *opened = image_accept(&im);
    const shoal__conformer_pools *pools = opened->pools[SHOAL__CONFORMER];
    ck_assert_int_eq(pools->maps, 2);
    ck_assert_int_eq(opened->programs[THREE].layers[0].keeps_map, 1);
    ck_assert_int_eq(opened->programs[THREE].layers[1].keeps_map, 2);
    ck_assert_int_eq(opened->programs[THREE].layers[3].keeps_map, 1);
    features f = util_stream(opened, params(THREE, DEPTH, 8), pcm, SAMPLES, util_whole);
    ck_assert_int_eq(f.frames, FRAMES);
    util_all_finite("crosswise", f.embedding, (size_t)(f.frames * f.dim));
    features_free(&f);
    shoal_model_close(opened);
}
END_TEST

START_TEST(blocks_have_what_their_layers_take)
{
    image_close(&im);
    im = image_open(VALUES ".safetensors");
    image_add_tensor(&im, "blocks.1.att.qkv.bias", 48, 0, NULL);
    image_refuse(&im, "blocks.1.att.qkv.bias");
    json_object_del(im.header, "blocks.1.att.qkv.bias");
    json_object_del(im.header, "blocks.3.att.v.weight");
    image_refuse(&im, "blocks.3.att.v.weight");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reuse");
    TCase *c = tcase_create("reuse"), *bad = tcase_create("refusals");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, features_equal_pytorch, 0, PROGRAMS * DEPTH);
    tcase_add_loop_test(c, layers_without_queries_equal_pytorch, 1, 5);
    tcase_add_loop_test(c, company_and_slices_change_no_byte, 0, KINDS);
    tcase_add_loop_test(c, readers_wake_with_what_their_source_knows, 1, 2);
    tcase_add_test(c, what_was_slept_through_counts_as_nothing);
    tcase_add_test(c, layers_without_queries_wake_up_empty);
    tcase_add_test(c, maps_live_until_their_last_reader);
    tcase_add_test(c, readers_keep_and_compute_less);
    tcase_add_checked_fixture(bad, take_apart, put_away);
    tcase_add_test(bad, sources_are_layers_before_with_a_map);
    tcase_add_test(bad, a_source_that_was_taken_out_is_missed);
    tcase_add_test(bad, maps_that_live_at_once_have_places);
    tcase_add_test(bad, blocks_have_what_their_layers_take);
    suite_add_tcase(suite, c);
    suite_add_tcase(suite, bad);
    return suite_run(suite);
}

/* check_ops.c - operations: programs over several pools, rows as lists, waking layers, costs
 *
 * Models are the tiny one with other programs: a digit is a conformer with that block, 'i' an
 * identity. Blocks beyond the first are the first one's weights, each turned by its number, so
 * that no two give the same.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model/model.h"
#include "model_image.h"
#include "run/stream.h"

enum { SAMPLES = 24000, DIM = 32, LEFT = 16, CHUNK = 4 };

static float pcm[SAMPLES];
static shoal_model *m;

static void set_up(void)
{
    util_signal(pcm, SAMPLES);
}

static void tear_down(void)
{
    shoal_model_close(m);
    m = NULL;
}

static json_t *entries(const char *layers)
{
    json_t *program = json_array();
    for (const char *c = layers; *c; c++)
        json_array_append_new(program,
                              *c == 'i' ? json_pack("{s:s}", "op", "identity")
                                        : json_pack("{s:s,s:s,s:i,s:i}", "op", "conformer", "attn",
                                                    "own", "block", *c - '0', "norms", 0));
    return program;
}

/* The tensor `name` of block 0 as one of block `to`, its values turned by `to` places. */
static void add_turned(image *im, const char *name, int to)
{
    char other[64];
    json_int_t begin, end;
    int rows, columns = 0;
    json_t *t = image_tensor(im, name), *shape = json_object_get(t, "shape");
    ck_assert_int_eq(json_unpack(t, "{s:[I,I]}", "data_offsets", &begin, &end), 0);
    rows = (int)json_integer_value(json_array_get(shape, 0));
    columns = (int)json_integer_value(json_array_get(shape, 1));
    size_t bytes = (size_t)(end - begin), cut = (size_t)to * sizeof(float);
    char *values = malloc(bytes);
    memcpy(values, im->body + begin + cut, bytes - cut);
    memcpy(values + bytes - cut, im->body + begin, cut);
    snprintf(other, sizeof other, "blocks.%d%s", to, name + strlen("blocks.0"));
    image_add_tensor(im, other, rows, columns, (const float *)(const void *)values);
    free(values);
}

static void add_block(image *im, int to)
{
    const char *names[64], *name;
    int count = 0;
    json_t *entry;
    json_object_foreach(im->header, name, entry)
    {
        (void)entry;
        if (!strncmp(name, "blocks.0.", strlen("blocks.0.")))
            names[count++] = name;
    }
    for (int i = 0; i < count; i++)
        add_turned(im, names[i], to);
}

static shoal_model *open_program(const char *layers)
{
    image im = image_open(SRCDIR "/tests/data/tiny.safetensors");
    int blocks = 1;
    for (const char *c = layers; *c; c++)
        blocks = *c != 'i' && *c - '0' >= blocks ? *c - '0' + 1 : blocks;
    for (int i = 1; i < blocks; i++)
        add_block(&im, i);
    json_object_set_new(im.config, "blocks", json_integer(blocks));
    json_object_set_new(im.config, "program", entries(layers));
    size_t size;
    unsigned char *bytes = image_bytes(&im, &size);
    char why[256] = "";
    shoal_model *opened = NULL;
    int rc = shoal_model_open_memory(&opened, bytes, size, why, sizeof why);
    ck_assert_msg(rc == 0, "%s: %s", layers, why);
    free(bytes);
    image_close(&im);
    return opened;
}

static shoal_stream *stream_of(int program, int depth, shoal_wake wake)
{
    shoal_stream *s;
    shoal_stream_params p = { depth, CHUNK, LEFT, wake, program };
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    return s;
}

static features features_of(int program, int depth)
{
    return util_stream(m, (shoal_stream_params){ depth, CHUNK, LEFT, SHOAL_WAKE_COPY, program },
                       pcm, SAMPLES, util_whole);
}

static void same(const char *what, const features *a, const features *b)
{
    ck_assert_int_eq(a->frames, b->frames);
    ck_assert_msg(!memcmp(a->embedding, b->embedding, (size_t)(a->frames * a->dim) * sizeof(float)),
                  "%s: embeddings differ by %g", what,
                  util_max_diff(a->embedding, b->embedding, (size_t)(a->frames * a->dim)));
    ck_assert_mem_eq(a->logp, b->logp, (size_t)(a->frames * a->classes) * sizeof(float));
}

/* ---- identity ------------------------------------------------------------------------------ */

START_TEST(identity_keeps_the_place_of_a_layer)
{
    static const int before[] = { 1, 1, 2, 3, 3 }; /* depth of "010" at depths 1.. of "0i10i" */
    m = open_program("010");
    features want = features_of(0, before[_i]);
    shoal_model_close(m);
    m = open_program("0i10i");
    features got = features_of(0, _i + 1);
    same("identity", &got, &want);
    features_free(&got);
    features_free(&want);
}
END_TEST

START_TEST(identity_keeps_and_costs_nothing)
{
    m = open_program("0ii");
    shoal_stream *shallow = stream_of(0, 1, SHOAL_WAKE_COPY), *deep = stream_of(0, 3, 0);
    ck_assert_int_eq(shoal_stream_feed(shallow, pcm, 100), 100);
    ck_assert_int_eq(shoal_stream_feed(deep, pcm, 100), 100);
    ck_assert_uint_eq(shoal_stream_memory(shallow), shoal_stream_memory(deep));
    shoal_cost cost;
    ck_assert_int_eq(shoal_model_cost(m, &(shoal_step){ 0, 1, 5, CHUNK, LEFT }, 1, &cost), 0);
    ck_assert_double_eq(cost.flops, 0.0);
    ck_assert_uint_eq(cost.cache_bytes, 0);
    ck_assert_int_eq(cost.reach_frames, 0);
    shoal_stream_free(shallow);
    shoal_stream_free(deep);
}
END_TEST

/* ---- layers that wake up ------------------------------------------------------------------- */

/* Of which layer's cache, after some chunks at depth `awake`, each deeper one gets a copy. */
static const struct {
    const char *layers;
    int awake;
    int from[6]; /* -1: none, empty */
} wakes[] = {
    { "000", 1, { 0, 0, 0 } },       { "000", 2, { 0, 1, 1 } },
    { "0101", 1, { 0, -1, 0, -1 } }, { "0101", 2, { 0, 1, 0, 1 } },
    { "0101", 3, { 0, 1, 2, 1 } },   { "001122", 3, { 0, 1, 2, 2, -1, -1 } },
    { "0i0", 2, { 0, -1, 0 } },      { "i0i0", 1, { -1, -1, -1, -1 } },
    { "i0i0", 2, { -1, 1, -1, 1 } },
};

static size_t cache_size(const shoal_stream *s, int layer)
{
    return shoal__layer_cache_bytes(m, &m->programs->layers[layer], &s->params);
}

START_TEST(layers_wake_from_the_deepest_of_their_block)
{
    int depth = (int)strlen(wakes[_i].layers);
    m = open_program(wakes[_i].layers);
    shoal_stream *s = stream_of(0, wakes[_i].awake, SHOAL_WAKE_COPY);
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_batch_new(&b, m, CHUNK), 0);
    util_feed(b, s, pcm, 8000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_set_depth(s, depth), 0);
    shoal__cache_wake(s);
    for (int l = wakes[_i].awake; l < depth; l++) {
        size_t bytes = cache_size(s, l);
        unsigned char *empty = calloc(1, bytes + 1);
        int from = wakes[_i].from[l];
        const void *want = from < 0 ? empty : s->caches[from];
        ck_assert_int_eq(bytes == 0, wakes[_i].layers[l] == 'i');
        ck_assert_msg(!bytes || !memcmp(s->caches[l], want, bytes), "layer %d of %s, not as %d", l,
                      wakes[_i].layers, from);
        free(empty);
    }
    features_free(&f);
    shoal_batch_free(b);
    shoal_stream_free(s);
}
END_TEST

/* A layer that wakes up twice with nobody to copy from forgets what it knew. */
START_TEST(nothing_awake_means_empty_again)
{
    m = open_program("01");
    shoal_stream *s = stream_of(0, 2, SHOAL_WAKE_COPY);
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_batch_new(&b, m, CHUNK), 0);
    util_feed(b, s, pcm, 8000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_set_depth(s, 1), 0);
    util_feed(b, s, pcm + 8000, 4000, util_whole, &f);
    ck_assert_int_eq(shoal_stream_set_depth(s, 2), 0);
    util_feed(b, s, pcm + 12000, 8000, util_whole, &f);

    shoal_stream *e = stream_of(0, 1, SHOAL_WAKE_EMPTY);
    features want = features_new(m);
    util_feed(b, e, pcm, 8000 + 4000, util_whole, &want);
    ck_assert_int_eq(shoal_stream_set_depth(e, 2), 0);
    util_feed(b, e, pcm + 12000, 8000, util_whole, &want);
    ck_assert_int_eq(f.frames, want.frames);
    size_t skip = (size_t)(f.frames - 12 * CHUNK / 2) * DIM; /* those after the change */
    ck_assert_mem_eq(f.embedding + skip, want.embedding + skip,
                     12 * CHUNK / 2 * DIM * sizeof(float));
    features_free(&f);
    features_free(&want);
    shoal_batch_free(b);
    shoal_stream_free(s);
    shoal_stream_free(e);
}
END_TEST

/* ---- programs in company ------------------------------------------------------------------- */

static void add_program(const char *layers)
{
    size_t n = (size_t)m->program_count;
    m->programs = realloc(m->programs, (n + 1) * sizeof *m->programs);
    shoal__program *p = &m->programs[n];
    *p = (shoal__program){ .depth = (int)strlen(layers) };
    p->layers = calloc((size_t)p->depth, sizeof *p->layers);
    for (int i = 0; i < p->depth; i++) {
        p->layers[i].op = shoal__op_find(layers[i] == 'i' ? "identity" : "conformer");
        p->layers[i].takes[0] = layers[i] == 'i' ? 0 : layers[i] - '0';
        p->layers[i].exit = i ? 0.5f : 1.0f;
        p->blends = 1;
    }
    m->program_count++;
}

START_TEST(programs_share_a_batch)
{
    enum { STREAMS = 7 };
    static const int program[STREAMS] = { 0, 1, 2, 1, 0, 2, 0 };
    static const int depth[STREAMS] = { 4, 3, 2, 1, 2, 2, 4 };
    shoal_stream *s[STREAMS];
    shoal_result r[STREAMS];
    features got[STREAMS];
    shoal_batch *b;
    m = open_program("0101");
    add_program("1i0");
    add_program("00");
    ck_assert_int_eq(shoal_batch_new(&b, m, STREAMS * CHUNK), 0);
    for (int i = 0; i < STREAMS; i++) {
        s[i] = stream_of(program[i], depth[i], SHOAL_WAKE_COPY);
        got[i] = features_new(m);
    }
    size_t at = 0;
    while (at + CHUNK * 320 + 240 <= SAMPLES) {
        size_t used = 0;
        for (int i = 0; i < STREAMS; i++)
            used = (size_t)shoal_stream_feed(s[i], pcm + at, CHUNK * 320 + (at ? 0 : 240));
        at += used;
        ck_assert_int_eq(shoal_batch_run(b, s, STREAMS, r), 0);
        for (int i = 0; i < STREAMS; i++)
            features_add(&got[i], &r[i]);
    }
    for (int i = 0; i < STREAMS; i++) {
        features alone = features_of(program[i], depth[i]);
        size_t n = (size_t)got[i].frames;
        ck_assert_int_gt(got[i].frames, 50);
        util_close("in company", got[i].embedding, alone.embedding, n * DIM, DIM, 1e-5);
        features_free(&alone);
        features_free(&got[i]);
        shoal_stream_free(s[i]);
    }
    shoal_batch_free(b);
}
END_TEST

START_TEST(programs_are_bounded)
{
    shoal_stream *s;
    shoal_program_info p;
    shoal_layer_info l;
    m = open_program("0i1");
    shoal_stream_params params = { 1, CHUNK, LEFT, SHOAL_WAKE_COPY, 1 };
    ck_assert_int_eq(m->info.programs, 1);
    ck_assert_int_eq(shoal_stream_new(&s, m, &params), SHOAL_EINVAL);
    params.program = -1;
    ck_assert_int_eq(shoal_stream_new(&s, m, &params), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_model_get_program(m, 1, &p), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_model_get_program(m, 0, &p), 0);
    ck_assert_str_eq(p.name, "base");
    ck_assert_int_eq(p.depth, 3);
    ck_assert_int_eq(shoal_model_get_layer(m, 0, 3, &l), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_model_get_layer(m, 0, 1, &l), 0);
    ck_assert_str_eq(l.op, "identity");
    ck_assert_int_eq(l.pools, 0);
    ck_assert_int_eq(shoal_model_get_layer(m, 0, 2, &l), 0);
    ck_assert_str_eq(l.op, "conformer");
    ck_assert_int_eq(l.pools, 2);
    ck_assert_str_eq(l.pool[0], "block");
    ck_assert_int_eq(l.place[0], 1);
    ck_assert_str_eq(l.pool[1], "norms");
    ck_assert_int_eq(l.place[1], 0);
}
END_TEST

/* ---- rows ---------------------------------------------------------------------------------- */

START_TEST(rows_come_in_spans)
{
    static const int list[] = { 0, 1, 2, 5, 7, 8 };
    static const int want[][2] = { { 0, 3 }, { 5, 1 }, { 7, 2 } };
    const shoal__rows some = { .count = 6, .index = list }, all = { .count = 9 };
    int first, spans = 0;
    for (int i = 0, n; i < some.count; i += n, spans++) {
        n = shoal__rows_span(&some, i, &first);
        ck_assert_int_eq(first, want[spans][0]);
        ck_assert_int_eq(n, want[spans][1]);
    }
    ck_assert_int_eq(spans, 3);
    ck_assert_int_eq(shoal__rows_span(&all, 0, &first), 9);
    ck_assert_int_eq(first, 0);
}
END_TEST

/* ---- costs --------------------------------------------------------------------------------- */

/* D 32, ffn 64, 15 taps: 4 D ffn + 7 D D of products, 15 D of convolution, 2 D a context frame. */
START_TEST(a_plan_costs_the_sum_of_its_steps)
{
    const double layer = 2 * (4 * 32 * 64 + 7 * 32 * 32 + 15 * 32 + 2 * 32 * (LEFT + CHUNK));
    const double front = 2 * (2 * 3 * 80 * 32 + 3 * 32 * 32), head = 2 * 32 * 40;
    shoal_stream_params p = { 2, CHUNK, LEFT, SHOAL_WAKE_COPY, 0 };
    shoal_step steps[8];
    shoal_cost cost;
    m = open_program("000");
    ck_assert_int_eq(shoal_model_plan(m, &p, 5, steps, 3), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_model_plan(m, &p, 5, steps, 8), 4);
    ck_assert_int_eq(shoal_model_cost(m, steps, 4, &cost), 0);
    ck_assert_double_eq(cost.flops, 5 * CHUNK * (front + 2 * layer + head));
    /* of each layer LEFT and 14 frames, both in whole chunks */
    ck_assert_int_eq(cost.reach_frames,
                     2 * ((LEFT + CHUNK - 1) / CHUNK + (14 + CHUNK - 1) / CHUNK) * CHUNK);
    steps[2].streams = 3; /* two leave after the first layer */
    ck_assert_int_eq(shoal_model_cost(m, steps, 4, &cost), 0);
    ck_assert_double_eq(cost.flops, CHUNK * (5 * front + 8 * layer + 5 * head));
    steps[2].layer = 3;
    ck_assert_int_eq(shoal_model_cost(m, steps, 4, &cost), SHOAL_EINVAL);
    p.depth = 4;
    ck_assert_int_eq(shoal_model_plan(m, &p, 5, steps, 8), SHOAL_EINVAL);
}
END_TEST

/* What a plan says is kept is what a stream takes when its audio comes. */
START_TEST(cache_bytes_are_what_streams_take)
{
    m = open_program("0i0");
    for (int left = 0; left <= 40; left += 5) {
        shoal_stream_params p = { 3, CHUNK, left, SHOAL_WAKE_COPY, 0 };
        shoal_step steps[5];
        shoal_cost cost;
        shoal_stream *s;
        ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
        size_t before = shoal_stream_memory(s);
        ck_assert_int_eq(shoal_stream_feed(s, pcm, 100), 100);
        ck_assert_int_eq(shoal_model_plan(m, &p, 3, steps, 5), 5);
        ck_assert_int_eq(shoal_model_cost(m, steps, 5, &cost), 0);
        ck_assert_uint_eq(cost.cache_bytes, 3 * (shoal_stream_memory(s) - before));
        ck_assert_uint_gt(cost.cache_bytes, 0);
        shoal_stream_free(s);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ops");
    TCase *c = tcase_create("ops");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, identity_keeps_the_place_of_a_layer, 0, 5);
    tcase_add_test(c, identity_keeps_and_costs_nothing);
    tcase_add_loop_test(c, layers_wake_from_the_deepest_of_their_block, 0,
                        (int)(sizeof wakes / sizeof *wakes));
    tcase_add_test(c, nothing_awake_means_empty_again);
    tcase_add_test(c, programs_share_a_batch);
    tcase_add_test(c, programs_are_bounded);
    tcase_add_test(c, rows_come_in_spans);
    tcase_add_test(c, a_plan_costs_the_sum_of_its_steps);
    tcase_add_test(c, cache_bytes_are_what_streams_take);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return suite_run(suite());
}

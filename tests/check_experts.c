/* check_experts.c - the operation "experts": PyTorch's features and routes, any company, costs
 *
 * tests/data/tiny_experts.safetensors has two blocks with a bank of four experts each, and four
 * layers with norms and routers of their own; its programs go through one expert or two, weighed by
 * their share of all or made to sum to 1. tiny_experts_golden.safetensors is what the oracle says
 * (training/golden.py), where no route is nearer than 2e-3 to another one. What the loader refuses
 * is check_model_experts.c's.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "golden_util.h"
#include "model/model.h"
#include "model_image.h"
#include "ops/experts.h"
#include "run/batch.h"

#define MODEL  SRCDIR "/tests/data/tiny_experts.safetensors"
#define GOLDEN SRCDIR "/tests/data/tiny_experts_golden.safetensors"

enum { SAMPLES = 10000, FRAMES = 32, DIM = 32, DELAY = 2, DEPTH = 4, EXPERTS = 4, PROGRAMS = 4 };
enum { SURE = 1 }; /* one expert, whose output counts whole */

static const char *const names[PROGRAMS] = { "base", "sure", "two", "two-renormalised" };
static float pcm[SAMPLES];
static shoal_model *m;

static shoal_model *open_with(shoal_model_params p)
{
    return util_open(MODEL, p);
}

static void set_up(void)
{
    util_signal(pcm, SAMPLES);
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

static golden_file golden;

static void open_golden(void)
{
    set_up();
    golden = golden_open(GOLDEN);
}

static void close_golden(void)
{
    tear_down();
    golden_close(&golden);
}

/* One stream, and the routes that its frames took in its last layer. */
static features run_routed(int program, int depth, int routes[][SHOAL__MAX_TOP])
{
    shoal_stream_params p = params(program, depth, 8);
    shoal_stream *s;
    shoal_batch *b;
    features f = features_new(m);
    int at = 0, frames;
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, p.chunk_frames), 0);
    const shoal__expert_scratch *taken = b->scratch[SHOAL__EXPERTS];
    for (size_t fed = 0; fed < SAMPLES || shoal_stream_ready(s);) {
        fed += fed < SAMPLES ? (size_t)shoal_stream_feed(s, pcm + fed, SAMPLES - fed) : 0;
        if (fed == SAMPLES && !shoal_stream_ready(s) && at < FRAMES + DELAY)
            ck_assert_int_eq(shoal_stream_finish(s), 0);
        if (!(frames = shoal_stream_ready(s)))
            continue;
        shoal_result r;
        ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
        features_add(&f, &r);
        memcpy(routes[at], taken->route, (size_t)frames * sizeof *routes);
        at += frames;
    }
    ck_assert_int_eq(at, FRAMES + DELAY);
    shoal_stream_free(s);
    shoal_batch_free(b);
    return f;
}

/* Each program on each backend that this build and CPU have, at every depth. */
START_TEST(features_and_routes_equal_pytorch)
{
    static const shoal_backend backends[] = { SHOAL_BACKEND_OPENBLAS, SHOAL_BACKEND_ONEDNN,
                                              SHOAL_BACKEND_AMX, SHOAL_BACKEND_OWN };
    int program = _i % PROGRAMS, top = program < 2 ? 1 : 2;
    m = open_with((shoal_model_params){ backends[_i / PROGRAMS], SHOAL_FP32, SHOAL_CACHE_AUTO });
    for (int depth = 1; m && depth <= DEPTH; depth++) {
        int routes[FRAMES + DELAY][SHOAL__MAX_TOP];
        char name[64];
        features f = run_routed(program, depth, routes);
        snprintf(name, sizeof name, "%s.d%d.routes", names[program], depth);
        const float *want = golden_tensor(&golden, name, FRAMES + DELAY, top);
        for (int t = 0; t < FRAMES + DELAY; t++)
            for (int k = 0; k < top; k++)
                ck_assert_msg(routes[t][k] == (int)want[t * top + k], "%s: frame %d, choice %d: %d",
                              name, t, k, routes[t][k]);
        snprintf(name, sizeof name, "%s.d%d", names[program], depth);
        util_close(name, f.embedding, golden_tensor(&golden, name, FRAMES, DIM), FRAMES * DIM, DIM,
                   2e-5);
        features_free(&f);
    }
}
END_TEST

/* ---- routes -------------------------------------------------------------------------------- */

START_TEST(the_lowest_of_equal_experts_is_taken)
{
    static const struct {
        float logits[5];
        int n, want[2];
    } cases[] = {
        { { 1, 3, 2, 0, -1 }, 5, { 1, 2 } },       { { 2, 2, 2, 2, 2 }, 5, { 0, 1 } },
        { { 1, 2, 2, 1, 0 }, 5, { 1, 2 } },        { { 0, 1, 1, 1, 2 }, 5, { 4, 1 } },
        { { -INFINITY, -INFINITY }, 2, { 0, 1 } }, { { -INFINITY, 5 }, 2, { 1, 0 } },
        { { NAN, NAN, NAN }, 3, { 0, 1 } },        { { INFINITY, INFINITY, 1 }, 3, { 0, 1 } },
        { { -1e30f, 1e30f, NAN }, 3, { 1, 0 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int route[2] = { -1, -1 };
        shoal__experts_pick(cases[i].logits, cases[i].n, 1, route);
        ck_assert_int_eq(route[0], cases[i].want[0]);
        ck_assert_int_eq(route[1], -1);
        shoal__experts_pick(cases[i].logits, cases[i].n, 2, route);
        ck_assert_int_eq(route[0], cases[i].want[0]);
        ck_assert_int_eq(route[1], cases[i].want[1]);
    }
    int only;
    shoal__experts_pick(cases[0].logits, 1, 1, &only);
    ck_assert_int_eq(only, 0);
}
END_TEST

/* All routers of the model with these biases alone. */
static void set_routers(image *im, const float *bias)
{
    for (int i = 0; i < DEPTH; i++) {
        char name[32];
        snprintf(name, sizeof name, "routers.%d.weight", i);
        image_add_tensor(im, name, EXPERTS, DIM, NULL);
        snprintf(name, sizeof name, "routers.%d.bias", i);
        image_add_tensor(im, name, EXPERTS, 0, bias);
    }
}

static void rename_tensor(image *im, const char *from, const char *to)
{
    json_object_set(im->header, to, image_tensor(im, from));
    json_object_del(im->header, from);
}

/* Expert `expert` of each bank as the second feed-forward module of its block; no experts any more.
 */
static shoal_model *without_experts(int expert)
{
    static const char *const parts[] = { "up.weight", "up.bias", "down.weight", "down.bias" };
    image im = image_open(MODEL);
    char from[64], to[64];
    const char *key;
    void *next;
    json_t *value, *programs = json_object_get(im.config, "programs");
    for (int bank = 0; bank < 2; bank++)
        for (int i = 0; i < 4; i++) {
            snprintf(from, sizeof from, "experts.%d.%d.%s", bank, expert, parts[i]);
            snprintf(to, sizeof to, "blocks.%d.ffn2.%s", bank, parts[i]);
            rename_tensor(&im, from, to);
        }
    json_object_foreach_safe(im.header, next, key, value) if (!strncmp(key, "experts.", 8) ||
                                                              !strncmp(key, "routers.", 8))
        json_object_del(im.header, key);
    while (json_array_size(programs) > 1)
        json_array_remove(programs, 1);
    for (int i = 0; i < DEPTH; i++) {
        json_t *entry = image_layer(&im, (size_t)i);
        json_object_set_new(entry, "op", json_string("conformer"));
        json_object_del(entry, "experts");
        json_object_del(entry, "router");
        json_object_del(entry, "top");
    }
    json_object_del(im.config, "expert_banks");
    json_object_del(im.config, "experts");
    json_object_del(im.config, "routers");
    shoal_model *opened = image_accept(&im);
    image_close(&im);
    return opened;
}

/* The most that one expert can get: a run whose frames all go to it is a dense layer. */
START_TEST(all_to_one_expert_is_a_conformer)
{
    float bias[EXPERTS] = { 0 };
    image im = image_open(MODEL);
    bias[_i] = 1.0f;
    set_routers(&im, bias);
    m = image_accept(&im);
    image_close(&im);
    shoal_model *dense = without_experts(_i);
    features got = util_stream(m, params(SURE, DEPTH, 16), pcm, SAMPLES, util_whole);
    features want = util_stream(dense, params(0, DEPTH, 16), pcm, SAMPLES, util_whole);
    util_same_bytes("all to one expert", &got, &want);
    features_free(&got);
    features_free(&want);
    shoal_model_close(dense);
}
END_TEST

/* ---- company ------------------------------------------------------------------------------- */

static const struct {
    shoal_precision precision;
    shoal_cache cache;
} kinds[] = {
    { SHOAL_FP32, SHOAL_CACHE_F32 },  { SHOAL_FP32, SHOAL_CACHE_INT8 },
    { SHOAL_INT8, SHOAL_CACHE_AUTO }, { SHOAL_INT8, SHOAL_CACHE_INT8 },
    { SHOAL_BF16, SHOAL_CACHE_AUTO },
};
enum { KINDS = sizeof kinds / sizeof *kinds, STREAMS = 12 };

/* Streams of all programs, depths and chunks in one batch, each as if it were alone. */
START_TEST(company_changes_no_byte)
{
    static const int chunks[] = { 8, 3, 16 };
    shoal_stream *s[STREAMS];
    features got[STREAMS];
    shoal_batch *b;
    m = open_with((shoal_model_params){ SHOAL_BACKEND_AUTO, kinds[_i].precision, kinds[_i].cache });
    if (!m)
        return;
    ck_assert_int_eq(shoal_batch_new(&b, m, STREAMS * 16), 0);
    for (int i = 0; i < STREAMS; i++) {
        shoal_stream_params p = params(i % PROGRAMS, 1 + i % DEPTH, chunks[i % 3]);
        ck_assert_int_eq(shoal_stream_new(&s[i], m, &p), 0);
        got[i] = features_new(m);
    }
    util_run_together(b, s, STREAMS, pcm, SAMPLES, got);
    for (int i = 0; i < STREAMS; i++) {
        features alone = util_stream(m, params(i % PROGRAMS, 1 + i % DEPTH, chunks[i % 3]), pcm,
                                     SAMPLES, util_whole);
        alone.frames = got[i].frames; /* those that only an end brings are not asked for */
        ck_assert_int_ge(got[i].frames, 14);
        if (shoal_model_get_info(m)->row_invariant)
            util_same_bytes("in company", &got[i], &alone);
        features_free(&alone);
        features_free(&got[i]);
        shoal_stream_free(s[i]);
    }
    shoal_batch_free(b);
}
END_TEST

START_TEST(slices_change_no_byte)
{
    int kind = _i / PROGRAMS;
    m = open_with(
        (shoal_model_params){ SHOAL_BACKEND_AUTO, kinds[kind].precision, kinds[kind].cache });
    if (!m)
        return;
    features whole = util_stream(m, params(_i % PROGRAMS, DEPTH, 8), pcm, SAMPLES, util_whole);
    features sliced = util_stream(m, params(_i % PROGRAMS, DEPTH, 8), pcm, SAMPLES,
                                  (slicing){ (uint32_t)_i + 1, 700 });
    util_same_bytes("sliced", &sliced, &whole);
    features_free(&whole);
    features_free(&sliced);
}
END_TEST

/* The router is fp32 whatever the products are. */
START_TEST(narrow_products_hardly_move_features)
{
    static const double most[] = { 0.0, 0.02, 0.15, 0.15, 0.1 };
    shoal_model *exact = open_with((shoal_model_params){ SHOAL_BACKEND_AUTO, SHOAL_FP32, 0 });
    m = open_with((shoal_model_params){ SHOAL_BACKEND_AUTO, kinds[_i].precision, kinds[_i].cache });
    if (m) {
        features a = util_stream(m, params(0, 1, 8), pcm, SAMPLES, util_whole);
        features b = util_stream(exact, params(0, 1, 8), pcm, SAMPLES, util_whole);
        double sum = 0.0;
        for (int i = 0; i < a.frames * DIM; i++)
            sum += fabs((double)a.embedding[i] - (double)b.embedding[i]);
        ck_assert_double_le(sum / (a.frames * DIM), most[_i]);
        features_free(&a);
        features_free(&b);
    }
    shoal_model_close(exact);
}
END_TEST

/* ---- costs --------------------------------------------------------------------------------- */

/* As many products as a conformer has, and the router; with two experts one module more. */
START_TEST(costs_do_not_depend_on_how_many_there_are)
{
    const double conformer = 2 * (4 * 32 * 64 + 7 * 32 * 32 + 15 * 32 + 2 * 32 * (16 + 8));
    const double router = 2 * EXPERTS * 32, module = 2 * 2 * 32 * 64;
    shoal_layer_info l;
    shoal_cost cost;
    m = open_with(shoal_model_default_params());
    for (int p = 0; p < PROGRAMS; p++) {
        ck_assert_int_eq(shoal_model_cost(m, &(shoal_step){ p, 1, 3, 8, 16 }, 1, &cost), 0);
        ck_assert_double_eq(cost.flops, 3 * 8 * (conformer + router + (p < 2 ? 0 : module)));
    }
    ck_assert_int_eq(shoal_model_get_layer(m, 0, 3, &l), 0);
    ck_assert_str_eq(l.op, "experts");
    ck_assert_int_eq(l.pools, 4);
    ck_assert_str_eq(l.pool[2], "experts");
    ck_assert_str_eq(l.pool[3], "router");
    ck_assert_int_eq(l.place[0], 1);
    ck_assert_int_eq(l.place[1], 3);
    ck_assert_int_eq(l.place[2], 1);
    ck_assert_int_eq(l.place[3], 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("experts");
    TCase *torch = tcase_create("pytorch"), *c = tcase_create("experts");
    tcase_add_checked_fixture(torch, open_golden, close_golden);
    tcase_add_loop_test(torch, features_and_routes_equal_pytorch, 0, 4 * PROGRAMS);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, the_lowest_of_equal_experts_is_taken);
    tcase_add_loop_test(c, all_to_one_expert_is_a_conformer, 0, EXPERTS);
    tcase_add_loop_test(c, company_changes_no_byte, 0, KINDS);
    tcase_add_loop_test(c, slices_change_no_byte, 0, KINDS * PROGRAMS);
    tcase_add_loop_test(c, narrow_products_hardly_move_features, 0, KINDS);
    tcase_add_test(c, costs_do_not_depend_on_how_many_there_are);
    suite_add_tcase(suite, torch);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

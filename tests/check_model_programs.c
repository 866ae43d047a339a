/* check_model_programs.c - tests/data/tiny2.safetensors: a file of format 2 as convert.py writes
 * it, with the programs base, every-other and short over the weights of tiny.safetensors
 *
 * Each program must give what a file of format 1 gives that has its layers and nothing else, alone
 * and in company; what the loader refuses is check_model_two.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "model_image.h"

#define TINY2 SRCDIR "/tests/data/tiny2.safetensors"

enum { SAMPLES = 10000, PROGRAMS = 3 };

static const struct {
    const char *name;
    int depth, layers[12]; /* of tiny's program */
} programs[PROGRAMS] = {
    { "base", 12, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 } },
    { "every-other", 6, { 0, 2, 4, 6, 8, 10 } },
    { "short", 3, { 0, 1, 2 } },
};

static float pcm[SAMPLES];
static shoal_model *m;

static void set_up(void)
{
    char why[256] = "";
    util_signal(pcm, SAMPLES);
    ck_assert_msg(shoal_model_open(&m, TINY2, why, sizeof why) == 0, "%s", why);
}

static void tear_down(void)
{
    shoal_model_close(m);
}

/* Tiny in format 1 with the layers of programs[which] alone. */
static shoal_model *with_layers_of(int which)
{
    image im = image_open(IMAGE_TINY);
    json_t *chosen = json_array();
    for (int i = 0; i < programs[which].depth; i++)
        json_array_append(chosen, image_layer(&im, (size_t)programs[which].layers[i]));
    json_object_set_new(im.config, "program", chosen);
    shoal_model *one = image_accept(&im);
    image_close(&im);
    return one;
}

static shoal_stream_params params(int program, int depth)
{
    shoal_stream_params p = shoal_stream_default_params(m);
    p.program = program;
    p.depth = depth;
    p.chunk_frames = 4;
    return p;
}

START_TEST(programs_are_listed)
{
    shoal_program_info p;
    const shoal_model_info *i = shoal_model_get_info(m);
    ck_assert_int_eq(i->programs, PROGRAMS);
    ck_assert_int_eq(i->depth, 12);
    ck_assert_str_eq(i->name, "tiny");
    for (int k = 0; k < PROGRAMS; k++) {
        ck_assert_int_eq(shoal_model_get_program(m, k, &p), 0);
        ck_assert_str_eq(p.name, programs[k].name);
        ck_assert_int_eq(p.depth, programs[k].depth);
    }
    ck_assert_int_eq(shoal_model_get_program(m, PROGRAMS, &p), SHOAL_EINVAL);
}
END_TEST

/* At its full depth and cut off in the middle. */
START_TEST(a_program_is_its_layers)
{
    shoal_model *one = with_layers_of(_i);
    for (int depth = programs[_i].depth; depth > 1; depth = depth > 2 ? 2 : 1) {
        features a = util_stream(m, params(_i, depth), pcm, SAMPLES, util_whole);
        features b = util_stream(one, params(0, depth), pcm, SAMPLES, util_whole);
        ck_assert_int_eq(a.frames, 32);
        util_same_bytes("features", &a, &b);
        features_free(&a);
        features_free(&b);
    }
    shoal_model_close(one);
}
END_TEST

/* One stream of each program, fed and run together. The default backend may sum in another order
 * in company, so the bytes need not be the same. */
START_TEST(programs_do_not_change_each_other)
{
    shoal_stream *s[PROGRAMS];
    shoal_batch *b;
    shoal_result r[PROGRAMS];
    features got[PROGRAMS];
    ck_assert_int_eq(shoal_batch_new(&b, m, 12), 0);
    for (int i = 0; i < PROGRAMS; i++) {
        shoal_stream_params p = params(i, programs[i].depth);
        ck_assert_int_eq(shoal_stream_new(&s[i], m, &p), 0);
        got[i] = features_new(m);
    }
    for (size_t at = 0; at < SAMPLES || shoal_stream_ready(s[0]);) {
        size_t taken = 0;
        for (int i = 0; at < SAMPLES && i < PROGRAMS; i++)
            taken = (size_t)shoal_stream_feed(s[i], pcm + at, SAMPLES - at);
        at += taken;
        for (int i = 0; at == SAMPLES && taken && i < PROGRAMS; i++)
            ck_assert_int_eq(shoal_stream_finish(s[i]), 0);
        if (!shoal_stream_ready(s[0]))
            continue;
        ck_assert_int_eq(shoal_batch_run(b, s, PROGRAMS, r), 0);
        for (int i = 0; i < PROGRAMS; i++)
            features_add(&got[i], &r[i]);
    }
    for (int i = 0; i < PROGRAMS; i++) {
        features alone = util_stream(m, params(i, programs[i].depth), pcm, SAMPLES, util_whole);
        ck_assert_int_eq(got[i].frames, alone.frames);
        util_close(programs[i].name, got[i].embedding, alone.embedding,
                   (size_t)(alone.frames * alone.dim), alone.dim, 1e-5);
        util_close(programs[i].name, got[i].logp, alone.logp,
                   (size_t)(alone.frames * alone.classes), alone.classes, 1e-5);
        features_free(&alone);
        features_free(&got[i]);
        shoal_stream_free(s[i]);
    }
    shoal_batch_free(b);
}
END_TEST

START_TEST(depths_are_the_programs_own)
{
    shoal_stream *s = NULL;
    for (int i = 0; i < PROGRAMS; i++) {
        shoal_stream_params p = params(i, programs[i].depth + 1);
        ck_assert_int_eq(shoal_stream_new(&s, m, &p), SHOAL_EINVAL);
        p = params(i, 1);
        ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
        ck_assert_int_eq(shoal_stream_set_depth(s, programs[i].depth + 1), SHOAL_EINVAL);
        ck_assert_int_eq(shoal_stream_set_depth(s, programs[i].depth), 0);
        shoal_stream_free(s);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_programs");
    TCase *c = tcase_create("model_programs");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, programs_are_listed);
    tcase_add_loop_test(c, a_program_is_its_layers, 0, PROGRAMS);
    tcase_add_test(c, programs_do_not_change_each_other);
    tcase_add_test(c, depths_are_the_programs_own);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

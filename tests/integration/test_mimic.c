/* test_mimic.c - sessions whose program is a mimic, in one daemon with the whole stack
 *
 * tests/data/tiny_mimic.safetensors; that the engine's numbers are PyTorch's is check_mimic.c's.
 */
#include "integration.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECOND = 16000, PROGRAMS = 5 };

static const struct {
    const char *name;
    int depth;
} programs[PROGRAMS] = {
    { "base", 12 }, { "linear", 1 }, { "transformer", 1 }, { "two", 2 }, { "after-3", 5 },
};

static daemon_process daemon_of_mimics;

static void mimics_setup(void)
{
    const char *const args[] = { "--model", SRCDIR "/tests/data/tiny_mimic.safetensors", ANY_SPEED,
                                 NULL };
    daemon_start(&daemon_of_mimics, args);
}

static void mimics_teardown(void)
{
    shared_failures += daemon_stop(&daemon_of_mimics, SIGTERM) != 0;
}

static stream_result run(int program, const int16_t *audio, const size_t *slices)
{
    char query[64];
    stream_result r;
    stream_plan p = { .query = query, .audio = audio, .size = 2 * SECOND, .slices = slices };

    snprintf(query, sizeof query, "output=posteriors,embedding&program=%s", programs[program].name);
    stream_run(&r, daemon_of_mimics.port, &p);
    stream_check_complete(&r, SECOND, SECOND);
    return r;
}

/* All its audio at once and in pieces: the same bytes, of the program that was asked for. */
START_TEST(a_session_streams_through_a_mimic)
{
    static const size_t pieces[] = { 2, 640, 1001, 4096, 0 };
    int16_t *audio = make_audio(SECOND, 41);
    stream_result whole = run(_i, audio, NULL), cut = run(_i, audio, pieces), base;

    ck_assert_str_eq(whole.ready.options.program, programs[_i].name);
    ck_assert_int_eq(whole.ready.depth, programs[_i].depth);
    stream_check_same(&whole.posteriors, &cut.posteriors);
    stream_check_same(&whole.embedding, &cut.embedding);
    if (_i > 0) {
        base = run(0, audio, NULL);
        ck_assert_uint_eq(base.posteriors.frames, whole.posteriors.frames);
        ck_assert_mem_ne(base.posteriors.rows, whole.posteriors.rows, 40 * sizeof(float));
        stream_free(&base);
    }
    stream_free(&whole);
    stream_free(&cut);
    free(audio);
}
END_TEST

TCase *mimic_case(void)
{
    TCase *t = tcase_create("mimic");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, mimics_setup, mimics_teardown);
    tcase_add_loop_test(t, a_session_streams_through_a_mimic, 0, PROGRAMS);
    return t;
}

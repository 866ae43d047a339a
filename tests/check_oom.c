/* check_oom.c - every allocation of the engine fails once, one step further each run
 *
 * The linker sends malloc, calloc, aligned_alloc and strdup of the engine's objects through the
 * counters below (-Wl,--wrap=..., tests/Makefile.am). What other libraries allocate is theirs
 * (jansson 2.14 itself dies of an assertion when it finds no memory for a string). Every
 * constructor must fail with a negative code, write nothing to *out and leak nothing (run under
 * ASan), until it succeeds.
 *
 * The same counters show that the frame path does not allocate at all.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *s);

static int counting;        /* count only between begin() and end() */
static long count, fail_at; /* allocations so far; the one that fails, 0: none */

static int fails(void)
{
    return counting && ++count == fail_at;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

static void begin(long step)
{
    count = 0;
    fail_at = step;
    counting = 1;
}

/* Returns 1 if the step's allocation was reached, and so failed. */
static int end(void)
{
    counting = 0;
    return fail_at && count >= fail_at;
}

static float pcm[16000];

static void set_up(void)
{
    util_signal(pcm, 16000);
}

/* Opened from memory, and one, the first, from its file. */
static const char *const models[] = { "tests/data/tiny.safetensors",
                                      "tests/fuzz/corpus/model/two-micro-int8",
                                      "tests/fuzz/corpus/model/two-contexts",
                                      "tests/fuzz/corpus/model/two-fourgram" };
enum { MODELS = sizeof models / sizeof *models };

START_TEST(opening_a_model)
{
    int failed, from_file = _i == 0;
    long step = 1;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", SRCDIR, models[_i]);
    size_t file_size;
    void *file = util_read_file(path, &file_size);
    do {
        shoal_model *m = NULL;
        char why[256] = "";
        begin(step);
        int rc = from_file ? shoal_model_open(&m, path, why, sizeof why)
                           : shoal_model_open_memory(&m, file, file_size, why, sizeof why);
        failed = end();
        if (failed) {
            ck_assert_msg(rc < 0, "step %ld failed, the model opened", step);
            ck_assert_ptr_null(m);
            ck_assert_msg(*why != '\0', "step %ld: no message", step);
            ck_assert_msg(rc == SHOAL_ENOMEM || (from_file && rc == SHOAL_EIO), "step %ld: %s (%s)",
                          step, shoal_errname(rc), why);
        } else {
            ck_assert_msg(rc == 0, "%s", why);
            shoal_model_close(m);
        }
        step++;
    } while (failed);
    ck_assert_int_gt(step, 30);
    free(file);
}
END_TEST

START_TEST(streams_batches_decoders)
{
    shoal_model *m = util_tiny();
    shoal_stream_params p = shoal_stream_default_params(m);
    shoal_decoder_params dp = shoal_decoder_default_params();
    for (int what = 0; what < 4; what++) {
        int failed;
        long step = 1;
        do {
            shoal_stream *s = NULL;
            shoal_batch *b = NULL;
            shoal_decoder *d = NULL;
            shoal_pcm *c = NULL;
            begin(step++);
            int rc = what == 0   ? shoal_stream_new(&s, m, &p)
                     : what == 1 ? shoal_batch_new(&b, m, 64)
                     : what == 2 ? shoal_decoder_new(&d, m, &dp)
                                 : shoal_pcm_new(&c, SHOAL_PCM_S16LE, 44100, 2);
            failed = end();
            ck_assert_int_eq(rc, failed ? SHOAL_ENOMEM : 0);
            ck_assert_int_eq(s || b || d || c, !failed);
            shoal_stream_free(s);
            shoal_batch_free(b);
            shoal_decoder_free(d);
            shoal_pcm_free(c);
        } while (failed);
        ck_assert_int_gt(step, 2);
    }
    shoal_model_close(m);
}
END_TEST

/* The caches come with the first audio; where there is no memory for them nothing is taken, and
 * the same call succeeds later. The same for the layers of a depth that is raised afterwards. */
START_TEST(first_audio_and_deeper_layers)
{
    shoal_model *m = util_tiny();
    shoal_stream *s;
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 3, 8, 16 }), 0);
    size_t silent = shoal_stream_memory(s), three;
    for (int step = 1; step <= 3; step += 2) { /* the first layer, then the last of three */
        begin(step);
        ptrdiff_t took = shoal_stream_feed(s, pcm, 4000);
        ck_assert(end());
        ck_assert_int_eq(took, SHOAL_ENOMEM);
        ck_assert_int_eq(shoal_stream_samples_fed(s), 0);
    }
    ck_assert_int_eq(shoal_stream_feed(s, pcm, 100), 100);
    three = shoal_stream_memory(s);
    ck_assert_uint_gt(three, silent);
    begin(4);
    int rc = shoal_stream_set_depth(s, 12);
    ck_assert(end());
    ck_assert_int_eq(rc, SHOAL_ENOMEM);
    ck_assert_int_eq(shoal_stream_get_depth(s), 3);
    ck_assert_int_eq(shoal_stream_set_depth(s, 12), 0);
    ck_assert_uint_eq(shoal_stream_memory(s) - silent, 4 * (three - silent));
    begin(0);
    int failed = shoal_stream_set_depth(s, 2) < 0;
    failed |= shoal_stream_set_depth(s, 12) < 0;
    failed |= shoal_stream_feed(s, pcm, 16000) < 0;
    end();
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(failed, 0);
    shoal_stream_free(s);
    shoal_model_close(m);
}
END_TEST

/* Nothing in feed after the first, ready, run, flush and decode allocates. */
START_TEST(frame_path_does_not_allocate)
{
    shoal_model *m = util_tiny();
    shoal_decoder_params dp = shoal_decoder_default_params();
    shoal_stream *s;
    shoal_batch *b;
    shoal_decoder *d;
    shoal_phone phones[SHOAL_DECODER_LAG + 64];
    ck_assert_int_eq(shoal_stream_new(&s, m, &(shoal_stream_params){ 12, 8, 16 }), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 8), 0);
    ck_assert_int_eq(shoal_decoder_new(&d, m, &dp), 0);
    ck_assert_int_eq(shoal_stream_feed(s, pcm, 1), 1);
    int failed = 0;
    begin(0);
    for (size_t at = 1; at < 16000;) {
        shoal_result r;
        at += (size_t)shoal_stream_feed(s, pcm + at, 16000 - at);
        if (at > 8000)
            failed |= shoal_stream_set_depth(s, 3) < 0;
        if (at == 16000)
            failed |= shoal_stream_finish(s) < 0;
        while (shoal_stream_ready(s)) {
            failed |= shoal_batch_run(b, &s, 1, &r) < 0;
            failed |= shoal_decoder_run(d, r.logp, r.frames, phones, SHOAL_DECODER_LAG + 64) < 0;
        }
    }
    failed |= shoal_decoder_flush(d, phones, SHOAL_DECODER_LAG) < 0;
    end();
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(failed, 0);
    shoal_decoder_free(d);
    shoal_stream_free(s);
    shoal_batch_free(b);
    shoal_model_close(m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oom");
    TCase *c = tcase_create("oom");
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_loop_test(c, opening_a_model, 0, MODELS);
    tcase_add_test(c, streams_batches_decoders);
    tcase_add_test(c, first_audio_and_deeper_layers);
    tcase_add_test(c, frame_path_does_not_allocate);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

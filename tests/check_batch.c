/* check_batch.c - many streams in one run: each as if it were alone, and errors change nothing
 *
 * The promise is 1e-4; asked for here is 1e-5. Whether the bytes are the same is up to the
 * matrix library (which kernel it takes may depend on the number of rows); the test prints it. With
 * a library that gives a row the same bytes in any company, all bytes must be the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "run/stream.h"

enum { STREAMS = 24, SAMPLES = 16000, LONGEST = 32000 };

typedef struct client {
    shoal_stream_params params;
    const float *pcm;
    size_t samples, at;
    shoal_stream *stream;
    features got;
} client;

static shoal_model *m;
static float pcm[LONGEST + 100 * STREAMS];
static client clients[STREAMS];

static void set_up(void)
{
    m = util_tiny();
    util_signal(pcm, sizeof pcm / sizeof *pcm);
}

static void tear_down(void)
{
    shoal_model_close(m);
}

static void open_clients(uint32_t *rng)
{
    for (int i = 0; i < STREAMS; i++) {
        client *c = &clients[i];
        *c = (client){ .params = { 1 + (int)(util_rand(rng) % 12), 1 + (int)(util_rand(rng) % 16),
                                   (int)(util_rand(rng) % 40) },
                       .pcm = pcm + 100 * i,
                       .samples = SAMPLES / 4 + util_rand(rng) % SAMPLES,
                       .got = features_new(m) };
        ck_assert_int_eq(shoal_stream_new(&c->stream, m, &c->params), 0);
    }
}

static void close_clients(void)
{
    for (int i = 0; i < STREAMS; i++) {
        shoal_stream_free(clients[i].stream);
        features_free(&clients[i].got);
    }
}

/* Feed some audio to some clients; returns 0 when everybody has finished. */
static int feed_some(uint32_t *rng)
{
    int busy = 0;
    for (int i = 0; i < STREAMS; i++) {
        client *c = &clients[i];
        size_t part = util_rand(rng) % 4000, left = c->samples - c->at;
        if (left) {
            ptrdiff_t took =
                shoal_stream_feed(c->stream, c->pcm + c->at, part < left ? part : left);
            ck_assert_int_ge(took, 0);
            c->at += (size_t)took;
        } else if (shoal_stream_finish(c->stream) < 0 && !shoal_stream_ready(c->stream)) {
            continue;
        }
        busy = 1;
    }
    return busy;
}

/* A random choice of ready clients in random order that fits the batch; returns how many. */
static int choose(uint32_t *rng, int room, int *chosen)
{
    int order[STREAMS], n = 0;
    for (int i = 0; i < STREAMS; i++) {
        int j = (int)(util_rand(rng) % (uint32_t)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    for (int i = 0; i < STREAMS; i++) {
        int frames = shoal_stream_ready(clients[order[i]].stream);
        if (!frames || frames > room || util_rand(rng) % 4 == 0)
            continue;
        room -= frames;
        chosen[n++] = order[i];
    }
    return n;
}

static void run_some(uint32_t *rng, shoal_batch *b, int room)
{
    int chosen[STREAMS], n = choose(rng, room, chosen);
    shoal_stream *streams[STREAMS];
    shoal_result results[STREAMS];
    for (int i = 0; i < n; i++)
        streams[i] = clients[chosen[i]].stream;
    ck_assert_int_eq(shoal_batch_run(b, streams, n, results), 0);
    for (int i = 0; i < n; i++)
        features_add(&clients[chosen[i]].got, &results[i]);
}

/* Compare with each client alone; returns how many are equal byte by byte. */
static int compare_alone(void)
{
    int equal = 0;
    for (int i = 0; i < STREAMS; i++) {
        client *c = &clients[i];
        features want = util_stream(m, c->params, c->pcm, c->samples, util_whole);
        size_t e = (size_t)want.frames * (size_t)want.dim;
        size_t p = (size_t)want.frames * (size_t)want.classes;
        ck_assert_int_eq(c->got.frames, want.frames);
        util_close("embedding", c->got.embedding, want.embedding, e, want.dim, 1e-5);
        util_close("logp", c->got.logp, want.logp, p, want.classes, 1e-5);
        equal += !memcmp(c->got.embedding, want.embedding, e * sizeof(float)) &&
                 !memcmp(c->got.logp, want.logp, p * sizeof(float));
        features_free(&want);
    }
    return equal;
}

START_TEST(batched_equals_alone)
{
    static const int rooms[] = { 16, 40, 400, 400 };
    uint32_t rng = (uint32_t)_i + 1;
    shoal_batch *b;
    ck_assert_int_eq(shoal_batch_new(&b, m, rooms[_i]), 0);
    open_clients(&rng);
    while (feed_some(&rng))
        run_some(&rng, b, rooms[_i]);
    int equal = compare_alone();
    printf("batch of %d rows: %d of %d streams byte-identical to alone\n", rooms[_i], equal,
           STREAMS);
    if (!strncmp(shoal_model_get_info(m)->backend, "amx", 3))
        ck_assert_int_eq(equal, STREAMS);
    close_clients();
    shoal_batch_free(b);
}
END_TEST

/* The same ready streams in two orders, in two batches: the same results. */
START_TEST(order_of_streams_is_irrelevant)
{
    shoal_stream *streams[2][STREAMS];
    shoal_result results[2][STREAMS];
    shoal_batch *b[2];
    for (int side = 0; side < 2; side++) {
        ck_assert_int_eq(shoal_batch_new(&b[side], m, 8 * STREAMS), 0);
        for (int i = 0; i < STREAMS; i++) {
            int k = side ? STREAMS - 1 - i : i;
            shoal_stream_params p = { 1 + k % 12, 1 + k % 8, k };
            ck_assert_int_eq(shoal_stream_new(&streams[side][i], m, &p), 0);
            ck_assert_int_gt(shoal_stream_feed(streams[side][i], pcm + 100 * k, SAMPLES), 0);
        }
        ck_assert_int_eq(shoal_batch_run(b[side], streams[side], STREAMS, results[side]), 0);
    }
    for (int i = 0; i < STREAMS; i++) {
        const shoal_result *x = &results[0][i], *y = &results[1][STREAMS - 1 - i];
        ck_assert_int_eq(x->frames, y->frames);
        ck_assert_int_eq(x->depth, 1 + i % 12);
        ck_assert_int_eq(y->depth, x->depth);
        util_close("order", x->embedding, y->embedding, (size_t)(32 * x->frames), 32, 1e-5);
        shoal_stream_free(streams[0][i]);
        shoal_stream_free(streams[1][i]);
    }
    shoal_batch_free(b[0]);
    shoal_batch_free(b[1]);
}
END_TEST

/* ---- any company ------------------------------------------------------------------------- */

/* A matrix library that looks at one row at a time: what is left to differ is ours. */
static const shoal__gemm *real_gemm;

static void run_by_rows(const shoal__linear *l, const shoal__kern *kern, void *scratch,
                        const float *a, int rows, const int *index, const float *row_scale,
                        float *c)
{
    for (int i = 0; i < rows; i++) {
        size_t r = (size_t)(index ? index[i] : i);
        real_gemm->run(l, kern, scratch, a + r * (size_t)l->in, 1, NULL,
                       row_scale ? row_scale + i : NULL, c + r * (size_t)l->out);
    }
}

/* The subject's features where it is number `place` of n streams of all depths and chunks. */
static features in_company(const shoal_model *model, int n, int place)
{
    enum { MOST = 32 };
    static const shoal_stream_params subject = { 9, 5, 21 };
    shoal_stream *streams[MOST];
    shoal_result results[MOST];
    shoal_batch *b;
    features f = features_new(model);
    size_t at[MOST] = { 0 };
    ck_assert_int_eq(shoal_batch_new(&b, model, 16 * MOST), 0);
    for (int i = 0; i < n; i++) {
        shoal_stream_params p = { 1 + (5 * i + n) % 12, 1 + (3 * i + n) % 16, (7 * i) % 40 };
        ck_assert_int_eq(shoal_stream_new(&streams[i], model, i == place ? &subject : &p), 0);
    }
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < n; i++)
            while (!shoal_stream_ready(streams[i])) {
                const float *from = pcm + (i == place ? 0 : 37 * (i + n)) + at[i];
                at[i] += (size_t)shoal_stream_feed(streams[i], from, 500);
                at[i] %= LONGEST - 500;
            }
        ck_assert_int_eq(shoal_batch_run(b, streams, n, results), 0);
        features_add(&f, &results[place]);
    }
    for (int i = 0; i < n; i++)
        shoal_stream_free(streams[i]);
    shoal_batch_free(b);
    return f;
}

/* Norms, attention, convolution, caches: not a bit depends on who else is there, or where. */
START_TEST(bytes_are_the_same_in_any_company)
{
    static const int companies[][2] = { { 3, 2 }, { 17, 8 }, { 32, 0 }, { 32, 31 } };
    shoal_model *model = util_tiny_on(SHOAL_BACKEND_AUTO, (shoal_precision)_i);
    if (!model)
        return;
    real_gemm = model->gemm;
    shoal__gemm by_rows = *real_gemm;
    by_rows.run = run_by_rows;
    model->gemm = &by_rows;
    features alone = in_company(model, 1, 0);
    ck_assert_int_eq(alone.frames, 6 * 5 - 2);
    for (int c = 0; c < 4; c++) {
        features f = in_company(model, companies[c][0], companies[c][1]);
        ck_assert_int_eq(f.frames, alone.frames);
        ck_assert_msg(
            !memcmp(f.embedding, alone.embedding, sizeof(float) * (size_t)(f.frames * f.dim)) &&
                !memcmp(f.logp, alone.logp, sizeof(float) * (size_t)(f.frames * f.classes)),
            "precision %d, %d streams, place %d: bytes differ by up to %g", _i, companies[c][0],
            companies[c][1], util_max_diff(f.logp, alone.logp, (size_t)(f.frames * f.classes)));
        features_free(&f);
    }
    features_free(&alone);
    model->gemm = real_gemm;
    shoal_model_close(model);
}
END_TEST

/* A product that fails, as a library's may. */
static int failures;

static int fails_once(void *scratch)
{
    (void)scratch;
    return failures-- > 0 ? SHOAL_EBACKEND : 0;
}

/* The code comes out of the run; the next run is asked anew. */
START_TEST(failed_product_is_an_error_of_the_run)
{
    shoal_stream_params p = shoal_stream_default_params(m);
    shoal__gemm faulty = *m->gemm;
    const shoal__gemm *sound = m->gemm;
    shoal_stream *s;
    shoal_batch *b;
    shoal_result r;
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, 64), 0);
    ck_assert_int_gt(shoal_stream_feed(s, pcm, SAMPLES), 0);
    faulty.failed = fails_once;
    failures = 1;
    m->gemm = &faulty;
    ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), SHOAL_EBACKEND);
    ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
    m->gemm = sound;
    shoal_batch_free(b);
    shoal_stream_free(s);
}
END_TEST

/* ---- taps -------------------------------------------------------------------------------- */

/* A tapped depth gives what a stream of that depth gives; the stream itself is not disturbed. */
START_TEST(taps_equal_streams_of_their_depth)
{
    static const int depths[] = { 1, 3, 7, 9 };
    shoal_stream_params p = { 9, 5, 16 };
    shoal_stream *s;
    shoal_batch *b;
    features got[4];
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_batch_new_taps(&b, m, 5, 15), 0);
    /* bits of 1, 3, 7; and of 9 and 11, which are ignored at depth 9 */
    ck_assert_int_eq(shoal_stream_set_taps(s, 1 | 4 | 64 | 256 | 1024), 0);
    ck_assert_int_eq(shoal_stream_set_taps(s, 1u << 12), SHOAL_EINVAL);
    for (int i = 0; i < 4; i++)
        got[i] = features_new(m);
    for (size_t at = 0; at < SAMPLES || !shoal_stream_finish(s) || shoal_stream_ready(s);) {
        shoal_result r;
        if (at < SAMPLES)
            at += (size_t)shoal_stream_feed(s, pcm + at, SAMPLES - at);
        while (shoal_stream_ready(s)) {
            ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
            features_add(&got[3], &r);
            for (int i = 0; i < 3; i++) {
                ck_assert_int_eq(shoal_batch_get_tap(b, 0, depths[i], &r), 0);
                ck_assert_int_eq(r.depth, depths[i]);
                features_add(&got[i], &r);
            }
            ck_assert_int_eq(shoal_batch_get_tap(b, 0, 2, &r), SHOAL_EINVAL);
            ck_assert_int_eq(shoal_batch_get_tap(b, 1, 3, &r), SHOAL_EINVAL);
        }
    }
    for (int i = 0; i < 4; i++) {
        p.depth = depths[i];
        features want = util_stream(m, p, pcm, SAMPLES, util_whole);
        ck_assert_int_eq(got[i].frames, want.frames);
        util_close("tap", got[i].embedding, want.embedding, (size_t)(want.frames * want.dim),
                   want.dim, 1e-5);
        util_close("tap's posteriors", got[i].logp, want.logp, (size_t)(want.frames * want.classes),
                   want.classes, 1e-5);
        features_free(&want);
        features_free(&got[i]);
    }
    shoal_stream_free(s);
    shoal_batch_free(b);
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------ */

static shoal_stream *fed_stream(const shoal_model *model, int chunk, size_t n)
{
    shoal_stream *s;
    ck_assert_int_eq(shoal_stream_new(&s, model, &(shoal_stream_params){ 5, chunk, 16 }), 0);
    ck_assert_int_ge(shoal_stream_feed(s, pcm, n), 0);
    return s;
}

/* A run that must fail leaves the first stream as it was: it then gives the right features. */
static void refuse(shoal_batch *b, shoal_stream *other, int error)
{
    shoal_stream *s[2] = { fed_stream(m, 8, LONGEST), other };
    shoal_result r[2], alone;
    shoal_batch *fresh;
    ck_assert_int_eq(shoal_batch_run(b, s, 2, r), error);
    ck_assert_int_eq(shoal_stream_ready(s[0]), 8);
    ck_assert_int_eq(shoal_stream_next_frame(s[0]), 0);
    shoal_stream *same = fed_stream(m, 8, LONGEST);
    ck_assert_int_eq(shoal_batch_new(&fresh, m, 8), 0);
    ck_assert_int_eq(shoal_batch_run(b, s, 1, r), 0);
    ck_assert_int_eq(shoal_batch_run(fresh, &same, 1, &alone), 0);
    ck_assert_int_eq(r[0].frames, 6);
    util_close("after refusal", r[0].logp, alone.logp, 6 * 40, 40, 0.0);
    shoal_stream_free(s[0]);
    shoal_stream_free(same);
    shoal_batch_free(fresh);
}

START_TEST(bad_runs_change_nothing)
{
    shoal_model *twin = util_tiny();
    shoal_batch *b;
    shoal_stream *idle = fed_stream(m, 8, 2799), *large = fed_stream(m, 9, LONGEST),
                 *foreign = fed_stream(twin, 8, LONGEST);
    ck_assert_int_eq(shoal_batch_new(&b, m, 16), 0);
    refuse(b, idle, SHOAL_ESTATE);
    refuse(b, large, SHOAL_EINVAL); /* 8 + 9 rows > 16 */
    refuse(b, foreign, SHOAL_EINVAL);
    shoal_stream *tapping = fed_stream(m, 8, LONGEST);
    ck_assert_int_eq(shoal_stream_set_taps(tapping, 1), 0);
    refuse(b, tapping, SHOAL_EINVAL); /* a batch without room for taps */
    shoal_stream_free(tapping);
    ck_assert_int_eq(shoal_stream_samples_fed(idle), 2799);
    ck_assert_int_eq(shoal_stream_next_frame(large), 0);
    ck_assert_int_eq(shoal_stream_ready(large), 9);
    ck_assert_int_eq(shoal_batch_run(b, NULL, 0, NULL), 0);
    ck_assert_int_eq(shoal_batch_run(b, NULL, -1, NULL), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_batch_run(b, NULL, 17, NULL), SHOAL_EINVAL);
    shoal_stream_free(idle), shoal_stream_free(large), shoal_stream_free(foreign);
    shoal_batch_free(b);
    shoal_model_close(twin);
}
END_TEST

START_TEST(batch_sizes_are_bounded)
{
    shoal_batch *b = NULL;
    ck_assert_int_eq(shoal_batch_new(&b, m, 0), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_batch_new(&b, m, -5), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_batch_new(&b, m, 1 << 20), SHOAL_EINVAL);
    ck_assert_ptr_null(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *c = tcase_create("batch");
    tcase_add_unchecked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, batched_equals_alone, 0, 4);
    tcase_add_test(c, order_of_streams_is_irrelevant);
    tcase_add_test(c, failed_product_is_an_error_of_the_run);
    tcase_add_loop_test(c, bytes_are_the_same_in_any_company, SHOAL_FP32, SHOAL_BF16 + 1);
    tcase_add_test(c, taps_equal_streams_of_their_depth);
    tcase_add_test(c, bad_runs_change_nothing);
    tcase_add_test(c, batch_sizes_are_bounded);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

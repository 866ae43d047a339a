/* test_post_options.c - POST with options that change what a row or an event is: means of frames
 * and of utterances are the plain means of a session's rows, events are a session's events */
#include "post.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NPY_HEAD = 128, SAMPLES = 6 * SECOND, EVERY = 5 };

/* The small model hears speech in nearly all of it: it is cut by its length. */
#define STRICT "&activity_threshold=99&activity_hangover_ms=20"
#define CUT    STRICT "&activity_min_ms=100&activity_max_ms=1000&activity_pad_ms=20"

static int16_t *make_talk(void)
{
    int16_t *audio = make_audio(SAMPLES, 26);

    memset(audio, 0, SECOND * sizeof *audio);
    memset(audio + 3 * SECOND, 0, SECOND * sizeof *audio);
    return audio;
}

static stream_result by_session(const char *query, const int16_t *audio)
{
    stream_result r;
    stream_plan plan = { .query = query, .audio = audio, .size = SAMPLES * sizeof *audio };

    stream_run(&r, shared.port, &plan);
    stream_check_complete(&r, SAMPLES, SECOND);
    return r;
}

static http_answer post(const char *path, const char *accept, const int16_t *audio)
{
    http_answer a = http_post_once(shared.port, path, accept, audio, SAMPLES * sizeof *audio);

    ck_assert_msg(a.status == 200 && a.whole, "%s: %s%s", path, a.head, a.body);
    return a;
}

/* The mean of rows [from, to): posteriors as probabilities. */
static float mean_of(const stream_rows *r, size_t from, size_t to, int column, int logs)
{
    double sum = 0;

    for (size_t i = from; i < to; i++) {
        double x = (double)r->rows[i * (size_t)r->dim + (size_t)column];
        sum += logs ? exp(x) : x;
    }
    sum /= (double)(to - from);
    return (float)(logs ? log(sum) : sum);
}

/* Row i of the answer is the mean of rows [cuts[2 i], cuts[2 i + 1]) of r. */
static void check_means(const http_answer *a, const stream_rows *r, const size_t *cuts, size_t n,
                        int logs)
{
    const float *got = (const float *)(const void *)(a->body + NPY_HEAD);

    ck_assert_uint_eq(a->size, NPY_HEAD + n * (size_t)r->dim * sizeof *got);
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < r->dim; c++) {
            float want = mean_of(r, cuts[2 * i], cuts[2 * i + 1], c, logs), x;
            memcpy(&x, got + i * (size_t)r->dim + (size_t)c, sizeof x);
            ck_assert_msg(fabsf(x - want) <= 1e-4f * (1 + fabsf(want)), "row %zu, %d: %g, not %g",
                          i, c, (double)x, (double)want);
        }
}

static const struct {
    const char *query, *path;
    int logs, rows_a_frame;
} means[] = {
    { "depth=2&output=embedding", "/v1/embedding" RAW "&every=5", 0, 1 },
    { "depth=2&output=posteriors", "/v1/posteriors" RAW "&every=5", 1, 1 },
    { "depth=2&output=hidden@0", "/v1/hidden@0" RAW "&every=5", 0, 1 },
    { "depth=2&output=mel", "/v1/mel" RAW "&every=5", 0, 2 },
};

START_TEST(every_gives_means_of_frames)
{
    int16_t *audio = make_talk();
    stream_result r = by_session(means[_i].query, audio);
    const stream_rows *rows[] = { &r.embedding, &r.posteriors, &r.front, &r.mel };
    size_t step = (size_t)(EVERY * means[_i].rows_a_frame), n = rows[_i]->frames / step;
    size_t *cuts = malloc(2 * n * sizeof *cuts);
    http_answer a = post(means[_i].path, NPY, audio);

    ck_assert_uint_eq(n, SAMPLES / 320 / EVERY);
    for (size_t i = 0; i < n; i++) {
        cuts[2 * i] = i * step;
        cuts[2 * i + 1] = (i + 1) * step;
    }
    check_means(&a, rows[_i], cuts, n, means[_i].logs);
    free(cuts);
    http_free(&a);
    stream_free(&r);
    free(audio);
}
END_TEST

/* One row for each utterance of the session's activity. */
START_TEST(pool_gives_a_row_an_utterance)
{
    int16_t *audio = make_talk();
    stream_result r = by_session("depth=2&output=embedding,activity" CUT, audio);
    http_answer a = post("/v1/embedding" RAW CUT "&pool=utterance", NPY, audio);
    size_t cuts[2 * STREAM_MAX_EVENTS], n = 0;

    ck_assert_int_gt(r.activity_count, 3);
    for (int i = 0; i < r.activity_count; i++)
        cuts[n++] = (size_t)r.activity[i].frame;
    ck_assert_uint_eq(n % 2, 0);
    check_means(&a, &r.embedding, cuts, n / 2, 0);
    http_free(&a);
    stream_free(&r);
    free(audio);
}
END_TEST

/* Frames of the events in lines. */
static int read_events(const http_answer *a, size_t *frames, int most)
{
    static shoal_server_msg m;
    shoal_error err;
    int n = 0;

    for (const char *p = a->body; p < a->body + a->size; p = strchr(p, '\n') + 1) {
        ck_assert_int_eq(shoal_server_msg_decode(&m, p, strcspn(p, "\n"), &err), 0);
        if (m.type == SHOAL_MSG_ACTIVITY && n < most)
            frames[n++] = (size_t)m.u.activity.frame;
        shoal_server_msg_free(&m);
    }
    return n;
}

START_TEST(utterances_are_cut_as_a_sessions)
{
    int16_t *audio = make_talk();
    stream_result r = by_session("depth=2&output=activity" CUT, audio);
    stream_result plain = by_session("depth=2&output=activity" STRICT, audio);
    http_answer a = post("/v1/activity" RAW CUT, "", audio);
    size_t frames[STREAM_MAX_EVENTS];
    int n = read_events(&a, frames, STREAM_MAX_EVENTS), same = 1;

    ck_assert_int_gt(n, 1);
    ck_assert_int_eq(n, r.activity_count);
    for (int i = 0; i < n; i++) {
        ck_assert_uint_eq(frames[i], r.activity[i].frame);
        same &= i < plain.activity_count && frames[i] == plain.activity[i].frame;
        if (i % 2)
            ck_assert_uint_le(frames[i] - frames[i - 1], 50);
    }
    ck_assert(!same); /* the options do something */
    http_free(&a);
    stream_free(&r);
    stream_free(&plain);
    free(audio);
}
END_TEST

TCase *post_options_case(void)
{
    TCase *t = tcase_create("post, options");

    tcase_set_timeout(t, 4 * PATIENCE_MS / 1000);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_loop_test(t, every_gives_means_of_frames, 0, sizeof means / sizeof means[0]);
    tcase_add_test(t, pool_gives_a_row_an_utterance);
    tcase_add_test(t, utterances_are_cut_as_a_sessions);
    return t;
}

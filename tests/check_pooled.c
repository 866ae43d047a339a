/* check_pooled.c - means of rows: of so many frames, of utterances
 *
 * Compared with the plain mean over the rows that a session without means is given, in double
 * precision. Which frames a row stands for is what its packet says.
 */
#include "suite.h"
#include "track_util.h"

#include "work/mean.h"
#include "work/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 40000, FRAMES = 125, DIM = 32 };

/* ---- the mean alone ---- */

static void row_of(float *row, int64_t frame)
{
    row[0] = (float)frame;
    row[1] = (float)(frame * frame % 17);
}

static void expect_mean(const float *got, int64_t first, int64_t n)
{
    double sum[2] = { 0 };
    for (int64_t f = first; f < first + n; f++) {
        float row[2];
        row_of(row, f);
        sum[0] += row[0];
        sum[1] += row[1];
    }
    ck_assert_float_eq(got[0], (float)(sum[0] / (double)n));
    ck_assert_float_eq(got[1], (float)(sum[1] / (double)n));
}

static void put(shoald_mean *p, int64_t from, int64_t to)
{
    for (int64_t f = from; f < to; f++) {
        float row[2];
        row_of(row, f);
        shoald_mean_put(p, f, row);
    }
}

START_TEST(mean_looks_back)
{
    shoald_mean *p = shoald_mean_new(2, 10);
    float row[2];
    int64_t first;
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(shoald_mean_take(p, 5, row, &first), 0);
    put(p, 7, 40);
    shoald_mean_begin(p, 33);
    put(p, 40, 60);
    ck_assert_int_eq(shoald_mean_take(p, 52, row, &first), 19);
    ck_assert_int_eq(first, 33);
    expect_mean(row, 33, 19);
    shoald_mean_begin(p, 50); /* it has gone */
    put(p, 60, 200);
    ck_assert_int_eq(shoald_mean_take(p, 200, row, &first), 148);
    ck_assert_int_eq(first, 52);
    expect_mean(row, 52, 148);
    ck_assert_int_eq(shoald_mean_take(p, 200, row, &first), 0);
    shoald_mean_reset(p);
    put(p, 1000, 1003);
    ck_assert_int_eq(shoald_mean_next(p), 1003);
    ck_assert_int_eq(shoald_mean_take(p, 5000, row, &first), 3);
    ck_assert_int_eq(first, 1000);
    shoald_mean_free(p);
}
END_TEST

/* ---- sessions ---- */

typedef struct plain_rows {
    float *rows; /* [frames, dim]; log-mels as one row a frame, posteriors as probabilities */
    size_t frames;
    int dim;
} plain_rows;

/* What a session with the same cuts is given without means. */
static plain_rows plain_of(const char *query, shoal_kind kind, int tap, size_t flush_at)
{
    plain_rows r;
    size_t n;
    track_begin(query);
    track_audio(flush_at);
    track_put(SHOALD_IN_FLUSH, "x", 2);
    track_audio(SAMPLES - flush_at);
    track_end();
    r.rows = track_rows(kind, tap, -1, &n, &r.dim);
    r.frames = kind == SHOAL_KIND_MEL ? n / 2 : n;
    for (size_t i = 0; i < r.frames * (size_t)r.dim; i++) {
        size_t f = i / (size_t)r.dim, d = i % (size_t)r.dim;
        if (kind == SHOAL_KIND_MEL)
            r.rows[i] = 0.5f * (r.rows[2 * f * (size_t)r.dim + d] +
                                r.rows[(2 * f + 1) * (size_t)r.dim + d]);
        if (kind == SHOAL_KIND_POSTERIORS)
            r.rows[i] = expf(r.rows[i]);
    }
    track_free();
    ck_assert_uint_eq(r.frames, FRAMES);
    return r;
}

static double mean_of(const plain_rows *r, size_t first, size_t n, int d)
{
    double sum = 0;
    for (size_t f = first; f < first + n; f++)
        sum += (double)r->rows[f * (size_t)r->dim + (size_t)d];
    return sum / (double)n;
}

/* Every row of every packet is the mean of the frames that the packet says. Returns the frames that
 * all of them stand for. */
static size_t expect_means(const plain_rows *want, shoal_kind kind, int tap)
{
    size_t covered = 0;
    for (int i = 0; i < track.packet_count; i++) {
        const shoal_packet *p = &track.packets[i].p;
        if (p->kind != kind || p->tap != tap)
            continue;
        ck_assert_uint_eq(p->row_ms % SHOAL_FRAME_MS, 0);
        ck_assert_uint_eq(p->start_sample, p->first_frame * 320);
        ck_assert_int_eq(p->dim, want->dim);
        size_t each = p->row_ms / SHOAL_FRAME_MS;
        for (int row = 0; row < p->frames; row++)
            for (int d = 0; d < p->dim; d++) {
                size_t first = (size_t)p->first_frame + (size_t)row * each;
                double mean = mean_of(want, first, each, d);
                double got = (double)track.packets[i].values[row * p->dim + d];
                got = kind == SHOAL_KIND_POSTERIORS ? exp(got) : got;
                ck_assert_msg(fabs(got - mean) < 2e-6 * fmax(1, fabs(mean)),
                              "%s, frames %zu + %zu, value %d: %.8g, should be %.8g",
                              shoal_kind_name(kind), first, each, d, got, mean);
            }
        covered += (size_t)p->frames * each;
    }
    return covered;
}

/* output, kind, tap, every, chunk */
static const struct {
    const char *output;
    shoal_kind kind;
    int tap, every, chunk_ms;
} everies[] = {
    { "embedding", SHOAL_KIND_EMBEDDING, 0, 5, 160 },
    { "posteriors@2", SHOAL_KIND_POSTERIORS, 2, 4, 160 },
    { "mel", SHOAL_KIND_MEL, 0, 3, 160 },
    { "hidden@0", SHOAL_KIND_HIDDEN, 0, 10, 20 },
    { "hidden@3", SHOAL_KIND_HIDDEN, 3, 7, 1280 },
    { "embedding@4", SHOAL_KIND_EMBEDDING, 4, 1000, 160 },
    { "embedding", SHOAL_KIND_EMBEDDING, 0, 2, 20 },
};

/* Groups count from frame 0 whatever the chunks and the slices are; a flush and the end give what
 * there is of the last one. */
START_TEST(every_is_the_mean_of_so_many_frames)
{
    const size_t flush_at = 9001;
    char query[192], plain[128];
    int every = everies[_i].every;
    snprintf(plain, sizeof plain, "output=%s&chunk_ms=%d", everies[_i].output,
             everies[_i].chunk_ms);
    snprintf(query, sizeof query, "%s&every=%d", plain, every);
    plain_rows want = plain_of(plain, everies[_i].kind, everies[_i].tap, flush_at);
    track_begin(query);
    track_audio(77);
    track_audio(flush_at - 77);
    track_put(SHOALD_IN_FLUSH, "x", 2);
    track_audio(SAMPLES - flush_at);
    track_end();
    ck_assert_uint_eq(expect_means(&want, everies[_i].kind, everies[_i].tap), FRAMES);
    uint64_t next = 0;
    for (int i = 0; i < track.packet_count; i++) {
        const shoal_packet *p = &track.packets[i].p;
        uint64_t each = p->row_ms / SHOAL_FRAME_MS;
        ck_assert_uint_eq(p->first_frame, next);
        ck_assert_msg(each == (uint64_t)every || p->frames == 1, "a packet of short rows");
        ck_assert_uint_le(next % (uint64_t)every + each, (uint64_t)every);
        next += (uint64_t)p->frames * each;
    }
    free(want.rows);
    track_free();
}
END_TEST

/* ---- utterances ---- */

static void expect_utterances(const char *output, shoal_kind kind, int tap)
{
    char query[256];
    snprintf(query, sizeof query, "depth=2&output=%s", output);
    plain_rows want = plain_of(query, kind, tap, 25000);
    snprintf(
        query, sizeof query,
        "depth=2&output=activity,%s&pool=utterance&activity_threshold=99&activity_hangover_ms=20",
        output);
    track_begin(query);
    track_audio(25000);
    track_put(SHOALD_IN_FLUSH, "x", 2);
    track_audio(SAMPLES - 25000);
    track_end();
    expect_means(&want, kind, tap);
    free(want.rows);
}

/* kind, tap */
static const struct {
    const char *output;
    shoal_kind kind;
    int tap;
} pooled[] = {
    { "embedding", SHOAL_KIND_EMBEDDING, 0 },
    { "posteriors@1", SHOAL_KIND_POSTERIORS, 1 },
    { "hidden@2", SHOAL_KIND_HIDDEN, 2 },
    { "mel", SHOAL_KIND_MEL, 0 },
};

/* One vector for each utterance, of exactly the frames that activity tells; and one at the flush.
 */
START_TEST(an_utterance_is_one_vector)
{
    int packet = 0;
    double begin = -1;
    expect_utterances(pooled[_i].output, pooled[_i].kind, pooled[_i].tap);
    for (int i = 0; i < track.text_count; i++) {
        const char *text = track.texts[i].text;
        bool flush = strstr(text, "\"type\":\"flushed\""),
             end = strstr(text, "\"state\":\"silence\"");
        if (strstr(text, "\"state\":\"speech\""))
            begin = track_number(text, "frame");
        if (!end && !(flush && begin >= 0))
            continue;
        const track_packet *t = &track.packets[packet++];
        if (t->p.tap == 0)
            ck_assert_int_lt(t->place, track.texts[i].place);
        ck_assert_int_eq(t->p.frames, 1);
        ck_assert_double_eq((double)t->p.first_frame, begin);
        begin = (double)t->p.first_frame + t->p.row_ms / 20.0;
        if (end)
            ck_assert_double_eq(begin, track_number(text, "frame"));
        begin = end ? -1 : begin;
    }
    ck_assert_int_eq(packet, track.packet_count);
    track_free();
}
END_TEST

/* The detector tells of begins and ends that have passed; the small model's audio has few of them,
 * so here they are told by hand. */
START_TEST(begins_and_ends_that_have_passed)
{
    static const shoal_result nothing;
    static const shoald_run run = { &nothing, 0, 0 };
    static const shoald_events told = { 3, { { 1, 40 }, { 0, 47 }, { 1, 50 } } };
    static const shoald_events later = { 1, { { 0, 63 } } };
    plain_rows want = plain_of("output=embedding", SHOAL_KIND_EMBEDDING, 0, 25000);
    track_begin("output=embedding&pool=utterance");
    track_audio(25000);
    shoald_output *out = &track.lane.track->outputs.at[0];
    shoald_rows_deliver(&track.lane, &track.bench, out, &run, &told);
    shoald_rows_deliver(&track.lane, &track.bench, out, &run, &later);
    track_work();
    ck_assert_int_eq(track.packet_count, 2);
    ck_assert_uint_eq(track.packets[0].p.first_frame, 40);
    ck_assert_uint_eq(track.packets[0].p.row_ms, 7 * 20);
    ck_assert_uint_eq(track.packets[1].p.first_frame, 50);
    ck_assert_uint_eq(track.packets[1].p.row_ms, 13 * 20);
    ck_assert_uint_eq(expect_means(&want, SHOAL_KIND_EMBEDDING, 0), 20);
    free(want.rows);
    track_free();
}
END_TEST

/* Who cuts by flushes, and speaks so that no speech is found, gets all of it. */
START_TEST(without_speech_a_flush_gives_everything)
{
    static const int16_t silence[16000];
    track_begin("output=embedding&pool=utterance");
    for (int i = 0; i < 2; i++) {
        track_put(SHOALD_IN_AUDIO, silence, sizeof silence);
        track_put(SHOALD_IN_FLUSH, "x", 2);
    }
    track_end();
    if (track_find("speech", 0)) /* the test model hears some in silence */
        return;
    ck_assert_int_eq(track.packet_count, 3);
    uint64_t next = 0;
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(track.packets[i].p.first_frame, next);
        next += track.packets[i].p.row_ms / 20;
    }
    ck_assert_uint_eq(next, 100);
    track_free();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pooled");
    TCase *t = tcase_create("means");
    tcase_add_test(t, mean_looks_back);
    tcase_add_loop_test(t, every_is_the_mean_of_so_many_frames, 0,
                        sizeof everies / sizeof *everies);
    tcase_add_loop_test(t, an_utterance_is_one_vector, 0, sizeof pooled / sizeof *pooled);
    tcase_add_test(t, begins_and_ends_that_have_passed);
    tcase_add_test(t, without_speech_a_flush_gives_everything);
    suite_add_tcase(s, t);
    return suite_run(s);
}

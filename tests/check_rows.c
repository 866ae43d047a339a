/* check_rows.c - rows of features of a session: layers as they are, log-mels
 *
 * Compared with the engine over the same audio (check_hidden.c compares that with PyTorch).
 */
#include "suite.h"
#include "track_util.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 12345, FRAMES = 39, CHUNK = 8, MOST_LAYERS = 13 };

/* ---- the engine's own ---- */

typedef struct engine_rows {
    float *hidden[MOST_LAYERS], *mel;
    int dim, mels, frames, mel_frames;
} engine_rows;

static void add(float **to, const float *rows, int at, int n)
{
    *to = realloc(*to, (size_t)(at + n + 1) * sizeof **to);
    ck_assert_ptr_nonnull(*to);
    memcpy(*to + at, rows, (size_t)n * sizeof **to);
}

static void take(engine_rows *e, shoal_batch *b, const shoal_result *r, int depth)
{
    for (int layer = 0; layer <= depth; layer++) {
        shoal_result h = *r;
        if (layer < depth)
            ck_assert_int_eq(shoal_batch_get_hidden(b, 0, layer, &h), 0);
        add(&e->hidden[layer], h.hidden, e->frames * e->dim, h.frames * e->dim);
    }
    add(&e->mel, r->mel, 2 * e->mel_frames * e->mels, 2 * r->mel_frames * e->mels);
    e->frames += r->frames;
    e->mel_frames += r->mel_frames;
}

static void run_engine(engine_rows *e, const shoal_model *m, int depth)
{
    const shoal_batch_room room = { .frames = 64, .hidden_frames = 1024 };
    shoal_stream_params p = shoal_stream_default_params(m);
    shoal_stream *s;
    shoal_batch *b;
    shoal_result r;
    float audio[SAMPLES];
    size_t at = 0;
    *e =
        (engine_rows){ .dim = shoal_model_get_info(m)->dim, .mels = shoal_model_get_info(m)->mels };
    p.depth = depth;
    for (size_t i = 0; i < SAMPLES; i++)
        audio[i] = (float)track_sample(i) / 32768.0f;
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_stream_set_hidden(s, ((uint64_t)1 << depth) - 1), 0);
    shoal_stream_set_mel(s, 1);
    ck_assert_int_eq(shoal_batch_new_room(&b, m, &room), 0);
    while (at < SAMPLES || shoal_stream_finish(s) == 0 || shoal_stream_ready(s)) {
        at += at < SAMPLES ? (size_t)shoal_stream_feed(s, audio + at, SAMPLES - at) : 0;
        for (; shoal_stream_ready(s); take(e, b, &r, depth))
            ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
    }
    ck_assert_int_eq(e->frames, FRAMES);
    ck_assert_int_eq(e->mel_frames, FRAMES);
    shoal_batch_free(b);
    shoal_stream_free(s);
}

static void free_engine(engine_rows *e)
{
    for (int i = 0; i < MOST_LAYERS; i++)
        free(e->hidden[i]);
    free(e->mel);
}

static void expect(shoal_kind kind, int tap, int depth, const float *want, int columns, size_t rows)
{
    size_t n;
    int dim;
    float *got = track_rows(kind, tap, depth, &n, &dim);
    ck_assert_uint_eq(n, rows);
    ck_assert_int_eq(dim, columns);
    for (size_t i = 0; i < rows * (size_t)dim; i++)
        ck_assert_msg(got[i] == want[i], "%s@%d: [%zu, %zu] is %.8g, should be %.8g",
                      shoal_kind_name(kind), tap, i / (size_t)dim, i % (size_t)dim, (double)got[i],
                      (double)want[i]);
    free(got);
}

/* ---- tests ---- */

/* All layers and the log-mels of one session, whatever the pieces in which the audio came. */
START_TEST(all_layers_of_one_session)
{
    engine_rows e;
    char query[512] = "output=mel";
    for (int i = 0; i <= 12; i++)
        snprintf(query + strlen(query), sizeof query - strlen(query), ",hidden@%d", i);
    track_begin(query);
    track_audio(1);
    track_audio(7000);
    track_audio(SAMPLES - 7001);
    track_end();
    run_engine(&e, track.service.model, 12);
    for (int i = 0; i <= 12; i++)
        expect(SHOAL_KIND_HIDDEN, i, i, e.hidden[i], e.dim, FRAMES);
    expect(SHOAL_KIND_MEL, 0, 0, e.mel, e.mels, 2 * FRAMES);
    free_engine(&e);
    track_free();
}
END_TEST

/* Without an @ it is the deepest layer that runs, beside layer 0 that has no number in `tap`. */
START_TEST(the_sessions_own_layer)
{
    engine_rows e;
    track_begin("depth=4&output=hidden,hidden@0,embedding@4");
    track_audio(SAMPLES);
    track_end();
    run_engine(&e, track.service.model, 4);
    expect(SHOAL_KIND_HIDDEN, 0, 4, e.hidden[4], e.dim, FRAMES);
    expect(SHOAL_KIND_HIDDEN, 0, 0, e.hidden[0], e.dim, FRAMES);
    free_engine(&e);
    track_free();
}
END_TEST

static const struct {
    const char *query, *depth;
} shallow[] = {
    { "output=mel", "\"depth\":1,\"latency_ms\"" },
    { "depth=2-12&output=mel", "\"depth\":1,\"latency_ms\"" },
    { "output=hidden@0", "\"depth\":1,\"latency_ms\"" },
    { "output=mel,hidden@3", "\"depth\":3,\"latency_ms\"" },
    { "output=mel,hidden", "\"depth\":12,\"latency_ms\"" },
};

/* What comes before the layers needs none of them. */
START_TEST(nothing_deeper_than_asked_for)
{
    track_begin(shallow[_i].query);
    track_audio(SAMPLES);
    track_end();
    ck_assert_msg(strstr(track.texts[0].text, shallow[_i].depth) != NULL, "%s",
                  track.texts[0].text);
    ck_assert_ptr_nonnull(strstr(track.texts[0].text, "\"mels\":80"));
    track_free();
}
END_TEST

/* A packet says which frame it begins with, and 10 ms for each row. */
START_TEST(log_mels_run_ahead_of_the_look_ahead)
{
    track_begin("output=mel,posteriors@1&chunk_ms=160");
    track_audio(3000); /* one chunk: 18 rows of mel come with 16 + 1 of them */
    ck_assert_int_eq(track.packet_count, 2);
    const shoal_packet *mel = &track.packets[0].p, *logp = &track.packets[1].p;
    ck_assert_int_eq(mel->kind, SHOAL_KIND_MEL);
    ck_assert_int_eq(mel->frames, 2 * CHUNK);
    ck_assert_uint_eq(mel->row_ms, 10);
    ck_assert_int_eq(logp->frames, CHUNK - 2); /* less the look-ahead of this model */
    ck_assert_uint_eq(logp->row_ms, SHOAL_FRAME_MS);
    track_audio(2560);
    ck_assert_uint_eq(track.packets[2].p.first_frame, CHUNK);
    ck_assert_uint_eq(track.packets[2].p.start_sample, 2560);
    track_end();
    track_free();
}
END_TEST

/* Outputs come and go in mid-stream. */
START_TEST(set_asks_for_layers)
{
    shoal_options o;
    size_t rows;
    int dim;
    track_begin("output=phones");
    o = track.lane.options;
    track_audio(5000);
    o.given = SHOAL_OPT_OUTPUT;
    o.outputs = SHOAL_OUTPUT_MEL;
    o.tap_count = 2;
    o.taps[0] = (shoal_tap){ 0, SHOAL_OUTPUT_HIDDEN };
    o.taps[1] = (shoal_tap){ 2, SHOAL_OUTPUT_HIDDEN };
    track_set(&o);
    ck_assert_ptr_nonnull(track_find("\"output\":[\"mel\",\"hidden@0\",\"hidden@2\"]", 0));
    track_audio(SAMPLES - 5000);
    track_end();
    ck_assert_int_eq(track.packets[0].p.kind, SHOAL_KIND_MEL);
    uint64_t from = track.packets[0].p.first_frame - 2; /* it has no look-ahead */
    ck_assert_uint_gt(from, 0);
    for (int i = 0; i < track.packet_count; i++) {
        track_packet *t = &track.packets[i];
        t->p.first_frame -= t->p.kind == SHOAL_KIND_MEL ? 2 + from : from;
    }
    free(track_rows(SHOAL_KIND_HIDDEN, 2, 2, &rows, &dim));
    ck_assert_uint_eq(rows + from, FRAMES);
    track_free();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rows");
    TCase *t = tcase_create("kinds");
    tcase_add_test(t, all_layers_of_one_session);
    tcase_add_test(t, the_sessions_own_layer);
    tcase_add_loop_test(t, nothing_deeper_than_asked_for, 0, sizeof shallow / sizeof *shallow);
    tcase_add_test(t, log_mels_run_ahead_of_the_look_ahead);
    tcase_add_test(t, set_asks_for_layers);
    suite_add_tcase(s, t);
    return suite_run(s);
}

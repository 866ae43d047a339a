/* outputs.c - outputs of several depths from one run; see outputs.h */
#include "work/outputs.h"

#include "work/emit.h"
#include "work/rows.h"

#include <string.h>

/* ---- which ones ---------------------------------------------------------------------- */

static shoald_output *find(shoald_outputs *all, int tap)
{
    for (int i = 0; i < all->count; i++)
        if (all->at[i].tap == tap)
            return &all->at[i];
    return NULL;
}

static int open_state(shoald_lane *l, shoald_output *out, const shoal_options *o)
{
    int64_t next = shoal_stream_next_frame(l->track->stream);
    shoal_activity_params p = shoal_activity_default_params();
    float margin = p.threshold - p.release;
    int result = 0;
    if (out->kinds & SHOAL_OUTPUT_PHONES && !out->decoder) {
        shoal_decoder_params d = { .lm = o->lm,
                                   .durations = o->durations,
                                   .settle_frames = o->settle_ms / SHOAL_FRAME_MS,
                                   .settle_silence_frames = o->settle_silence_ms / SHOAL_FRAME_MS };
        out->decoder_base = next;
        result = shoal_decoder_new(&out->decoder, l->service->model, &d);
    }
    if (result < 0 || !(out->kinds & SHOAL_OUTPUT_ACTIVITY) || out->activity)
        return result;
    p.threshold = (float)o->activity_threshold / 100.0f;
    p.release = p.threshold - margin;
    p.hangover_frames = o->activity_hangover_ms / SHOAL_FRAME_MS;
    return shoal_activity_new(&out->activity, l->service->model, &p, next);
}

/* Settle, give and forget what is not among kinds any more. */
static void close_state(shoald_lane *l, shoald_bench *w, shoald_output *out, unsigned kinds)
{
    if (out->decoder && !(kinds & SHOAL_OUTPUT_PHONES)) {
        shoald_emit_last_phones(l, w, out);
        shoal_decoder_free(out->decoder);
        out->decoder = NULL;
    }
    if (out->activity && !(kinds & SHOAL_OUTPUT_ACTIVITY)) {
        shoald_emit_last_activity(l, w, out);
        shoal_activity_free(out->activity);
        out->activity = NULL;
    }
    shoald_rows_close(out, kinds);
}

static int tap_of(const shoal_tap *t)
{
    return t->depth ? t->depth : SHOALD_TAP_FRONT;
}

static unsigned kinds_at(const shoal_options *o, int tap)
{
    if (tap == 0)
        return o->outputs;
    for (int i = 0; i < o->tap_count; i++)
        if (tap_of(&o->taps[i]) == tap)
            return o->taps[i].outputs;
    return 0;
}

/* The output of that depth with what it remembers, if it was there before. */
static void take_over(shoald_outputs *from, shoald_outputs *to, int tap, unsigned kinds)
{
    const shoald_output *old = find(from, tap);
    shoald_output *out = &to->at[to->count++];
    if (old)
        *out = *old;
    out->tap = tap;
    out->kinds = kinds;
}

/* What the engine has to keep of each run for these outputs. */
static int set_taps(shoal_stream *s, const shoal_options *o)
{
    uint64_t taps = 0, hidden = 0;
    for (int i = 0; i < o->tap_count; i++) {
        const shoal_tap *t = &o->taps[i];
        if (t->outputs & ~SHOALD_LAYER_KINDS)
            taps |= (uint64_t)1 << (t->depth - 1);
        if (t->outputs & SHOALD_LAYER_KINDS && t->depth < 64) /* there is no deeper model */
            hidden |= (uint64_t)1 << t->depth;
    }
    shoal_stream_set_mel(s, (o->outputs & SHOAL_OUTPUT_MEL) != 0);
    int result = shoal_stream_set_taps(s, taps);
    return result < 0 ? result : shoal_stream_set_hidden(s, hidden);
}

int shoald_outputs_set(shoald_lane *l, shoald_bench *w, const shoal_options *o)
{
    shoald_outputs *all = &l->track->outputs, next = { 0 };
    for (int i = 0; i < all->count; i++)
        close_state(l, w, &all->at[i], kinds_at(o, all->at[i].tap));
    take_over(all, &next, 0, o->outputs);
    for (int i = 0; i < o->tap_count; i++)
        take_over(all, &next, tap_of(&o->taps[i]), o->taps[i].outputs);
    *all = next;
    int result = set_taps(l->track->stream, o);
    for (int i = 0; i < all->count && result == 0; i++)
        result = open_state(l, &all->at[i], o);
    return result;
}

void shoald_outputs_free(shoald_outputs *outputs)
{
    for (int i = 0; i < outputs->count; i++) {
        shoal_decoder_free(outputs->at[i].decoder);
        shoal_activity_free(outputs->at[i].activity);
    }
    memset(outputs, 0, sizeof *outputs);
}

/* ---- results ------------------------------------------------------------------------- */

/* Elastic depth may have left a tap's depth above what was run: then that has to do. */
static int result_of(const shoald_bench *w, int index, const shoald_output *out, shoal_result *r)
{
    shoal_result hidden = { 0 };
    int layer = out->tap == SHOALD_TAP_FRONT ? 0 : out->tap, result = 0;
    *r = w->results[index];
    if (out->tap == 0 || layer >= r->depth)
        return 0;
    if (out->kinds & SHOALD_LAYER_KINDS)
        result = shoal_batch_get_hidden(w->batch, index, layer, &hidden);
    *r = hidden;
    if (result == 0 && out->kinds & ~SHOALD_LAYER_KINDS)
        result = shoal_batch_get_tap(w->batch, index, layer, r);
    r->hidden = hidden.hidden;
    return result;
}

int shoald_outputs_deliver(shoald_lane *l, shoald_bench *w, int index, uint32_t queued_us,
                           uint32_t computed_us)
{
    shoald_outputs *all = &l->track->outputs;
    for (int i = 0; i < all->count; i++) {
        shoal_result r;
        int result = result_of(w, index, &all->at[i], &r);
        if (result < 0)
            return result;
        const shoald_run run = { &r, queued_us, computed_us };
        shoald_rows_deliver(l, w, &all->at[i], &run);
        if (r.frames)
            shoald_emit_result(l, w, &all->at[i], &r);
    }
    return 0;
}

void shoald_outputs_settle(shoald_lane *l, shoald_bench *w, bool end)
{
    shoald_outputs *all = &l->track->outputs;
    for (int i = 0; i < all->count; i++) {
        shoald_emit_last_phones(l, w, &all->at[i]);
        if (end)
            shoald_emit_last_activity(l, w, &all->at[i]);
    }
}

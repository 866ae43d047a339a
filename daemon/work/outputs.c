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

/* Utterances are those of the session's own depth, whatever is pooled by them. */
static bool needs_activity(const shoald_output *out, unsigned kinds, const shoal_options *o)
{
    return kinds & SHOAL_OUTPUT_ACTIVITY || (out->tap == 0 && o->pool == SHOAL_POOL_UTTERANCE);
}

static int open_decoder(shoald_lane *l, shoald_output *out, const shoal_options *o, int64_t next)
{
    if (!(out->kinds & SHOAL_OUTPUT_PHONES) || out->decoder)
        return 0;
    shoal_decoder_params d = { .lm = o->lm,
                               .durations = o->durations,
                               .settle_frames = o->settle_ms / SHOAL_FRAME_MS,
                               .settle_silence_frames = o->settle_silence_ms / SHOAL_FRAME_MS };
    out->decoder_base = next;
    return shoal_decoder_new(&out->decoder, l->service->model, &d);
}

static int open_activity(shoald_lane *l, shoald_output *out, const shoal_options *o, int64_t next)
{
    shoal_activity_params p = shoal_activity_default_params();
    float margin = p.threshold - p.release;
    if (!needs_activity(out, out->kinds, o) || out->activity)
        return 0;
    p.threshold = (float)o->activity_threshold / 100.0f;
    p.release = p.threshold - margin;
    p.hangover_frames = o->activity_hangover_ms / SHOAL_FRAME_MS;
    p.min_frames = o->activity_min_ms / SHOAL_FRAME_MS;
    p.max_frames = o->activity_max_ms / SHOAL_FRAME_MS;
    p.pad_frames = o->activity_pad_ms / SHOAL_FRAME_MS;
    return shoal_activity_new(&out->activity, l->service->model, &p, next);
}

static int open_smoother(shoald_lane *l, shoald_output *out, const shoal_options *o)
{
    const shoal_model *m = l->service->model;
    shoal_smooth_params p = shoal_smoother_default_params(m);
    if (!(out->kinds & SHOAL_OUTPUT_POSTERIORS) || o->smooth != SHOAL_ON || out->smoother)
        return 0;
    return shoal_smoother_new(&out->smoother, m, &p);
}

static int open_state(shoald_lane *l, shoald_output *out, const shoal_options *o)
{
    int64_t next = shoal_stream_next_frame(l->track->stream);
    int result = open_decoder(l, out, o, next);
    if (result == 0)
        result = open_activity(l, out, o, next);
    if (result == 0)
        result = open_smoother(l, out, o);
    return result < 0 ? result : shoald_rows_open(out, l->service->info, o);
}

/* The end of what is still speech, if there is any. */
static shoald_events last_events(shoald_output *out)
{
    shoald_events e = { 0 };
    if (out->activity)
        e.count = shoal_activity_finish(out->activity, e.at);
    return e;
}

/* Settle, give and forget what is not among kinds any more. */
static void close_state(shoald_lane *l, shoald_bench *w, shoald_output *out, unsigned kinds)
{
    shoald_rows_close(l, w, out, kinds);
    if (out->decoder && !(kinds & SHOAL_OUTPUT_PHONES)) {
        shoald_emit_last_phones(l, w, out);
        shoal_decoder_free(out->decoder);
        out->decoder = NULL;
    }
    if (!(kinds & SHOAL_OUTPUT_POSTERIORS)) {
        shoal_smoother_free(out->smoother);
        out->smoother = NULL;
    }
    if (out->activity && !needs_activity(out, kinds, &l->options)) {
        shoald_events last = last_events(out);
        shoald_emit_events(l, w, out, &last);
        shoal_activity_free(out->activity);
        out->activity = NULL;
    }
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
    next.in_speech = all->in_speech;
    next.gave_one = all->gave_one;
    *all = next;
    int result = set_taps(l->track->stream, o);
    for (int i = 0; i < all->count && result == 0; i++)
        result = open_state(l, &all->at[i], o);
    return result;
}

int shoald_outputs_restart(shoald_lane *l)
{
    shoald_outputs *all = &l->track->outputs;
    int result = 0;
    for (int i = 0; i < all->count && result == 0; i++) {
        shoald_output *out = &all->at[i];
        shoal_decoder_free(out->decoder);
        shoal_activity_free(out->activity);
        out->decoder = NULL;
        out->activity = NULL;
        if (out->smoother)
            shoal_smoother_reset(out->smoother);
        shoald_rows_reset(out);
        result = open_state(l, out, &l->options);
    }
    return result;
}

void shoald_outputs_free(shoald_outputs *outputs)
{
    for (int i = 0; i < outputs->count; i++) {
        shoal_decoder_free(outputs->at[i].decoder);
        shoal_activity_free(outputs->at[i].activity);
        shoal_smoother_free(outputs->at[i].smoother);
        shoald_rows_free(&outputs->at[i]);
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

static shoald_events hear(shoald_output *out, const shoal_result *r)
{
    shoald_events e = { 0 };
    if (out->activity && r->frames)
        e.count = shoal_activity_run(out->activity, r->logp, r->frames, e.at, SHOALD_MOST_EVENTS);
    return e;
}

/* As they are told; phones and activity go by what the model said of each frame. */
static const float *posteriors(shoald_bench *w, shoald_output *out, const shoal_result *r)
{
    if (!out->smoother)
        return r->logp;
    shoal_smoother_run(out->smoother, r->logp, r->frames, w->smoothed);
    return w->smoothed;
}

int shoald_outputs_deliver(shoald_lane *l, shoald_bench *w, int index, uint32_t queued_us,
                           uint32_t computed_us)
{
    shoald_outputs *all = &l->track->outputs;
    shoald_events utterances = { 0 };
    for (int i = 0; i < all->count; i++) {
        shoald_output *out = &all->at[i];
        shoal_result r;
        int result = result_of(w, index, out, &r);
        if (result < 0)
            return result;
        const shoald_run run = { &r, posteriors(w, out, &r), queued_us, computed_us };
        const shoald_events events = hear(out, &r);
        utterances = i == 0 ? events : utterances;
        out->depth = r.depth;
        shoald_rows_deliver(l, w, out, &run, &utterances);
        shoald_emit_decoded(l, w, out, &r);
        shoald_emit_events(l, w, out, &events);
    }
    shoald_rows_saw(all, &utterances);
    return 0;
}

void shoald_outputs_settle(shoald_lane *l, shoald_bench *w, bool end)
{
    shoald_outputs *all = &l->track->outputs;
    shoald_events utterances = { 0 };
    for (int i = 0; i < all->count; i++) {
        const shoald_events last = end ? last_events(&all->at[i]) : (shoald_events){ 0 };
        utterances = i == 0 ? last : utterances;
        shoald_rows_settle(l, w, &all->at[i], &utterances);
        shoald_emit_last_phones(l, w, &all->at[i]);
        shoald_emit_events(l, w, &all->at[i], &last);
    }
    shoald_rows_saw(all, &utterances);
    all->gave_one = false;
}

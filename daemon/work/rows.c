/* rows.c - see rows.h */
#include "work/rows.h"

#include "work/emit.h"

#include <math.h>
#include <string.h>

enum { MEL_MS = 10 }; /* log-mels have two rows a frame */

/* in the order in which they are given */
static const shoal_kind kinds[] = { SHOAL_KIND_POSTERIORS, SHOAL_KIND_EMBEDDING, SHOAL_KIND_HIDDEN,
                                    SHOAL_KIND_MEL };

#define KINDS (int)(sizeof kinds / sizeof *kinds)

static unsigned output_of(shoal_kind kind)
{
    switch (kind) {
    case SHOAL_KIND_POSTERIORS: return SHOAL_OUTPUT_POSTERIORS;
    case SHOAL_KIND_EMBEDDING: return SHOAL_OUTPUT_EMBEDDING;
    case SHOAL_KIND_HIDDEN: return SHOAL_OUTPUT_HIDDEN;
    default: return SHOAL_OUTPUT_MEL;
    }
}

static const float *values_of(const shoald_run *run, shoal_kind kind)
{
    switch (kind) {
    case SHOAL_KIND_POSTERIORS: return run->posteriors;
    case SHOAL_KIND_EMBEDDING: return run->result->embedding;
    case SHOAL_KIND_HIDDEN: return run->result->hidden;
    default: return run->result->mel;
    }
}

static int dim_of(const shoal_model_info *m, shoal_kind kind)
{
    return kind == SHOAL_KIND_POSTERIORS ? m->classes : kind == SHOAL_KIND_MEL ? m->mels : m->dim;
}

/* ---- as they are ---------------------------------------------------------------------- */

static shoal_packet packet_of(const shoald_lane *l, const shoald_output *out, shoal_kind kind)
{
    return (shoal_packet){ .kind = kind,
                           .depth = kind == SHOAL_KIND_MEL ? 0 : out->depth,
                           .tap = shoald_output_tap(out).depth,
                           .dim = dim_of(l->service->info, kind) };
}

static void emit(shoald_lane *l, shoald_bench *w, shoald_output *out, shoal_packet *p,
                 const float *values)
{
    shoald_feature *f = &out->features[p->kind];
    p->flags = f->depth && f->depth != p->depth ? SHOAL_PACKET_NEW_DEPTH : 0;
    f->depth = p->depth;
    shoald_emit_packet(l, w, p, values);
}

static void deliver_plain(shoald_lane *l, shoald_bench *w, shoald_output *out, shoal_packet *p,
                          const shoald_run *run)
{
    const shoal_result *r = run->result;
    bool mel = p->kind == SHOAL_KIND_MEL;
    p->first_frame = (uint64_t)(mel ? r->mel_first_frame : r->first_frame);
    p->frames = mel ? 2 * r->mel_frames : r->frames;
    p->row_ms = mel ? MEL_MS : SHOAL_FRAME_MS;
    if (p->frames > 0)
        emit(l, w, out, p, values_of(run, p->kind));
}

/* ---- means ---------------------------------------------------------------------------- */

/* Means of as many frames each, that follow each other: one packet. */
typedef struct gathered {
    shoald_lane *l;
    shoald_bench *w;
    shoald_output *out;
    shoal_packet p; /* frames: rows gathered in w->means so far */
} gathered;

static void give(gathered *g)
{
    if (g->p.frames > 0)
        emit(g->l, g->w, g->out, &g->p, g->w->means);
    g->p.frames = 0;
}

/* The mean of a class's logarithms would be that of no distribution: so that of its probability. */
static void finish_mean(float *row, const shoal_packet *p)
{
    for (int i = 0; p->kind == SHOAL_KIND_POSTERIORS && i < p->dim; i++)
        row[i] = logf(row[i]);
}

/* The mean up to a frame, if there is any. */
static void take(gathered *g, shoald_mean *mean, int64_t frame)
{
    float *row = g->w->means + (size_t)g->p.frames * (size_t)g->p.dim;
    int64_t first, n = shoald_mean_take(mean, frame, row, &first);
    if (n == 0)
        return;
    finish_mean(row, &g->p);
    uint32_t row_ms = (uint32_t)n * SHOAL_FRAME_MS;
    if (g->p.frames > 0 && g->p.row_ms != row_ms) {
        give(g);
        memmove(g->w->means, row, (size_t)g->p.dim * sizeof *row);
    }
    if (g->p.frames++ == 0)
        g->p.first_frame = (uint64_t)first;
    g->p.row_ms = row_ms;
}

/* One frame of a result as a row that means are made of. */
static const float *frame_row(const gathered *g, const float *values, int i)
{
    size_t dim = (size_t)g->p.dim;
    float *row = g->w->frame_row;
    if (g->p.kind != SHOAL_KIND_POSTERIORS && g->p.kind != SHOAL_KIND_MEL)
        return values + (size_t)i * dim;
    for (size_t d = 0; d < dim; d++)
        row[d] =
            g->p.kind == SHOAL_KIND_MEL
                ? 0.5f * (values[2 * (size_t)i * dim + d] + values[(2 * (size_t)i + 1) * dim + d])
                : expf(values[(size_t)i * dim + d]);
    return row;
}

static void take_events(gathered *g, shoald_mean *mean, const shoald_events *events)
{
    for (int i = 0; i < events->count; i++) {
        if (events->at[i].speech) {
            shoald_mean_begin(mean, events->at[i].frame);
        } else {
            take(g, mean, events->at[i].frame);
            give(g);
        }
    }
}

static void deliver_means(gathered *g, const shoald_run *run, const shoald_events *events)
{
    shoald_mean *mean = g->out->features[g->p.kind].mean;
    const shoal_result *r = run->result;
    bool mel = g->p.kind == SHOAL_KIND_MEL;
    int64_t first = mel ? r->mel_first_frame : r->first_frame;
    int frames = mel ? r->mel_frames : r->frames, every = g->l->options.every;
    for (int i = 0; i < frames; i++) {
        shoald_mean_put(mean, first + i, frame_row(g, values_of(run, g->p.kind), i));
        if (every > 1 && (first + i + 1) % every == 0)
            take(g, mean, first + i + 1);
    }
    take_events(g, mean, events);
    give(g);
}

/* ---- all kinds ------------------------------------------------------------------------ */

void shoald_rows_deliver(shoald_lane *l, shoald_bench *w, shoald_output *out, const shoald_run *run,
                         const shoald_events *events)
{
    for (int i = 0; i < KINDS; i++) {
        gathered g = { l, w, out, packet_of(l, out, kinds[i]) };
        if (!(out->kinds & output_of(kinds[i])))
            continue;
        g.p.queued_us = run->queued_us;
        g.p.computed_us = run->computed_us;
        if (out->features[kinds[i]].mean)
            deliver_means(&g, run, events);
        else
            deliver_plain(l, w, out, &g.p, run);
    }
}

/* After an utterance there is only silence, which nobody wants the mean of. */
static bool is_worth_giving(const shoald_lane *l)
{
    const shoald_outputs *all = &l->track->outputs;
    return all->in_speech || !all->gave_one;
}

static void settle(gathered *g, const shoald_events *events)
{
    shoald_mean *mean = g->out->features[g->p.kind].mean;
    take_events(g, mean, events);
    if (events->count == 0 && is_worth_giving(g->l))
        take(g, mean, shoald_mean_next(mean));
    shoald_mean_begin(mean, shoald_mean_next(mean));
    give(g);
}

void shoald_rows_settle(shoald_lane *l, shoald_bench *w, shoald_output *out,
                        const shoald_events *events)
{
    for (int i = 0; i < KINDS; i++) {
        gathered g = { l, w, out, packet_of(l, out, kinds[i]) };
        if (out->features[kinds[i]].mean)
            settle(&g, events);
    }
}

void shoald_rows_saw(shoald_outputs *all, const shoald_events *events)
{
    for (int i = 0; i < events->count; i++) {
        all->in_speech = events->at[i].speech;
        all->gave_one |= !events->at[i].speech;
    }
}

/* ---- open and close ------------------------------------------------------------------- */

/* How long ago an utterance may have begun, or ended, when that becomes known; log-mels have heard
 * more by then. */
static int look_back(const shoal_model_info *m, const shoal_options *o)
{
    if (o->pool != SHOAL_POOL_UTTERANCE)
        return 0;
    int end_ms = o->activity_hangover_ms, begin_ms = o->activity_min_ms + o->activity_pad_ms;
    int cut = o->activity_max_ms ? SHOAL_ACTIVITY_CUT_WINDOW : 0;
    return SHOAL_ACTIVITY_LEAD + (end_ms + begin_ms) / SHOAL_FRAME_MS + cut + m->max_chunk_frames +
           m->delay_frames;
}

int shoald_rows_open(shoald_output *out, const shoal_model_info *m, const shoal_options *o)
{
    bool pooled = o->every > 1 || o->pool == SHOAL_POOL_UTTERANCE;
    for (int i = 0; pooled && i < KINDS; i++) {
        shoald_feature *f = &out->features[kinds[i]];
        if (!(out->kinds & output_of(kinds[i])) || f->mean)
            continue;
        f->mean = shoald_mean_new(dim_of(m, kinds[i]), look_back(m, o));
        if (!f->mean)
            return SHOAL_ENOMEM;
    }
    return 0;
}

void shoald_rows_close(shoald_lane *l, shoald_bench *w, shoald_output *out, unsigned wanted)
{
    static const shoald_events none;
    for (int i = 0; i < KINDS; i++) {
        gathered g = { l, w, out, packet_of(l, out, kinds[i]) };
        shoald_feature *f = &out->features[kinds[i]];
        if (wanted & output_of(kinds[i]))
            continue;
        if (f->mean)
            settle(&g, &none);
        shoald_mean_free(f->mean);
        *f = (shoald_feature){ 0 };
    }
}

void shoald_rows_reset(shoald_output *out)
{
    for (int i = 0; i < KINDS; i++)
        if (out->features[kinds[i]].mean)
            shoald_mean_reset(out->features[kinds[i]].mean);
}

void shoald_rows_free(shoald_output *out)
{
    for (int i = 0; i < KINDS; i++)
        shoald_mean_free(out->features[kinds[i]].mean);
}

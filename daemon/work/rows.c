/* rows.c - see rows.h */
#include "work/rows.h"

#include "work/emit.h"

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

static const float *values_of(const shoal_result *r, shoal_kind kind)
{
    switch (kind) {
    case SHOAL_KIND_POSTERIORS: return r->logp;
    case SHOAL_KIND_EMBEDDING: return r->embedding;
    case SHOAL_KIND_HIDDEN: return r->hidden;
    default: return r->mel;
    }
}

static int dim_of(const shoal_model_info *m, shoal_kind kind)
{
    return kind == SHOAL_KIND_POSTERIORS ? m->classes : kind == SHOAL_KIND_MEL ? m->mels : m->dim;
}

static shoal_packet packet_of(const shoald_lane *l, const shoald_output *out, shoal_kind kind,
                              const shoald_run *run)
{
    const shoal_result *r = run->result;
    bool mel = kind == SHOAL_KIND_MEL;
    return (shoal_packet){
        .kind = kind,
        .depth = mel ? 0 : r->depth,
        .tap = shoald_output_tap(out).depth,
        .first_frame = (uint64_t)(mel ? r->mel_first_frame : r->first_frame),
        .frames = mel ? 2 * r->mel_frames : r->frames,
        .row_ms = mel ? MEL_MS : SHOAL_FRAME_MS,
        .dim = dim_of(l->service->info, kind),
        .queued_us = run->queued_us,
        .computed_us = run->computed_us,
    };
}

static void deliver(shoald_lane *l, shoald_bench *w, shoald_output *out, shoal_kind kind,
                    const shoald_run *run)
{
    shoald_feature *f = &out->features[kind];
    shoal_packet p = packet_of(l, out, kind, run);
    if (p.frames == 0)
        return;
    p.flags = f->depth && f->depth != p.depth ? SHOAL_PACKET_NEW_DEPTH : 0;
    f->depth = p.depth;
    shoald_emit_packet(l, w, &p, values_of(run->result, kind));
}

void shoald_rows_deliver(shoald_lane *l, shoald_bench *w, shoald_output *out, const shoald_run *run)
{
    for (int i = 0; i < KINDS; i++)
        if (out->kinds & output_of(kinds[i]))
            deliver(l, w, out, kinds[i], run);
}

void shoald_rows_close(shoald_output *out, unsigned wanted)
{
    for (int i = 0; i < KINDS; i++)
        if (!(wanted & output_of(kinds[i])))
            out->features[kinds[i]] = (shoald_feature){ 0 };
}

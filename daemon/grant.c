/* grant.c - effective options; see grant.h */
#include "grant.h"

#include <stdio.h>

static int refuse(shoal_error *err, const char *option, int value, const char *allowed)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    shoal_error_set_option(err, option, text, allowed);
    return -1;
}

static int grant_depth(const shoal_options *o, const shoal_model_info *m, shoal_error *err)
{
    char allowed[32];
    snprintf(allowed, sizeof allowed, "1..%d", m->depth);
    if (o->depth_max > m->depth)
        return refuse(err, "depth", o->depth_max, allowed);
    return 0;
}

static int grant_chunk(const shoal_options *o, const shoal_model_info *m, shoal_error *err)
{
    char allowed[64];
    int most = m->max_chunk_frames * SHOAL_FRAME_MS;
    snprintf(allowed, sizeof allowed, "%d..%d in steps of %d", SHOAL_FRAME_MS, most,
             SHOAL_FRAME_MS);
    return o->chunk_ms > most ? refuse(err, "chunk_ms", o->chunk_ms, allowed) : 0;
}

static int grant_left(shoal_options *o, const shoal_model_info *m, shoal_error *err)
{
    char allowed[64];
    int most = m->max_left_frames * SHOAL_FRAME_MS;
    if (o->left_ms < 0)
        o->left_ms = m->left_frames * SHOAL_FRAME_MS;
    snprintf(allowed, sizeof allowed, "0..%d in steps of %d", most, SHOAL_FRAME_MS);
    return o->left_ms > most ? refuse(err, "left_ms", o->left_ms, allowed) : 0;
}

int shoald_grant_options(shoal_options *o, const shoal_model_info *m, int default_depth,
                         shoal_error *err)
{
    if (o->depth_max == 0) {
        o->depth_max = default_depth && default_depth < m->depth ? default_depth : m->depth;
        o->depth_min = o->depth_max;
    }
    if (o->attention == SHOAL_ATTENTION_REUSE) {
        shoal_error_set(err, SHOAL_CODE_UNSUPPORTED, "attention",
                        "the model %s has no layers that reuse attention: leave attention out, "
                        "or load a model that was trained for it",
                        m->name);
        return -1;
    }
    o->given = SHOAL_OPT_ALL;
    if (grant_depth(o, m, err) < 0 || grant_chunk(o, m, err) < 0)
        return -1;
    return grant_left(o, m, err);
}

int shoald_grant_set(const shoal_options *o, const shoal_model_info *m, shoal_error *err)
{
    int result = o->given & SHOAL_OPT_DEPTH ? grant_depth(o, m, err) : 0;
    err->fatal = 0;
    return result;
}

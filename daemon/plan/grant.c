/* grant.c - effective options; see grant.h */
#include "plan/grant.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int refuse(shoal_error *err, const char *option, int value, const char *allowed)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    shoal_error_set_option(err, option, text, allowed);
    return -1;
}

/* "base, reuse or pruned-7" */
static void list_programs(char *out, size_t size, const shoal_model *m)
{
    int count = shoal_model_get_info(m)->programs;
    shoal_program_info p;
    size_t at = 0;
    *out = '\0';
    for (int i = 0; at < size && shoal_model_get_program(m, i, &p) == 0; i++) {
        const char *sep = i == 0 ? "" : i == count - 1 ? " or " : ", ";
        at += (size_t)snprintf(out + at, size - at, "%s%s", sep, p.name);
    }
}

int shoald_grant_find_program(const shoal_model *m, const char *name)
{
    shoal_program_info p;
    for (int i = 0; shoal_model_get_program(m, i, &p) == 0; i++)
        if (!*name || strcmp(p.name, name) == 0)
            return i;
    return -1;
}

int shoald_grant_program(shoal_options *o, const shoal_model *m, shoal_error *err)
{
    shoal_program_info p;
    if (shoal_model_get_program(m, shoald_grant_find_program(m, o->program), &p) < 0) {
        char names[SHOAL_MAX_ERROR_TEXT];
        list_programs(names, sizeof names, m);
        shoal_error_set_option(err, "program", o->program, names);
        return -1;
    }
    snprintf(o->program, sizeof o->program, "%s", p.name);
    return p.depth;
}

/* Behind what is allowed where the client's token, not the model, is what sets it. */
static const char *by_whom(bool by_token)
{
    return by_token ? ", which is all that this token may have" : "";
}

static int grant_depth(const shoal_options *o, int depth, bool by_token, shoal_error *err)
{
    char allowed[64];
    snprintf(allowed, sizeof allowed, "1..%d%s", depth, by_whom(by_token));
    if (o->depth_max > depth)
        return refuse(err, "depth", o->depth_max, allowed);
    return 0;
}

/* The deepest output with a depth of its own must be reached; where all have one, more would be
 * for nothing. */
static int grant_taps(shoal_options *o, int depth, bool by_token, bool depth_said, shoal_error *err)
{
    char allowed[96];
    int deepest = o->tap_count ? o->taps[o->tap_count - 1].depth : 0;
    bool follows = o->outputs & ~(unsigned)SHOAL_OUTPUT_MEL; /* some output is at its depth */
    snprintf(allowed, sizeof allowed, "depths 1..%d after the @%s", depth, by_whom(by_token));
    if (deepest > depth)
        return refuse(err, "output", deepest, allowed);
    if (!depth_said && deepest > o->depth_max)
        o->depth_min = o->depth_max = deepest;
    if (!follows && deepest < o->depth_max)
        o->depth_max = deepest > 1 ? deepest : 1;
    if (o->depth_min > o->depth_max)
        o->depth_min = o->depth_max;
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

static int grant_decoder(const shoal_options *o, const shoal_model_info *m, shoal_error *err)
{
    if (m->decoders >> (o->lm + 2 * o->durations) & 1)
        return 0;
    shoal_error_set(err, SHOAL_CODE_UNSUPPORTED, o->lm == SHOAL_ON ? "durations" : "lm",
                    "the model %s has no tables to find phones with lm=%s and durations=%s: use "
                    "those that /v1/model lists, or load a model that has them",
                    m->name, o->lm == SHOAL_ON ? "on" : "off",
                    o->durations == SHOAL_ON ? "on" : "off");
    return -1;
}

/* What is served, if the session takes that. */
static int grant_precision(shoal_options *o, const shoal_model_info *m, shoal_error *err)
{
    shoal_wire_precision served = SHOAL_ONLY_FP32;
    while (served < SHOAL_ONLY_INT8 && strcmp(shoal_wire_precision_name(served), m->precision) != 0)
        served++;
    if (o->precision == SHOAL_ANY_PRECISION || o->precision == served) {
        o->precision = served;
        return 0;
    }
    const char *asked = shoal_wire_precision_name(o->precision);
    shoal_error_set(err, SHOAL_CODE_UNSUPPORTED, "precision",
                    "this server computes in %s, not in %s: leave precision out to take that, or "
                    "have shoald started with --precision %s",
                    m->precision, asked, asked);
    return -1;
}

int shoald_grant_options(shoal_options *o, const shoal_model *model,
                         const shoald_grant_limits *limits, shoal_error *err)
{
    const shoal_model_info *m = shoal_model_get_info(model);
    int depth = shoald_grant_program(o, model, err), usual = limits->default_depth;
    if (depth < 0)
        return -1;
    bool by_token = limits->most_depth && limits->most_depth < depth;
    depth = by_token ? limits->most_depth : depth;
    if (o->depth_max == 0) {
        o->depth_max = usual && usual < depth ? usual : depth;
        o->depth_min = o->depth_max;
    }
    if (o->attention == SHOAL_ATTENTION_REUSE) {
        shoal_error_set(err, SHOAL_CODE_UNSUPPORTED, "attention",
                        "the model %s has no layers that reuse attention: leave attention out, "
                        "or load a model that was trained for it",
                        m->name);
        return -1;
    }
    bool depth_said = o->given & SHOAL_OPT_DEPTH;
    o->given = SHOAL_OPT_ALL;
    if (grant_depth(o, depth, by_token, err) < 0 ||
        grant_taps(o, depth, by_token, depth_said, err) < 0 || grant_chunk(o, m, err) < 0 ||
        grant_decoder(o, m, err) < 0 || grant_precision(o, m, err) < 0)
        return -1;
    return grant_left(o, m, err);
}

int shoald_grant_set(shoal_options *asked, const shoal_options *set, shoal_options *effective,
                     const shoal_model *m, const shoald_grant_limits *limits, shoal_error *err)
{
    shoal_options o = *asked;
    o.given |= set->given;
    if (set->given & SHOAL_OPT_DEPTH) {
        o.depth_min = set->depth_min;
        o.depth_max = set->depth_max;
    }
    if (set->given & SHOAL_OPT_OUTPUT)
        shoal_options_copy_outputs(&o, set);
    if (set->given & SHOAL_OPT_CHUNK_MS)
        o.chunk_ms = set->chunk_ms;
    *effective = o;
    if (shoald_grant_options(effective, m, limits, err) < 0 || shoal_options_finish(&o, err) < 0) {
        err->fatal = 0;
        return -1;
    }
    effective->given = set->given;
    *asked = o;
    return 0;
}

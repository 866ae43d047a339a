/* service.c - see service.h */
#include "base/service.h"

#include "plan/grant.h"
#include "plan/load.h"
#include "shoal-protocol.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { CAUSE_SIZE = 512 };

/* A FIFO would be waited for, and a folder makes for strange errors. */
static bool is_file(const char *path, char *why, size_t why_size)
{
    struct stat st;
    if (!*path || stat(path, &st) < 0 || S_ISREG(st.st_mode))
        return true; /* the loader knows best what is wrong with a file that cannot be opened */
    snprintf(why, why_size, "cannot open the model %s: it is not a regular file", path);
    return false;
}

static int deepest(const shoal_model *m)
{
    shoal_program_info p;
    int depth = 0;
    for (int i = 0; shoal_model_get_program(m, i, &p) == 0; i++)
        depth = p.depth > depth ? p.depth : depth;
    return depth;
}

/* ---- what layers cost -------------------------------------------------------------------- */

static double flops_of(const shoal_model *m, const shoal_step *step)
{
    shoal_cost cost;
    return shoal_model_cost(m, step, 1, &cost) == 0 ? cost.flops : 0;
}

/* sums[0..its depth]: flops of its first layers. Its depth, or 0: its plan cannot be had. */
static int sum_layers(const shoal_model *m, int program, double *sums)
{
    shoal_step plan[SHOAL_MAX_DEPTH + 2];
    shoal_stream_params p = shoal_stream_default_params(m);
    shoal_program_info info;
    int steps = 0;
    sums[0] = 0;
    p.program = program;
    if (shoal_model_get_program(m, program, &info) == 0) {
        p.depth = info.depth;
        steps = shoal_model_plan(m, &p, 1, plan, SHOAL_MAX_DEPTH + 2);
    }
    for (int i = 0; i < steps - 2; i++) /* between front and head */
        sums[i + 1] = sums[i] + flops_of(m, &plan[i + 1]);
    return steps > 2 ? steps - 2 : 0;
}

static double *layers_of(const shoald_service *s, int program)
{
    return s->layers + (size_t)program * ((size_t)s->depth + 1);
}

const double *shoald_service_layers(const shoald_service *s, int program)
{
    return layers_of(s, program);
}

/* A model whose first program computes nothing counts its layers as they are. */
static int price_layers(shoald_service *s)
{
    double unit = 0;
    s->layers = calloc((size_t)s->info->programs * ((size_t)s->depth + 1), sizeof *s->layers);
    for (int i = 0; s->layers && i < s->info->programs; i++) {
        double *sums = layers_of(s, i);
        int depth = sum_layers(s->model, i, sums);
        if (i == 0)
            unit = sums[depth] / (depth ? depth : 1);
        for (int k = 1; k <= depth; k++)
            sums[k] = unit > 0 ? sums[k] / unit : k;
    }
    return s->layers ? 0 : -1;
}

int shoald_service_ceiling(const shoald_service *s)
{
    size_t n = (size_t)s->info->programs * ((size_t)s->depth + 1);
    double most = s->depth;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, s->layers[i]);
    return shoald_price_ceiling(most);
}

void shoald_service_scale(shoald_service *s, double scale)
{
    size_t n = (size_t)s->info->programs * ((size_t)s->depth + 1);
    s->scale = scale;
    for (size_t i = 0; i < n; i++)
        s->layers[i] *= scale;
}

int shoald_service_watch(shoald_service *s, int workers)
{
    s->recent = calloc((size_t)workers, sizeof *s->recent);
    for (; s->recent && s->recents < workers; s->recents++)
        if (shoald_recent_init(&s->recent[s->recents], s->depth) < 0)
            return -1;
    return s->recent ? 0 : -1;
}

int shoald_service_algorithmic_ms(const shoal_model_info *info, int chunk_ms)
{
    int samples = info->delay_frames * info->frame_samples + info->window_extra_samples;
    return chunk_ms + (samples * 1000 + info->rate - 1) / info->rate;
}

/* ---- what sessions remember ----------------------------------------------------------------- */

/* As deep as it may go. */
static shoal_cost cost_of(const shoald_service *s, const shoal_options *o)
{
    shoal_step plan[SHOAL_MAX_DEPTH + 2];
    shoal_stream_params p = shoal_stream_default_params(s->model);
    shoal_cost cost = { 0 };
    int program = shoald_grant_find_program(s->model, o->program);
    p.program = program < 0 ? 0 : program;
    p.depth = o->depth_max;
    p.chunk_frames = o->chunk_ms / SHOAL_FRAME_MS;
    p.left_frames = o->left_ms / SHOAL_FRAME_MS;
    int steps = shoal_model_plan(s->model, &p, 1, plan, SHOAL_MAX_DEPTH + 2);
    if (steps < 0 || shoal_model_cost(s->model, plan, steps, &cost) < 0)
        return (shoal_cost){ 0 };
    return cost;
}

int shoald_service_replay_ms(const shoald_service *s, const shoal_options *o)
{
    /* twice what the decoder waits at most: paths have met by then */
    int decoder = 2 * SHOAL_DECODER_LAG * SHOAL_FRAME_MS;
    int detector = o->activity_hangover_ms + o->activity_min_ms + o->activity_pad_ms;
    return cost_of(s, o).reach_frames * SHOAL_FRAME_MS +
           shoald_service_algorithmic_ms(s->info, o->chunk_ms) + decoder + detector;
}

size_t shoald_service_cache_bytes(const shoald_service *s, const shoal_options *o)
{
    return cost_of(s, o).cache_bytes;
}

/* ---- open, close ------------------------------------------------------------------------- */

int shoald_service_open(shoald_service *s, const char *path, const shoal_model_params *params,
                        char *why, size_t why_size)
{
    char cause[CAUSE_SIZE];
    *s = (shoald_service){ 0 };
    if (!is_file(path, why, why_size))
        return -1;
    if (shoal_model_open_with(&s->model, *path ? path : NULL, params, cause, sizeof cause) < 0) {
        snprintf(why, why_size, "cannot open the model %s: %s", *path ? path : "(built-in)", cause);
        return -1;
    }
    s->info = shoal_model_get_info(s->model);
    s->depth = deepest(s->model);
    if (shoald_card_read(&s->card, s->info, path) < 0 || price_layers(s) < 0) {
        snprintf(why, why_size, "no memory for the model's card");
        shoald_service_close(s);
        return -1;
    }
    s->scale = 1;
    return 0;
}

void shoald_service_close(shoald_service *s)
{
    shoald_card_free(&s->card);
    for (int i = 0; i < s->recents; i++)
        shoald_recent_free(&s->recent[i]);
    free(s->recent);
    free(s->layers);
    shoal_model_close(s->model);
    *s = (shoald_service){ 0 };
}

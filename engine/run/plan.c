/* plan.c - what a plan costs, and what a model's programs are made of
 *
 * A plan is a list of steps: a virtual layer, or what comes before and after them all, for so many
 * rows. Every layer's share comes from its operation, so nobody who schedules needs to know one.
 */
#include "run/stream.h"

int shoal_model_get_program(const shoal_model *m, int program, shoal_program_info *out)
{
    if (program < 0 || program >= m->program_count)
        return SHOAL_EINVAL;
    const shoal__program *p = &m->programs[program];
    *out = (shoal_program_info){ .name = p->name, .depth = p->depth };
    return 0;
}

/* NULL: there is no such layer. */
static const shoal__layer *find_layer(const shoal_model *m, int program, int layer)
{
    if (program < 0 || program >= m->program_count)
        return NULL;
    const shoal__program *p = &m->programs[program];
    return layer >= 0 && layer < p->depth ? &p->layers[layer] : NULL;
}

int shoal_model_get_layer(const shoal_model *m, int program, int layer, shoal_layer_info *out)
{
    const shoal__layer *l = find_layer(m, program, layer);
    if (!l)
        return SHOAL_EINVAL;
    *out = (shoal_layer_info){ .op = l->op->name, .exit = l->exit };
    while (out->pools < SHOAL_LAYER_POOLS && l->op->takes[out->pools]) {
        out->pool[out->pools] = l->op->takes[out->pools];
        out->place[out->pools] = l->takes[out->pools];
        out->pools++;
    }
    return 0;
}

static double product_flops(const shoal__linear *l, double rows)
{
    return 2.0 * rows * l->in * l->out;
}

static int add_step(const shoal_model *m, const shoal_step *s, shoal_cost *to)
{
    double rows = (double)s->streams * s->chunk_frames;
    const shoal__layer *l = find_layer(m, s->program, s->layer);
    if (s->streams < 0 || s->chunk_frames < 0 || s->left_frames < 0)
        return SHOAL_EINVAL;
    if (l) {
        const shoal_stream_params p = { .chunk_frames = s->chunk_frames,
                                        .left_frames = s->left_frames };
        to->flops += shoal__layer_flops(m, l, rows, (double)s->left_frames + s->chunk_frames);
        to->cache_bytes += (size_t)s->streams * shoal__layer_cache_bytes(m, l, &p);
        to->reach_frames += shoal__layer_reach(m, l, &p);
    } else if (s->layer == SHOAL_STEP_FRONT)
        to->flops += product_flops(&m->conv1, 2.0 * rows) + product_flops(&m->conv2, rows);
    else if (s->layer == SHOAL_STEP_HEAD)
        to->flops += product_flops(&m->head, rows);
    else
        return SHOAL_EINVAL;
    return 0;
}

int shoal_model_cost(const shoal_model *m, const shoal_step *steps, int n, shoal_cost *out)
{
    *out = (shoal_cost){ 0 };
    for (int i = 0; i < n; i++)
        if (add_step(m, &steps[i], out) < 0)
            return SHOAL_EINVAL;
    return 0;
}

int shoal_model_plan(const shoal_model *m, const shoal_stream_params *p, int streams,
                     shoal_step *steps, int max)
{
    int n = 0;
    if (streams < 0 || !find_layer(m, p->program, p->depth - 1) || max < p->depth + 2)
        return SHOAL_EINVAL;
    shoal_step step = { .program = p->program,
                        .streams = streams,
                        .chunk_frames = p->chunk_frames,
                        .left_frames = p->left_frames };
    for (step.layer = SHOAL_STEP_FRONT; step.layer < p->depth; step.layer++)
        steps[n++] = step;
    step.layer = SHOAL_STEP_HEAD;
    steps[n++] = step;
    return n;
}

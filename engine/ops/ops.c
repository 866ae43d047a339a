/* ops.c - the table of operations, and those who ask it */
#include "ops/op.h"

#include <stdio.h>
#include <string.h>

#include "model/bind.h"
#include "run/batch.h"

static const shoal__op *const table[SHOAL__OPS] = {
    [SHOAL__CONFORMER] = &shoal__op_conformer,
    [SHOAL__EXPERTS] = &shoal__op_experts,
    [SHOAL__IDENTITY] = &shoal__op_identity,
    [SHOAL__REUSE] = &shoal__op_reuse,
    [SHOAL__MIMIC_LINEAR] = &shoal__op_mimic_linear,
    [SHOAL__MIMIC_TRANSFORMER] = &shoal__op_mimic_transformer,
};

const shoal__op *shoal__op_find(const char *name)
{
    for (int i = 0; i < SHOAL__OPS; i++)
        if (!strcmp(table[i]->name, name))
            return table[i];
    return NULL;
}

int shoal__layer_same(const shoal__layer *a, const shoal__layer *b)
{
    return a->op == b->op && !memcmp(a->takes, b->takes, sizeof a->takes) &&
           !memcmp(a->own, b->own, sizeof a->own);
}

void shoal__ops_configure(shoal__reader *r, shoal__config *c, const json_t *root)
{
    for (int i = 0; i < SHOAL__OPS; i++)
        if (table[i]->configure)
            table[i]->configure(r, c, root);
}

void shoal__ops_config_keys(char *text, size_t size)
{
    size_t at = 0;
    *text = '\0';
    for (int i = 0; i < SHOAL__OPS; i++)
        if (table[i]->config && at < size)
            at += (size_t)snprintf(text + at, size - at, " %s", table[i]->config);
}

int shoal__ops_width(const shoal__config *c, const shoal__op *op)
{
    int widest = 0;
    for (int i = 0; i < SHOAL__OPS; i++)
        if (table[i]->builds_on == op && table[i]->width && table[i]->width(c) > widest)
            widest = table[i]->width(c);
    return widest;
}

void shoal__ops_bind(shoal__binder *b)
{
    for (int i = 0; i < SHOAL__OPS; i++)
        if (table[i]->bind)
            table[i]->bind(b);
}

void shoal__ops_unbind(shoal_model *m)
{
    for (int i = 0; i < SHOAL__OPS; i++)
        if (table[i]->unbind)
            table[i]->unbind(m);
}

/* Some program has a layer of it, or of one that builds on it. */
static int is_used(const shoal_model *m, const shoal__op *op)
{
    for (int p = 0; p < m->program_count; p++)
        for (int i = 0; i < m->programs[p].depth; i++) {
            const shoal__op *has = m->programs[p].layers[i].op;
            if (has == op || has->builds_on == op)
                return 1;
        }
    return 0;
}

void shoal__ops_scratch(shoal_batch *b, unsigned char *base, size_t *at)
{
    for (int i = 0; i < SHOAL__OPS; i++)
        if (table[i]->scratch && is_used(b->model, table[i]))
            table[i]->scratch(b, base, at);
}

void shoal__ops_begin(shoal_batch *b)
{
    for (int i = 0; i < SHOAL__OPS; i++)
        if (table[i]->begin && b->scratch[i])
            table[i]->begin(b);
}

size_t shoal__layer_cache_bytes(const shoal_model *m, const shoal__layer *l,
                                const shoal_stream_params *p)
{
    return l->op->cache_bytes ? l->op->cache_bytes(m, p) : 0;
}

void shoal__layer_cache_empty(const shoal_model *m, const shoal__layer *l, void *cache)
{
    if (l->op->cache_empty)
        l->op->cache_empty(m, cache);
}

int shoal__layer_wake_from(const shoal__program *p, int place, int awake)
{
    const shoal__op *op = p->layers[place].op;
    return op->wake_from ? op->wake_from(p, place, awake) : -1;
}

int shoal__layer_reach(const shoal_model *m, const shoal__layer *l, const shoal_stream_params *p)
{
    return l->op->reach ? l->op->reach(m, p) : 0;
}

double shoal__layer_flops(const shoal_model *m, const shoal__layer *l, double frames,
                          double context)
{
    return l->op->flops ? l->op->flops(m, l, frames, context) : 0.0;
}

/* conformer_bind.c - the conformer's pools: blocks of weights and sets of norms */
#include "ops/conformer.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/bind.h"

/* [D, taps] in the file -> [taps, D], so that the kernel runs along channels. */
static void bind_depthwise(shoal__binder *b, shoal__block *k, int index)
{
    int D = b->m->config.dim, taps = b->m->config.kernel;
    const float *w = shoal__bind(b, 2, D, taps, "blocks.%d.conv.dw.weight", index);
    k->dw_bias = shoal__bind(b, 1, D, 0, "blocks.%d.conv.dw.bias", index);
    if (b->rc < 0)
        return;
    k->dw_weight = malloc((size_t)D * (size_t)taps * sizeof *k->dw_weight);
    if (!k->dw_weight) {
        b->rc = SHOAL_ENOMEM;
        return;
    }
    for (int d = 0; d < D; d++)
        for (int t = 0; t < taps; t++)
            k->dw_weight[t * D + d] = w[d * taps + t];
}

/* By whom a block is taken. */
typedef struct takers {
    int conformers, experts, reusers; /* layers */
} takers;

static takers takers_of(const shoal_model *m, int block)
{
    takers t = { 0 };
    for (int p = 0; p < m->program_count; p++)
        for (int i = 0; i < m->programs[p].depth; i++) {
            const shoal__layer *l = &m->programs[p].layers[i];
            if (l->takes[SHOAL__TAKES_BLOCK] != block)
                continue;
            t.conformers += l->op == &shoal__op_conformer;
            t.experts += l->op == &shoal__op_experts;
            t.reusers += shoal__reuses(l);
        }
    return t;
}

/* Queries, keys and values; values alone where no layer makes a map with them; both where some do
 * and others do not. */
static void bind_attention(shoal__binder *b, shoal__block *k, takers t, int index)
{
    const int D = b->m->config.dim, only = t.reusers && !t.conformers && !t.experts;
    const shoal__linear values = { .out = D, .in = D };
    char prefix[64];
    snprintf(prefix, sizeof prefix, "blocks.%d.att.%s", index, only ? "v" : "qkv");
    if (t.reusers)
        shoal__bind_linear_end(b, &k->value, values, only ? D : 3 * D, prefix);
    if (!only)
        shoal__bind_linear(b, &k->qkv, (shoal__linear){ .out = 3 * D, .in = D }, prefix);
}

static void bind_block(shoal__binder *b, shoal__block *k, int index)
{
    const shoal__config *c = &b->m->config;
    const shoal__epilogue silu = SHOAL__SILU, add = SHOAL__ADD;
    const struct {
        shoal__linear *l;
        const char *name;
        shoal__linear shape;
    } linears[] = {
        { &k->ffn1_up, "ffn1.up", { .out = c->ffn, .in = c->dim, .epilogue = silu } },
        { &k->ffn1_down,
          "ffn1.down",
          { .out = c->dim, .in = c->ffn, .epilogue = add, .scale = 0.5f } },
        { &k->att_out, "att.out", { .out = c->dim, .in = c->dim, .epilogue = add } },
        { &k->pw1, "conv.pw1", { .out = 2 * c->dim, .in = c->dim } },
        { &k->pw2, "conv.pw2", { .out = c->dim, .in = c->dim, .epilogue = add } },
        { &k->ffn2_up, "ffn2.up", { .out = c->ffn, .in = c->dim, .epilogue = silu } },
        { &k->ffn2_down,
          "ffn2.down",
          { .out = c->dim, .in = c->ffn, .epilogue = add, .scale = 0.5f } },
    };
    /* the second feed-forward module is not there if all that take the block have experts */
    takers t = takers_of(b->m, index);
    size_t count =
        sizeof linears / sizeof *linears - (t.experts && !t.conformers && !t.reusers ? 2 : 0);
    bind_attention(b, k, t, index);
    for (size_t i = 0; i < count; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "blocks.%d.%s", index, linears[i].name);
        shoal__bind_linear(b, linears[i].l, linears[i].shape, prefix);
    }
    bind_depthwise(b, k, index);
}

static void bind_norm_set(shoal__binder *b, shoal__norm_set *n, int index)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "norms.%d", index);
    n->ffn1 = shoal__bind_norm(b, prefix, "ffn1");
    n->att = shoal__bind_norm(b, prefix, "att");
    n->conv = shoal__bind_norm(b, prefix, "conv");
    n->conv_mid = shoal__bind_norm(b, prefix, "conv_mid");
    n->ffn2 = shoal__bind_norm(b, prefix, "ffn2");
    n->out = shoal__bind_norm(b, prefix, "out");
}

static shoal__conformer_pools *make_pools(const shoal__config *c)
{
    shoal__conformer_pools *p = calloc(1, sizeof *p + (size_t)c->blocks * sizeof *p->blocks +
                                              (size_t)c->norm_sets * sizeof *p->norm_sets);
    if (!p)
        return NULL;
    p->blocks = (shoal__block *)(p + 1);
    p->norm_sets = (shoal__norm_set *)(p->blocks + c->blocks);
    return p;
}

void shoal__conformer_bind(shoal__binder *b)
{
    const shoal__config *c = &b->m->config;
    shoal__conformer_pools *p = make_pools(c);
    b->m->pools[SHOAL__CONFORMER] = p;
    b->rc = p ? b->rc : SHOAL_ENOMEM;
    if (p)
        p->maps = shoal__reuse_places(b);
    for (int i = 0; p && i < c->blocks; i++)
        bind_block(b, &p->blocks[i], i);
    for (int i = 0; p && i < c->norm_sets; i++)
        bind_norm_set(b, &p->norm_sets[i], i);
}

void shoal__conformer_unbind(shoal_model *m)
{
    shoal__conformer_pools *p = m->pools[SHOAL__CONFORMER];
    for (int i = 0; p && i < m->config.blocks; i++)
        free(p->blocks[i].dw_weight);
    free(p);
}

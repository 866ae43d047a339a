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

/* Its second feed-forward module is not there if every layer that takes it has experts instead. */
static int has_ffn2(const shoal_model *m, int block)
{
    int missed = 0;
    for (int p = 0; p < m->program_count; p++)
        for (int i = 0; i < m->programs[p].depth; i++) {
            const shoal__layer *l = &m->programs[p].layers[i];
            if (l->takes[SHOAL__TAKES_BLOCK] != block)
                continue;
            if (l->op == &shoal__op_conformer)
                return 1;
            missed |= l->op == &shoal__op_experts;
        }
    return !missed;
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
        { &k->qkv, "att.qkv", { .out = 3 * c->dim, .in = c->dim } },
        { &k->att_out, "att.out", { .out = c->dim, .in = c->dim, .epilogue = add } },
        { &k->pw1, "conv.pw1", { .out = 2 * c->dim, .in = c->dim } },
        { &k->pw2, "conv.pw2", { .out = c->dim, .in = c->dim, .epilogue = add } },
        { &k->ffn2_up, "ffn2.up", { .out = c->ffn, .in = c->dim, .epilogue = silu } },
        { &k->ffn2_down,
          "ffn2.down",
          { .out = c->dim, .in = c->ffn, .epilogue = add, .scale = 0.5f } },
    };
    size_t count = sizeof linears / sizeof *linears - (has_ffn2(b->m, index) ? 0 : 2);
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

/* experts.c - a conformer of which every frame chooses the second feed-forward module (arXiv
 * 2209.08326)
 *
 *   x += FFN1(x)/2; x += MHSA(x); x += Conv(x)      as in a conformer, same pools and caches
 *   y = LN(x); p = softmax(router(y))
 *   x += p_e E_e(y)/2                               for the `top` experts e with the largest logits
 *   x = LN(x)
 *
 * Frames of all streams of a batch are gathered by expert, so that each expert is one product, and
 * added where they came from: expert after expert, in ascending order, whatever the company. None
 * is dropped and nothing bounds how many an expert gets. So whatever the routes, the
 * multiplications are the same and the lists have room: a frame goes through `top` experts, an
 * expert gets each frame at most once. What differs is which weights are read. The worst case in
 * time is a small batch whose frames all go different ways (a product for every expert, of a row or
 * two each); all to one expert is a dense layer.
 */
#include "ops/experts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/bind.h"
#include "run/arena.h"

/* ---- opening ----------------------------------------------------------------------------- */

/* Pools that a file may have or not, but all of them. */
static void configure(shoal__reader *r, shoal__config *c, const json_t *root)
{
    if (!json_object_get(root, "expert_banks") && !json_object_get(root, "experts") &&
        !json_object_get(root, "routers"))
        return;
    c->expert_banks = shoal__reader_int(r, root, "expert_banks", 1, SHOAL__MAX_POOL);
    c->experts = shoal__reader_int(r, root, "experts", 1, SHOAL__MAX_EXPERTS);
    c->routers = shoal__reader_int(r, root, "routers", 1, SHOAL__MAX_POOL);
}

static int parse_weights(shoal__reader *r, const json_t *entry)
{
    const char *s =
        json_object_get(entry, "weights") ? shoal__reader_string(r, entry, "weights", 32) : "plain";
    int renormalised = !strcmp(s, "renormalised");
    if (!renormalised && strcmp(s, "plain"))
        shoal__reader_fail(r, "%s: 'weights' must be plain or renormalised", r->where);
    return renormalised;
}

static void parse(shoal__reader *r, const shoal__config *c, const json_t *entry, shoal__layer *l)
{
    int most = c->experts < SHOAL__MAX_TOP ? c->experts : SHOAL__MAX_TOP;
    if (!c->experts) {
        shoal__reader_fail(r,
                           "%s: the file has no experts (configuration: 'expert_banks', 'experts', "
                           "'routers')",
                           r->where);
        return;
    }
    shoal__conformer_parse(r, c, entry, l);
    l->takes[SHOAL__TAKES_EXPERTS] = shoal__reader_int(r, entry, "experts", 0, c->expert_banks - 1);
    l->takes[SHOAL__TAKES_ROUTER] = shoal__reader_int(r, entry, "router", 0, c->routers - 1);
    l->own[SHOAL__OWN_TOP] = shoal__reader_int(r, entry, "top", 1, most);
    l->own[SHOAL__OWN_RENORMALISED] = parse_weights(r, entry);
}

static void bind_bank(shoal__binder *b, shoal__expert *bank, int index)
{
    const shoal__config *c = &b->m->config;
    const shoal__linear up = { .out = c->ffn, .in = c->dim, .epilogue = SHOAL__SILU };
    const shoal__linear down = {
        .out = c->dim, .in = c->ffn, .epilogue = SHOAL__ADD, .scale = 0.5f
    };
    for (int e = 0; e < c->experts; e++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "experts.%d.%d.up", index, e);
        shoal__bind_linear(b, &bank[e].up, up, prefix);
        snprintf(prefix, sizeof prefix, "experts.%d.%d.down", index, e);
        shoal__bind_linear(b, &bank[e].down, down, prefix);
    }
}

/* What nobody takes is refused: a bank is most of a file, and a router without layers is a mistake.
 */
static void refuse_orphans(shoal__binder *b, int place, int count, const char *what)
{
    for (int n = 0; b->rc == 0 && n < count; n++) {
        int taken = 0;
        for (int p = 0; p < b->m->program_count; p++)
            for (int i = 0; i < b->m->programs[p].depth; i++) {
                const shoal__layer *l = &b->m->programs[p].layers[i];
                taken |= l->op == &shoal__op_experts && l->takes[place] == n;
            }
        if (!taken)
            b->rc = shoal__explain(b->why, b->size, SHOAL_EMODEL,
                                   "configuration: no layer of any program takes %s %d", what, n);
    }
}

static shoal__expert_pools *make_pools(const shoal__config *c)
{
    size_t experts = (size_t)c->expert_banks * (size_t)c->experts;
    shoal__expert_pools *p = calloc(1, sizeof *p + experts * sizeof *p->experts +
                                           (size_t)c->routers * sizeof *p->routers);
    if (!p)
        return NULL;
    p->experts = (shoal__expert *)(p + 1);
    p->routers = (shoal__router *)(p->experts + experts);
    return p;
}

static void bind(shoal__binder *b)
{
    const shoal__config *c = &b->m->config;
    if (b->rc < 0 || !c->experts)
        return;
    refuse_orphans(b, SHOAL__TAKES_EXPERTS, c->expert_banks, "expert bank");
    refuse_orphans(b, SHOAL__TAKES_ROUTER, c->routers, "router");
    shoal__expert_pools *p = make_pools(c);
    b->m->pools[SHOAL__EXPERTS] = p;
    b->rc = p ? b->rc : SHOAL_ENOMEM;
    for (int i = 0; p && i < c->expert_banks; i++)
        bind_bank(b, p->experts + (size_t)i * (size_t)c->experts, i);
    for (int i = 0; p && i < c->routers; i++) {
        p->routers[i].weight = shoal__bind(b, 2, c->experts, c->dim, "routers.%d.weight", i);
        p->routers[i].bias = shoal__bind(b, 1, c->experts, 0, "routers.%d.bias", i);
    }
}

static void unbind(shoal_model *m)
{
    free(m->pools[SHOAL__EXPERTS]);
}

/* ---- routes ------------------------------------------------------------------------------ */

static void scratch(shoal_batch *b, unsigned char *base, size_t *at)
{
    size_t R = (size_t)b->room.frames;
    shoal__expert_scratch counting, *s = shoal__carve(base, at, sizeof *s);
    s = base ? s : &counting;
    s->route = shoal__carve(base, at, R * sizeof *s->route);
    s->share = shoal__carve(base, at, R * sizeof *s->share);
    s->index = shoal__carve(base, at, R * sizeof *s->index);
    s->scale = shoal__carve_floats(base, at, R);
    b->scratch[SHOAL__EXPERTS] = base ? s : NULL;
}

/* Four sums side by side in one order everywhere: routes are the same at every level of kernels. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

static float dot(const float *a, const float *w, int n)
{
    quad sum = { 0 };
    int i = 0;
    for (; i + 4 <= n; i += 4)
        sum += *(const quad *)(const void *)(a + i) * *(const quad *)(const void *)(w + i);
    for (int k = 0; i < n; i++, k++)
        sum[k] += a[i] * w[i];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

void shoal__experts_pick(const float *logits, int n, int top, int *route)
{
    for (int k = 0; k < top; k++) {
        int best = k && route[0] == 0; /* the lowest that is not chosen yet */
        for (int e = best + 1; e < n; e++)
            if (!(k && e == route[0]) && logits[e] > logits[best])
                best = e;
        route[k] = best;
    }
}

/* Shares of the experts chosen, out of all or, renormalised, out of themselves. */
static void weigh(const float *logits, int n, const int *route, const int *own, float *share)
{
    float p[SHOAL__MAX_EXPERTS], sum = 0.0f;
    for (int e = 0; e < n; e++)
        sum += p[e] = expf(logits[e] - logits[route[0]]);
    if (own[SHOAL__OWN_RENORMALISED])
        sum = own[SHOAL__OWN_TOP] > 1 ? p[route[0]] + p[route[1]] : p[route[0]];
    for (int k = 0; k < own[SHOAL__OWN_TOP]; k++)
        share[k] = p[route[k]] / sum;
}

static int row_at(const shoal__rows *rows, int i)
{
    return rows->index ? rows->index[i] : i;
}

/* Of each row of y: which experts it goes through, and what they weigh. */
static void choose(const shoal_batch *b, const shoal__layer *l, const float *y,
                   const shoal__rows *rows)
{
    const shoal__config *c = &b->model->config;
    const shoal__expert_pools *pools = b->model->pools[SHOAL__EXPERTS];
    const shoal__router *r = &pools->routers[l->takes[SHOAL__TAKES_ROUTER]];
    const shoal__expert_scratch *s = b->scratch[SHOAL__EXPERTS];
    size_t D = (size_t)c->dim;
    for (int i = 0; i < rows->count; i++) {
        float logits[SHOAL__MAX_EXPERTS];
        for (int e = 0; e < c->experts; e++)
            logits[e] = r->bias[e] +
                        dot(y + (size_t)row_at(rows, i) * D, r->weight + (size_t)e * D, c->dim);
        shoal__experts_pick(logits, c->experts, l->own[SHOAL__OWN_TOP], s->route[i]);
        weigh(logits, c->experts, s->route[i], l->own, s->share[i]);
    }
}

/* ---- running ----------------------------------------------------------------------------- */

/* The rows that go through one expert, ascending. */
static shoal__rows gather(const shoal__expert_scratch *s, const shoal__rows *rows, int expert,
                          int top)
{
    shoal__rows some = { .index = s->index };
    for (int i = 0; i < rows->count; i++)
        for (int k = 0; k < top; k++)
            if (s->route[i][k] == expert) {
                s->index[some.count] = row_at(rows, i);
                s->scale[some.count++] = s->share[i][k];
            }
    return some;
}

static void run(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows)
{
    const shoal__expert_pools *pools = b->model->pools[SHOAL__EXPERTS];
    const shoal__expert_scratch *s = b->scratch[SHOAL__EXPERTS];
    const shoal__conformer_scratch *c = shoal__conformer_scratch_of(b);
    int count = b->model->config.experts;
    const shoal__expert *bank =
        pools->experts + (size_t)l->takes[SHOAL__TAKES_EXPERTS] * (size_t)count;
    shoal__conformer_begin(b, l, place, rows);
    shoal__batch_norm(b, c->y, b->x, shoal__norms_of(b->model, l)->ffn2, rows);
    choose(b, l, c->y, rows);
    for (int e = 0; e < count; e++) {
        shoal__rows some = gather(s, rows, e, l->own[SHOAL__OWN_TOP]);
        if (some.count)
            shoal__batch_pair(b, &bank[e].up, &bank[e].down, c->y, &some, s->scale, c->wide, b->x);
    }
    shoal__conformer_end(b, l, rows);
}

static double flops(const shoal_model *m, const shoal__layer *l, double frames, double context)
{
    return shoal__conformer_flops(m, frames, context, 1 + l->own[SHOAL__OWN_TOP]) +
           2.0 * frames * m->config.experts * m->config.dim;
}

const shoal__op shoal__op_experts = {
    .name = "experts",
    .takes = { [SHOAL__TAKES_BLOCK] = "block",
               [SHOAL__TAKES_NORMS] = "norms",
               [SHOAL__TAKES_EXPERTS] = "experts",
               [SHOAL__TAKES_ROUTER] = "router" },
    .keys = "attn block norms experts router top weights",
    .config = "expert_banks experts routers",
    .builds_on = &shoal__op_conformer,
    .configure = configure,
    .parse = parse,
    .bind = bind,
    .unbind = unbind,
    .cache_bytes = shoal__conformer_cache_bytes,
    .cache_empty = shoal__conformer_cache_empty,
    .wake_from = shoal__conformer_wake_from,
    .scratch = scratch,
    .run = run,
    .reach = shoal__conformer_reach,
    .flops = flops,
};

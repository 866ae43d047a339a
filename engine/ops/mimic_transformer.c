/* mimic_transformer.c - attention and a feed-forward module of any width; see mimic.h
 *
 * Norms stand before the modules and the positions are rotary, as in a conformer, of whose modules
 * it is made: it is what is left of one without the convolution and the first feed-forward module.
 */
#include "ops/conformer.h"
#include "ops/mimic.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct mimic {
    shoal__linear qkv, out; /* [3D, D], [D, D] */
    shoal__linear up, down; /* [inner, D], [D, inner] */
    shoal__norm att, ffn, last;
} mimic;

static void configure(shoal__reader *r, shoal__config *c, const json_t *root)
{
    shoal__mimic_configure(r, root, "mimic_transformer", &c->mimic_transformer);
}

static int width(const shoal__config *c)
{
    return shoal__mimics_widest(&c->mimic_transformer);
}

static void parse(shoal__reader *r, const shoal__config *c, const json_t *entry, shoal__layer *l)
{
    shoal__mimic_parse(r, &c->mimic_transformer, "mimic_transformer", entry, l);
}

static void bind_one(shoal__binder *b, mimic *k, int index)
{
    int D = b->m->config.dim, inner = b->m->config.mimic_transformer.inner[index];
    const struct {
        shoal__linear *l;
        const char *name;
        shoal__linear shape;
    } linears[] = {
        { &k->qkv, "att.qkv", { .out = 3 * D, .in = D } },
        { &k->out, "att.out", { .out = D, .in = D, .epilogue = SHOAL__ADD } },
        { &k->up, "ffn.up", { .out = inner, .in = D, .epilogue = SHOAL__SILU } },
        { &k->down, "ffn.down", { .out = D, .in = inner, .epilogue = SHOAL__ADD } },
    };
    char prefix[64];
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        snprintf(prefix, sizeof prefix, "mimic_transformer.%d.%s", index, linears[i].name);
        shoal__bind_linear(b, linears[i].l, linears[i].shape, prefix);
    }
    snprintf(prefix, sizeof prefix, "mimic_transformer.%d.norm", index);
    k->att = shoal__bind_norm(b, prefix, "att");
    k->ffn = shoal__bind_norm(b, prefix, "ffn");
    k->last = shoal__bind_norm(b, prefix, "out");
}

static void bind(shoal__binder *b)
{
    const shoal__mimics *has = &b->m->config.mimic_transformer;
    mimic *pool = shoal__mimic_pool(b, &b->m->pools[SHOAL__MIMIC_TRANSFORMER], has, sizeof *pool);
    for (int i = 0; pool && i < has->count; i++)
        bind_one(b, &pool[i], i);
}

static void unbind(shoal_model *m)
{
    free(m->pools[SHOAL__MIMIC_TRANSFORMER]);
}

static void cache_empty(const shoal_model *m, void *cache)
{
    (void)m;
    shoal__attention_cache_empty(cache);
}

static void run(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows)
{
    const mimic *pool = b->model->pools[SHOAL__MIMIC_TRANSFORMER];
    const mimic *k = &pool[l->takes[SHOAL__TAKES_MIMIC]];
    shoal__attention(b, &k->qkv, &k->out, k->att, place, 0, rows);
    shoal__ffn(b, &k->up, &k->down, k->ffn, rows);
    shoal__batch_norm(b, b->x, b->x, k->last, rows);
}

static int reach(const shoal_model *m, const shoal_stream_params *p)
{
    (void)m;
    return shoal__in_chunks(p->left_frames, p);
}

static double flops(const shoal_model *m, const shoal__layer *l, double frames, double context)
{
    double D = m->config.dim;
    double inner = m->config.mimic_transformer.inner[l->takes[SHOAL__TAKES_MIMIC]];
    return 2.0 * frames * D * (4.0 * D + 2.0 * inner + 2.0 * context);
}

const shoal__op shoal__op_mimic_transformer = {
    .name = "mimic_transformer",
    .takes = { [SHOAL__TAKES_MIMIC] = "mimic" },
    .keys = "mimic",
    .config = "mimic_transformer",
    .builds_on = &shoal__op_conformer,
    .configure = configure,
    .width = width,
    .parse = parse,
    .bind = bind,
    .unbind = unbind,
    .cache_bytes = shoal__attention_cache_bytes,
    .cache_empty = cache_empty,
    .run = run,
    .reach = reach,
    .flops = flops,
};

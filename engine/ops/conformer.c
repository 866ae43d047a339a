/* conformer.c - the conformer as an operation; see conformer.h
 *
 * Caches: the convolution's history, then attention's, whose size is the stream's choice. A layer
 * that wakes up may take those of a layer with the same block, whatever its norms: what they hold
 * are keys, values and rows made by the same weights from alike inputs. Those of another block mean
 * nothing to it.
 */
#include "ops/conformer.h"

#include <string.h>

#include "run/arena.h"

void shoal__conformer_parse(shoal__reader *r, const shoal__config *c, const json_t *entry,
                            shoal__layer *l)
{
    const char *attn = shoal__reader_string(r, entry, "attn", 32);
    if (!r->failed && strcmp(attn, "own"))
        shoal__reader_fail(r, "%s: attention '%.32s' is not supported by this version", r->where,
                           attn);
    l->takes[SHOAL__TAKES_BLOCK] = shoal__reader_int(r, entry, "block", 0, c->blocks - 1);
    l->takes[SHOAL__TAKES_NORMS] = shoal__reader_int(r, entry, "norms", 0, c->norm_sets - 1);
}

/* Format 1 passes over keys that it does not know, but not over these. */
static void parse(shoal__reader *r, const shoal__config *c, const json_t *entry, shoal__layer *l)
{
    if (json_object_get(entry, "router") || json_object_get(entry, "experts"))
        shoal__reader_fail(r, "%s: a conformer has no experts, which are an operation of their own",
                           r->where);
    shoal__conformer_parse(r, c, entry, l);
}

size_t shoal__conformer_attention_at(const shoal_model *m)
{
    return shoal__aligned(shoal__convolution_cache_bytes(m));
}

size_t shoal__conformer_cache_bytes(const shoal_model *m, const shoal_stream_params *p)
{
    return shoal__conformer_attention_at(m) + shoal__attention_cache_bytes(m, p);
}

void shoal__conformer_cache_empty(const shoal_model *m, void *cache)
{
    shoal__convolution_cache_empty(m, cache);
    shoal__attention_cache_empty((unsigned char *)cache + shoal__conformer_attention_at(m));
}

/* Remembers what a conformer does. */
static int is_alike(const shoal__op *op)
{
    return op->cache_bytes == shoal__conformer_cache_bytes;
}

int shoal__conformer_wake_from(const shoal__program *p, int place, int awake)
{
    const shoal__layer *l = p->layers;
    int from = awake - 1;
    while (from >= 0 && !(is_alike(l[from].op) &&
                          l[from].takes[SHOAL__TAKES_BLOCK] == l[place].takes[SHOAL__TAKES_BLOCK]))
        from--;
    return from;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static void scratch(shoal_batch *b, unsigned char *base, size_t *at)
{
    const shoal__config *c = &b->model->config;
    int ffn = max_int(c->ffn, shoal__ops_width(c, &shoal__op_conformer));
    size_t R = (size_t)b->room.frames, D = (size_t)c->dim;
    shoal__conformer_scratch counting, *s = shoal__carve(base, at, sizeof *s);
    b->scratch[SHOAL__CONFORMER] = s = base ? s : &counting;
    s->y = shoal__carve_floats(base, at, R * D);
    s->wide = shoal__carve_floats(base, at, R * (size_t)max_int(ffn, 3 * c->dim));
    shoal__convolution_scratch(b, base, at);
    shoal__attention_scratch(b, base, at);
    b->scratch[SHOAL__CONFORMER] = base ? s : NULL;
}

void shoal__conformer_begin(shoal_batch *b, const shoal__layer *l, int place,
                            const shoal__rows *rows)
{
    const shoal__block *k = shoal__block_of(b->model, l);
    const shoal__norm_set *n = shoal__norms_of(b->model, l);
    shoal__ffn(b, &k->ffn1_up, &k->ffn1_down, n->ffn1, rows);
    shoal__attention(b, &k->qkv, &k->att_out, n->att, place,
                     shoal__conformer_attention_at(b->model), rows);
    shoal__convolution(b, k, n, place, rows);
}

void shoal__conformer_end(shoal_batch *b, const shoal__layer *l, const shoal__rows *rows)
{
    shoal__batch_norm(b, b->x, b->x, shoal__norms_of(b->model, l)->out, rows);
}

static void run(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows)
{
    const shoal__block *k = shoal__block_of(b->model, l);
    shoal__conformer_begin(b, l, place, rows);
    shoal__ffn(b, &k->ffn2_up, &k->ffn2_down, shoal__norms_of(b->model, l)->ffn2, rows);
    shoal__conformer_end(b, l, rows);
}

/* Attention looks left_frames back from where a chunk begins; the convolution reads what attention
 * has made of the frames before, which may lie in the chunk before. */
int shoal__conformer_reach(const shoal_model *m, const shoal_stream_params *p)
{
    return shoal__in_chunks(p->left_frames, p) + shoal__in_chunks(m->config.kernel - 1, p);
}

double shoal__conformer_flops(const shoal_model *m, double frames, double context, int ffns)
{
    const shoal__config *c = &m->config;
    double D = c->dim, products = D * (2.0 * ffns * c->ffn + 7.0 * D);
    return 2.0 * frames * (products + 2.0 * D * context + D * c->kernel);
}

static double flops(const shoal_model *m, const shoal__layer *l, double frames, double context)
{
    (void)l;
    return shoal__conformer_flops(m, frames, context, 2);
}

const shoal__op shoal__op_conformer = {
    .name = "conformer",
    .takes = { [SHOAL__TAKES_BLOCK] = "block", [SHOAL__TAKES_NORMS] = "norms" },
    .keys = "attn block norms",
    .parse = parse,
    .bind = shoal__conformer_bind,
    .unbind = shoal__conformer_unbind,
    .cache_bytes = shoal__conformer_cache_bytes,
    .cache_empty = shoal__conformer_cache_empty,
    .wake_from = shoal__conformer_wake_from,
    .scratch = scratch,
    .begin = shoal__attention_begin,
    .run = run,
    .reach = shoal__conformer_reach,
    .flops = flops,
};

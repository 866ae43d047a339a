/* reuse.c - a conformer that reads the attention map of a layer before it (arXiv 2305.11685)
 *
 *   x += FFN1(x)/2; x += out(map of the source . values(LN(x))); x += Conv(x); x += FFN2(x)/2; LN
 *
 * It has no queries and no keys, in the file, in its products and in what a stream remembers: its
 * history is values alone. A source is a layer with a map of its own, earlier in the same program,
 * so at any depth that has the reader the source has run. Its map stays in the batch from then on
 * until the last layer has read it; maps that live at once have places, which are given when the
 * model opens.
 *
 * A map weighs what the source's history held, so both histories must have heard the same. They
 * have, but for a reader that woke up after its source: its values of frames that it slept through
 * are those of its source, if both take the same block (that is what wake_from says), else they
 * count as 0.
 */
#include "model/bind.h"
#include "ops/conformer.h"
#include "ops/history.h"

enum { OWN_SOURCE }; /* in a layer's own */

int shoal__reuses(const shoal__layer *l)
{
    return l->op == &shoal__op_reuse;
}

/* ---- opening ----------------------------------------------------------------------------- */

static void parse(shoal__reader *r, const shoal__config *c, const json_t *entry, shoal__layer *l)
{
    l->takes[SHOAL__TAKES_BLOCK] = shoal__reader_int(r, entry, "block", 0, c->blocks - 1);
    l->takes[SHOAL__TAKES_NORMS] = shoal__reader_int(r, entry, "norms", 0, c->norm_sets - 1);
    l->own[OWN_SOURCE] = shoal__reader_int(r, entry, "source", 0, SHOAL__MAX_DEPTH - 1);
}

/* The source of a layer that reads a map; NULL: there is no such map. */
static const shoal__layer *source_of(const shoal__program *p, int place)
{
    int source = p->layers[place].own[OWN_SOURCE];
    if (source >= place || p->layers[source].op->cache_bytes != shoal__conformer_cache_bytes)
        return NULL;
    return &p->layers[source];
}

static int last_reader(const shoal__program *p, int source)
{
    int last = source;
    for (int i = source + 1; i < p->depth; i++)
        if (shoal__reuses(&p->layers[i]) && p->layers[i].own[OWN_SOURCE] == source)
            last = i;
    return last;
}

/* A map's place: the first that no map has which is still to be read. */
static int free_place(const shoal__program *p, int source)
{
    int place = 1;
    for (int i = 0; i < source; i++)
        if (p->layers[i].keeps_map == place && last_reader(p, i) > source) {
            place++;
            i = -1;
        }
    return place;
}

static int give_places(shoal__binder *b, shoal__program *p)
{
    int most = 0;
    for (int i = 0; b->rc == 0 && i < p->depth; i++) {
        if (shoal__reuses(&p->layers[i]) && !source_of(p, i))
            b->rc = shoal__explain(b->why, b->size, SHOAL_EMODEL,
                                   "program '%s' entry %d: 'source' %d is no entry before it with "
                                   "an attention map of its own",
                                   p->name, i, p->layers[i].own[OWN_SOURCE]);
        if (last_reader(p, i) > i)
            p->layers[i].keeps_map = free_place(p, i);
        most = p->layers[i].keeps_map > most ? p->layers[i].keeps_map : most;
    }
    return most;
}

int shoal__reuse_places(shoal__binder *b)
{
    int most = 0;
    for (int p = 0; p < b->m->program_count; p++) {
        int here = give_places(b, &b->m->programs[p]);
        most = here > most ? here : most;
    }
    return most;
}

/* ---- caches ------------------------------------------------------------------------------ */

static size_t cache_bytes(const shoal_model *m, const shoal_stream_params *p)
{
    return shoal__conformer_attention_at(m) + shoal__history_value_bytes(m, p->left_frames);
}

/* Its source's, if that has the same block: the beginning of a history with keys is one without. It
 * has woken up by now, if it slept. */
static int wake_from(const shoal__program *p, int place, int awake)
{
    const shoal__layer *l = p->layers, *source = source_of(p, place);
    (void)awake;
    return source->takes[SHOAL__TAKES_BLOCK] == l[place].takes[SHOAL__TAKES_BLOCK]
               ? l[place].own[OWN_SOURCE]
               : -1;
}

/* ---- running ----------------------------------------------------------------------------- */

static void mix_stream(shoal_batch *b, const shoal__item *it, int map_place, void *cache)
{
    const shoal_model *m = b->model;
    const shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    int D = m->config.dim, heads = m->config.heads, left = it->stream->params.left_frames;
    size_t first = (size_t)it->row * (size_t)D;
    shoal__history *of;
    const float *map = shoal__attention_map(b, it, map_place, &of);
    shoal__memory own = shoal__attention_values(b, s->wide + first, D, it->frames);
    shoal__history_follow(m, left, cache, *of);
    shoal__memory past = shoal__history_view(m, left, cache);
    m->kern->attend_mix(s->y + first, map, &past, &own, heads, D / heads);
    shoal__history_keep(m, left, cache, &own);
}

static void attend(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows)
{
    const shoal__block *k = shoal__block_of(b->model, l);
    shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    size_t offset = shoal__conformer_attention_at(b->model);
    shoal__batch_norm(b, s->y, b->x, shoal__norms_of(b->model, l)->att, rows);
    shoal__batch_linear(b, &k->value, s->y, rows, s->wide);
    for (int i = 0; i < rows->items; i++) {
        const shoal__item *it = &b->items[shoal__rows_item(rows, i)];
        const shoal__layer *source = &it->stream->program->layers[l->own[OWN_SOURCE]];
        mix_stream(b, it, source->keeps_map, it->stream->caches[place] + offset);
    }
    shoal__batch_linear(b, &k->att_out, s->y, rows, b->x);
}

static void run(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows)
{
    const shoal__block *k = shoal__block_of(b->model, l);
    const shoal__norm_set *n = shoal__norms_of(b->model, l);
    shoal__ffn(b, &k->ffn1_up, &k->ffn1_down, n->ffn1, rows);
    attend(b, l, place, rows);
    shoal__convolution(b, k, n, place, rows);
    shoal__ffn(b, &k->ffn2_up, &k->ffn2_down, n->ffn2, rows);
    shoal__conformer_end(b, l, rows);
}

/* No products of queries and keys, and no scores. */
static double flops(const shoal_model *m, const shoal__layer *l, double frames, double context)
{
    double D = m->config.dim;
    (void)l;
    return shoal__conformer_flops(m, frames, context, 2) - 2.0 * frames * D * (2.0 * D + context);
}

const shoal__op shoal__op_reuse = {
    .name = "reuse",
    .takes = { [SHOAL__TAKES_BLOCK] = "block", [SHOAL__TAKES_NORMS] = "norms" },
    .keys = "block norms source",
    .builds_on = &shoal__op_conformer,
    .parse = parse,
    .cache_bytes = cache_bytes,
    .cache_empty = shoal__conformer_cache_empty,
    .wake_from = wake_from,
    .run = run,
    .reach = shoal__conformer_reach,
    .flops = flops,
};

/* conformer.h - what operations share that build on the conformer
 *
 *   x += FFN1(x)/2; x += MHSA(x); x += Conv(x); x += FFN2(x)/2; x = LN(x)
 */
#ifndef SHOAL_CONFORMER_H
#define SHOAL_CONFORMER_H

#include "ops/modules.h"

/* Places in a layer's takes. */
enum { SHOAL__TAKES_BLOCK, SHOAL__TAKES_NORMS };

/* The frames that n frames before a chunk reach back into, whole chunks. */
static inline int shoal__in_chunks(int n, const shoal_stream_params *p)
{
    int unit = p->chunk_frames;
    return unit > 0 ? (n + unit - 1) / unit * unit : n;
}

/* conformer.c: of an entry, its attention, block and norms. */
void shoal__conformer_parse(shoal__reader *r, const shoal__config *c, const json_t *entry,
                            shoal__layer *l);
size_t shoal__conformer_cache_bytes(const shoal_model *m, const shoal_stream_params *p);
void shoal__conformer_cache_empty(const shoal_model *m, void *cache);
/* Where attention's history begins in a cache. */
size_t shoal__conformer_attention_at(const shoal_model *m);
int shoal__conformer_wake_from(const shoal__program *p, int place, int awake);
int shoal__conformer_reach(const shoal_model *m, const shoal_stream_params *p);
/* All that comes before the second feed-forward module; that; the norm that ends a layer. */
void shoal__conformer_begin(shoal_batch *b, const shoal__layer *l, int place,
                            const shoal__rows *rows);
void shoal__conformer_end(shoal_batch *b, const shoal__layer *l, const shoal__rows *rows);
/* Of a layer that goes through `ffns` feed-forward modules, both of its places together. */
double shoal__conformer_flops(const shoal_model *m, double frames, double context, int ffns);

static inline const shoal__norm_set *shoal__norms_of(const shoal_model *m, const shoal__layer *l)
{
    const shoal__conformer_pools *pools = m->pools[SHOAL__CONFORMER];
    return &pools->norm_sets[l->takes[SHOAL__TAKES_NORMS]];
}

static inline const shoal__block *shoal__block_of(const shoal_model *m, const shoal__layer *l)
{
    const shoal__conformer_pools *pools = m->pools[SHOAL__CONFORMER];
    return &pools->blocks[l->takes[SHOAL__TAKES_BLOCK]];
}

/* reuse.c: refuse layers whose source has no map, and give each map that is read a place among
 * those that live. Places that are needed at once. */
int shoal__reuse_places(struct shoal__binder *b);
/* Whether layer `l` reads another one's map. */
int shoal__reuses(const shoal__layer *l);

/* conformer_bind.c: the row's bind and unbind. */
void shoal__conformer_bind(struct shoal__binder *b);
void shoal__conformer_unbind(shoal_model *m);

#endif

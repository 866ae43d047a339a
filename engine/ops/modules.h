/* modules.h - what a conformer is made of: its pools, its scratch, and its modules
 *
 * Each module is a file: ffn.c, attention.c (with history.c), convolution.c. They share one
 * scratch and know nothing of each other, nor of the operations that put them together.
 */
#ifndef SHOAL_MODULES_H
#define SHOAL_MODULES_H

#include "model/model.h"
#include "run/batch.h"

/* The LayerNorms of one virtual layer; a pool apart from blocks, so that they may be private. */
typedef struct shoal__norm_set {
    shoal__norm ffn1, att, conv, conv_mid, ffn2, out;
} shoal__norm_set;

typedef struct shoal__block {
    shoal__linear ffn1_up, ffn1_down; /* [ffn, D], [D, ffn]; down: scale 1/2, the half step */
    shoal__linear qkv, att_out;       /* [3D, D], [D, D]; qkv: unless all reuse maps */
    shoal__linear value;              /* [D, D] qkv's end, if some layer reuses a map */
    shoal__linear pw1, pw2;           /* [2D, D], [D, D] */
    shoal__linear ffn2_up, ffn2_down; /* not there where experts stand in its place */
    float *dw_weight;                 /* [taps, D], owned */
    const float *dw_bias;             /* [D] */
} shoal__block;

/* At m->pools[SHOAL__CONFORMER]. */
typedef struct shoal__conformer_pools {
    shoal__block *blocks;       /* [config.blocks] */
    shoal__norm_set *norm_sets; /* [config.norm_sets] */
    int maps;                   /* attention maps that live at once in a run */
} shoal__conformer_pools;

/* At b->scratch[SHOAL__CONFORMER]. */
typedef struct shoal__conformer_scratch {
    float *y;                    /* [R, D] normed input of a module */
    float *wide;                 /* [R, max(ffn, ops_width, 3D)] FFN's inner, q k v, GLU's input */
    float *conv;                 /* [chunk + taps - 1, D] one stream's depthwise input */
    double *freq;                /* [dh/2] radians a frame: 10000^(-2i/dh) */
    double *turn_cos, *turn_sin; /* [dh/2] of freq */
    float *cs, *sn;              /* [R, dh/2] rotary tables of each row, of this run */
    uint16_t *key_rows;          /* [chunk, D] one stream's keys in bf16 */
    uint32_t *keys;              /* [heads, chunk / 16, words, 16] as attention reads them */
    uint32_t *pairs;             /* [chunk / 2, D] its values, bf16 */
    float *scores;               /* the attention kernels' own */
    float *maps; /* [maps, R, heads, widest] a stream's from its first row on; kern.h */
    struct shoal__history *map_of; /* [maps, R] by first row: the history that it was made with */
} shoal__conformer_scratch;

static inline shoal__conformer_scratch *shoal__conformer_scratch_of(const shoal_batch *b)
{
    return b->scratch[SHOAL__CONFORMER];
}

/* ffn.c: x += down(SiLU(up(LN(x)))) */
void shoal__ffn(shoal_batch *b, const shoal__linear *up, const shoal__linear *down, shoal__norm n,
                const shoal__rows *rows);

/* attention.c: x += out(attend(qkv(LN(x)))). A stream's cache: bytes of it, and as it begins. */
size_t shoal__attention_cache_bytes(const shoal_model *m, const shoal_stream_params *p);
void shoal__attention_cache_empty(void *cache);
void shoal__attention_scratch(shoal_batch *b, unsigned char *base, size_t *at);
void shoal__attention_begin(shoal_batch *b); /* angles of every row */
/* A chunk's own values [frames, D], `stride` apart, as attention reads them; no keys. */
shoal__memory shoal__attention_values(const shoal_batch *b, const float *v, int stride, int frames);
/* A stream's map in place 1.. of those that live, and the history that it was made with. */
float *shoal__attention_map(const shoal_batch *b, const shoal__item *it, int place,
                            struct shoal__history **of);
/* Its history lies `offset` bytes into the caches of layer `place`. */
void shoal__attention(shoal_batch *b, const shoal__linear *qkv, const shoal__linear *out,
                      shoal__norm n, int place, size_t offset, const shoal__rows *rows);

/* convolution.c: x += pw2(SiLU(LN(depthwise(GLU(pw1(LN(x))))))) */
size_t shoal__convolution_cache_bytes(const shoal_model *m);
void shoal__convolution_cache_empty(const shoal_model *m, void *cache);
void shoal__convolution_scratch(shoal_batch *b, unsigned char *base, size_t *at);
/* Its history lies at the beginning of the caches of layer `place`. */
void shoal__convolution(shoal_batch *b, const shoal__block *k, const shoal__norm_set *n, int place,
                        const shoal__rows *rows);

#endif

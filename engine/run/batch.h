/* batch.h - what the files of a batch's run share: batch.c, layer.c, attention.c */
#ifndef SHOAL_BATCH_H
#define SHOAL_BATCH_H

#include "run/stream.h"

typedef struct shoal__item {
    shoal_stream *stream;
    int64_t position; /* of its first frame, internal */
    int index;        /* place in the caller's array */
    int row, frames;  /* rows [row, row + frames) of every matrix below */
} shoal__item;

/* Rows of x kept from a shallower depth of items[item]. */
typedef struct shoal__tap {
    int item, depth, row;
} shoal__tap;

struct shoal_batch {
    const shoal_model *model;
    int max_frames, max_tap_frames;
    shoal__item *items; /* [max_frames]: every stream has at least one frame */
    shoal__tap *taps;   /* [max_tap_frames], likewise */
    float *unfold;      /* [2R, 3 mels] then [R, 3D] */
    float *conv;        /* [2R, D] first convolution's output; later one stream's depthwise
                         * input with its history [frames + taps - 1, D] */
    float *x;           /* [R, D] residual stream */
    float *out;         /* [R + tapped rows, D] the embedding; x itself unless the model blends */
    float *y;           /* [R, D] normed input of a module */
    float *wide;        /* [R, max(ffn, 3D)] FFN's inner, q k v, GLU's input */
    double *freq;       /* [dh/2] radians a frame: 10000^(-2i/dh) */
    double *turn_cos, *turn_sin; /* [dh/2] of freq */
    float *cs, *sn;              /* [R, dh/2] rotary tables of each row */
    uint16_t *key_rows;          /* [chunk, D] one stream's keys in bf16 */
    uint32_t *keys;     /* [heads, chunk / 16, words, 16] its keys as attention reads them */
    uint32_t *pairs;    /* [chunk / 2, D] its values, bf16 */
    float *scores;      /* the attention kernels' scratch */
    float *logp;        /* [R + tapped rows, C] */
    void *gemm_scratch; /* the backend's */
    size_t bytes;
    int rows, count; /* of this run */
    int tap_rows, tap_count;
};

static inline void shoal__batch_linear(const shoal_batch *b, const shoal__linear *l, const float *a,
                                       int rows, float *c)
{
    b->model->gemm->run(l, b->model->kern, b->gemm_scratch, a, rows, c);
}

static inline void shoal__batch_norm(const shoal_batch *b, float *y, const float *x, shoal__norm n,
                                     int rows)
{
    b->model->kern->layer_norm(y, x, n.weight, n.bias, rows, b->model->config.dim);
}

/* layer.c: one virtual layer over the first `rows` rows, which are those of `streams` items. */
void shoal__batch_layer(shoal_batch *b, int layer, int rows, int streams);

/* attention.c: angles of every row, once a run; then q k v in b->wide to mixed values in b->y. */
void shoal__batch_rotary(shoal_batch *b);
void shoal__batch_attend(shoal_batch *b, int layer, int streams);

#endif

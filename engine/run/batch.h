/* batch.h - what the files of a batch's run share: batch.c and the operations */
#ifndef SHOAL_BATCH_H
#define SHOAL_BATCH_H

#include "ops/rows.h"
#include "run/stream.h"

typedef struct shoal__item {
    shoal_stream *stream;
    int64_t position; /* of its first frame, internal */
    int index;        /* place in the caller's array */
    int depth;        /* layers that it goes through */
    int row, frames;  /* rows [row, row + frames) of every matrix below */
    uint64_t taps;    /* bit d - 1: it keeps what leaves after d layers, */
    int first_tap;    /* of them in tap_row; the others follow as they get deeper */
    int done;         /* layers that it has gone through, if the run is mixed */
} shoal__item;

struct shoal_batch {
    const shoal_model *model;
    int max_frames, max_tap_frames;
    shoal__item *items; /* [max_frames]: every stream has at least one frame */
    int *item_of;       /* [max_frames] place in the caller's array -> item */
    int *tap_row;       /* [max_tap_frames], likewise: rows of out */
    int *row_list;      /* [max_frames] rows of streams whose program is not everybody's */
    int *item_list;     /* [max_frames] and their items */
    float *unfold;      /* [2R, 3 mels] then [R, 3D] */
    float *conv;        /* [2R, D] first convolution's output */
    float *x;           /* [R, D] residual stream */
    float *out;         /* [R + tapped rows, D] the embedding; x itself unless the model blends */
    float *logp;        /* [R + tapped rows, C] */
    void *scratch[SHOAL__OPS]; /* each operation's own */
    void *gemm_scratch;        /* the backend's */
    size_t bytes;
    int rows, count; /* of this run */
    int mixed;       /* not all of its streams follow the same program */
    int tap_rows;
};

/* walk.c: all items through their layers, x and out from the first x on; fills taps. */
void shoal__batch_walk(shoal_batch *b);

/* product.c: products and norms of an operation: rows of `a` to the same rows of `c`. */
void shoal__batch_linear(const shoal_batch *b, const shoal__linear *l, const float *a,
                         const shoal__rows *rows, float *c);
/* up, then down of what it gave; `inner` [R, up->out] holds that in between, or nothing. */
void shoal__batch_pair(const shoal_batch *b, const shoal__linear *up, const shoal__linear *down,
                       const float *a, const shoal__rows *rows, float *inner, float *c);
void shoal__batch_norm(const shoal_batch *b, float *y, const float *x, shoal__norm n,
                       const shoal__rows *rows);

#endif

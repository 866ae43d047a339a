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
    uint64_t hidden;  /* bit l: it keeps layer l as it is, */
    int first_hidden; /* the same in hidden_row */
    int done;         /* layers that it has gone through, if the run is mixed */
} shoal__item;

struct shoal_batch {
    const shoal_model *model;
    shoal_batch_room room;
    shoal__item *items; /* [room.frames]: every stream has at least one frame */
    int *item_of;       /* [room.frames] place in the caller's array -> item */
    int *tap_row;       /* [room.tap_frames], likewise: rows of out */
    int *hidden_row;    /* [room.hidden_frames], likewise: rows of hidden */
    int *row_list;      /* [room.frames] rows of streams whose program is not everybody's */
    int *item_list;     /* [room.frames] and their items */
    float *unfold;      /* [2R, 3 mels] then [R, 3D] */
    float *conv;        /* [2R, D] first convolution's output */
    float *x;           /* [R, D] residual stream */
    float *out;         /* [R + tapped rows, D] the embedding; x itself unless the model blends */
    float *logp;        /* [R + tapped rows, C] */
    float *hidden;      /* [hidden rows, D] */
    float *mel;         /* [2R, mels] of streams that want them */
    void *scratch[SHOAL__OPS]; /* each operation's own */
    void *gemm_scratch;        /* the backend's */
    size_t bytes;
    int rows, count; /* of this run */
    int mixed;       /* not all of its streams follow the same program */
    int tap_rows, hidden_rows;
};

/* walk.c: all items through their layers, x and out from the first x on; fills taps. */
void shoal__batch_walk(shoal_batch *b);

/* taps.c: keep what streams want of a depth, or of a layer, from the first `active` items; an
 * item's result. */
void shoal__batch_keep_taps(shoal_batch *b, int depth, int active);
void shoal__batch_keep_hidden(shoal_batch *b, int layer, int active);
void shoal__batch_report(const shoal_batch *b, const shoal__item *it, shoal_result *r);

/* product.c: products and norms of an operation: rows of `a` to the same rows of `c`. */
void shoal__batch_linear(const shoal_batch *b, const shoal__linear *l, const float *a,
                         const shoal__rows *rows, float *c);
/* up, then down of what it gave; `inner` [R, up->out] holds that in between, or nothing. scale:
 * [rows->count] what each row's result is multiplied by before it is added; NULL: nothing. */
void shoal__batch_pair(const shoal_batch *b, const shoal__linear *up, const shoal__linear *down,
                       const float *a, const shoal__rows *rows, const float *scale, float *inner,
                       float *c);
void shoal__batch_norm(const shoal_batch *b, float *y, const float *x, shoal__norm n,
                       const shoal__rows *rows);

#endif

/* gemm_own.h - what the files of our own fp32 products share
 *
 * One body (gemm_body.h), compiled once per instruction set, as the kernels between the products
 * are. A weight is packed into panels as wide as two registers of its level; k goes in blocks, so
 * that a panel's block lies in L1 while all rows pass by:
 *
 *   packed   [blocks of OWN_DEPTH inputs][panels][inputs of the block][columns of a panel]
 *
 * A result is the sum over the inputs of a block in their order, block after block, whatever rows
 * are multiplied beside it: so the bytes of a row are the same in any company. The levels differ
 * from one another in the last bits (a fused multiply-add rounds once).
 */
#ifndef SHOAL_GEMM_OWN_H
#define SHOAL_GEMM_OWN_H

#include "gemm/gemm.h"

enum {
    OWN_DEPTH = 256, /* inputs of a block: 16 KiB of a panel at AVX2, half of L1 */
    OWN_GROUP = 264, /* rows that pass together: their inputs and results of a block share L2 */
    OWN_COLUMNS = 32 /* widest panel of any level */
};

/* One block of inputs times some panels, for some rows. */
typedef struct shoal__own_block {
    const float *a; /* [.., a_stride]; the block's first input of row 0 */
    size_t a_stride;
    const int *a_index;  /* [rows] which rows; NULL: rows 0 to rows - 1 */
    const float *weight; /* packed, the first panel's */
    const float *bias;   /* of the first panel's first output; NULL: not the first block */
    float *c;            /* [.., c_stride], at the first panel's first output of row 0 */
    size_t c_stride;
    const int *c_index;       /* likewise */
    const float *row_scale;   /* [rows] of what goes to c; NULL: none */
    int rows, depth, outputs; /* inputs; outputs, the last panel may be partly filled */
    int add;                  /* to what is in c */
    int silu;                 /* of the sum, the last block has been added; then the scale */
} shoal__own_block;

typedef struct shoal__own_level {
    const char *name; /* of the backend at this level */
    const char *kern; /* of the kernels that go with it */
    int columns;      /* of a panel */
    void (*block)(const shoal__own_block *b);
} shoal__own_level;

extern const shoal__own_level shoal__own_scalar, shoal__own_avx2, shoal__own_avx512;

#endif

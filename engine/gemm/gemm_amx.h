/* gemm_amx.h - what the files of the AMX backend share
 *
 * A tile register holds 16 rows of 64 bytes. Activations lie as tiles of 16 rows by one k step,
 * weights as tiles of one k step by 16 columns; a k step is 32 numbers of bf16 or 64 of 8 bits. A
 * panel is two columns of weight tiles: 32 outputs.
 *
 *   bf16   both factors rounded to bf16, products summed in fp32
 *   int8   activations scaled per row, weights per output, to 8 bits; sums exact in s32
 *   fp32   the same with 24 bits: every number is its row's scale times an integer of three signed
 *          digits in base 256, x = 2^16 x0 + 2^8 x1 + x2, and the six products x_i w_j with
 *          i + j <= 2 are summed exactly, by i + j (after K. Ozaki's scheme: "Error-free
 *          transformations of matrix multiplication", Numerical Algorithms 59, 2012; with integer
 *          units: H. Ootomo, K. Ozaki, R. Yokota, arXiv 2306.11975). A number's error is half of
 *          2^-23 of the largest in its row, the products left out are worth 2^-23 of the largest
 *          one's; nothing is lost in summing. Libraries that sum in fp32 lose about as much there.
 *
 * The functions below run on the instruction set of their own files (AMX_CFLAGS): call them only
 * where shoal__gemm_amx found it.
 */
#ifndef SHOAL_GEMM_AMX_H
#define SHOAL_GEMM_AMX_H

#include <stdint.h>

#include "gemm/gemm_rows.h"

enum {
    AMX_TILE = 1024,   /* bytes of a tile */
    AMX_ROWS = 16,     /* rows of a tile */
    AMX_PARTS = 3,     /* digits of an fp32 number */
    AMX_GROUP = 64,    /* rows that go through a pair of products together */
    AMX_LIMIT_1 = 127, /* largest integer of one digit, and of three */
    AMX_LIMIT_3 = 127 * 65536 + 127 * 256 + 120 /* 7 to spare for rounding */
};

/* Columns of tiles of a panel, by precision. */
#define PANEL_TILES(precision) ((precision) == SHOAL_FP32 ? 1 : 2)

/* k steps of a chunk: 32 rows and a panel of them take less than 40 KiB (gemm_amx_kern.c). */
#define CHUNK_STEPS(precision) ((precision) == SHOAL_FP32 ? 4 : 8)

/* A row or output whose largest number is smaller than this counts as zeros. */
#define AMX_LEAST 1e-30f

/* A packed weight. Constant once packed, shared by all threads. */
typedef struct amx_weight {
    shoal_precision precision;
    int steps;            /* k steps, the last one padded with zeros */
    int columns;          /* of tiles, a multiple of PANEL_TILES: outputs padded with zeros */
    unsigned char *tiles; /* [chunks][panels][steps of the chunk][parts][PANEL_TILES] */
    float *scale;         /* [16 * columns] of the outputs' integers; unused in bf16 */
} amx_weight;

/* What one thread needs. */
typedef struct amx_scratch {
    unsigned char *rows;        /* activation tiles [row blocks][steps][parts] */
    float *row_scale;           /* [rows] of the rows' integers; unused in bf16 */
    unsigned char *inner_tiles; /* [AMX_GROUP / 16][the widest out's steps], bf16's run_pair's */
    float *inner;               /* [AMX_GROUP, inner_stride], run_pair's */
    size_t inner_stride; /* the widest out and one line: rows 4 KiB apart would share L1 sets */
    int rows_made;       /* in `rows`, of the run under way */
    shoal__row_room room;
} amx_scratch;

/* Activations a [rows, in], a_stride apart, to tiles (gemm_amx_rows.c). */
void shoal__amx_rows(amx_scratch *s, const amx_weight *w, const float *a, size_t a_stride, int rows,
                     int in);
/* The rows of s, whose tiles these are, times the weight, through the epilogue into c [rows,
 * l->out], c_stride apart (gemm_amx_kern.c). next, in bf16 with the epilogue SiLU: the tiles of the
 * product that follows, which take the results; c then holds parts of sums. Else NULL. */
void shoal__amx_product(const shoal__linear *l, const amx_scratch *s, const unsigned char *tiles,
                        float *c, size_t c_stride, unsigned char *next);

#endif

/* gemm_amx.h - what the files of the AMX backend share
 *
 * A tile register holds 16 rows of 64 bytes. Activations lie as tiles of 16 rows by one k step,
 * weights as tiles of one k step by 16 columns; a k step is 32 numbers of bf16 or 64 of int8. A
 * panel is two columns of weight tiles, 32 outputs, and is multiplied by 32 rows at a time.
 *
 *   precision  activation tiles        weights in memory         a k step of a 32 x 32 block
 *   fp32       three bf16 parts        fp32, in pairs of k       6 x 4 tile products
 *   bf16       bf16                    bf16, in pairs of k       4
 *   int8       s8, a scale per row     s8, a scale per column    4, exact in s32
 *
 * The functions below run on the instruction set of their own files (AMX_CFLAGS): call them only
 * where shoal__gemm_amx found it.
 */
#ifndef SHOAL_GEMM_AMX_H
#define SHOAL_GEMM_AMX_H

#include <stdint.h>

#include "gemm.h"

enum {
    AMX_TILE = 1024,        /* bytes of a tile */
    AMX_ROWS = 16,          /* rows of a tile */
    AMX_PANEL = 32,         /* outputs of a panel, and rows of a block */
    AMX_PARTS = 3           /* bf16 numbers that make up a float */
};

/* A packed weight. Constant once packed, shared by all threads. */
typedef struct amx_weight {
    shoal_precision precision;
    int steps;              /* k steps, the last one padded with zeros */
    int panels;             /* of 32 outputs, the last one padded with zeros */
    unsigned char *tiles;   /* [panels][steps][2] tiles; in fp32 of 2 KiB, not yet split */
    float *scale;           /* [panels * 32] of the outputs, int8 */
} amx_weight;

/* What one thread needs. */
typedef struct amx_scratch {
    unsigned char *rows;    /* activation tiles [row blocks][steps][parts] */
    float *row_scale;       /* [rows], int8 */
    unsigned char *panel;   /* one panel split: [steps][parts][2] tiles, fp32 */
    int rows_made;          /* in `rows`, of the run under way */
} amx_scratch;

/* Activations a [rows, in] to tiles (gemm_amx_rows.c). */
void shoal__amx_rows(amx_scratch *s, const amx_weight *w, const float *a, int rows, int in);
/* The rows of s times the weight, through the epilogue into c [rows, l->out] (gemm_amx_kern.c). */
void shoal__amx_product(const shoal__linear *l, const amx_scratch *s, float *c);

#endif

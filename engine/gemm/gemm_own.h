/* gemm_own.h - what the files of our own products share
 *
 * One body for fp32 (gemm_body.h) and one for int8 and bf16 (gemm_words_body.h), compiled once per
 * instruction set, as the kernels between the products are; what ends a product is the same in both
 * (gemm_end_body.h). A weight is packed into panels as wide as two registers of its level, so that
 * a panel lies in L1 while all rows pass by:
 *
 *   fp32   [blocks of OWN_DEPTH inputs][panels][inputs of the block][columns of a panel]
 *   int8   [panels][inputs / 4][columns of a panel][4]
 *   bf16   [panels][inputs / 2][columns of a panel][2]
 *
 * A result is the sum over the inputs of a block in their order, block after block, whatever rows
 * are multiplied beside it: so the bytes of a row are the same in any company. The levels differ
 * from one another in the last bits (a fused multiply-add rounds once). The sums of int8 are
 * integers, the same at every level.
 */
#ifndef SHOAL_GEMM_OWN_H
#define SHOAL_GEMM_OWN_H

#include <stdint.h>

#include "gemm/gemm.h"

enum {
    OWN_DEPTH = 256, /* inputs of a block in fp32: 16 KiB of a panel at AVX2, half of L1 */
    OWN_GROUP = 96,  /* rows that pass together: with what a pair keeps they share half of L2 */
    OWN_PAIR = 64    /* rows that go through a pair of int8 or bf16 products together */
};

/* Where results go and what is done to them on the way. */
typedef struct shoal__own_end {
    float *c; /* [.., stride], at the first output of row 0 */
    size_t stride;
    const int *index;       /* [rows] which rows; NULL: rows 0 to rows - 1 */
    const float *row_scale; /* [rows]; NULL: none */
    const float *bias;      /* [outputs]; NULL: has been added */
    int rows, outputs;
    int add;  /* to what is in c */
    int silu; /* of the sum, when all of it is there; then the scale */
} shoal__own_end;

/* A caller's rows from number `row` on; those of an index are counted from the first. */
static inline const float *shoal__own_from(const float *a, int in, int row, const int *index)
{
    return index ? a : a + (size_t)row * (size_t)in;
}

/* Results for n of a caller's rows, from number `row` on: where they go. */
static inline shoal__own_end shoal__own_rows(float *c, int out, int row, int n, const int *index,
                                             const float *row_scale)
{
    return (shoal__own_end){ .c = index ? c : c + (size_t)row * (size_t)out,
                             .stride = (size_t)out,
                             .index = index ? index + row : NULL,
                             .row_scale = row_scale ? row_scale + row : NULL,
                             .rows = n,
                             .outputs = out };
}

/* One block of inputs times some panels, for some rows. */
typedef struct shoal__own_block {
    const float *a; /* [.., a_stride]; the block's first input of row 0 */
    size_t a_stride;
    const int *a_index;  /* [rows] which rows; NULL: rows 0 to rows - 1 */
    const float *weight; /* packed, the first panel's */
    int depth;           /* inputs */
    shoal__own_end to;
} shoal__own_block;

/* What a level of fp32 and a narrow one have in common, at the head of each. */
typedef struct shoal__own_face {
    const char *name;     /* of the backend at this level */
    shoal__level level;   /* of the kernels that go with it */
    int columns;          /* of a panel */
    int (*cpu_has)(void); /* what it needs beyond the kernels' level; NULL: nothing */
} shoal__own_face;

typedef struct shoal__own_level {
    shoal__own_face face;
    void (*block)(const shoal__own_block *b);
} shoal__own_level;

extern const shoal__own_level shoal__own_scalar, shoal__own_avx2, shoal__own_avx512,
    shoal__own_neon;

/* ---- int8 and bf16 ----------------------------------------------------------------------- */

/* Inputs lie in words of 32 bits, four bytes or two bf16, so that a product is an instruction or
 * two a word. As bytes, activations are 1 to 255, 128 being zero, and a row has a scale of its own.
 */
typedef struct shoal__own_words {
    const unsigned char *a;      /* [rows, stride] */
    size_t stride;               /* bytes */
    const float *row_unit;       /* [rows] what a step of 1 is worth; 1 in bf16 */
    const unsigned char *weight; /* packed, all panels */
    /* [outputs, whole panels] what the sums begin at: int8 -128 times all weights; bf16 0.0f */
    const int32_t *start;
    const float *unit; /* [outputs, whole panels] of the weights; 1 in bf16 */
    int words;         /* inputs of a row, the last word filled up with zeros */
    shoal__own_end to;
} shoal__own_words;

typedef struct shoal__own_narrow {
    shoal__own_face face;
    void (*product)(const shoal__own_words *w);
    /* A row of n to whole words; the return is what a step is worth. */
    float (*narrow)(void *words, const float *x, int n);
} shoal__own_narrow;

extern const shoal__own_narrow shoal__int8_scalar, shoal__int8_avx2, shoal__int8_avx512,
    shoal__int8_vnni, shoal__int8_vnni512;
extern const shoal__own_narrow shoal__bf16_scalar, shoal__bf16_avx512;

/* ---- choosing a level (gemm_choice.c) ---------------------------------------------------- */

/* Numbers of [-1, 1) for a trial product; are its results those wanted, within what rounding costs?
 */
void shoal__trial_fill(float *x, int n);
/* The product of a trial, but for its packed weights. */
shoal__linear shoal__trial_linear(int in, int out, const float *weight, float *bias);
int shoal__trial_passes(const float *got, const float *want, int n);
/* Of n levels, the highest first, scalar last: where those of the kernels' level begin. What is
 * above is not even tried: the CPU may lack it. */
int shoal__own_first(const shoal__own_face *const *levels, int n);
/* From there on the first that has been found sound; scalar if none has. */
int shoal__own_pick(const shoal__own_face *const *levels, const int *sound, int n);
/* The backend of that level, of n; NULL: there is none. */
const shoal__gemm *shoal__own_backend(const shoal__gemm *backends, size_t n,
                                      const shoal__own_face *level);

/* Our int8 or bf16 products at the level of the kernels; NULL with a reason (gemm_own_narrow.c). */
const shoal__gemm *shoal__gemm_own_narrow(shoal_precision precision, char *why, size_t why_size);

#endif

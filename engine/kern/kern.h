/* kern.h - the elementwise kernels between matrix products
 *
 * One body (kern_body.h) in plain C, written so that the compiler vectorises it; compiled once
 * for each instruction set (kern_scalar.c, kern_avx2.c, kern_avx512.c, kern_amx.c, kern_neon.c),
 * chosen at run time. The scalar build is the oracle in tests/check_kern.c. All matrices are
 * row-major float.
 */
#ifndef SHOAL_KERN_H
#define SHOAL_KERN_H

#include <stddef.h>
#include <stdint.h>

enum {
    SHOAL__KEY_BLOCK = 16,  /* frames whose keys lie together */
    SHOAL__ATTEND_ROWS = 16 /* most queries looked at together */
};

/* Bytes in whole lines of the cache, where our arrays begin: what aligned_alloc(64, ..) takes. */
static inline size_t shoal__aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* What a memory is made of. In bf16 a word of 32 bits holds elements 2d and 2d + 1 of a key, and
 * values of frames 2j and 2j + 1: so a block is a tile of AMX as it stands. In 8 bits each key and
 * each value of a head has a scale, a bfloat16. */
typedef enum shoal__kind { SHOAL__F32, SHOAL__BF16, SHOAL__F16, SHOAL__I8 } shoal__kind;

/* Keys and values of some frames, in the order that attention reads them. Keys: by head, then by
 * blocks of 16 frames, in columns: element d of the block's frames lies side by side. */
typedef struct shoal__memory {
    const void *keys;   /* [heads, blocks, dim (bf16: dim/2), 16] elements; finite everywhere */
    const void *values; /* head by head: rows [frames, dim], bf16 [frames / 2, dim] words */
    int frames;         /* how many count, from place 0 */
    int blocks;         /* of keys, a head */
    int value_stride;   /* elements (bf16: words) from one row of values to the next */
    int value_head;     /* and from one head's values to the next one's */
    shoal__kind kind;
    const uint16_t *key_scales, *value_scales; /* int8: [heads, 16 blocks] */
} shoal__memory;

/* Floats of scratch that attend wants for memories of up to these lengths; width: heads * dim. */
static inline size_t shoal__attend_scratch(int past, int own, int width)
{
    size_t wide = (size_t)(((past + 31) & ~31) + ((own + 31) & ~31));
    return SHOAL__ATTEND_ROWS * (2 * wide + (size_t)width);
}

/* Places of a row of the attention map: past's frames, then own's, each rounded up to 16. */
static inline int shoal__attend_wide(int past, int own)
{
    return ((past + 15) & ~15) + ((own + 15) & ~15);
}

enum { SHOAL__WINDOW = 400, SHOAL__FFT = 512, SHOAL__BINS = 257, SHOAL__MAX_MELS = 128 };

/* The log-mel transform (mel.c makes it). */
typedef struct shoal__mel {
    const float *window;      /* [400] */
    const float *mean, *istd; /* [mels] */
    float floor;
    int mels;
    float turn_cos[256], turn_sin[256]; /* of 2 pi i j / 256 [16, 16] */
    float half_cos[256], half_sin[256]; /* of 2 pi k / 512 */
    int first[SHOAL__MAX_MELS];         /* bin that step 0 of a filter weighs */
    int steps[SHOAL__MAX_MELS / 16];    /* of each group of 16 filters */
    float *weights;                     /* [all groups' steps, 16], owned */
} shoal__mel;

/* What follows a product, in the kernels that finish one. */
typedef enum shoal__epilogue {
    SHOAL__STORE, /* c = y */
    SHOAL__SILU,  /* c = silu(y) */
    SHOAL__ADD    /* c += y: the residual sum */
} shoal__epilogue;

/* Instruction sets; those of one processor from the lowest to the highest, and each has what those
 * below it have. */
typedef enum shoal__level {
    SHOAL__SCALAR,
    SHOAL__NEON,
    SHOAL__AVX2,
    SHOAL__AVX512,
    SHOAL__AMX
} shoal__level;

typedef struct shoal__kern {
    shoal__level level;
    const char *name; /* the level's, for people and SHOAL_KERNELS */
    /* y[r] = (x[r] - mean) / sqrt(var + 1e-5) * w + b for rows of length n; y may be x */
    void (*layer_norm)(float *y, const float *x, const float *w, const float *b, int rows, int n);
    /* the same, then SiLU */
    void (*layer_norm_silu)(float *y, const float *x, const float *w, const float *b, int rows,
                            int n);
    /* c[r] = b (add 0) or c[r] += b (add 1) */
    void (*bias_rows)(float *c, const float *b, int rows, int n, int add);
    /* y += share * (x - y) */
    void (*blend)(float *y, const float *x, float share, int n);
    /* x = silu(x) = x / (1 + e^-x) */
    void (*silu)(float *x, int n);
    /* y [rows, n] = a * sigmoid(g) where x [rows, 2n] = (a, g) */
    void (*glu)(float *y, const float *x, int rows, int n);
    /* y[t] = b + sum_k w[k] * x[t + k]: depthwise, x [rows + taps - 1, n], w [taps, n] */
    void (*depthwise)(float *y, const float *x, const float *w, const float *b, int rows, int n,
                      int taps);
    /* rotate a row of heads * dim floats, pairs (i, i + dim/2), and scale it; cs, sn [dim/2] */
    void (*rope)(float *x, const float *cs, const float *sn, int heads, int dim, float scale);
    /* to [rows / 16 rounded up, words, 16] = 16 rows of from [rows, words] at a time, turned
     * over; places of rows that are not there become 0. Words of 32 bits, `stride` apart. */
    void (*columns)(uint32_t *to, const uint32_t *from, int stride, int rows, int words);
    /* to = bf16(a) in the low half of each word and bf16(b) in the high one */
    void (*pair_bf16)(uint32_t *to, const float *a, const float *b, int n);
    /* y [frames, heads * dim] = attention of q, rotated and scaled, over past and own. Both are
     * bf16, then q and the attention weights are rounded to bf16 too; or own is fp32 and past
     * anything else */
    void (*attend)(float *y, const float *q, int q_stride, const shoal__memory *past,
                   const shoal__memory *own, int heads, int dim, float *scratch);
    /* attend in its two halves, for layers whose map others read: map [heads, own->frames, wide
     * (shoal__attend_wide)], each row the weights of one query, 0 where no frame is. Rounds q in
     * place if bf16. Mixing needs memories of the same sizes as those that were scored */
    void (*attend_scores)(float *map, float *q, int q_stride, const shoal__memory *past,
                          const shoal__memory *own, int heads, int dim);
    void (*attend_mix)(float *y, const float *map, const shoal__memory *past,
                       const shoal__memory *own, int heads, int dim);
    /* One head's keys of n fp32 frames in columns, none beyond a block, to columns in fp16 or int8;
     * and one frame's values. Scales of int8: [n], and one */
    void (*keep_columns)(void *to, uint16_t *scales, const float *from, int dim, int n,
                         shoal__kind kind);
    void (*keep_row)(void *to, uint16_t *scale, const float *from, int dim, shoal__kind kind);
    /* rows of log posteriors from logits, in place */
    void (*log_softmax)(float *x, int rows, int n);
    /* one normalised log-mel row of 400 samples */
    void (*log_mel)(float *row, const float *pcm, const shoal__mel *m);
    /* round to bfloat16, ties to even; and back */
    void (*to_bf16)(uint16_t *y, const float *x, int n);
    void (*from_bf16)(float *y, const uint16_t *x, int n);
    /* the same for IEEE's halves; what is beyond +-65504 becomes that */
    void (*to_f16)(uint16_t *y, const float *x, int n);
    void (*from_f16)(float *y, const uint16_t *x, int n);
    /* q = round(x / scale), scale = max |x| / 127 of each row [rows, n] */
    void (*quantize)(int8_t *q, float *scale, const float *x, int rows, int n);
    /* y = sums * row_scale * column_scale + bias [rows, n]; c = y, silu(y) or c + y by epilogue
     * (shoal__epilogue) */
    void (*finish_int8)(float *c, const int32_t *sums, const float *row_scale,
                        const float *column_scale, const float *bias, int rows, int n,
                        int epilogue);
} shoal__kern;

extern const shoal__kern shoal__kern_scalar;
extern const shoal__kern shoal__kern_avx2;
extern const shoal__kern shoal__kern_avx512;
extern const shoal__kern shoal__kern_amx;

extern const shoal__kern shoal__kern_neon;

/* The best for this CPU; environment SHOAL_KERNELS=scalar|avx2|avx512|amx, on ARM scalar|neon,
 * forces a lower level. */
const shoal__kern *shoal__kern_choose(void);
/* NULL: SHOAL_KERNELS names a level, or nothing. Else what it may name: nothing should run then. */
const char *shoal__kern_refused(void);
/* Whatever level is chosen: AVX-512, the parts that our kernels use; its products of bf16. */
int shoal__cpu_has_avx512(void);
int shoal__cpu_has_bf16(void);

#ifdef HAVE_AMX
/* NULL: this process may use the tile registers (Linux is asked; again does no harm). Else why not.
 */
const char *shoal__amx_missing(void);
#endif

#endif

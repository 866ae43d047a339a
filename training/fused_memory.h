/* One layer's sizes, parameters and memory. */
#ifndef FUSED_MEMORY_H
#define FUSED_MEMORY_H

#include <omp.h>

#include "fused_attention.h"
#include "fused_tiles.h"

enum { GROUP = 128 };      /* frames that pass through row-wise steps together */
enum { SPAN = 8 * GROUP }; /* frames after which weight gradients are summed */

struct shape {
    int B, T, D, F, H, taps, chunk, left, threads;
    int stem; /* the layer ends before FFN2: what its experts would be */
};

/* A block's parameters in the order of Block.parameters(); a norm set's are weight, bias of each.
 */
enum {
    UP1,
    UP1_B,
    DOWN1,
    DOWN1_B,
    UP2,
    UP2_B,
    DOWN2,
    DOWN2_B,
    QKV,
    QKV_B,
    OUT,
    OUT_B,
    PW1,
    PW1_B,
    DW,
    DW_B,
    PW2,
    PW2_B,
    PARAMS
};
enum { LN_FFN1, LN_ATT, LN_CONV, LN_MID, LN_FFN2, LN_OUT, NORMS };

/* ---- memory: every struct is carved out of one buffer; carving from NULL measures it ---- */

static void *carve(char **p, size_t bytes)
{
    char *at = *p;
    *p += (bytes + 63) / 64 * 64;
    return at;
}

static size_t frames(const struct shape *s)
{
    return (size_t)s->B * s->T;
}
static size_t padded(const struct shape *s)
{
    return (frames(s) + GROUP - 1) / GROUP * GROUP + 32;
}
static int widest(const struct shape *s)
{
    return s->F > 3 * s->D ? s->F : 3 * s->D;
}

/* [out, in] of a matrix; 0 for biases and the depthwise taps */
static void matrix_size(const struct shape *s, int i, int *rows, int *cols)
{
    int D = s->D, F = s->F;
    *rows = *cols = D;
    switch (i) {
    case UP1:
    case UP2: *rows = F; break;
    case DOWN1:
    case DOWN2: *cols = F; break;
    case QKV: *rows = 3 * D; break;
    case PW1: *rows = 2 * D; break;
    case OUT:
    case PW2: break;
    default: *rows = *cols = 0;
    }
}

static int is_matrix(const struct shape *s, int i)
{
    int rows, cols;
    matrix_size(s, i, &rows, &cols);
    return rows != 0;
}

static size_t parameter_size(const struct shape *s, int i)
{
    int rows, cols;
    matrix_size(s, i, &rows, &cols);
    switch (i) {
    case UP1_B:
    case UP2_B: return s->F;
    case QKV_B: return 3 * s->D;
    case PW1_B: return 2 * s->D;
    case DOWN1_B:
    case DOWN2_B:
    case OUT_B:
    case DW_B:
    case PW2_B: return s->D;
    case DW: return (size_t)s->taps * s->D;
    default: return (size_t)rows * cols;
    }
}

/* Weights in bf16, packed as right operands: forward for x W^T, back for dy W. */
struct weights {
    bf16 *forward[PARAMS], *back[PARAMS];
    float *taps; /* depthwise [K, D] */
};

static struct weights carve_weights(const struct shape *s, char **p)
{
    struct weights w = { 0 };
    for (int i = 0; i < PARAMS; i++) {
        int rows, cols;
        matrix_size(s, i, &rows, &cols);
        w.forward[i] = carve(p, sizeof(bf16) * rows * cols);
        w.back[i] = carve(p, sizeof(bf16) * rows * cols);
    }
    w.taps = carve(p, sizeof(float) * s->taps * s->D);
    return w;
}

/* What one layer keeps for its backward pass. */
struct saved {
    bf16 *hat[NORMS];   /* [N, D] normalised rows */
    float *rstd[NORMS]; /* [N] */
    bf16 *u[2];         /* before SiLU of FFN1, FFN2; see hidden() */
    bf16 *qkv, *o;      /* [N, 3D] rotated; [N, D] attention before `out` */
    float *lse;         /* [N, H] */
    bf16 *pre, *glu;    /* [N, 2D] before GLU; [N, D] */
};

static struct saved carve_saved(const struct shape *s, char **p)
{
    size_t n = padded(s), row = n * s->D * sizeof(bf16);
    struct saved v;
    for (int i = 0; i < NORMS; i++) {
        v.hat[i] = carve(p, row);
        v.rstd[i] = carve(p, n * sizeof(float));
    }
    for (int i = 0; i < 2; i++)
        v.u[i] = carve(p, n * s->F * sizeof(bf16));
    v.qkv = carve(p, 3 * row);
    v.o = carve(p, row);
    v.lse = carve(p, n * s->H * sizeof(float));
    v.pre = carve(p, 2 * row);
    v.glu = carve(p, row);
    return v;
}

/* Frame n of columns f .. f + cols - 1 of u: such a panel lies together, read in one stream. */
static bf16 *hidden(const struct shape *s, bf16 *u, size_t n, int f, int cols)
{
    return u + padded(s) * f + n * cols;
}

/* Memory of one thread. The first thread adds the gradients of matrices to the result itself. */
struct work {
    float *x, *c, *c2; /* [GROUP, D] residual stream or its gradient; products */
    bf16 *n, *g;       /* [GROUP, D + 32] normalised; gradient */
    bf16 *a, *du;      /* [GROUP, widest + 32] */
    struct heads heads;
    bf16 *dy[PARAMS], *in[PARAMS]; /* packed, of up to SPAN frames from `base`: dW = dy^T in */
    size_t base;
    float *block[PARAMS], *norm[2 * NORMS]; /* this thread's gradients of parameters */
    char *grads, *grads_end;
};

static struct work carve_work(const struct shape *s, char **p, int own_matrices)
{
    struct work w = { 0 };
    int D = s->D, W = D / s->H;
    size_t P = round_up(s->T, 32), head = P * W * sizeof(bf16);
    w.x = carve(p, sizeof(float) * GROUP * D);
    w.c = carve(p, sizeof(float) * GROUP * D);
    w.c2 = carve(p, sizeof(float) * GROUP * D);
    w.n = carve(p, sizeof(bf16) * GROUP * (D + 32));
    w.g = carve(p, sizeof(bf16) * GROUP * (D + 32));
    w.a = carve(p, sizeof(bf16) * GROUP * (widest(s) + 32));
    w.du = carve(p, sizeof(bf16) * GROUP * (widest(s) + 32));
    bf16 **operands[] = { &w.heads.kt, &w.heads.vt, &w.heads.kr, &w.heads.qr, &w.heads.dor };
    for (int i = 0; i < 5; i++)
        *operands[i] = carve(p, head);
    w.heads.s = carve(p, sizeof(float) * 32 * P);
    w.heads.dp = carve(p, sizeof(float) * 32 * P);
    w.heads.p = carve(p, sizeof(bf16) * 32 * (P + 32));
    w.heads.ds = carve(p, sizeof(bf16) * 32 * (P + 32));
    w.heads.pt = carve(p, sizeof(bf16) * P * P);
    w.heads.dst = carve(p, sizeof(bf16) * P * P);
    w.heads.out = carve(p, sizeof(float) * 32 * W);
    w.heads.dk = carve(p, sizeof(float) * 32 * W);
    for (int i = 0; i < PARAMS; i++) {
        int rows, cols;
        matrix_size(s, i, &rows, &cols);
        w.dy[i] = carve(p, sizeof(bf16) * SPAN * rows);
        w.in[i] = carve(p, sizeof(bf16) * SPAN * cols);
    }
    w.grads = *p;
    for (int i = 0; i < PARAMS; i++)
        w.block[i] =
            carve(p, sizeof(float) * (own_matrices || !is_matrix(s, i) ? parameter_size(s, i) : 0));
    for (int i = 0; i < 2 * NORMS; i++)
        w.norm[i] = carve(p, sizeof(float) * D);
    w.grads_end = *p;
    return w;
}

/* Memory of one backward call: gradients between its steps. */
struct shared {
    bf16 *dconv, *dout, *dqkv; /* [N, D], [N, D], [N, 3D] */
};

static struct shared carve_shared(const struct shape *s, char **p)
{
    size_t n = padded(s);
    struct shared m = { 0 };
    m.dconv = carve(p, n * s->D * sizeof(bf16));
    m.dout = carve(p, n * s->D * sizeof(bf16));
    m.dqkv = carve(p, 3 * n * s->D * sizeof(bf16));
    return m;
}

/* Everything about the layer at hand. */
struct layer {
    const struct shape *s;
    const float *const *block, *const *norm; /* fp32 parameters */
    const float *cos, *sin;                  /* [T, W/2] */
    struct weights w;
    struct saved v;
    struct shared m;
    const bf16 *qk; /* [N, 3D] of the layer whose attention map this one takes; NULL: its own */
    float *carry;   /* [N, 2D] gradients of its Q and K, from the map's users; NULL: it has none */
};

static struct layer make_layer(const struct shape *s, void *weights, const float *const *block,
                               const float *const *norm, const float *cos, const float *sin,
                               void *saved)
{
    char *w = weights, *v = saved;
    struct layer l = { s,     block, norm, cos, sin, carve_weights(s, &w), carve_saved(s, &v),
                       { 0 }, NULL,  NULL };
    return l;
}

static struct work thread_work(const struct shape *s, void *scratch)
{
    char *none = NULL, *p = scratch;
    carve_work(s, &none, 1);
    p += (size_t)none * omp_get_thread_num();
    return carve_work(s, &p, omp_get_thread_num() > 0);
}

static int rows_in(const struct shape *s, size_t first)
{
    size_t n = frames(s) - first;
    return n < GROUP ? (int)n : GROUP;
}

static struct mask mask_of(const struct shape *s)
{
    return (struct mask){ s->T, s->chunk, s->left };
}

#endif

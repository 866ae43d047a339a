/* fused.c - one virtual layer (model.py: Block + Norms), forward and backward, for training on a CPU
 * with AMX.
 *
 * PyTorch spends two thirds of such a step on copies, casts and element-wise passes between the
 * products. Here a group of 128 frames passes through a whole run of row-wise steps (LayerNorm,
 * product, bias, SiLU, product, residual add, ...) while it lies in the cache. Products take bf16 and
 * sum in fp32; the residual stream and its gradient stay in fp32; what backward needs is kept in bf16.
 *
 *   forward    1  FFN1, LN, qkv, rope    2  attention    3  out, LN, pw1, GLU
 *              4  depthwise, LN, SiLU, pw2, FFN2, LN
 *   backward   the same four in reverse; operands of the weight gradients are left behind packed
 *              (fused_tiles.h), and one pass of products at the end adds them to fp32 buffers
 *
 * A frame's neighbours are needed only by 2 and by the depthwise convolution: a barrier before each.
 * fused.py compiles this file, owns all memory and calls the five functions at the end. Tensors are
 * contiguous, [N, D] means N = B T frames, weights are [out, in] as in PyTorch.
 */
#include <omp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fused_attention.h"
#include "fused_rows.h"
#include "fused_tiles.h"

enum { GROUP = 128 };    /* frames that pass through row-wise steps together */

struct shape { int B, T, D, F, H, taps, chunk, left, threads; };

/* A block's parameters in the order of Block.parameters(); a norm set's are weight, bias of each. */
enum {
    UP1, UP1_B, DOWN1, DOWN1_B, UP2, UP2_B, DOWN2, DOWN2_B, QKV, QKV_B, OUT, OUT_B,
    PW1, PW1_B, DW, DW_B, PW2, PW2_B, PARAMS
};
enum { LN_FFN1, LN_ATT, LN_CONV, LN_MID, LN_FFN2, LN_OUT, NORMS };

/* ---- memory: every struct is carved out of one buffer; carving from NULL measures it ---- */

static void *carve(char **p, size_t bytes)
{
    char *at = *p;
    *p += (bytes + 63) / 64 * 64;
    return at;
}

static size_t frames(const struct shape *s) { return (size_t)s->B * s->T; }
static size_t padded(const struct shape *s) { return (frames(s) + GROUP - 1) / GROUP * GROUP + 32; }
static int widest(const struct shape *s) { return s->F > 3 * s->D ? s->F : 3 * s->D; }

/* [out, in] of a matrix; 0 for biases and the depthwise taps */
static void matrix_size(const struct shape *s, int i, int *rows, int *cols)
{
    int D = s->D, F = s->F;
    *rows = *cols = D;
    switch (i) {
    case UP1: case UP2: *rows = F; break;
    case DOWN1: case DOWN2: *cols = F; break;
    case QKV: *rows = 3 * D; break;
    case PW1: *rows = 2 * D; break;
    case OUT: case PW2: break;
    default: *rows = *cols = 0;
    }
}

static size_t vector_size(const struct shape *s, int i)
{
    switch (i) {
    case UP1_B: case UP2_B: return s->F;
    case QKV_B: return 3 * s->D;
    case PW1_B: return 2 * s->D;
    case DOWN1_B: case DOWN2_B: case OUT_B: case DW_B: case PW2_B: return s->D;
    case DW: return (size_t)s->taps * s->D;
    default: return 0;
    }
}

/* Weights in bf16, packed as right operands: forward for x W^T, back for dy W. */
struct weights {
    bf16 *forward[PARAMS], *back[PARAMS];
    float *taps;                     /* depthwise [K, D] */
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
    bf16 *hat[NORMS];                /* [N, D] normalised rows */
    float *rstd[NORMS];              /* [N] */
    bf16 *u[2];                      /* before SiLU of FFN1, FFN2; see hidden() */
    bf16 *qkv, *o;                   /* [N, 3D] rotated; [N, D] attention before `out` */
    float *lse;                      /* [N, H] */
    bf16 *pre, *glu;                 /* [N, 2D] before GLU; [N, D] */
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

/* Memory of one thread. */
struct work {
    float *x, *c, *c2;               /* [GROUP, D] residual stream or its gradient; products */
    bf16 *n, *g;                     /* [GROUP, D + 32] normalised; gradient */
    bf16 *a, *du;                    /* [GROUP, widest + 32] */
    struct heads heads;
    float *block[PARAMS], *norm[2 * NORMS];    /* gradients of vectors */
    char *vectors, *vectors_end;
};

static struct work carve_work(const struct shape *s, char **p)
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
    w.vectors = *p;
    for (int i = 0; i < PARAMS; i++)
        w.block[i] = carve(p, sizeof(float) * vector_size(s, i));
    for (int i = 0; i < 2 * NORMS; i++)
        w.norm[i] = carve(p, sizeof(float) * D);
    w.vectors_end = *p;
    return w;
}

/* Memory of one backward call: gradients between its steps, operands of the weight gradients. */
struct shared {
    bf16 *dconv, *dout, *dqkv;                     /* [N, D], [N, D], [N, 3D] */
    bf16 *dy[PARAMS], *in[PARAMS];                 /* packed: dW = dy^T in */
};

static struct shared carve_shared(const struct shape *s, char **p)
{
    size_t n = padded(s);
    struct shared m = { 0 };
    m.dconv = carve(p, n * s->D * sizeof(bf16));
    m.dout = carve(p, n * s->D * sizeof(bf16));
    m.dqkv = carve(p, 3 * n * s->D * sizeof(bf16));
    for (int i = 0; i < PARAMS; i++) {
        int rows, cols;
        matrix_size(s, i, &rows, &cols);
        m.dy[i] = carve(p, n * rows * sizeof(bf16));
        m.in[i] = carve(p, n * cols * sizeof(bf16));
    }
    return m;
}

/* Everything about the layer at hand. */
struct layer {
    const struct shape *s;
    const float *const *block, *const *norm;   /* fp32 parameters */
    const float *cos, *sin;                    /* [T, W/2] */
    struct weights w;
    struct saved v;
    struct shared m;
    long tiles;                                /* of 32 frames */
};

static struct layer make_layer(const struct shape *s, void *weights, const float *const *block,
                               const float *const *norm, const float *cos, const float *sin, void *saved)
{
    char *w = weights, *v = saved;
    struct layer l = { s, block, norm, cos, sin, carve_weights(s, &w), carve_saved(s, &v),
                       .tiles = (long)(frames(s) + 31) / 32 };
    return l;
}

static struct work thread_work(const struct shape *s, void *scratch)
{
    char *none = NULL, *p = scratch;
    carve_work(s, &none);
    p += (size_t)none * omp_get_thread_num();
    return carve_work(s, &p);
}

static int rows_in(const struct shape *s, size_t first)
{
    size_t n = frames(s) - first;
    return n < GROUP ? (int)n : GROUP;
}

/* ---- row-wise steps on the frames first .. first + rows - 1 ---- */

/* w.n = LN(x), kept in saved; x [rows, D] */
static void normalise(const struct layer *l, struct work *w, const float *x, size_t first, int rows, int ln)
{
    int D = l->s->D;
    for (int r = 0; r < rows; r++)
        l->v.rstd[ln][first + r] = norm_row(x + (long)r * D, D, l->norm[2 * ln], l->norm[2 * ln + 1],
                                            l->v.hat[ln] + (first + r) * D, w->n + r * (D + 32), 0);
}

/* c [rows, cols] = a W^T for W's rows from .. from + cols - 1; k: W's columns */
static void forward_product(const struct layer *l, int i, int rows, int from, int cols, const bf16 *a, int k,
                            float *c)
{
    product(rows, cols, k / 32, rows_of(a, k + 32), l->w.forward[i] + (long)from * k, k / 32, c, l->s->D);
}

/* x += 1/2 FFN(LN(x)) */
static void ffn_forward(const struct layer *l, struct work *w, float *x, size_t first, int rows, int second)
{
    int D = l->s->D, F = l->s->F, up = second ? UP2 : UP1, down = second ? DOWN2 : DOWN1;
    const float *b = l->block[up + 1];
    normalise(l, w, x, first, rows, second ? LN_FFN2 : LN_FFN1);
    for (int f = 0; f < F; f += D) {
        int cols = F - f < D ? F - f : D;
        forward_product(l, up, rows, f, cols, w->n, D, w->c);
        for (int r = 0; r < rows; r++) {
            const float *c = w->c + (long)r * D, *bias = b + f;
            bf16 *keep = hidden(l->s, l->v.u[second], first + r, f, cols), *a = w->a + (long)r * (F + 32) + f;
            for (int i = 0; i < cols; i += 16) {
                vec u = ld(c + i) + ld(bias + i);
                stb(keep + i, u);
                stb(a + i, silu(u));
            }
        }
    }
    forward_product(l, down, rows, 0, D, w->a, F, w->c);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < D; i += 16)
            add_to(x + (long)r * D + i, set1(0.5f) * (ld(w->c + (long)r * D + i) + ld(l->block[down + 1] + i)));
}

/* saved qkv = rope(LN(x) Wqkv^T + b) */
static void qkv_forward(const struct layer *l, struct work *w, const float *x, size_t first, int rows)
{
    int D = l->s->D, W = D / l->s->H;
    normalise(l, w, x, first, rows, LN_ATT);
    for (int part = 0; part < 3; part++) {
        const float *b = l->block[QKV_B] + part * D;
        forward_product(l, QKV, rows, part * D, D, w->n, D, w->c);
        for (int r = 0; r < rows; r++) {
            const float *c = w->c + (long)r * D, *cs = l->cos + (first + r) % l->s->T * (W / 2);
            const float *sn = l->sin + (first + r) % l->s->T * (W / 2);
            bf16 *out = l->v.qkv + (first + r) * 3 * D + part * D;
            for (int h = 0; h < D; h += W)
                for (int i = h; i < h + W / 2; i += 16) {
                    vec p = ld(c + i) + ld(b + i), q = ld(c + i + W / 2) + ld(b + i + W / 2);
                    vec co = part < 2 ? ld(cs + i - h) : set1(1), si = part < 2 ? ld(sn + i - h) : set1(0);
                    stb(out + i, p * co - q * si);
                    stb(out + i + W / 2, p * si + q * co);
                }
        }
    }
}

/* x += c + bias, both [rows, D] */
static void add_rows(int rows, int D, float *x, const float *c, const float *bias)
{
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < D; i += 16)
            add_to(x + (long)r * D + i, ld(c + (long)r * D + i) + ld(bias + i));
}

static void load_rows(bf16 *dst, const bf16 *src, int rows, int D)
{
    for (int r = 0; r < rows; r++)
        memcpy(dst + (long)r * (D + 32), src + (long)r * D, sizeof(bf16) * D);
}

/* x += out(attention); saved pre, glu = GLU(pw1(LN(x))) */
static void out_glu_forward(const struct layer *l, struct work *w, float *x, size_t first, int rows)
{
    int D = l->s->D;
    const float *b = l->block[PW1_B];
    load_rows(w->n, l->v.o + first * D, rows, D);
    forward_product(l, OUT, rows, 0, D, w->n, D, w->c);
    add_rows(rows, D, x, w->c, l->block[OUT_B]);
    normalise(l, w, x, first, rows, LN_CONV);
    forward_product(l, PW1, rows, 0, D, w->n, D, w->c);
    forward_product(l, PW1, rows, D, D, w->n, D, w->c2);
    for (int r = 0; r < rows; r++) {
        bf16 *pre = l->v.pre + (first + r) * 2 * D;
        for (int i = 0; i < D; i += 16) {
            vec p = ld(w->c + (long)r * D + i) + ld(b + i), q = ld(w->c2 + (long)r * D + i) + ld(b + D + i);
            stb(pre + i, p);
            stb(pre + D + i, q);
            stb(l->v.glu + (first + r) * D + i, p * sigmoid(q));
        }
    }
}

/* x += pw2(SiLU(LN(depthwise(glu)))) */
static void conv_forward(const struct layer *l, struct work *w, float *x, size_t first, int rows)
{
    int D = l->s->D, K = l->s->taps;
    for (int r = 0; r < rows; r++) {
        int t = (first + r) % l->s->T, k0 = t < K - 1 ? K - 1 - t : 0;
        const bf16 *in = l->v.glu + (first + r) * D;
        for (int i = 0; i < D; i += 16) {
            vec y = ld(l->block[DW_B] + i);
            for (int k = k0; k < K; k++)
                y += ld(l->w.taps + (long)k * D + i) * ldb(in + (long)(k - K + 1) * D + i);
            st(w->c + i, y);
        }
        l->v.rstd[LN_MID][first + r] = norm_row(w->c, D, l->norm[2 * LN_MID], l->norm[2 * LN_MID + 1],
                                                l->v.hat[LN_MID] + (first + r) * D, w->n + r * (D + 32), 1);
    }
    forward_product(l, PW2, rows, 0, D, w->n, D, w->c);
    add_rows(rows, D, x, w->c, l->block[PW2_B]);
}

/* ---- backward, row-wise; dx [rows, D] is the gradient of the residual stream ---- */

/* c [rows, cols] = g W for W's columns from .. from + cols - 1; n: W's rows */
static void back_product(const struct layer *l, int i, int rows, int from, int cols, const bf16 *g, long ldg,
                         int n, float *c)
{
    product(rows, cols, n / 32, rows_of(g, ldg), l->w.back[i] + (long)from * n, n / 32, c, l->s->D);
}

/* Columns from .. from + cols - 1 of the gradient of matrix i's output, packed for weights_back. */
static void keep_gradient(const struct layer *l, int i, int from, size_t first, const bf16 *dy, long ld, int rows,
                          int cols)
{
    pack_left_rows(l->m.dy[i] + (long)from * l->tiles * 32, l->tiles, first / 32, dy, ld, rows, cols);
}

/* The same of its input. */
static void keep_input(const struct layer *l, int i, int from, size_t first, const bf16 *x, long ld, int rows,
                       int cols)
{
    pack_right_rows(l->m.in[i] + (long)from * l->tiles * 32, l->tiles, first / 32, x, ld, rows, cols);
}

/* dx += gradient through LN `ln` of c; keeps LN's output as the input of matrix i */
static void normalise_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows, int ln, int i)
{
    int D = l->s->D;
    const float *g = l->norm[2 * ln], *b = l->norm[2 * ln + 1];
    for (int r0 = 0; r0 < rows; r0 += 32) {
        int some = rows - r0 < 32 ? rows - r0 : 32;
        for (int r = r0; r < r0 + some; r++) {
            const bf16 *hat = l->v.hat[ln] + (first + r) * D;
            norm_row_again(hat, D, g, b, w->n + (r - r0) * (D + 32));
            norm_row_back(w->c + (long)r * D, hat, l->v.rstd[ln][first + r], D, g, w->norm[2 * ln],
                          w->norm[2 * ln + 1], dx + (long)r * D, 1);
        }
        keep_input(l, i, 0, first + r0, w->n, D + 32, some, D);
    }
}

/* w.g = scale dx, the output gradient of matrix i */
static void residual_back(const struct layer *l, struct work *w, const float *dx, size_t first, int rows, int i,
                          float scale)
{
    int D = l->s->D;
    for (int r0 = 0; r0 < rows; r0 += 32) {
        int some = rows - r0 < 32 ? rows - r0 : 32;
        for (int r = r0; r < r0 + some; r++)
            round_row(dx + (long)r * D, D, scale, w->g + r * (D + 32), w->block[i + 1]);
        keep_gradient(l, i, 0, first + r0, w->g + r0 * (D + 32), D + 32, some, D);
    }
}

/* Through SiLU: c [rows, cols] is the gradient of a = SiLU(u), columns f .. of FFN's inner ones. */
static void silu_back(const struct layer *l, struct work *w, size_t first, int rows, int f, int cols, int second)
{
    int D = l->s->D, F = l->s->F, up = second ? UP2 : UP1, down = second ? DOWN2 : DOWN1;
    float *sums = w->block[up + 1] + f;
    for (int r0 = 0; r0 < rows; r0 += 32) {
        int some = rows - r0 < 32 ? rows - r0 : 32;
        for (int r = r0; r < r0 + some; r++) {
            const bf16 *u = hidden(l->s, l->v.u[second], first + r, f, cols);
            const float *c = w->c + (long)r * D;
            bf16 *a = w->a + (long)(r - r0) * (D + 32), *du = w->du + (long)r * (F + 32) + f;
            for (int i = 0; i < cols; i += 16) {
                vec x = ldb(u + i), s = sigmoid(x), y = x * s;
                vec d = ld(c + i) * silu_slope(y, s);
                stb(a + i, y);
                stb(du + i, d);
                add_to(sums + i, d);
            }
        }
        keep_input(l, down, f, first + r0, w->a, D + 32, some, cols);
        keep_gradient(l, up, f, first + r0, w->du + (long)r0 * (F + 32) + f, F + 32, some, cols);
    }
}

static void ffn_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows, int second)
{
    int D = l->s->D, F = l->s->F, up = second ? UP2 : UP1, down = second ? DOWN2 : DOWN1;
    residual_back(l, w, dx, first, rows, down, 0.5f);
    for (int f = 0; f < F; f += D) {
        int cols = F - f < D ? F - f : D;
        back_product(l, down, rows, f, cols, w->g, D + 32, D, w->c);
        silu_back(l, w, first, rows, f, cols, second);
    }
    back_product(l, up, rows, 0, D, w->du, F + 32, F, w->c);
    normalise_back(l, w, dx, first, rows, second ? LN_FFN2 : LN_FFN1, up);
}

/* dx = gradient before the block's last LayerNorm */
static void out_norm_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows)
{
    int D = l->s->D;
    for (int r = 0; r < rows; r++)
        norm_row_back(dx + (long)r * D, l->v.hat[LN_OUT] + (first + r) * D, l->v.rstd[LN_OUT][first + r], D,
                      l->norm[2 * LN_OUT], w->norm[2 * LN_OUT], w->norm[2 * LN_OUT + 1], dx + (long)r * D, 0);
}

/* dconv = gradient after the depthwise convolution */
static void conv_back(const struct layer *l, struct work *w, const float *dx, size_t first, int rows)
{
    int D = l->s->D;
    const float *g = l->norm[2 * LN_MID], *b = l->norm[2 * LN_MID + 1];
    residual_back(l, w, dx, first, rows, PW2, 1);
    back_product(l, PW2, rows, 0, D, w->g, D + 32, D, w->c);
    for (int r = 0; r < rows; r++) {
        const bf16 *hat = l->v.hat[LN_MID] + (first + r) * D;
        float *c = w->c + (long)r * D;
        for (int i = 0; i < D; i += 16) {
            vec m = ldb(hat + i) * ld(g + i) + ld(b + i), s = sigmoid(m), y = m * s;
            stb(w->n + r * (D + 32) + i, y);
            st(c + i, ld(c + i) * silu_slope(y, s));
        }
        norm_row_back(c, hat, l->v.rstd[LN_MID][first + r], D, g, w->norm[2 * LN_MID], w->norm[2 * LN_MID + 1],
                      c, 0);
        round_row(c, D, 1, l->m.dconv + (first + r) * D, w->block[DW_B]);
    }
    keep_input(l, PW2, 0, first, w->n, D + 32, rows, D);
}

/* Gradient through depthwise convolution and GLU of frame n -> dpre [2D]. */
static void glu_row_back(const struct layer *l, struct work *w, size_t n, bf16 *dpre)
{
    int D = l->s->D, K = l->s->taps, T = l->s->T, t = n % T;
    int k0 = t < K - 1 ? K - 1 - t : 0;               /* taps that this frame's output read */
    int k1 = T - t < K ? K - (T - t) : 0;             /* taps through which this frame was read */
    const bf16 *dconv = l->m.dconv + n * D, *glu = l->v.glu + n * D, *pre = l->v.pre + n * 2 * D;
    for (int i = 0; i < D; i += 16) {
        vec d = set1(0), y = ldb(dconv + i);
        for (int k = k1; k < K; k++)
            d += ld(l->w.taps + (long)k * D + i) * ldb(dconv + (long)(K - 1 - k) * D + i);
        for (int k = k0; k < K; k++)
            add_to(w->block[DW] + (long)k * D + i, y * ldb(glu + (long)(k - K + 1) * D + i));
        vec a = ldb(pre + i), s = sigmoid(ldb(pre + D + i));
        vec da = d * s, dg = da * a * (set1(1) - s);
        stb(dpre + i, da);
        stb(dpre + D + i, dg);
        add_to(w->block[PW1_B] + i, da);
        add_to(w->block[PW1_B] + D + i, dg);
    }
}

static void glu_out_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows)
{
    int D = l->s->D;
    long ldp = 2 * D + 32;
    for (int r = 0; r < rows; r++)
        glu_row_back(l, w, first + r, w->du + r * ldp);
    keep_gradient(l, PW1, 0, first, w->du, ldp, rows, 2 * D);
    back_product(l, PW1, rows, 0, D, w->du, ldp, 2 * D, w->c);
    normalise_back(l, w, dx, first, rows, LN_CONV, PW1);
    residual_back(l, w, dx, first, rows, OUT, 1);
    keep_input(l, OUT, 0, first, l->v.o + first * D, D, rows, D);
    back_product(l, OUT, rows, 0, D, w->g, D + 32, D, w->c);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < D; i += 16)
            stb(l->m.dout + (first + r) * D + i, ld(w->c + (long)r * D + i));
}

static void qkv_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows)
{
    int D = l->s->D;
    const bf16 *dqkv = l->m.dqkv + first * 3 * D;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 3 * D; i += 16)
            add_to(w->block[QKV_B] + i, ldb(dqkv + (long)r * 3 * D + i));
    keep_gradient(l, QKV, 0, first, dqkv, 3 * D, rows, 3 * D);
    back_product(l, QKV, rows, 0, D, dqkv, 3 * D, 3 * D, w->c);
    normalise_back(l, w, dx, first, rows, LN_ATT, QKV);
}

/* ---- whole passes ---- */

static struct mask mask_of(const struct shape *s)
{
    return (struct mask){ s->T, s->chunk, s->left };
}

static void attention_forward(const struct layer *l, struct work *w, int head)
{
    const struct shape *s = l->s;
    int D = s->D, H = s->H, W = D / H, h = head % H;
    size_t n = (size_t)(head / H) * s->T;
    attend(mask_of(s), W, D, H, l->v.qkv + n * 3 * D + h * W, l->v.o + n * D + h * W, l->v.lse + n * H + h,
           w->heads);
}

static void attention_back(const struct layer *l, struct work *w, int head)
{
    const struct shape *s = l->s;
    int D = s->D, H = s->H, W = D / H, h = head % H;
    size_t n = (size_t)(head / H) * s->T;
    attend_back(mask_of(s), W, D, H, l->v.qkv + n * 3 * D + h * W, l->v.o + n * D + h * W, l->v.lse + n * H + h,
                l->m.dout + n * D + h * W, l->cos, l->sin, l->m.dqkv + n * 3 * D + h * W, w->heads);
}

static void layer_forward(const struct layer *l, const float *x, float *y, struct work *w)
{
    int D = l->s->D, heads = l->s->B * l->s->H;
    long N = frames(l->s);
#pragma omp for schedule(static)
    for (long n = 0; n < N; n += GROUP) {
        int rows = rows_in(l->s, n);
        memcpy(y + n * D, x + n * D, sizeof *x * rows * D);
        ffn_forward(l, w, y + n * D, n, rows, 0);
        qkv_forward(l, w, y + n * D, n, rows);
    }
#pragma omp for schedule(static)
    for (int i = 0; i < heads; i++)
        attention_forward(l, w, i);
#pragma omp for schedule(static)
    for (long n = 0; n < N; n += GROUP)
        out_glu_forward(l, w, y + n * D, n, rows_in(l->s, n));
#pragma omp for schedule(static)
    for (long n = 0; n < N; n += GROUP) {
        int rows = rows_in(l->s, n);
        float *yn = y + n * D;
        conv_forward(l, w, yn, n, rows);
        ffn_forward(l, w, yn, n, rows, 1);
        for (int r = 0; r < rows; r++)
            l->v.rstd[LN_OUT][n + r] = norm_row_inplace(yn + (long)r * D, D, l->norm[2 * LN_OUT],
                                                        l->norm[2 * LN_OUT + 1], l->v.hat[LN_OUT] + (n + r) * D);
    }
}

/* This thread's share of all weight gradients. */
static void weights_back(const struct layer *l, float *const *grads)
{
    for (int i = 0; i < PARAMS; i++) {
        int rows, cols;
        matrix_size(l->s, i, &rows, &cols);
        if (rows)
            accumulate(rows, cols, (int)l->tiles, l->m.dy[i], l->m.in[i], grads[i], omp_get_thread_num(),
                       omp_get_num_threads());
    }
}

/* Adds this thread's gradients of vectors to the result. */
static void vectors_back(const struct shape *s, const struct work *w, float *const *block, float *const *norm)
{
    for (int i = 0; i < PARAMS; i++)
        for (size_t j = 0; j < vector_size(s, i); j++)
            block[i][i == DW ? j % s->D * s->taps + j / s->D : j] += w->block[i][j];
    for (int i = 0; i < 2 * NORMS; i++)
        for (int j = 0; j < s->D; j++)
            norm[i][j] += w->norm[i][j];
}

static void layer_back(const struct layer *l, float *dx, struct work *w)
{
    int D = l->s->D, heads = l->s->B * l->s->H;
    long N = frames(l->s);
#pragma omp for schedule(static)
    for (long n = 0; n < N; n += GROUP) {
        int rows = rows_in(l->s, n);
        out_norm_back(l, w, dx + n * D, n, rows);
        ffn_back(l, w, dx + n * D, n, rows, 1);
        conv_back(l, w, dx + n * D, n, rows);
    }
#pragma omp for schedule(static)
    for (long n = 0; n < N; n += GROUP)
        glu_out_back(l, w, dx + n * D, n, rows_in(l->s, n));
#pragma omp for schedule(static)
    for (int i = 0; i < heads; i++)
        attention_back(l, w, i);
#pragma omp for schedule(static)
    for (long n = 0; n < N; n += GROUP) {
        int rows = rows_in(l->s, n);
        qkv_back(l, w, dx + n * D, n, rows);
        ffn_back(l, w, dx + n * D, n, rows, 0);
    }
}

/* ---- called by fused.py ---- */

/* 1 if this process may use AMX (Linux grants the tile registers on request). */
int fused_available(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}

/* Bytes of: packed weights, what a layer saves, scratch memory. */
void fused_sizes(const struct shape *s, size_t sizes[3])
{
    char *weights = NULL, *saved = NULL, *work = NULL, *shared = NULL;
    carve_weights(s, &weights);
    carve_saved(s, &saved);
    carve_work(s, &work);
    carve_shared(s, &shared);
    sizes[0] = (size_t)weights;
    sizes[1] = (size_t)saved;
    sizes[2] = (size_t)work * s->threads + (size_t)shared;
}

/* Ask for huge pages: the buffers are tens of megabytes and live for the whole run. */
void fused_advise(void *p, size_t bytes)
{
    uintptr_t from = ((uintptr_t)p + 4095) & ~(uintptr_t)4095, to = ((uintptr_t)p + bytes) & ~(uintptr_t)4095;
    if (to > from)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
}

/* Block parameters -> packed weights, once a step. */
void fused_pack(const struct shape *s, const float *const *block, void *weights)
{
    char *p = weights;
    struct weights w = carve_weights(s, &p);
    bf16 *row_major = malloc(sizeof(bf16) * s->D * widest(s));
    for (int i = 0; i < PARAMS; i++) {
        int rows, cols;
        matrix_size(s, i, &rows, &cols);
        for (long j = 0; j < (long)rows * cols; j += 16)
            stb(row_major + j, ld(block[i] + j));
        pack_right_cols(w.forward[i], row_major, cols, rows, cols);
        pack_right_rows(w.back[i], rows / 32, 0, row_major, cols, rows, cols);
    }
    for (int k = 0; k < s->taps; k++)
        for (int d = 0; d < s->D; d++)
            w.taps[k * s->D + d] = block[DW][d * s->taps + k];
    free(row_major);
}

/* x [N, D] -> y [N, D], both fp32 */
void fused_forward(const struct shape *s, void *weights, const float *const *block, const float *const *norm,
                   const float *cos, const float *sin, const float *x, float *y, void *saved, void *scratch)
{
    struct layer l = make_layer(s, weights, block, norm, cos, sin, saved);
#pragma omp parallel num_threads(s->threads)
    {
        struct work w = thread_work(s, scratch);
        tiles_begin();
        layer_forward(&l, x, y, &w);
        tiles_end();
    }
}

/* dx [N, D]: gradient of y in, of x out; adds to the gradients of all parameters */
void fused_backward(const struct shape *s, void *weights, const float *const *block, const float *const *norm,
                    const float *cos, const float *sin, float *dx, float *const *block_grads,
                    float *const *norm_grads, void *saved, void *scratch)
{
    struct layer l = make_layer(s, weights, block, norm, cos, sin, saved);
    char *none = NULL, *p = scratch;
    carve_work(s, &none);
    p += (size_t)none * s->threads;
    l.m = carve_shared(s, &p);
#pragma omp parallel num_threads(s->threads)
    {
        struct work w = thread_work(s, scratch);
        memset(w.vectors, 0, w.vectors_end - w.vectors);
        tiles_begin();
        layer_back(&l, dx, &w);
        weights_back(&l, block_grads);
        tiles_end();
#pragma omp critical
        vectors_back(s, &w, block_grads, norm_grads);
    }
}

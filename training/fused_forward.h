/* The forward pass of a layer (fused.c tells its four steps). */
#ifndef FUSED_FORWARD_H
#define FUSED_FORWARD_H

#include "fused_memory.h"
#include "fused_rows.h"

/* ---- row-wise steps on the frames first .. first + rows - 1 ---- */

/* w.n = LN(x), kept in saved; x [rows, D] */
static void normalise(const struct layer *l, struct work *w, const float *x, size_t first, int rows,
                      int ln)
{
    int D = l->s->D;
    for (int r = 0; r < rows; r++)
        l->v.rstd[ln][first + r] =
            norm_row(x + (long)r * D, D, l->norm[2 * ln], l->norm[2 * ln + 1],
                     l->v.hat[ln] + (first + r) * D, w->n + r * (D + 32), 0);
}

/* c [rows, cols] = a W^T for W's rows from .. from + cols - 1; k: W's columns */
static void forward_product(const struct layer *l, int i, int rows, int from, int cols,
                            const bf16 *a, int k, float *c)
{
    product(rows, cols, k / 32, rows_of(a, k + 32), l->w.forward[i] + (long)from * k, k / 32, c,
            l->s->D);
}

/* x += 1/2 FFN(LN(x)) */
static void ffn_forward(const struct layer *l, struct work *w, float *x, size_t first, int rows,
                        int second)
{
    int D = l->s->D, F = l->s->F, up = second ? UP2 : UP1, down = second ? DOWN2 : DOWN1;
    const float *b = l->block[up + 1];
    normalise(l, w, x, first, rows, second ? LN_FFN2 : LN_FFN1);
    for (int f = 0; f < F; f += D) {
        int cols = F - f < D ? F - f : D;
        forward_product(l, up, rows, f, cols, w->n, D, w->c);
        for (int r = 0; r < rows; r++) {
            const float *c = w->c + (long)r * D, *bias = b + f;
            bf16 *keep = hidden(l->s, l->v.u[second], first + r, f, cols),
                 *a = w->a + (long)r * (F + 32) + f;
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
            add_to(x + (long)r * D + i,
                   set1(0.5f) * (ld(w->c + (long)r * D + i) + ld(l->block[down + 1] + i)));
}

/* saved qkv = rope(LN(x) Wqkv^T + b); of a map taken from another layer, that one's Q and K */
static void qkv_forward(const struct layer *l, struct work *w, const float *x, size_t first,
                        int rows)
{
    int D = l->s->D, W = D / l->s->H;
    normalise(l, w, x, first, rows, LN_ATT);
    for (int r = 0; l->qk && r < rows; r++)
        memcpy(l->v.qkv + (first + r) * 3 * D, l->qk + (first + r) * 3 * D, sizeof(bf16) * 2 * D);
    for (int part = l->qk ? 2 : 0; part < 3; part++) {
        const float *b = l->block[QKV_B] + part * D;
        forward_product(l, QKV, rows, part * D, D, w->n, D, w->c);
        for (int r = 0; r < rows; r++) {
            const float *c = w->c + (long)r * D, *cs = l->cos + (first + r) % l->s->T * (W / 2);
            const float *sn = l->sin + (first + r) % l->s->T * (W / 2);
            bf16 *out = l->v.qkv + (first + r) * 3 * D + part * D;
            for (int h = 0; h < D; h += W)
                for (int i = h; i < h + W / 2; i += 16) {
                    vec p = ld(c + i) + ld(b + i), q = ld(c + i + W / 2) + ld(b + i + W / 2);
                    vec co = part < 2 ? ld(cs + i - h) : set1(1),
                        si = part < 2 ? ld(sn + i - h) : set1(0);
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
            vec p = ld(w->c + (long)r * D + i) + ld(b + i),
                q = ld(w->c2 + (long)r * D + i) + ld(b + D + i);
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
        l->v.rstd[LN_MID][first + r] =
            norm_row(w->c, D, l->norm[2 * LN_MID], l->norm[2 * LN_MID + 1],
                     l->v.hat[LN_MID] + (first + r) * D, w->n + r * (D + 32), 1);
    }
    forward_product(l, PW2, rows, 0, D, w->n, D, w->c);
    add_rows(rows, D, x, w->c, l->block[PW2_B]);
}

/* ---- the whole pass ---- */

static void attention_forward(const struct layer *l, struct work *w, int head)
{
    const struct shape *s = l->s;
    int D = s->D, H = s->H, W = D / H, h = head % H;
    size_t n = (size_t)(head / H) * s->T;
    attend(mask_of(s), W, D, H, l->v.qkv + n * 3 * D + h * W, l->v.o + n * D + h * W,
           l->v.lse + n * H + h, w->heads);
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
        if (l->s->stem)
            continue;
        ffn_forward(l, w, yn, n, rows, 1);
        for (int r = 0; r < rows; r++)
            l->v.rstd[LN_OUT][n + r] =
                norm_row_inplace(yn + (long)r * D, D, l->norm[2 * LN_OUT], l->norm[2 * LN_OUT + 1],
                                 l->v.hat[LN_OUT] + (n + r) * D);
    }
}

#endif

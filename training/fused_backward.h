/* The backward pass of a layer: fused_forward.h in reverse, see fused.c. */
#ifndef FUSED_BACKWARD_H
#define FUSED_BACKWARD_H

#include "fused_memory.h"
#include "fused_rows.h"

/* ---- backward, row-wise; dx [rows, D] is the gradient of the residual stream ---- */

/* c [rows, cols] = g W for W's columns from .. from + cols - 1; n: W's rows */
static void back_product(const struct layer *l, int i, int rows, int from, int cols, const bf16 *g,
                         long ldg, int n, float *c)
{
    product(rows, cols, n / 32, rows_of(g, ldg), l->w.back[i] + (long)from * n, n / 32, c, l->s->D);
}

/* Columns from .. from + cols - 1 of the gradient of matrix i's output, packed for weights_back. */
static void keep_gradient(const struct work *w, int i, int from, size_t first, const bf16 *dy,
                          long ld, int rows, int cols)
{
    pack_left_rows(w->dy[i] + (long)from * SPAN, SPAN / 32, (first - w->base) / 32, dy, ld, rows,
                   cols);
}

/* The same of its input. */
static void keep_input(const struct work *w, int i, int from, size_t first, const bf16 *x, long ld,
                       int rows, int cols)
{
    pack_right_rows(w->in[i] + (long)from * SPAN, SPAN / 32, (first - w->base) / 32, x, ld, rows,
                    cols);
}

/* dx += gradient through LN `ln` of c; keeps LN's output as the input of matrix i */
static void normalise_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows,
                           int ln, int i)
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
        keep_input(w, i, 0, first + r0, w->n, D + 32, some, D);
    }
}

/* w.g = scale dx, the output gradient of matrix i */
static void residual_back(const struct layer *l, struct work *w, const float *dx, size_t first,
                          int rows, int i, float scale)
{
    int D = l->s->D;
    for (int r0 = 0; r0 < rows; r0 += 32) {
        int some = rows - r0 < 32 ? rows - r0 : 32;
        for (int r = r0; r < r0 + some; r++)
            round_row(dx + (long)r * D, D, scale, w->g + r * (D + 32), w->block[i + 1]);
        keep_gradient(w, i, 0, first + r0, w->g + r0 * (D + 32), D + 32, some, D);
    }
}

/* Through SiLU: c [rows, cols] is the gradient of a = SiLU(u), columns f .. of FFN's inner ones. */
static void silu_back(const struct layer *l, struct work *w, size_t first, int rows, int f,
                      int cols, int second)
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
        keep_input(w, down, f, first + r0, w->a, D + 32, some, cols);
        keep_gradient(w, up, f, first + r0, w->du + (long)r0 * (F + 32) + f, F + 32, some, cols);
    }
}

static void ffn_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows,
                     int second)
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
        norm_row_back(dx + (long)r * D, l->v.hat[LN_OUT] + (first + r) * D,
                      l->v.rstd[LN_OUT][first + r], D, l->norm[2 * LN_OUT], w->norm[2 * LN_OUT],
                      w->norm[2 * LN_OUT + 1], dx + (long)r * D, 0);
}

/* dconv = gradient after the depthwise convolution */
static void conv_back(const struct layer *l, struct work *w, const float *dx, size_t first,
                      int rows)
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
        norm_row_back(c, hat, l->v.rstd[LN_MID][first + r], D, g, w->norm[2 * LN_MID],
                      w->norm[2 * LN_MID + 1], c, 0);
        round_row(c, D, 1, l->m.dconv + (first + r) * D, w->block[DW_B]);
    }
    keep_input(w, PW2, 0, first, w->n, D + 32, rows, D);
}

/* Gradient through depthwise convolution and GLU of frame n -> dpre [2D]. */
static void glu_row_back(const struct layer *l, struct work *w, size_t n, bf16 *dpre)
{
    int D = l->s->D, K = l->s->taps, T = l->s->T, t = n % T;
    int k0 = t < K - 1 ? K - 1 - t : 0;   /* taps that this frame's output read */
    int k1 = T - t < K ? K - (T - t) : 0; /* taps through which this frame was read */
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
    keep_gradient(w, PW1, 0, first, w->du, ldp, rows, 2 * D);
    back_product(l, PW1, rows, 0, D, w->du, ldp, 2 * D, w->c);
    normalise_back(l, w, dx, first, rows, LN_CONV, PW1);
    residual_back(l, w, dx, first, rows, OUT, 1);
    keep_input(w, OUT, 0, first, l->v.o + first * D, D, rows, D);
    back_product(l, OUT, rows, 0, D, w->g, D + 32, D, w->c);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < D; i += 16)
            stb(l->m.dout + (first + r) * D + i, ld(w->c + (long)r * D + i));
}

/* Gradients of Q and K go from the users of a map to the layer that made it, which runs after them.
 */
static void carry_back(const struct layer *l, bf16 *dqkv, size_t n)
{
    int D = l->s->D;
    float *carry = l->carry + n * 2 * D;
    for (int i = 0; i < 2 * D; i += 16) {
        vec sum = ldb(dqkv + i) + ld(carry + i);
        st(carry + i, l->qk ? sum : set1(0));
        stb(dqkv + i, l->qk ? set1(0) : sum);
    }
}

static void qkv_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows)
{
    int D = l->s->D;
    bf16 *dqkv = l->m.dqkv + first * 3 * D;
    for (int r = 0; l->carry && r < rows; r++)
        carry_back(l, dqkv + (long)r * 3 * D, first + r);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 3 * D; i += 16)
            add_to(w->block[QKV_B] + i, ldb(dqkv + (long)r * 3 * D + i));
    keep_gradient(w, QKV, 0, first, dqkv, 3 * D, rows, 3 * D);
    back_product(l, QKV, rows, 0, D, dqkv, 3 * D, 3 * D, w->c);
    normalise_back(l, w, dx, first, rows, LN_ATT, QKV);
}

/* ---- the whole pass ---- */

static void attention_back(const struct layer *l, struct work *w, int head)
{
    const struct shape *s = l->s;
    int D = s->D, H = s->H, W = D / H, h = head % H;
    size_t n = (size_t)(head / H) * s->T;
    attend_back(mask_of(s), W, D, H, l->v.qkv + n * 3 * D + h * W, l->v.o + n * D + h * W,
                l->v.lse + n * H + h, l->m.dout + n * D + h * W, l->cos, l->sin,
                l->m.dqkv + n * 3 * D + h * W, w->heads);
}

/* The gradients of the matrices listed (-1 ends them), of the `count` frames from w->base on. */
static void weights_back(const struct layer *l, struct work *w, const int *matrices, size_t count)
{
    for (; *matrices >= 0; matrices++) {
        int i = *matrices, rows, cols;
        matrix_size(l->s, i, &rows, &cols);
        accumulate(rows, cols, SPAN / 32, ((int)count + 31) / 32, w->dy[i], w->in[i], w->block[i]);
    }
}

/* The three row-wise runs of the backward pass, on one group. */
static void tail_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows)
{
    if (!l->s->stem) {
        out_norm_back(l, w, dx, first, rows);
        ffn_back(l, w, dx, first, rows, 1);
    }
    conv_back(l, w, dx, first, rows);
}

static void middle_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows)
{
    glu_out_back(l, w, dx, first, rows);
}

static void head_back(const struct layer *l, struct work *w, float *dx, size_t first, int rows)
{
    qkv_back(l, w, dx, first, rows);
    ffn_back(l, w, dx, first, rows, 0);
}

typedef void row_run(const struct layer *l, struct work *w, float *dx, size_t first, int rows);

/* One such run over this thread's share of the frames; other threads may still be at theirs. */
static void run_back(const struct layer *l, struct work *w, float *dx, row_run *run,
                     const int *matrices)
{
    size_t groups = (frames(l->s) + GROUP - 1) / GROUP, me = omp_get_thread_num(),
           all = omp_get_num_threads();
    size_t end = groups * (me + 1) / all * GROUP;
    if (end > frames(l->s))
        end = frames(l->s);
    for (w->base = groups * me / all * GROUP; w->base < end; w->base += SPAN) {
        size_t to = end - w->base < SPAN ? end : w->base + SPAN;
        for (size_t n = w->base; n < to; n += GROUP)
            run(l, w, dx + n * l->s->D, n, rows_in(l->s, n));
        weights_back(l, w, matrices, to - w->base);
    }
}

static void layer_back(const struct layer *l, float *dx, struct work *w)
{
    int heads = l->s->B * l->s->H;
    run_back(l, w, dx, tail_back, (const int[]){ PW2, l->s->stem ? -1 : UP2, DOWN2, -1 });
#pragma omp barrier
    run_back(l, w, dx, middle_back, (const int[]){ PW1, OUT, -1 });
#pragma omp barrier
#pragma omp for schedule(static)
    for (int i = 0; i < heads; i++)
        attention_back(l, w, i);
    run_back(l, w, dx, head_back, (const int[]){ QKV, UP1, DOWN1, -1 });
}

/* Adds a thread's gradients to the result. */
static void add_gradients(const struct shape *s, const struct work *w, float *const *block,
                          float *const *norm)
{
    for (int i = 0; i < PARAMS; i++)
        for (size_t j = 0, n = parameter_size(s, i); j < n; j++)
            if (w->block[i] == block[i])
                break;
            else if (i == DW)
                block[i][j % s->D * s->taps + j / s->D] += w->block[i][j];
            else
                block[i][j] += w->block[i][j];
    for (int i = 0; i < 2 * NORMS; i++)
        for (int j = 0; j < s->D; j++)
            norm[i][j] += w->norm[i][j];
}

#endif

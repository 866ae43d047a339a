/* Attention of one head of one utterance, only over the keys that the chunk mask allows.
 *
 * Queries go in groups of 32. Their keys lie in one range, rounded to multiples of 32: the scores
 * of a group are one product [32, range]; what the mask forbids inside the range is set to zero.
 * The backward pass computes the probabilities again from the logarithm of each row's sum.
 */
#ifndef FUSED_ATTENTION_H
#define FUSED_ATTENTION_H

#include "fused_rows.h"

struct mask {
    int frames, chunk, left;
};

/* Row t sees the keys [lo, hi). */
static inline void mask_row(struct mask m, int t, int *lo, int *hi)
{
    *lo = 0, *hi = m.frames;
    if (m.chunk <= 0)
        return;
    int start = t / m.chunk * m.chunk;
    if (start + m.chunk < m.frames)
        *hi = start + m.chunk;
    if (m.left >= 0 && start > m.left)
        *lo = start - m.left;
}

/* The range of keys of the queries t .. t + 31, in multiples of 32. */
static inline void mask_group(struct mask m, int t, int *lo, int *hi)
{
    int last = t + 31 < m.frames ? t + 31 : m.frames - 1, unused;
    mask_row(m, t, lo, &unused);
    mask_row(m, last, &unused, hi);
    *lo = *lo / 32 * 32;
    *hi = round_up(*hi, 32);
}

static inline __mmask16 lanes(int lo, int hi)
{
    lo = lo < 0 ? 0 : lo > 16 ? 16 : lo;
    hi = hi < 0 ? 0 : hi > 16 ? 16 : hi;
    return (__mmask16)(((1u << hi) - 1) & ~((1u << lo) - 1));
}

/* Thread-private memory for utterances of at most P (a multiple of 32) frames and heads of width W.
 */
struct heads {
    bf16 *kt, *vt, *kr, *qr, *dor; /* packed operands [P, W] */
    float *s, *dp;                 /* [32, P] */
    bf16 *p, *ds;                  /* [32, P + 32] */
    bf16 *pt, *dst;                /* transposed, packed [P, P] */
    float *out, *dk;               /* [32, W] */
    float *delta;                  /* [P] */
};

/* exp(scale s - m) over [lo, hi), zero elsewhere -> bf16; returns the sum. */
static inline float softmax_row(const float *s, int width, int lo, int hi, float scale, float *lse,
                                bf16 *p)
{
    vec top = set1(-1e30f), sum = set1(0);
    int from = lo / 16 * 16, to = round_up(hi, 16);
    for (int j = from; j < to; j += 16)
        top = _mm512_mask_max_ps(top, lanes(lo - j, hi - j), top, ld(s + j));
    vec m = set1(_mm512_reduce_max_ps(top) * scale);
    memset(p, 0, from * sizeof *p);
    memset(p + to, 0, (width - to) * sizeof *p);
    for (int j = from; j < to; j += 16) {
        vec e = _mm512_maskz_mov_ps(lanes(lo - j, hi - j), vexp(ld(s + j) * set1(scale) - m));
        stb(p + j, e);
        sum += e;
    }
    float total = _mm512_reduce_add_ps(sum);
    *lse = _mm512_cvtss_f32(m) + __builtin_logf(total);
    return total;
}

/* qkv [T, 3D] of the utterance, already offset to the head; o [T, D]; lse [T] with stride H. */
static void attend(struct mask m, int W, int D, int H, const bf16 *qkv, bf16 *o, float *lse,
                   struct heads h)
{
    int T = m.frames, tiles = round_up(T, 32) / 32, P = tiles * 32, wt = W / 32;
    float scale = 1.0f / __builtin_sqrtf(W);
    pack_right_cols(h.kt, qkv + D, 3 * D, T, W);
    pack_right_rows(h.vt, tiles, 0, qkv + 2 * D, 3 * D, T, W);
    for (int t = 0; t < T; t += 32) {
        int lo, hi, rows = T - t < 32 ? T - t : 32;
        float total[32];
        mask_group(m, t, &lo, &hi);
        product(32, hi - lo, wt, rows_of(qkv + (long)t * 3 * D, 3 * D), h.kt + (long)lo * W, wt,
                h.s, P);
        for (int r = 0; r < rows; r++) {
            int a, b;
            mask_row(m, t + r, &a, &b);
            total[r] = softmax_row(h.s + (long)r * P, hi - lo, a - lo, b - lo, scale,
                                   lse + (long)(t + r) * H, h.p + (long)r * (P + 32));
        }
        product(32, W, (hi - lo) / 32, rows_of(h.p, P + 32), h.vt + (long)lo / 32 * TILE, tiles,
                h.out, W);
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < W; i += 16)
                stb(o + (long)(t + r) * D + i, ld(h.out + r * W + i) * set1(1.0f / total[r]));
    }
}

/* Rotates back (rope is orthogonal) and rounds one row. */
static inline void unrotate(const float *g, int W, const float *cos, const float *sin, bf16 *out)
{
    for (int i = 0; i < W / 2; i += 16) {
        vec a = ld(g + i), b = ld(g + W / 2 + i), c = ld(cos + i), s = ld(sin + i);
        stb(out + i, a * c + b * s);
        stb(out + W / 2 + i, b * c - a * s);
    }
}

/* One query row: p = exp(scale s - lse), ds = p (dp - delta) scale, zero outside [lo, hi). */
static inline void score_row_back(const float *s, const float *dp, int width, int lo, int hi,
                                  float scale, float lse, float delta, bf16 *p, bf16 *ds)
{
    for (int j = 0; j < width; j += 16) {
        vec e =
            _mm512_maskz_mov_ps(lanes(lo - j, hi - j), vexp(ld(s + j) * set1(scale) - set1(lse)));
        stb(p + j, e);
        stb(ds + j, e * (ld(dp + j) - set1(delta)) * set1(scale));
    }
}

/* Gradients of q (rotated back, into dqkv) for all queries; leaves P^T and dS^T in h.pt, h.dst. */
static void attend_back_queries(struct mask m, int W, int D, int H, const bf16 *qkv, const bf16 *o,
                                const float *lse, const bf16 *dout, const float *cos,
                                const float *sin, bf16 *dqkv, struct heads h)
{
    int T = m.frames, tiles = round_up(T, 32) / 32, P = tiles * 32, wt = W / 32;
    float scale = 1.0f / __builtin_sqrtf(W);
    for (int t = 0; t < T; t += 32) {
        int lo, hi, rows = T - t < 32 ? T - t : 32;
        mask_group(m, t, &lo, &hi);
        product(32, hi - lo, wt, rows_of(qkv + (long)t * 3 * D, 3 * D), h.kt + (long)lo * W, wt,
                h.s, P);
        product(32, hi - lo, wt, rows_of(dout + (long)t * D, D), h.vt + (long)lo * W, wt, h.dp, P);
        for (int r = 0; r < rows; r++) {
            int a, b;
            vec delta = set1(0);
            for (int i = 0; i < W; i += 16)
                delta += ldb(o + (long)(t + r) * D + i) * ldb(dout + (long)(t + r) * D + i);
            mask_row(m, t + r, &a, &b);
            score_row_back(h.s + (long)r * P, h.dp + (long)r * P, hi - lo, a - lo, b - lo, scale,
                           lse[(long)(t + r) * H], _mm512_reduce_add_ps(delta),
                           h.p + (long)r * (P + 32), h.ds + (long)r * (P + 32));
        }
        bf16 *pt = h.pt + (long)lo * P, *dst = h.dst + (long)lo * P;
        pack_left_rows(pt, tiles, t / 32, h.p, P + 32, rows, hi - lo);
        pack_left_rows(dst, tiles, t / 32, h.ds, P + 32, rows, hi - lo);
        product(32, W, (hi - lo) / 32, rows_of(h.ds, P + 32), h.kr + (long)lo / 32 * TILE, tiles,
                h.out, W);
        for (int r = 0; r < rows; r++)
            unrotate(h.out + r * W, W, cos + (long)(t + r) * W / 2, sin + (long)(t + r) * W / 2,
                     dqkv + (long)(t + r) * 3 * D);
    }
}

/* dout, o [T, D]; dqkv [T, 3D]; all offset to the utterance and head. cos, sin [T, W/2]. */
static void attend_back(struct mask m, int W, int D, int H, const bf16 *qkv, const bf16 *o,
                        const float *lse, const bf16 *dout, const float *cos, const float *sin,
                        bf16 *dqkv, struct heads h)
{
    int T = m.frames, tiles = round_up(T, 32) / 32, P = tiles * 32;
    pack_right_cols(h.kt, qkv + D, 3 * D, T, W);
    pack_right_cols(h.vt, qkv + 2 * D, 3 * D, T, W);
    pack_right_rows(h.kr, tiles, 0, qkv + D, 3 * D, T, W);
    pack_right_rows(h.qr, tiles, 0, qkv, 3 * D, T, W);
    pack_right_rows(h.dor, tiles, 0, dout, D, T, W);
    attend_back_queries(m, W, D, H, qkv, o, lse, dout, cos, sin, dqkv, h);
    int first = 0, last = 0; /* groups of queries [first, last) that see the keys u .. u + 31 */
    for (int u = 0; u < T; u += 32) {
        int lo, hi, rows = T - u < 32 ? T - u : 32;
        while (mask_group(m, 32 * first, &lo, &hi), hi <= u)
            first++;
        while (last < tiles && (mask_group(m, 32 * last, &lo, &hi), lo <= u))
            last++;
        long at = (long)u * P + (long)first * TILE, right = (long)first * TILE;
        product(32, W, last - first, packed(h.pt + at, tiles), h.dor + right, tiles, h.out, W);
        product(32, W, last - first, packed(h.dst + at, tiles), h.qr + right, tiles, h.dk, W);
        for (int r = 0; r < rows; r++) {
            bf16 *d = dqkv + (long)(u + r) * 3 * D;
            unrotate(h.dk + r * W, W, cos + (long)(u + r) * W / 2, sin + (long)(u + r) * W / 2,
                     d + D);
            for (int i = 0; i < W; i += 16)
                stb(d + 2 * D + i, ld(h.out + r * W + i));
        }
    }
}

#endif

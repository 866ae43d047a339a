/* Vector arithmetic on rows: bf16 <-> fp32, SiLU, LayerNorm, their gradients. 16 lanes a vector. */
#ifndef FUSED_ROWS_H
#define FUSED_ROWS_H

#include "fused_tiles.h"

typedef __m512 vec;

static inline vec ld(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void st(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
static inline vec set1(float v)
{
    return _mm512_set1_ps(v);
}

static inline vec ldb(const bf16 *p)
{
    __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}

static inline void stb(bf16 *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v));
}

static inline void add_to(float *p, vec v)
{
    st(p, ld(p) + v);
}

/* e^x, relative error 5e-5 (bf16 rounds by 4e-3); 0 and infinity beyond the range */
static inline vec vexp(vec x)
{
    vec y = x * set1(1.44269504f);
    vec n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT), f = y - n;
    vec p = set1(0.00961813f); /* 2^f on [-1/2, 1/2] */
    p = p * f + set1(0.05550411f);
    p = p * f + set1(0.24022651f);
    p = p * f + set1(0.69314718f);
    p = p * f + set1(1.0f);
    return _mm512_scalef_ps(p, n);
}

static inline vec sigmoid(vec x)
{
    return _mm512_rcp14_ps(set1(1.0f) + vexp(-x));
}

static inline vec silu(vec x)
{
    return x * sigmoid(x);
}

/* d silu(x) / dx, given y = silu(x) and s = sigmoid(x) */
static inline vec silu_slope(vec y, vec s)
{
    return s + y * (set1(1.0f) - s);
}

/* ---- LayerNorm; g, b: weight and bias [D] ---- */

/* mean and 1 / std of x [D] */
static inline void moments(const float *x, int D, vec *mean, float *rstd)
{
    vec sum = set1(0), var = set1(0);
    for (int i = 0; i < D; i += 16)
        sum += ld(x + i);
    *mean = set1(_mm512_reduce_add_ps(sum) / D);
    for (int i = 0; i < D; i += 16) {
        vec d = ld(x + i) - *mean;
        var += d * d;
    }
    *rstd = 1.0f / __builtin_sqrtf(_mm512_reduce_add_ps(var) / D + 1e-5f);
}

/* x [D] -> n = LN(x), or SiLU of it, in bf16; hat = (x - mean) / std in bf16; returns 1 / std */
static inline float norm_row(const float *x, int D, const float *g, const float *b, bf16 *hat,
                             bf16 *n, int act)
{
    vec mean;
    float rstd;
    moments(x, D, &mean, &rstd);
    for (int i = 0; i < D; i += 16) {
        vec h = (ld(x + i) - mean) * set1(rstd), y = h * ld(g + i) + ld(b + i);
        stb(hat + i, h);
        if (act)
            y = silu(y);
        stb(n + i, y);
    }
    return rstd;
}

/* The block's last LayerNorm: its output stays in fp32 and replaces x. */
static inline float norm_row_inplace(float *x, int D, const float *g, const float *b, bf16 *hat)
{
    vec mean;
    float rstd;
    moments(x, D, &mean, &rstd);
    for (int i = 0; i < D; i += 16) {
        vec h = (ld(x + i) - mean) * set1(rstd);
        stb(hat + i, h);
        st(x + i, h * ld(g + i) + ld(b + i));
    }
    return rstd;
}

/* dx (+)= gradient through LN of dn [D]; adds to the gradients dg, db of weight and bias */
static inline void norm_row_back(const float *dn, const bf16 *hat, float rstd, int D,
                                 const float *g, float *dg, float *db, float *dx, int add)
{
    vec s1 = set1(0), s2 = set1(0);
    for (int i = 0; i < D; i += 16) {
        vec d = ld(dn + i), h = ldb(hat + i), e = d * ld(g + i);
        s1 += e;
        s2 += e * h;
        add_to(dg + i, d * h);
        add_to(db + i, d);
    }
    vec m1 = set1(_mm512_reduce_add_ps(s1) / D), m2 = set1(_mm512_reduce_add_ps(s2) / D);
    for (int i = 0; i < D; i += 16) {
        vec e = ld(dn + i) * ld(g + i);
        vec r = (e - m1 - ldb(hat + i) * m2) * set1(rstd);
        if (add)
            r += ld(dx + i);
        st(dx + i, r);
    }
}

/* LN's output again, from hat */
static inline void norm_row_again(const bf16 *hat, int D, const float *g, const float *b, bf16 *n)
{
    for (int i = 0; i < D; i += 16)
        stb(n + i, ldb(hat + i) * ld(g + i) + ld(b + i));
}

/* dx [D] times scale -> bf16, and into the column sums */
static inline void round_row(const float *dx, int D, float scale, bf16 *out, float *sums)
{
    for (int i = 0; i < D; i += 16) {
        vec d = ld(dx + i) * set1(scale);
        stb(out + i, d);
        add_to(sums + i, d);
    }
}

#endif

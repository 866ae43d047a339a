/* gemm_amx_rows.c - activations to tiles, for the AMX backend; see gemm_amx.h
 *
 * Every row is converted by itself, so what a row becomes does not depend on its neighbours. The
 * rows that fill up the last tile hold what an earlier run left there; no one reads their sums.
 */
#if !defined(__AVX512BF16__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "compile this file with AMX_CFLAGS"
#endif

#include <immintrin.h>

#include "gemm_amx.h"

/* Sixteen floats at column k of a row of n: zeros past its end. */
static inline __m512 load(const float *row, int k, int n)
{
    if (k + 16 <= n)
        return _mm512_loadu_ps(row + k);
    return _mm512_maskz_loadu_ps(k < n ? (__mmask16)((1u << (n - k)) - 1) : 0, row + k);
}

static void row_bf16(unsigned char *to, const float *row, int steps, int in)
{
    for (int k = 0; k < 32 * steps; k += 32, to += AMX_TILE)
        _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(load(row, k + 16, in),
                                                            load(row, k, in)));
}

static float largest(const float *row, int in)
{
    __m512 top = _mm512_setzero_ps();
    for (int k = 0; k < in; k += 16)
        top = _mm512_max_ps(top, _mm512_abs_ps(load(row, k, in)));
    return _mm512_reduce_max_ps(top);
}

/* The low bytes of four vectors, as bytes 0 to 3 of one. */
static inline __m512i low_bytes(const __m512i *x)
{
    const __m512i byte = _mm512_set1_epi32(0xff), half = _mm512_set1_epi32(0xffff);
    enum { SELECT = 0xca };     /* first ? second : third, bit by bit */
    __m512i low = _mm512_ternarylogic_epi32(byte, x[0], _mm512_slli_epi32(x[1], 8), SELECT);
    __m512i high = _mm512_ternarylogic_epi32(byte, x[2], _mm512_slli_epi32(x[3], 8), SELECT);
    return _mm512_ternarylogic_epi32(half, low, _mm512_slli_epi32(high, 16), SELECT);
}

/* Rows as integers of `parts` signed digits in base 256, highest first, each digit to its own tile.
 * Returns what the integers are to be multiplied by. */
static inline __attribute__((always_inline)) float
row_digits(unsigned char *to, const float *row, int steps, int in, int parts)
{
    const float limit = parts == 1 ? AMX_LIMIT_1 : AMX_LIMIT_3;
    float top = largest(row, in);
    __m512 inverse = _mm512_set1_ps(top > AMX_LEAST ? limit / top : 0.0f);
    const __m512i carry = _mm512_set1_epi32(128);
    for (int s = 0; s < steps; s++, to += parts * AMX_TILE) {
        __m512i x[4];
        for (int i = 0; i < 4; i++)
            x[i] = _mm512_cvtps_epi32(_mm512_mul_ps(load(row, 64 * s + 16 * i, in), inverse));
        for (int part = parts - 1; part >= 0; part--) {
            _mm512_store_si512(to + part * AMX_TILE, low_bytes(x));
            for (int i = 0; i < 4; i++)
                x[i] = _mm512_srai_epi32(_mm512_add_epi32(x[i], carry), 8);
        }
    }
    return top / limit;
}

void shoal__amx_rows(amx_scratch *s, const amx_weight *w, const float *a, int rows, int in)
{
    int parts = w->precision == SHOAL_FP32 ? AMX_PARTS : 1;
    size_t block = (size_t)(w->steps * parts) * AMX_TILE;
    s->rows_made = rows;
    for (int r = 0; r < rows; r++, a += in) {
        unsigned char *to = s->rows + (size_t)(r / AMX_ROWS) * block + (size_t)(r % AMX_ROWS) * 64;
        if (w->precision == SHOAL_FP32)
            s->row_scale[r] = row_digits(to, a, w->steps, in, AMX_PARTS);
        else if (w->precision == SHOAL_BF16)
            row_bf16(to, a, w->steps, in);
        else
            s->row_scale[r] = row_digits(to, a, w->steps, in, 1);
    }
}

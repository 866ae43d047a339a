/* gemm_amx_rows.c - activations to tiles, for the AMX backend; see gemm_amx.h
 *
 * Every row is converted by itself, so what a row becomes does not depend on its neighbours. The
 * rows that fill up the last tile hold what an earlier run left there; no one reads their sums.
 */
#if !defined(__AVX512BF16__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "compile this file with AMX_CFLAGS"
#endif

#include <immintrin.h>

#include "gemm/gemm_amx.h"

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
        _mm512_store_si512(to,
                           (__m512i)_mm512_cvtne2ps_pbh(load(row, k + 16, in), load(row, k, in)));
}

/* Of the absolute values; four at once, or each would wait for the last. */
static float largest(const float *row, int in)
{
    __m512 top[4] = { 0 };
    for (int k = 0; k < in; k += 64)
        for (int i = 0; i < 4; i++)
            top[i] = _mm512_max_ps(top[i], _mm512_abs_ps(load(row, k + 16 * i, in)));
    return _mm512_reduce_max_ps(
        _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3])));
}

/* Byte `digit` of each number of four vectors, as bytes 0 to 3 of one. */
static inline __m512i gather_bytes(const __m512i *x, int digit)
{
    enum { SELECT = 0xca }; /* first ? second : third, bit by bit */
    const __m512i byte = _mm512_set1_epi32(0xff), half = _mm512_set1_epi32(0xffff);
    __m512i a[4];
    for (int i = 0; i < 4; i++) {
        int left = i - digit;
        a[i] = left >= 0 ? _mm512_slli_epi32(x[i], (unsigned)(8 * left))
                         : _mm512_srli_epi32(x[i], (unsigned)(-8 * left));
    }
    __m512i low = _mm512_ternarylogic_epi32(byte, a[0], a[1], SELECT);
    __m512i high = _mm512_ternarylogic_epi32(_mm512_slli_epi32(byte, 16), a[2], a[3], SELECT);
    return _mm512_ternarylogic_epi32(half, low, high, SELECT);
}

/* Rows as integers of `parts` signed digits in base 256, highest first, each digit to its own tile.
 * Adding 128 to every digit makes them the bytes of the sum. Returns what the integers are to be
 * multiplied by. */
static inline __attribute__((always_inline)) float row_digits(unsigned char *to, const float *row,
                                                              int steps, int in, int parts)
{
    const float limit = parts == 1 ? AMX_LIMIT_1 : AMX_LIMIT_3;
    float top = largest(row, in);
    __m512 inverse = _mm512_set1_ps(top > AMX_LEAST ? limit / top : 0.0f);
    const __m512i bias = _mm512_set1_epi32(parts == 1 ? 0x80 : 0x808080);
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    for (int s = 0; s < steps; s++, to += parts * AMX_TILE) {
        __m512i x[4];
        for (int i = 0; i < 4; i++) {
            __m512 scaled = _mm512_mul_ps(load(row, 64 * s + 16 * i, in), inverse);
            x[i] = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), bias);
        }
        for (int part = 0; part < parts; part++)
            _mm512_store_si512(to + part * AMX_TILE,
                               _mm512_xor_si512(gather_bytes(x, parts - 1 - part), sign));
    }
    return top / limit;
}

void shoal__amx_rows(amx_scratch *s, const amx_weight *w, const float *a, size_t a_stride, int rows,
                     int in)
{
    int parts = w->precision == SHOAL_FP32 ? AMX_PARTS : 1;
    size_t block = (size_t)(w->steps * parts) * AMX_TILE;
    s->rows_made = rows;
    for (int r = 0; r < rows; r++, a += a_stride) {
        unsigned char *to = s->rows + (size_t)(r / AMX_ROWS) * block + (size_t)(r % AMX_ROWS) * 64;
        if (w->precision == SHOAL_FP32)
            s->row_scale[r] = row_digits(to, a, w->steps, in, AMX_PARTS);
        else if (w->precision == SHOAL_BF16)
            row_bf16(to, a, w->steps, in);
        else
            s->row_scale[r] = row_digits(to, a, w->steps, in, 1);
    }
}

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

static inline __m512i bf16_pair(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* The floats that 32 bf16 numbers stand for. */
static inline __m512 low_floats(__m512i pair)
{
    return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(pair)), 16);
}

static inline __m512 high_floats(__m512i pair)
{
    return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(pair, 1)), 16);
}

static void row_bf16(unsigned char *to, const float *row, int steps, int in)
{
    for (int k = 0; k < 32 * steps; k += 32, to += AMX_TILE)
        _mm512_store_si512(to, bf16_pair(load(row, k, in), load(row, k + 16, in)));
}

/* x = first + second + third: each bf16 rounds what the ones before it left, exactly. */
static void row_fp32(unsigned char *to, const float *row, int steps, int in)
{
    for (int k = 0; k < 32 * steps; k += 32) {
        __m512 low = load(row, k, in), high = load(row, k + 16, in);
        for (int part = 0; part < AMX_PARTS; part++, to += AMX_TILE) {
            __m512i pair = bf16_pair(low, high);
            _mm512_store_si512(to, pair);
            low = _mm512_sub_ps(low, low_floats(pair));
            high = _mm512_sub_ps(high, high_floats(pair));
        }
    }
}

/* q = round(x / scale), scale = max |x| / 127 of the row. */
static float row_int8(unsigned char *to, const float *row, int steps, int in)
{
    __m512 top = _mm512_setzero_ps();
    for (int k = 0; k < in; k += 16)
        top = _mm512_max_ps(top, _mm512_abs_ps(load(row, k, in)));
    float most = _mm512_reduce_max_ps(top);
    __m512 inverse = _mm512_set1_ps(most > 0.0f ? 127.0f / most : 0.0f);
    for (int s = 0; s < steps; s++, to += AMX_TILE)
        for (int i = 0; i < 4; i++) {
            __m512 x = _mm512_mul_ps(load(row, 64 * s + 16 * i, in), inverse);
            _mm_store_si128((__m128i *)(void *)(to + 16 * i),
                            _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
        }
    return most / 127.0f;
}

void shoal__amx_rows(amx_scratch *s, const amx_weight *w, const float *a, int rows, int in)
{
    size_t parts = w->precision == SHOAL_FP32 ? AMX_PARTS : 1;
    size_t block = (size_t)w->steps * parts * AMX_TILE;
    s->rows_made = rows;
    for (int r = 0; r < rows; r++, a += in) {
        unsigned char *to = s->rows + (size_t)(r / AMX_ROWS) * block + (size_t)(r % AMX_ROWS) * 64;
        if (w->precision == SHOAL_FP32)
            row_fp32(to, a, w->steps, in);
        else if (w->precision == SHOAL_BF16)
            row_bf16(to, a, w->steps, in);
        else
            s->row_scale[r] = row_int8(to, a, w->steps, in);
    }
}

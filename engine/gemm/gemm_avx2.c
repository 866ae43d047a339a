/* gemm_avx2.c - our products for AVX2 with FMA */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this file with -mavx2 -mfma"
#endif
#include "gemm/gemm_bytes_avx2.h"

#define OWN(name)     shoal__own_avx2_##name
#define OWN_LANES     8
#define OWN_MAX(x, b) ((OWN(vec))_mm256_max_ps((__m256)(x), (__m256)(b)))
#define OWN_MIN(x, b) ((OWN(vec))_mm256_min_ps((__m256)(x), (__m256)(b)))
#define OWN_ROWS      6
#include "gemm/gemm_end_body.h"
/* after it: the body of fp32, then that of int8 */
#include "gemm/gemm_body.h"

const shoal__own_level shoal__own_avx2 = OWN_LEVEL(SHOAL__AVX2, "avx2");

/* Two products of bytes to a sum of 16 bits, two of these to one of 32. */
static inline __attribute__((always_inline)) __m256i dot(__m256i sum, __m256i a, __m256i w)
{
    __m256i pairs = _mm256_maddubs_epi16(a, w);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#define OWN_DOT(sum, a, w) ((OWN(ints))dot((__m256i)(sum), (__m256i)(a), (__m256i)(w)))
#define OWN_WORDS_ROWS     4
#include "gemm/gemm_int8_body.h"

const shoal__own_narrow shoal__int8_avx2 = OWN_INT8(SHOAL__AVX2, "avx2", NULL);

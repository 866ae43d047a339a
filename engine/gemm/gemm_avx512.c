/* gemm_avx512.c - our products for AVX-512 */
#if !defined(__AVX512F__) || !defined(__AVX512BW__)
#error "compile this file with -mavx512f -mavx512bw"
#endif
#include "gemm/gemm_bytes_avx2.h"

#define OWN(name)     shoal__own_avx512_##name
#define OWN_LANES     16
#define OWN_MAX(x, b) ((OWN(vec))_mm512_max_ps((__m512)(x), (__m512)(b)))
#define OWN_MIN(x, b) ((OWN(vec))_mm512_min_ps((__m512)(x), (__m512)(b)))
#define OWN_ROWS      12
#include "gemm/gemm_end_body.h"
/* after it: the body of fp32, then that of int8 */
#include "gemm/gemm_body.h"

const shoal__own_level shoal__own_avx512 = OWN_LEVEL(SHOAL__AVX512, "avx512");

/* As with AVX2. */
static inline __attribute__((always_inline)) __m512i dot(__m512i sum, __m512i a, __m512i w)
{
    __m512i pairs = _mm512_maddubs_epi16(a, w);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#define OWN_DOT(sum, a, w) ((OWN(ints))dot((__m512i)(sum), (__m512i)(a), (__m512i)(w)))
#define OWN_WORDS_ROWS     6
#include "gemm/gemm_int8_body.h"

const shoal__own_narrow shoal__int8_avx512 = OWN_INT8(SHOAL__AVX512, "avx512", NULL);

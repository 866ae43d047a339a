/* gemm_bf16.c - our bf16 products for AVX-512 with bf16: one instruction for two products
 *
 * Run by emulation only (tests/emulated/), for want of such a CPU: it is used if it passes its
 * trial (gemm_own_narrow.c). The instructions take denormal numbers for 0, which the scalar level
 * does not: smaller than anything here.
 */
#if !defined(__AVX512BW__) || !defined(__AVX512BF16__)
#error "compile this file with -mavx512bw -mavx512bf16"
#endif
#include <immintrin.h>

#define OWN(name)     shoal__own_bf16_##name
#define OWN_LANES     16
#define OWN_MAX(x, b) ((OWN(vec))_mm512_max_ps((__m512)(x), (__m512)(b)))
#define OWN_MIN(x, b) ((OWN(vec))_mm512_min_ps((__m512)(x), (__m512)(b)))
#include "gemm/gemm_end_body.h"

#define OWN_SUMS           OWN(vec)
#define OWN_DOT(sum, a, w) ((OWN(vec))_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(w)))
#define OWN_WORDS_ROWS     12
#include "gemm/gemm_words_body.h"

static void sixteen(void *to, const float *x, size_t bytes)
{
    __m256bh h = _mm512_cvtneps_pbh(_mm512_loadu_ps(x));
    memcpy(to, &h, bytes);
}

static float narrow(void *words, const float *x, int n)
{
    unsigned char *to = words;
    float last[16] = { 0 };
    int i = 0;
    for (; i + 16 <= n; i += 16)
        sixteen(to + 2 * i, x + i, 32);
    if (i == n)
        return 1.0f;
    memcpy(last, x + i, (size_t)(n - i) * sizeof *x);
    sixteen(to + 2 * i, last, (size_t)(n - i + 1) / 2 * 4);
    return 1.0f;
}

const shoal__own_narrow shoal__bf16_avx512 = {
    .face = { "own avx512 bf16", SHOAL__AVX512, OWN_WIDTH, shoal__cpu_has_bf16 },
    .product = OWN(words_product),
    .narrow = narrow,
};

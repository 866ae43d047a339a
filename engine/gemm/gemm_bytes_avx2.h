/* gemm_bytes_avx2.h - activations to bytes with AVX2, for all levels that have it; see
 * gemm_int8_body.h. Rounds as rintf does, so that every level gets the same integers. */
#ifndef SHOAL_GEMM_BYTES_AVX2_H
#define SHOAL_GEMM_BYTES_AVX2_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

/* Four registers at once, or each would wait for the last. A NaN is passed over. */
static inline float shoal__largest_avx2(const float *x, int n)
{
    const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 top[4] = { 0 };
    float lanes[8], most = 0.0f;
    int i = 0;
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 4; k++)
            top[k] = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(x + i + 8 * k), no_sign), top[k]);
    top[0] = _mm256_max_ps(_mm256_max_ps(top[0], top[1]), _mm256_max_ps(top[2], top[3]));
    _mm256_storeu_ps(lanes, top[0]);
    for (int k = 0; k < 8; k++)
        most = lanes[k] > most ? lanes[k] : most;
    for (; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

static inline __m256i shoal__eight_avx2(const float *x, __m256 inverse)
{
    __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x), inverse);
    v = _mm256_max_ps(v, _mm256_set1_ps(-127.0f)); /* NaN too */
    return _mm256_cvtps_epi32(_mm256_min_ps(v, _mm256_set1_ps(127.0f)));
}

static inline void shoal__quantize_avx2(uint8_t *q, const float *x, int n, float inverse)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i lift = _mm256_set1_epi8((char)0x80);
    __m256 all = _mm256_set1_ps(inverse);
    int i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i low =
            _mm256_packs_epi32(shoal__eight_avx2(x + i, all), shoal__eight_avx2(x + i + 8, all));
        __m256i high = _mm256_packs_epi32(shoal__eight_avx2(x + i + 16, all),
                                          shoal__eight_avx2(x + i + 24, all));
        __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
        _mm256_storeu_si256((__m256i *)(void *)(q + i), _mm256_xor_si256(bytes, lift));
    }
    for (; i < n; i++) {
        float v = x[i] * inverse;
        v = v > -127.0f ? v : -127.0f;
        q[i] = (uint8_t)((int)__builtin_rintf(v < 127.0f ? v : 127.0f) + 128);
    }
}

#define OWN_LARGEST(x, n)              shoal__largest_avx2(x, n)
#define OWN_QUANTIZE(q, x, n, inverse) shoal__quantize_avx2(q, x, n, inverse)

#endif

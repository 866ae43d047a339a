/* narrow_body.h - bodies of what makes memories narrower; see kern.h
 *
 * A part of kern_body.h. Halves are IEEE's binary16. Where the CPU has no instructions for them
 * they are made from the bits: the same halves, and the same floats back. What is beyond the
 * largest half becomes it, and so does NaN, which only absurd weights can make.
 */
#ifdef __F16C__
#include <immintrin.h>
#endif

#define HALF_MOST 65504.0f

static inline float KERN(from_half)(uint16_t h)
{
    uint32_t u = (uint32_t)(h & 0x7fff) << 13;
    float f;
    memcpy(&f, &u, sizeof f);
    f *= 0x1p112f; /* the exponents' biases differ by that; exact, for subnormal halves too */
    return h & 0x8000 ? -f : f;
}

/* The nearest half, ties to even. Below 2^-14 it is subnormal, and a sum with 1/2 rounds it. */
static inline uint16_t KERN(to_half)(float x)
{
    uint32_t u, low;
    x = x < HALF_MOST ? x : HALF_MOST;
    x = x > -HALF_MOST ? x : -HALF_MOST;
    memcpy(&u, &x, sizeof u);
    uint32_t sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    float small;
    memcpy(&small, &a, sizeof small);
    small += 0.5f;
    memcpy(&low, &small, sizeof low);
    uint32_t normal = (a - 0x38000000u + 0xfff + (a >> 13 & 1)) >> 13;
    return (uint16_t)(sign | (a < 0x38800000u ? low - 0x3f000000u : normal));
}

static inline void KERN(to_f16)(uint16_t *y, const float *x, int n)
{
    int i = 0;
#ifdef __F16C__
    const __m256 most = _mm256_set1_ps(HALF_MOST), least = _mm256_set1_ps(-HALF_MOST);
    for (; i + 8 <= n; i += 8) {
        /* of two numbers of which one is NaN these give the second */
        __m256 v = _mm256_max_ps(_mm256_min_ps(_mm256_loadu_ps(x + i), most), least);
        __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        memcpy(y + i, &h, sizeof h);
    }
#endif
    for (; i < n; i++)
        y[i] = KERN(to_half)(x[i]);
}

/* As many floats as a vector has, from place `at` of a memory's keys or values (but bf16's). */
static inline __attribute__((always_inline)) KERN(vec)
    KERN(widen)(const void *from, ptrdiff_t at, const int kind)
{
    const uint16_t *h = (const uint16_t *)from + at;
    const int8_t *q = (const int8_t *)from + at;
    if (kind == SHOAL__F32)
        return LOAD((const float *)from + at);
#if defined(__AVX512F__)
    if (kind == SHOAL__F16)
        return (KERN(vec))_mm512_cvtph_ps(_mm256_loadu_si256((const void *)h));
    return (KERN(vec))_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)q)));
#elif defined(__AVX2__) && defined(__F16C__)
    if (kind == SHOAL__F16)
        return (KERN(vec))_mm256_cvtph_ps(_mm_loadu_si128((const void *)h));
    return (KERN(vec))_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)q)));
#else
    KERN(vec) v = { 0 };
    for (int k = 0; k < KERN(lanes); k++)
        v[k] = kind == SHOAL__F16 ? KERN(from_half)(h[k]) : (float)q[k];
    return v;
#endif
}

static void KERN(from_f16)(float *restrict y, const uint16_t *restrict x, int n)
{
    int i = 0;
    for (; i + KERN(lanes) <= n; i += KERN(lanes))
        STORE(y + i, KERN(widen)(x, i, SHOAL__F16));
    for (; i < n; i++)
        y[i] = KERN(from_half)(x[i]);
}

/* ---- 8 bits with a scale ----------------------------------------------------------------- */

/* The scale of numbers up to `top`: a bfloat16, rounded up, so that none goes beyond 127. */
static inline uint16_t KERN(scale_of)(float top)
{
    uint32_t u;
    top = top < 1e37f ? top / 127.0f : 1e35f; /* NaN too */
    memcpy(&u, &top, sizeof u);
    return (uint16_t)((u + 0xffff) >> 16);
}

static inline float KERN(scale)(uint16_t s)
{
    uint32_t u = (uint32_t)s << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Scales side by side, as many as a vector has. */
static inline __attribute__((always_inline)) KERN(vec) KERN(scales)(const uint16_t *s)
{
    KERN(words) u = { 0 };
    for (int k = 0; k < KERN(lanes); k++)
        u[k] = (uint32_t)s[k] << 16;
    return (KERN(vec))u;
}

static inline int8_t KERN(to_eighth)(float x)
{
    x = x > -127.0f ? x : -127.0f; /* NaN too */
    return (int8_t)(int32_t)__builtin_rintf(x < 127.0f ? x : 127.0f);
}

static inline __attribute__((always_inline)) void KERN(keep_columns_i8)(int8_t *to,
                                                                        uint16_t *scales,
                                                                        const float *from, int dim,
                                                                        const int n)
{
    float top[16] = { 0 }, inverse[16];
    for (int d = 0; d < dim; d++)
        for (int i = 0; i < n; i++) {
            float a = fabsf(from[d * 16 + i]);
            top[i] = a > top[i] ? a : top[i];
        }
    for (int i = 0; i < n; i++) {
        scales[i] = KERN(scale_of)(top[i]);
        inverse[i] = top[i] > 0.0f ? 1.0f / KERN(scale)(scales[i]) : 0.0f;
    }
    for (int d = 0; d < dim; d++)
        for (int i = 0; i < n; i++)
            to[d * 16 + i] = KERN(to_eighth)(from[d * 16 + i] * inverse[i]);
}

static void KERN(keep_columns)(void *to, uint16_t *scales, const float *from, int dim, int n,
                               shoal__kind kind)
{
    if (kind == SHOAL__F16)
        for (int d = 0; d < dim; d++)
            KERN(to_f16)((uint16_t *)to + 16 * d, from + 16 * d, n);
    else if (n == 8) /* chunks of 160 ms: the compiler makes vectors of it */
        KERN(keep_columns_i8)(to, scales, from, dim, 8);
    else
        KERN(keep_columns_i8)(to, scales, from, dim, n);
}

static void KERN(keep_row)(void *to, uint16_t *scale, const float *from, int dim, shoal__kind kind)
{
    int8_t *q = to;
    float top = 0.0f;
    if (kind == SHOAL__F16) {
        KERN(to_f16)(to, from, dim);
        return;
    }
    for (int i = 0; i < dim; i++) {
        float a = fabsf(from[i]);
        top = a > top ? a : top;
    }
    *scale = KERN(scale_of)(top);
    float inverse = top > 0.0f ? 1.0f / KERN(scale)(*scale) : 0.0f;
    for (int i = 0; i < dim; i++)
        q[i] = KERN(to_eighth)(from[i] * inverse);
}

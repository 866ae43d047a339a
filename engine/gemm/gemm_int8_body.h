/* gemm_int8_body.h - body of our own int8 products; see gemm_own.h
 *
 * gemm_words_body.h with sums that are integers; beside what that wants, these are defined:
 *
 *   OWN_QUANTIZE(q, x, n, inverse)   x times inverse, rounded, clamped and lifted by 128
 *   OWN_LARGEST(x, n)                the largest absolute value
 *
 * In OWN_DOT a is unsigned and w signed. It is exact where the sums of two neighbours keep within
 * 16 bits, which packing sees to (gemm_int8_pack.c). The sums fit into 32 bits up to 66,000 inputs.
 */
#define OWN_SUMS OWN(ints)
#include "gemm/gemm_words_body.h"

/* The integers of kern->quantize, lifted; numbers below 1e-30 count as zeros. */
static float OWN(quantize)(void *words, const float *x, int n)
{
    uint8_t *q = words;
    float top = OWN_LARGEST(x, n);
    OWN_QUANTIZE(q, x, n, top > 1e-30f ? 127.0f / top : 0.0f);
    for (; n % 4; n++)
        q[n] = 128;
    return top / 127.0f;
}

#define OWN_INT8(at, title, has)                                                                   \
    {                                                                                              \
        .face = { "own " title " int8", at, OWN_WIDTH, has }, .product = OWN(words_product),       \
        .narrow = OWN(quantize)                                                                    \
    }

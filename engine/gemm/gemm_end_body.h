/* gemm_end_body.h - vectors of a level, and what ends a product of ours; see gemm_own.h
 *
 * Included first by each gemm_<isa>.c, after it has defined OWN(name) and OWN_LANES (numbers of 32
 * bits in a register). No intrinsics: vectors are GCC's. Compiled without reassociation.
 */
#include <stdint.h>
#include <string.h>

#include "gemm/gemm_own.h"

/* Unaligned, like all rows; macros and always_inline, because a file's vectors may be wider than
 * what functions can be passed. */
typedef float OWN(vec) __attribute__((vector_size(4 * OWN_LANES), aligned(4), may_alias));
typedef int32_t OWN(ints) __attribute__((vector_size(4 * OWN_LANES), aligned(4), may_alias));
#define OWN_AT(p)   (*(OWN(vec) *)(void *)(p))
#define OWN_FROM(p) (*(const OWN(vec) *)(const void *)(p))
#define OWN_INTS(p) (*(const OWN(ints) *)(const void *)(p))
#define OWN_INLINE  static inline __attribute__((always_inline))
#define OWN_WIDTH   (2 * OWN_LANES)

/* The larger (sign 1) or smaller (-1) of each x and the bound; NaN becomes the bound. */
OWN_INLINE OWN(vec) OWN(bound)(OWN(vec) x, float bound, int sign)
{
    OWN(vec) b = (OWN(vec)){ 0 } + bound;
    OWN(ints) keep = sign > 0 ? x > b : x < b;
    return (OWN(vec))(((OWN(ints))x & keep) | ((OWN(ints))b & ~keep));
}

/* e^x as in kern_body.h: 2^n times a polynomial. Adding 1.5 x 2^23 rounds to an integer, which is
 * then in the low bits. */
OWN_INLINE OWN(vec) OWN(exp)(OWN(vec) x)
{
    const float big = 12582912.0f;
    x = OWN(bound)(OWN(bound)(x, -87.0f, 1), 88.0f, -1);
    OWN(vec) shifted = x * 1.44269504088896f + big, n = shifted - big;
    OWN(vec) f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    OWN(vec) p = f * (1.0f / 720) + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    OWN(ints) power = ((OWN(ints))shifted - 0x4b400000 + 127) << 23;
    return p * (OWN(vec))power;
}

/* A register of sums to c. Without SiLU the blocks of a row are scaled one by one; with it
 * their sum is, at the end. */
OWN_INLINE void OWN(end_at)(OWN(vec) sum, const shoal__own_end *to, float *c, const float *bias,
                            const float *scale)
{
    if (bias)
        sum += OWN_FROM(bias);
    if (scale && !to->silu)
        sum *= *scale;
    if (to->add)
        sum += OWN_FROM(c);
    if (to->silu)
        sum /= 1.0f + OWN(exp)(-sum);
    if (scale && to->silu)
        sum *= *scale;
    OWN_AT(c) = sum;
}

/* The same where the register has more places than there are outputs left. */
static __attribute__((noinline)) void OWN(end_part)(const float *sum, const shoal__own_end *to,
                                                    float *c, const float *bias, const float *scale,
                                                    int left)
{
    float part[OWN_LANES] = { 0 }, part_bias[OWN_LANES] = { 0 };
    if (left <= 0)
        return;
    memcpy(part, c, to->add ? (size_t)left * sizeof *c : 0);
    if (bias)
        memcpy(part_bias, bias, (size_t)left * sizeof *bias);
    OWN(end_at)(OWN_FROM(sum), to, part, bias ? part_bias : NULL, scale);
    memcpy(c, part, (size_t)left * sizeof *c);
}

/* Where row number i lies. */
OWN_INLINE size_t OWN(place)(const int *index, int i, size_t stride)
{
    return (size_t)(index ? index[i] : i) * stride;
}

/* Sums of row number `row` and outputs from n on. */
OWN_INLINE void OWN(end)(OWN(vec) sum, const shoal__own_end *to, int row, int n)
{
    float *c = to->c + OWN(place)(to->index, row, to->stride) + n;
    const float *bias = to->bias ? to->bias + n : NULL;
    const float *scale = to->row_scale ? to->row_scale + row : NULL;
    if (n + OWN_LANES <= to->outputs) {
        OWN(end_at)(sum, to, c, bias, scale);
        return;
    }
    float sums[OWN_LANES];
    OWN_AT(sums) = sum;
    OWN(end_part)(sums, to, c, bias, scale, to->outputs - n);
}

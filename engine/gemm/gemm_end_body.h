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

/* The larger and the smaller of x and a bound; NaN becomes the bound. A level's own instructions,
 * if its file has named them. */
#ifndef OWN_MAX
#define OWN_MASK(x, b, keep) ((OWN(vec))(((OWN(ints))(x) & (keep)) | ((OWN(ints))(b) & ~(keep))))
#define OWN_MAX(x, b)        OWN_MASK(x, b, (x) > (b))
#define OWN_MIN(x, b)        OWN_MASK(x, b, (x) < (b))
#endif

/* 1 + e^-x for x in [-43, 87], which others become: e^-x = 2^n e^f, f in [-ln 2 / 2, ln 2 / 2], by
 * AMX's polynomial (relative error 8e-8). Adding 1.5 x 2^23 rounds to an integer, which is then in
 * the low bits. */
OWN_INLINE OWN(vec) OWN(divisor)(OWN(vec) x)
{
    const float big = 12582912.0f;
    OWN(vec) low = (OWN(vec)){ 0 } - 43.0f, high = (OWN(vec)){ 0 } + 87.0f;
    x = OWN_MAX(x, low);
    x = OWN_MIN(x, high);
    OWN(vec) shifted = x * -1.44269504088896f + big, n = shifted - big;
    OWN(vec) f = -x - n * 0.693359375f;
    f = f + n * 2.12194440e-4f;
    OWN(vec) p = f * 0.008297629f + 0.041915562f;
    p = p * f + 0.16667576f;
    p = p * f + 0.49998893f;
    p = p * f + 0.99999969f;
    p = p * f + 1.00000007f;
    OWN(ints) power = ((OWN(ints))shifted - 0x4b400000 + 127) << 23;
    return p * (OWN(vec))power + 1.0f;
}

/* Two registers of sums to c. Without SiLU the blocks of a row are scaled one by one; with it their
 * sum is, at the end. SiLU is x / (1 + e^-x): one division for both, since it takes as long as the
 * rest (their product stays below e^87). */
OWN_INLINE void OWN(end_at)(const float *sum, const shoal__own_end *to, float *c, const float *bias,
                            const float *scale)
{
    OWN(vec) y = OWN_FROM(sum), z = OWN_FROM(sum + OWN_LANES);
    if (bias) {
        y += OWN_FROM(bias);
        z += OWN_FROM(bias + OWN_LANES);
    }
    if (scale && !to->silu) {
        y *= *scale;
        z *= *scale;
    }
    if (to->add) {
        y += OWN_FROM(c);
        z += OWN_FROM(c + OWN_LANES);
    }
    if (to->silu) {
        OWN(vec) d = OWN(divisor)(y), e = OWN(divisor)(z), both = 1.0f / (d * e);
        y *= both * e;
        z *= both * d;
    }
    if (scale && to->silu) {
        y *= *scale;
        z *= *scale;
    }
    OWN_AT(c) = y;
    OWN_AT(c + OWN_LANES) = z;
}

/* The same where fewer than a panel's outputs are left. */
static __attribute__((noinline)) void OWN(end_part)(const float *sum, const shoal__own_end *to,
                                                    float *c, const float *bias, const float *scale,
                                                    int left)
{
    float part[OWN_WIDTH] = { 0 }, part_bias[OWN_WIDTH] = { 0 };
    memcpy(part, c, to->add ? (size_t)left * sizeof *c : 0);
    if (bias)
        memcpy(part_bias, bias, (size_t)left * sizeof *bias);
    OWN(end_at)(sum, to, part, bias ? part_bias : NULL, scale);
    memcpy(c, part, (size_t)left * sizeof *c);
}

/* Where row number i lies. */
OWN_INLINE size_t OWN(place)(const int *index, int i, size_t stride)
{
    return (size_t)(index ? index[i] : i) * stride;
}

/* Lines of c that a tile will write are asked for while it sums: at 512 rows they are not in L2. */
OWN_INLINE void OWN(ahead)(const shoal__own_end *to, int row, int n, const int R)
{
    for (int r = 0; r < R; r++)
        __builtin_prefetch(to->c + OWN(place)(to->index, row + r, to->stride) + n, 1);
}

/* Sums [R, P panels] of rows from number `row` on and outputs from n on. */
OWN_INLINE void OWN(end)(const float *sums, const shoal__own_end *to, int row, int n, const int R,
                         const int P)
{
    for (int r = 0; r < R; r++) {
        float *c = to->c + OWN(place)(to->index, row + r, to->stride);
        const float *scale = to->row_scale ? to->row_scale + row + r : NULL;
        for (int at = n; at < n + P * OWN_WIDTH; at += OWN_WIDTH, sums += OWN_WIDTH) {
            const float *bias = to->bias ? to->bias + at : NULL;
            if (at + OWN_WIDTH <= to->outputs)
                OWN(end_at)(sums, to, c + at, bias, scale);
            else
                OWN(end_part)(sums, to, c + at, bias, scale, to->outputs - at);
        }
    }
}

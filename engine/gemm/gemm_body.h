/* gemm_body.h - body of our own fp32 products; see gemm_own.h
 *
 * Included once by each gemm_<isa>.c after it has defined OWN(name), OWN_LANES (floats of a
 * register) and OWN_ROWS (rows of a tile of sums, so that OWN_ROWS x 2 registers of sums and three
 * more are what the CPU has). No intrinsics: vectors are GCC's. Compiled without reassociation:
 * every tile, whatever its rows, must add in the same order.
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
#define OWN_INLINE  static inline __attribute__((always_inline))
#define OWN_WIDTH   (2 * OWN_LANES)
#define OWN_FEW_ROWS                                                                               \
    3 /* up to here a tile takes several panels, else too few sums are under way                   \
       */

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

/* A register of sums to its place in c. Without SiLU the blocks of a row are scaled one by one;
 * with it their sum is, at the end. */
OWN_INLINE void OWN(finish)(OWN(vec) sum, const shoal__own_block *b, float *c, const float *bias,
                            const float *scale)
{
    if (bias)
        sum += OWN_FROM(bias);
    if (scale && !b->silu)
        sum *= *scale;
    if (b->add)
        sum += OWN_FROM(c);
    if (b->silu)
        sum /= 1.0f + OWN(exp)(-sum);
    if (scale && b->silu)
        sum *= *scale;
    OWN_AT(c) = sum;
}

/* Where row number i of a block's rows lies. */
OWN_INLINE size_t OWN(at)(const int *index, int i, size_t stride)
{
    return (size_t)(index ? index[i] : i) * stride;
}

/* R rows from number `row` on times P panels, both constant: all sums stay in registers. */
OWN_INLINE void OWN(tile)(const shoal__own_block *b, int row, const float *w, float *c,
                          const float *bias, const int R, const int P)
{
    OWN(vec) sum[OWN_ROWS][8] = { 0 };
    const size_t panel = (size_t)b->depth * OWN_WIDTH;
    const float *a[OWN_ROWS];
    for (int r = 0; r < R; r++)
        a[r] = b->a + OWN(at)(b->a_index, row + r, b->a_stride);
    for (int k = 0; k < b->depth; k++, w += OWN_WIDTH) {
        OWN(vec) column[8];
#pragma GCC unroll 8
        for (int v = 0; v < 2 * P; v++)
            column[v] = OWN_FROM(w + (size_t)(v / 2) * panel + v % 2 * OWN_LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int v = 0; v < 2 * P; v++)
                sum[r][v] += column[v] * a[r][k];
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < 2 * P; v++)
            OWN(finish)
    (sum[r][v], b, c + OWN(at)(b->c_index, row + r, b->c_stride) + v * OWN_LANES,
     bias ? bias + v * OWN_LANES : NULL, b->row_scale ? b->row_scale + row + r : NULL);
}

#define OWN_CASE(R)                                                                                \
    case R: OWN(tile)(b, row, w, c, bias, R, 1); break;

/* Some rows times one panel. */
static void OWN(rows)(const shoal__own_block *b, int row, const float *w, float *c,
                      const float *bias, int rows)
{
    switch (rows) {
        OWN_CASE(1)
        OWN_CASE(2)
        OWN_CASE(3)
        OWN_CASE(4)
        OWN_CASE(5)
        OWN_CASE(6)
#if OWN_ROWS > 6
        OWN_CASE(7)
        OWN_CASE(8)
        OWN_CASE(9)
        OWN_CASE(10)
        OWN_CASE(11)
        OWN_CASE(12)
#endif
    default: break;
    }
}

/* All rows times one panel, in tiles of about the same size. */
static void OWN(panel)(const shoal__own_block *b, const float *w, float *c, const float *bias)
{
    for (int row = 0, n; row < b->rows; row += n) {
        int left = b->rows - row, tiles = (left + OWN_ROWS - 1) / OWN_ROWS;
        n = (left + tiles - 1) / tiles;
        OWN(rows)(b, row, w, c, bias, n);
    }
}

/* Let `part` begin at row number `row` of b. */
static void OWN(skip)(shoal__own_block *part, const shoal__own_block *b, int row)
{
    part->a_index = b->a_index ? b->a_index + row : NULL;
    part->a = b->a_index ? b->a : b->a + (size_t)row * b->a_stride;
    part->row_scale = b->row_scale ? b->row_scale + row : NULL;
}

/* The last panel, some of whose outputs there are not: by way of a panel's width of c. */
static void OWN(edge)(const shoal__own_block *b, const float *w, float *c, const float *bias,
                      int outputs)
{
    float wide[OWN_ROWS * OWN_WIDTH], wide_bias[OWN_WIDTH] = { 0 };
    size_t bytes = (size_t)outputs * sizeof *c;
    shoal__own_block part = *b;
    part.c_stride = OWN_WIDTH;
    part.c_index = NULL;
    if (bias)
        memcpy(wide_bias, bias, bytes);
    for (int row = 0, n; row < b->rows; row += n) {
        n = b->rows - row < OWN_ROWS ? b->rows - row : OWN_ROWS;
        OWN(skip)(&part, b, row);
        memset(wide, 0, sizeof wide);
        for (int r = 0; b->add && r < n; r++)
            memcpy(wide + r * OWN_WIDTH, c + OWN(at)(b->c_index, row + r, b->c_stride), bytes);
        OWN(rows)(&part, 0, w, wide, bias ? wide_bias : NULL, n);
        for (int r = 0; r < n; r++)
            memcpy(c + OWN(at)(b->c_index, row + r, b->c_stride), wide + r * OWN_WIDTH, bytes);
    }
}

/* A few rows: panels go several at once. */
static int OWN(few)(const shoal__own_block *b, const float *w, float *c, const float *bias,
                    int panels)
{
    if (b->rows == 1 && panels >= 4)
        return OWN(tile)(b, 0, w, c, bias, 1, 4), 4;
    if (b->rows == 2 && panels >= 2)
        return OWN(tile)(b, 0, w, c, bias, 2, 2), 2;
    if (b->rows == 3 && panels >= 2)
        return OWN(tile)(b, 0, w, c, bias, 3, 2), 2;
    return 0;
}

static void OWN(block)(const shoal__own_block *b)
{
    for (int n = 0, step; n < b->outputs; n += step * OWN_WIDTH) {
        const float *w = b->weight + (size_t)n * (size_t)b->depth;
        const float *bias = b->bias ? b->bias + n : NULL;
        step = b->rows <= OWN_FEW_ROWS
                   ? OWN(few)(b, w, b->c + n, bias, (b->outputs - n) / OWN_WIDTH)
                   : 0;
        if (step > 0)
            continue;
        step = 1;
        if (b->outputs - n >= OWN_WIDTH)
            OWN(panel)(b, w, b->c + n, bias);
        else
            OWN(edge)(b, w, b->c + n, bias, b->outputs - n);
    }
}

#define OWN_LEVEL(level)                                                                           \
    {                                                                                              \
        .name = "own " level " fp32", .kern = level, .columns = OWN_WIDTH, .block = OWN(block)     \
    }

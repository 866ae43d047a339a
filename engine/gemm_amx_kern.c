/* gemm_amx_kern.c - products of tiles and what follows them; see gemm_amx.h
 *
 * For each panel of 32 outputs, for each block of 32 rows: sum over all k steps in four tile
 * registers, then bias, SiLU or the residual sum while the block is in L1. The order of a row's
 * sum is that of k, whatever the number of rows: a row's bytes do not depend on its company.
 *
 * fp32 is three bf16 parts a factor, x = x0 + x1 + x2, and the six products x_i w_j with
 * i + j <= 2, the smallest first (G. Henry, P. Tang, A. Heinecke, "Leveraging the bfloat16
 * artificial intelligence datatype for higher-precision computations", arXiv 1904.06376). What is
 * left out is below 2^-25 of each product: less than rounding it to fp32. The weight stays in
 * memory as fp32 and is split panel by panel, because a lone stream is bound by reading it.
 */
#if !defined(__AMX_TILE__) || !defined(__AMX_BF16__) || !defined(__AMX_INT8__) || \
    !defined(__AVX512BF16__) || !defined(__AVX512DQ__)
#error "compile this file with AMX_CFLAGS"
#endif

#include <immintrin.h>
#include <string.h>

#include "gemm_amx.h"

/* Tile registers: sums 0 1 / 2 3 of the block, rows 4 (upper) and 5 (lower), weights 6 and 7. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static void configure_tiles(void)
{
    tile_config c = { .palette = 1 };
    for (int i = 0; i < 8; i++) {
        c.row_bytes[i] = 64;
        c.rows[i] = AMX_ROWS;
    }
    _tile_loadconfig(&c);
}

/* ---- sums over k: `upper` and `lower` are row blocks, lower only where `two` ------------------ */

#define PRODUCTS(dp, two)       \
    do {                        \
        dp(0, 4, 6);            \
        dp(1, 4, 7);            \
        if (two) {              \
            dp(2, 5, 6);        \
            dp(3, 5, 7);        \
        }                       \
    } while (0)

#define LOAD_ROWS(at, two)                              \
    do {                                                \
        _tile_loadd(4, upper + (at), 64);               \
        if (two)                                        \
            _tile_loadd(5, lower + (at), 64);           \
    } while (0)

#define LOAD_WEIGHTS(at)                                \
    do {                                                \
        _tile_loadd(6, panel + (at), 64);               \
        _tile_loadd(7, panel + (at) + AMX_TILE, 64);    \
    } while (0)

#define SUM_STEPS(dp, two)                                                      \
    for (; steps > 0; steps--, upper += AMX_TILE, lower += AMX_TILE,            \
                      panel += 2 * AMX_TILE) {                                  \
        LOAD_ROWS(0, two);                                                      \
        LOAD_WEIGHTS(0);                                                        \
        PRODUCTS(dp, two);                                                      \
    }

/* Parts (2,0) (1,0) (1,1) (0,1) (0,2) (0,0) of rows and weights. */
#define SUM_STEPS_FP32(two)                                                     \
    for (; steps > 0; steps--, upper += AMX_PARTS * AMX_TILE,                   \
                      lower += AMX_PARTS * AMX_TILE,                            \
                      panel += AMX_PARTS * 2 * AMX_TILE) {                      \
        LOAD_ROWS(2 * AMX_TILE, two);                                           \
        LOAD_WEIGHTS(0);                                                        \
        PRODUCTS(_tile_dpbf16ps, two);                                          \
        LOAD_ROWS(AMX_TILE, two);                                               \
        PRODUCTS(_tile_dpbf16ps, two);                                          \
        LOAD_WEIGHTS(2 * AMX_TILE);                                             \
        PRODUCTS(_tile_dpbf16ps, two);                                          \
        LOAD_ROWS(0, two);                                                      \
        PRODUCTS(_tile_dpbf16ps, two);                                          \
        LOAD_WEIGHTS(4 * AMX_TILE);                                             \
        PRODUCTS(_tile_dpbf16ps, two);                                          \
        LOAD_WEIGHTS(0);                                                        \
        PRODUCTS(_tile_dpbf16ps, two);                                          \
    }

typedef void sum_fn(const unsigned char *upper, const unsigned char *lower,
                    const unsigned char *panel, int steps);

#define SUM_FUNCTION(name, body)                                                         \
    static void name(const unsigned char *upper, const unsigned char *lower,             \
                     const unsigned char *panel, int steps)                              \
    {                                                                                    \
        body                                                                             \
    }

SUM_FUNCTION(sum_fp32_one, SUM_STEPS_FP32(0))
SUM_FUNCTION(sum_fp32_two, SUM_STEPS_FP32(1))
SUM_FUNCTION(sum_bf16_one, SUM_STEPS(_tile_dpbf16ps, 0))
SUM_FUNCTION(sum_bf16_two, SUM_STEPS(_tile_dpbf16ps, 1))
SUM_FUNCTION(sum_int8_one, SUM_STEPS(_tile_dpbssd, 0))
SUM_FUNCTION(sum_int8_two, SUM_STEPS(_tile_dpbssd, 1))

static sum_fn *const sums[3][2] = {             /* by precision, by lower row block */
    { sum_fp32_one, sum_fp32_two },
    { sum_bf16_one, sum_bf16_two },
    { sum_int8_one, sum_int8_two },
};

/* fp32 weights, pairs of k side by side, to their three bf16 parts. */
static void split_panel(unsigned char *to, const unsigned char *from, int steps)
{
    const float *w = (const float *)(const void *)from;
    for (int s = 0; s < steps; s++, to += AMX_PARTS * 2 * AMX_TILE)
        for (int row = 0; row < 2 * AMX_ROWS; row++, w += 32) {
            __m512 low = _mm512_load_ps(w), high = _mm512_load_ps(w + 16);
            for (int part = 0; part < AMX_PARTS; part++) {
                __m512i pair = (__m512i)_mm512_cvtne2ps_pbh(high, low);
                _mm512_store_si512(to + part * 2 * AMX_TILE + row * 64, pair);
                low = _mm512_sub_ps(low, (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(
                                             _mm512_castsi512_si256(pair)), 16));
                high = _mm512_sub_ps(high, (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(
                                               _mm512_extracti64x4_epi64(pair, 1)), 16));
            }
        }
}

/* ---- epilogue -------------------------------------------------------------------------------- */

/* x / (1 + e^-x); e^-x = 2^n 2^f with f in [-1/2, 1/2] as in kern_body.h (relative error 2e-7),
 * the reciprocal by one Newton step. */
static inline __m512 silu(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 y = _mm512_max_ps(_mm512_set1_ps(-87.0f), _mm512_sub_ps(_mm512_setzero_ps(), x));
    y = _mm512_min_ps(_mm512_set1_ps(87.0f), y);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(y, _mm512_set1_ps(1.44269504088896f)), 0);
    __m512 f = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), y);
    f = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), f);
    __m512 p = _mm512_set1_ps(1.0f / 720);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, f, one);
    p = _mm512_fmadd_ps(p, f, one);
    __m512 d = _mm512_add_ps(one, _mm512_scalef_ps(p, n));
    __m512 r = _mm512_rcp14_ps(d);
    r = _mm512_fmadd_ps(_mm512_fnmadd_ps(d, r, one), r, r);
    return _mm512_mul_ps(x, r);
}

/* One row's sixteen outputs. */
static inline void finish16(float *c, __mmask16 mask, __m512 y, shoal__epilogue epilogue)
{
    if (epilogue == SHOAL__SILU)
        y = silu(y);
    if (epilogue == SHOAL__ADD)
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, c));
    _mm512_mask_storeu_ps(c, mask, y);
}

static inline __mmask16 columns(int n)
{
    return n >= 16 ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

/* One block's sums [rows, 32] through the epilogue into c, whose rows are l->out long and of
 * which `left` columns are this panel's. row_scale NULL: sums are floats. */
static inline __attribute__((always_inline)) void
finish_as(const shoal__linear *l, const float *sum, const float *row_scale, int rows, int column,
          float *c, shoal__epilogue epilogue)
{
    const amx_weight *w = l->packed;
    __mmask16 mask[2] = { columns(l->out - column), columns(l->out - column - 16) };
    __m512 bias[2], scale[2];
    for (int i = 0; i < 2; i++) {
        bias[i] = _mm512_maskz_loadu_ps(mask[i], l->bias + column + 16 * i);
        scale[i] = row_scale ? _mm512_loadu_ps(w->scale + column + 16 * i) : bias[i];
    }
    for (int r = 0; r < rows; r++, sum += AMX_PANEL, c += l->out)
        for (int i = 0; i < 2; i++) {
            __m512 y = _mm512_load_ps(sum + 16 * i);
            if (row_scale)
                y = _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)y),
                                    _mm512_mul_ps(_mm512_set1_ps(row_scale[r]), scale[i]), bias[i]);
            else
                y = _mm512_add_ps(y, bias[i]);
            finish16(c + column + 16 * i, mask[i], y, epilogue);
        }
}

static void finish(const shoal__linear *l, const float *sum, const float *row_scale, int rows,
                   int column, float *c)
{
    switch (l->epilogue) {
    case SHOAL__STORE:
        finish_as(l, sum, row_scale, rows, column, c, SHOAL__STORE);
        break;
    case SHOAL__SILU:
        finish_as(l, sum, row_scale, rows, column, c, SHOAL__SILU);
        break;
    case SHOAL__ADD:
        finish_as(l, sum, row_scale, rows, column, c, SHOAL__ADD);
        break;
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

/* Up to 32 rows by one panel. */
static void block(const shoal__linear *l, const amx_scratch *s, const unsigned char *panel, int row,
                  int column, float *c)
{
    const amx_weight *w = l->packed;
    _Alignas(64) float sum[AMX_PANEL * AMX_PANEL];
    size_t parts = w->precision == SHOAL_FP32 ? AMX_PARTS : 1;
    size_t row_block = (size_t)w->steps * parts * AMX_TILE;
    const unsigned char *upper = s->rows + (size_t)(row / AMX_ROWS) * row_block;
    int rows = s->rows_made - row < AMX_PANEL ? s->rows_made - row : AMX_PANEL;
    int two = rows > AMX_ROWS;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    sums[w->precision][two](upper, upper + row_block, panel, w->steps);
    _tile_stored(0, sum, sizeof(float) * AMX_PANEL);
    _tile_stored(1, sum + 16, sizeof(float) * AMX_PANEL);
    if (two) {
        _tile_stored(2, sum + AMX_ROWS * AMX_PANEL, sizeof(float) * AMX_PANEL);
        _tile_stored(3, sum + AMX_ROWS * AMX_PANEL + 16, sizeof(float) * AMX_PANEL);
    }
    finish(l, sum, w->precision == SHOAL_INT8 ? s->row_scale + row : NULL, rows, column,
           c + (size_t)row * (size_t)l->out);
}

void shoal__amx_product(const shoal__linear *l, const amx_scratch *s, float *c)
{
    const amx_weight *w = l->packed;
    int fp32 = w->precision == SHOAL_FP32;
    size_t panel_bytes = (size_t)w->steps * 2 * AMX_TILE * (fp32 ? 2 : 1);
    configure_tiles();
    for (int p = 0; p < w->panels; p++) {
        const unsigned char *panel = w->tiles + (size_t)p * panel_bytes;
        if (fp32) {
            split_panel(s->panel, panel, w->steps);
            panel = s->panel;
        }
        for (int row = 0; row < s->rows_made; row += AMX_PANEL)
            block(l, s, panel, row, p * AMX_PANEL, c);
    }
    _tile_release();
}

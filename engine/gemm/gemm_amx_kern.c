/* gemm_amx_kern.c - products of tiles and what follows them; see gemm_amx.h
 *
 * The unit of work is a block: up to 32 rows (fp32: 16) by one panel of 32 outputs, summed over
 * all k in tile registers. What follows (scales, bias, SiLU, residual sum) is vector work, which
 * would leave the tile unit idle; so a block's sums are set down and finished a few rows at a
 * time between the k steps of the next block.
 *
 * Long sums are cut into chunks of k, so that rows and panel fit into L1 together: the panels of
 * a chunk come from L2 or memory one after the other and meet rows that stay. The order of a row's
 * sum is that of k whatever the number of rows: its bytes do not depend on its company.
 */
/* clang before 16 has macros without the second underscore */
#if !(defined(__AMX_TILE__) || defined(__AMXTILE__)) ||                                            \
    !(defined(__AMX_BF16__) || defined(__AMXBF16__)) ||                                            \
    !(defined(__AMX_INT8__) || defined(__AMXINT8__)) || !defined(__AVX512BF16__) ||                \
    !defined(__AVX512DQ__)
#error "compile this file with AMX_CFLAGS"
#endif

#include <immintrin.h>

#include "gemm/gemm_amx.h"

#define INLINE static inline __attribute__((always_inline))

enum { STRIDE = 64, SUM_TILE = AMX_TILE / sizeof(float), BLOCK_TILE = 2 * SUM_TILE };

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

/* ---- what follows a product ------------------------------------------------------------------ */

/* What is done with a row's sums y of one chunk of k: c = y, c += y, c = silu(y), c = silu(c + y)
 */
typedef enum finish_kind { STORE, ADD, SILU, ADD_SILU } finish_kind;

/* A block whose sums are known and whose rows are not all finished. */
typedef struct pending {
    const float *sum;       /* of its next row; in fp32 three tiles, SUM_TILE apart */
    const float *row_scale; /* of its next row; unused in bf16 */
    float *c;               /* its next row's first output */
    size_t c_stride;
    unsigned char *next; /* NULL, or its first row's place in the tiles of shoal__amx_product */
    size_t next_block;
    int row, rows;     /* done, left */
    __mmask16 mask[2]; /* the panel's outputs that there are */
    __m512 bias[2], scale[2];
} pending;

/* x / (1 + e^-x), e^-x = 2^n e^f with f in [-ln 2 / 2, ln 2 / 2] by a polynomial (minimax, relative
 * error 8e-8) and the reciprocal by one Newton step. */
INLINE __m512 silu_exact(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 y = _mm512_max_ps(x, _mm512_set1_ps(-87.0f));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(y, _mm512_set1_ps(-1.44269504f)), 0);
    __m512 f = _mm512_fnmsub_ps(n, _mm512_set1_ps(0.693359375f), y); /* ln 2 in two pieces */
    f = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), f);
    __m512 p = _mm512_set1_ps(0.008297629f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.041915562f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.16667576f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.49998893f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99999969f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.00000007f));
    __m512 d = _mm512_add_ps(one, _mm512_scalef_ps(p, n));
    __m512 r = _mm512_rcp14_ps(d);
    r = _mm512_fmadd_ps(_mm512_fnmadd_ps(d, r, one), r, r);
    return _mm512_mul_ps(x, r);
}

/* The same within 1.5e-4 of itself, where 8 bits follow: 2^t = 2^floor(t) 2^f, f in [0, 1). */
INLINE __m512 silu_short(__m512 x)
{
    __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f));
    __m512 f = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF);
    __m512 p = _mm512_set1_ps(0.07802452f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.22606716f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69583354f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99992522f));
    __m512 d = _mm512_add_ps(_mm512_set1_ps(1.0f), _mm512_scalef_ps(p, t));
    return _mm512_mul_ps(x, _mm512_rcp14_ps(d));
}

INLINE __m512 integers(const float *sum)
{
    return _mm512_cvtepi32_ps(_mm512_load_si512(sum));
}

/* Sixteen outputs of a row before SiLU. */
INLINE __m512 scaled(const pending *p, int i, shoal_precision precision)
{
    __m512 y;
    if (precision == SHOAL_BF16)
        return _mm512_add_ps(_mm512_load_ps(p->sum + 16 * i), p->bias[i]);
    if (precision == SHOAL_FP32) {
        y = _mm512_fmadd_ps(integers(p->sum + BLOCK_TILE), _mm512_set1_ps(256.0f),
                            integers(p->sum + 2 * BLOCK_TILE));
        y = _mm512_fmadd_ps(integers(p->sum), _mm512_set1_ps(65536.0f), y);
    } else
        y = integers(p->sum + 16 * i);
    return _mm512_fmadd_ps(y, _mm512_mul_ps(_mm512_set1_ps(*p->row_scale), p->scale[i]),
                           p->bias[i]);
}

/* Finish up to n rows more. */
INLINE void finish_rows(pending *p, int n, shoal_precision precision, finish_kind kind)
{
    const int tiles = PANEL_TILES(precision);
    n = n < p->rows ? n : p->rows;
    p->rows -= n;
    for (; n > 0; n--) {
        __m512 y[2];
        for (int i = 0; i < tiles; i++) {
            y[i] = scaled(p, i, precision);
            if (kind == ADD || kind == ADD_SILU)
                y[i] = _mm512_add_ps(y[i], _mm512_maskz_loadu_ps(p->mask[i], p->c + 16 * i));
            if (kind == SILU || kind == ADD_SILU)
                y[i] = precision == SHOAL_FP32 ? silu_exact(y[i]) : silu_short(y[i]);
        }
        if (precision == SHOAL_BF16 && (kind == SILU || kind == ADD_SILU) && p->next)
            _mm512_store_si512(p->next + (size_t)(p->row / AMX_ROWS) * p->next_block +
                                   (size_t)(p->row % AMX_ROWS) * 64,
                               (__m512i)_mm512_cvtne2ps_pbh(y[1], y[0]));
        else
            for (int i = 0; i < tiles; i++)
                _mm512_mask_storeu_ps(p->c + 16 * i, p->mask[i], y[i]);
        p->sum += 16 * tiles;
        p->row_scale++;
        p->row++;
        p->c += p->c_stride;
    }
}

INLINE __mmask16 columns(int n)
{
    return n >= 16 ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

INLINE void begin_panel(pending *p, const shoal__linear *l, int column, int first, int tiles)
{
    const amx_weight *w = l->packed;
    for (int i = 0; i < tiles; i++) {
        p->mask[i] = columns(l->out - column - 16 * i);
        p->bias[i] = _mm512_maskz_loadu_ps(first ? p->mask[i] : 0, l->bias + column + 16 * i);
        p->scale[i] = _mm512_loadu_ps(w->scale + column + 16 * i);
    }
}

/* ---- sums over k ----------------------------------------------------------------------------- */

/* bf16 and int8: sums 0 1 of the upper row block, 2 3 of the lower, rows 4 and 5, weights 6 and 7.
 */
INLINE void step(const unsigned char *upper, const unsigned char *lower, const unsigned char *panel,
                 pending *p, int share, shoal_precision precision, finish_kind kind, int two)
{
    _tile_loadd(6, panel, STRIDE);
    _tile_loadd(4, upper, STRIDE);
    _tile_loadd(7, panel + AMX_TILE, STRIDE);
    if (two)
        _tile_loadd(5, lower, STRIDE);
    if (precision == SHOAL_BF16) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        finish_rows(p, share, precision, kind);
        if (two) {
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    } else {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        finish_rows(p, share, precision, kind);
        if (two) {
            _tile_dpbssd(2, 5, 6);
            _tile_dpbssd(3, 5, 7);
        }
    }
    finish_rows(p, share, precision, kind);
}

/* fp32: sums of weight 1, 1/256 and 1/65536: 0 1 2 of the upper row block, 3 4 5 of the lower; one
 * digit of the rows in 6, of the weights in 7. */
#define ROWS(from, digit) _tile_loadd(6, (from) + (digit)*AMX_TILE, STRIDE)
#define WEIGHTS(digit)    _tile_loadd(7, panel + (digit)*AMX_TILE, STRIDE)

INLINE void step_fp32(const unsigned char *upper, const unsigned char *lower,
                      const unsigned char *panel, pending *p, int share, finish_kind kind, int two)
{
    WEIGHTS(0);
    ROWS(upper, 0);
    _tile_dpbssd(0, 6, 7);
    ROWS(upper, 1);
    _tile_dpbssd(1, 6, 7);
    ROWS(upper, 2);
    _tile_dpbssd(2, 6, 7);
    finish_rows(p, share, SHOAL_FP32, kind);
    if (two) {
        ROWS(lower, 2);
        _tile_dpbssd(5, 6, 7);
        ROWS(lower, 1);
        _tile_dpbssd(4, 6, 7);
        ROWS(lower, 0);
        _tile_dpbssd(3, 6, 7);
        finish_rows(p, share, SHOAL_FP32, kind);
        WEIGHTS(1);
        _tile_dpbssd(4, 6, 7);
        ROWS(lower, 1);
        _tile_dpbssd(5, 6, 7);
    } else
        WEIGHTS(1);
    ROWS(upper, 1);
    _tile_dpbssd(2, 6, 7);
    finish_rows(p, share, SHOAL_FP32, kind);
    ROWS(upper, 0);
    _tile_dpbssd(1, 6, 7);
    WEIGHTS(2);
    _tile_dpbssd(2, 6, 7);
    if (two) {
        ROWS(lower, 0);
        _tile_dpbssd(5, 6, 7);
    }
    finish_rows(p, share, SHOAL_FP32, kind);
}

INLINE void zero_sums(shoal_precision precision)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (precision == SHOAL_FP32) {
        _tile_zero(4);
        _tile_zero(5);
    }
}

/* Rows of all tiles of the panel side by side; fp32: the three sums apart. */
INLINE void store_sums(float *to, shoal_precision precision)
{
    if (precision == SHOAL_FP32) {
        _tile_stored(0, to, STRIDE);
        _tile_stored(1, to + BLOCK_TILE, STRIDE);
        _tile_stored(2, to + 2 * BLOCK_TILE, STRIDE);
        _tile_stored(3, to + SUM_TILE, STRIDE);
        _tile_stored(4, to + SUM_TILE + BLOCK_TILE, STRIDE);
        _tile_stored(5, to + SUM_TILE + 2 * BLOCK_TILE, STRIDE);
    } else {
        _tile_stored(0, to, 2 * STRIDE);
        _tile_stored(1, to + 16, 2 * STRIDE);
        _tile_stored(2, to + BLOCK_TILE, 2 * STRIDE);
        _tile_stored(3, to + BLOCK_TILE + 16, 2 * STRIDE);
    }
}

/* All k of a block, and between them the rows that are pending. */
INLINE void sum_block(const unsigned char *upper, const unsigned char *lower,
                      const unsigned char *panel, int steps, pending *p, shoal_precision precision,
                      finish_kind kind, int two)
{
    const int parts = precision == SHOAL_FP32 ? AMX_PARTS : 1;
    int turns = steps * (precision == SHOAL_FP32 ? 2 + 2 * two : 2);
    int share = (p->rows + turns - 1) / turns;
    for (int s = 0; s < steps; s++) {
        if (precision == SHOAL_FP32)
            step_fp32(upper, lower, panel, p, share, kind, two);
        else
            step(upper, lower, panel, p, share, precision, kind, two);
        upper += parts * AMX_TILE;
        lower += parts * AMX_TILE;
        panel += parts * PANEL_TILES(precision) * AMX_TILE;
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

/* A chunk of k for up to 32 rows and all outputs. */
typedef struct chunk {
    const unsigned char *upper, *lower; /* its tiles of the two row blocks */
    const unsigned char *weights;       /* its panels */
    const float *row_scale;
    int rows, steps, first; /* first: with it goes the bias */
    float *c;               /* the first row's */
    size_t c_stride;
    unsigned char *next; /* likewise */
    size_t next_block;
} chunk;

INLINE void run_chunk(const shoal__linear *l, const chunk *k, shoal_precision precision,
                      finish_kind kind, int two)
{
    const int parts = precision == SHOAL_FP32 ? AMX_PARTS : 1, tiles = PANEL_TILES(precision);
    const unsigned char *panel = k->weights;
    _Alignas(64) float sums[6 * SUM_TILE];
    pending p = { .c_stride = k->c_stride, .next_block = k->next_block };
    for (int column = 0; column < l->out; column += 16 * tiles) {
        zero_sums(precision);
        sum_block(k->upper, k->lower, panel, k->steps, &p, precision, kind, two);
        store_sums(sums, precision);
        begin_panel(&p, l, column, k->first, tiles);
        p.sum = sums;
        p.row = 0;
        p.rows = k->rows;
        p.next = k->next ? k->next + (size_t)(column / (16 * tiles)) * AMX_TILE : NULL;
        p.row_scale = k->row_scale;
        p.c = k->c + column;
        panel += (size_t)(k->steps * parts * tiles) * AMX_TILE;
    }
    finish_rows(&p, p.rows, precision, kind);
}

#define CHUNK_FUNCTION(name, precision, kind)                                                      \
    static void name##_one(const shoal__linear *l, const chunk *k)                                 \
    {                                                                                              \
        run_chunk(l, k, precision, kind, 0);                                                       \
    }                                                                                              \
    static void name##_two(const shoal__linear *l, const chunk *k)                                 \
    {                                                                                              \
        run_chunk(l, k, precision, kind, 1);                                                       \
    }

CHUNK_FUNCTION(fp32_store, SHOAL_FP32, STORE)
CHUNK_FUNCTION(fp32_add, SHOAL_FP32, ADD)
CHUNK_FUNCTION(fp32_silu, SHOAL_FP32, SILU)
CHUNK_FUNCTION(fp32_add_silu, SHOAL_FP32, ADD_SILU)
CHUNK_FUNCTION(bf16_store, SHOAL_BF16, STORE)
CHUNK_FUNCTION(bf16_add, SHOAL_BF16, ADD)
CHUNK_FUNCTION(bf16_silu, SHOAL_BF16, SILU)
CHUNK_FUNCTION(bf16_add_silu, SHOAL_BF16, ADD_SILU)
CHUNK_FUNCTION(int8_store, SHOAL_INT8, STORE)
CHUNK_FUNCTION(int8_add, SHOAL_INT8, ADD)
CHUNK_FUNCTION(int8_silu, SHOAL_INT8, SILU)
CHUNK_FUNCTION(int8_add_silu, SHOAL_INT8, ADD_SILU)

typedef void chunk_fn(const shoal__linear *l, const chunk *k);

static chunk_fn *const chunks[3][4][2] = {
    /* by precision, kind, lower row block */
    { { fp32_store_one, fp32_store_two },
      { fp32_add_one, fp32_add_two },
      { fp32_silu_one, fp32_silu_two },
      { fp32_add_silu_one, fp32_add_silu_two } },
    { { bf16_store_one, bf16_store_two },
      { bf16_add_one, bf16_add_two },
      { bf16_silu_one, bf16_silu_two },
      { bf16_add_silu_one, bf16_add_silu_two } },
    { { int8_store_one, int8_store_two },
      { int8_add_one, int8_add_two },
      { int8_silu_one, int8_silu_two },
      { int8_add_silu_one, int8_add_silu_two } },
};

static finish_kind kind_of(shoal__epilogue epilogue, int first, int last)
{
    int add = !first || epilogue == SHOAL__ADD, silu = last && epilogue == SHOAL__SILU;
    return silu ? (add ? ADD_SILU : SILU) : add ? ADD : STORE;
}

/* Up to 32 rows, chunk by chunk, while the rows' tiles of a chunk stay in L1. */
static void run_rows(const shoal__linear *l, const amx_scratch *s, const unsigned char *tiles,
                     int row, float *c, size_t c_stride, unsigned char *next)
{
    const amx_weight *w = l->packed;
    const int parts = w->precision == SHOAL_FP32 ? AMX_PARTS : 1;
    size_t row_block = (size_t)(w->steps * parts) * AMX_TILE;
    int rows = s->rows_made - row < 2 * AMX_ROWS ? s->rows_made - row : 2 * AMX_ROWS;
    size_t next_block = (size_t)(w->columns / 2) * AMX_TILE;
    chunk k = { .upper = tiles + (size_t)(row / AMX_ROWS) * row_block,
                .weights = w->tiles,
                .row_scale = s->row_scale + row,
                .rows = rows,
                .first = 1,
                .c = c + (size_t)row * c_stride,
                .c_stride = c_stride,
                .next = next ? next + (size_t)(row / AMX_ROWS) * next_block : NULL,
                .next_block = next_block };
    for (int step = 0; step < w->steps; step += k.steps, k.first = 0) {
        int left = w->steps - step;
        k.steps = left < CHUNK_STEPS(w->precision) ? left : CHUNK_STEPS(w->precision);
        k.lower = k.upper + row_block;
        chunks[w->precision][kind_of(l->epilogue, k.first, k.steps == left)][rows > AMX_ROWS](l,
                                                                                              &k);
        k.upper += (size_t)(k.steps * parts) * AMX_TILE;
        k.weights += (size_t)(k.steps * parts * w->columns) * AMX_TILE;
    }
}

void shoal__amx_product(const shoal__linear *l, const amx_scratch *s, const unsigned char *tiles,
                        float *c, size_t c_stride, unsigned char *next)
{
    configure_tiles();
    for (int row = 0; row < s->rows_made; row += 2 * AMX_ROWS)
        run_rows(l, s, tiles, row, c, c_stride, next);
    _tile_release();
}

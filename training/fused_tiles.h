/* Matrix products in bf16, and the operand layouts they want: those of AMX's tiles. A CPU without
 * them, but with AVX512_BF16, computes the same from the same layouts.
 *
 * A tile is 16 rows of 64 bytes (1 KiB). C[16, 16] fp32 += A[16, 32] bf16 x B[32, 16] bf16, where B
 * lies in pairs of its contraction index: row i holds (B[2i][n], B[2i+1][n]) for n = 0..15.
 *
 * A packed operand is an array of such tiles [panel of 16 outer indices][32 contraction indices],
 * so that the tiles of one output column follow each other in memory. All dimensions are multiples
 * of 32; pack functions write zeros where rows are missing.
 */
#ifndef FUSED_TILES_H
#define FUSED_TILES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

enum { TILE = 512 }; /* bf16 elements of one packed tile */

static inline int round_up(int n, int to)
{
    return (n + to - 1) / to * to;
}

/* ---- tiles ---- */

/* The left operand of a product: row-major bf16, or packed tiles. */
struct left {
    const bf16 *p;
    long row;   /* bytes between rows of a tile */
    long step;  /* elements to the next 32 of the contraction */
    long panel; /* elements to the next 16 rows */
};

static inline struct left rows_of(const bf16 *p, long ld)
{
    return (struct left){ p, 2 * ld, 32, 16 * ld };
}

static inline struct left packed(const bf16 *p, long tiles)
{
    return (struct left){ p, 64, TILE, tiles * TILE };
}

/* C [32, 32] (+)= A [32, 32 kt] x B [32 kt, 32]; bpanel: elements between B's panels. Between
 * tiles_begin() and tiles_end() of the same thread. */
static inline void tile_block(struct left a, const bf16 *b, long bpanel, int kt, float *c, long ldc,
                              int add);

#ifdef __AMX_BF16__

static void tiles_begin(void)
{
    struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } cfg = { .palette = 1 };
    for (int i = 0; i < 8; i++)
        cfg.bytes[i] = 64, cfg.rows[i] = 16;
    __asm__ volatile("" ::"r"(&cfg) : "memory"); /* gcc 12 takes it to read 8 bytes only */
    _tile_loadconfig(&cfg);
}

static void tiles_end(void)
{
    _tile_release();
}

static inline void tile_block(struct left a, const bf16 *b, long bpanel, int kt, float *c, long ldc,
                              int add)
{
    const bf16 *a1 = a.p + a.panel, *b1 = b + bpanel;
    float *c1 = c + 16 * ldc;
    if (add) {
        _tile_loadd(0, c, 4 * ldc);
        _tile_loadd(1, c + 16, 4 * ldc);
        _tile_loadd(2, c1, 4 * ldc);
        _tile_loadd(3, c1 + 16, 4 * ldc);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int k = 0; k < kt; k++) {
        _tile_loadd(4, a.p, a.row);
        _tile_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b1, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a1, a.row);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        a.p += a.step, a1 += a.step, b += TILE, b1 += TILE;
    }
    _tile_stored(0, c, 4 * ldc);
    _tile_stored(1, c + 16, 4 * ldc);
    _tile_stored(2, c1, 4 * ldc);
    _tile_stored(3, c1 + 16, 4 * ldc);
}

#else

static void tiles_begin(void)
{
}

static void tiles_end(void)
{
}

/* C [8, 32] of the 32 rows: 16 sums in registers. */
static inline void eight_rows(const bf16 *a, const struct left *l, const bf16 *b, const bf16 *b1,
                              int kt, float *c, long ldc, int add)
{
    __m512 sum[8][2];
    for (int r = 0; r < 8; r++)
        for (int n = 0; n < 2; n++)
            sum[r][n] = add ? _mm512_loadu_ps(c + r * ldc + 16 * n) : _mm512_setzero_ps();
    for (int k = 0; k < kt; k++, a += l->step, b += TILE, b1 += TILE)
        for (int i = 0; i < 16; i++) {
            __m512bh right = (__m512bh)_mm512_loadu_si512(b + 32 * i),
                     right1 = (__m512bh)_mm512_loadu_si512(b1 + 32 * i);
            for (int r = 0; r < 8; r++) {
                int32_t pair;
                memcpy(&pair, (const char *)(a + 2 * i) + r * l->row, sizeof pair);
                __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
                sum[r][0] = _mm512_dpbf16_ps(sum[r][0], left, right);
                sum[r][1] = _mm512_dpbf16_ps(sum[r][1], left, right1);
            }
        }
    for (int r = 0; r < 8; r++)
        for (int n = 0; n < 2; n++)
            _mm512_storeu_ps(c + r * ldc + 16 * n, sum[r][n]);
}

static inline void tile_block(struct left a, const bf16 *b, long bpanel, int kt, float *c, long ldc,
                              int add)
{
    for (int m = 0; m < 32; m += 8) {
        const char *rows = (const char *)(a.p + m / 16 * a.panel) + m % 16 * a.row;
        eight_rows((const bf16 *)rows, &a, b, b + bpanel, kt, c + m * ldc, ldc, add);
    }
}

#endif

/* C [rows, cols] = A [rows, 32 kt] x B [32 kt, cols]; rows are rounded up to 32. */
static void product(int rows, int cols, int kt, struct left a, const bf16 *b, long btiles, float *c,
                    long ldc)
{
    __asm__ volatile("" ::: "memory"); /* tile loads are invisible to the compiler */
    for (int n = 0; n < cols; n += 32)
        for (int m = 0; m < rows; m += 32) {
            struct left am = a;
            am.p += m / 16 * a.panel;
            tile_block(am, b + n / 16 * btiles * TILE, btiles * TILE, kt, c + m * ldc + n, ldc, 0);
        }
    __asm__ volatile("" ::: "memory");
}

/* W [rows, cols] += A x B over `count` x 32 frames; both packed, `tiles` to a panel. The operand of
 * the inner loop is W's shorter side: it stays in the L2 cache. */
static void accumulate(int rows, int cols, int tiles, int count, const bf16 *a, const bf16 *b,
                       float *w)
{
    int tall = rows >= cols, outer = (tall ? rows : cols) / 32, inner = (tall ? cols : rows) / 32;
    __asm__ volatile("" ::: "memory");
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            int m = tall ? o : i, n = tall ? i : o;
            tile_block(packed(a + 2L * m * tiles * TILE, tiles), b + 2L * n * tiles * TILE,
                       (long)tiles * TILE, count, w + 32L * m * cols + 32 * n, cols, 1);
        }
    __asm__ volatile("" ::: "memory");
}

/* ---- packing ---- */

static inline void transpose16(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

static inline __m512i row_or_zero(const bf16 *p, int r, int rows, long ld)
{
    return r < rows ? _mm512_loadu_si512(p + r * ld) : _mm512_setzero_si512();
}

/* Pairs of the rows r, r + 1 for columns 0..15 (lo) and 16..31 (hi). */
static inline void pair_rows(const bf16 *p, int r, int rows, long ld, __m512i *lo, __m512i *hi)
{
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    __m512i a = row_or_zero(p, r, rows, ld), b = row_or_zero(p, r + 1, rows, ld);
    *lo = _mm512_permutex2var_epi16(a, low, b);
    *hi = _mm512_permutex2var_epi16(a, high, b);
}

/* X [rows, cols] -> right operand contracted over rows, at tile `first` of `tiles` a panel. */
static void pack_right_rows(bf16 *dst, long tiles, long first, const bf16 *x, long ld, int rows,
                            int cols)
{
    for (int r = 0; r < rows; r += 32)
        for (int c = 0; c < cols; c += 32) {
            bf16 *d0 = dst + (c / 16 * tiles + first + r / 32) * TILE, *d1 = d0 + tiles * TILE;
            for (int i = 0; i < 16; i++) {
                __m512i lo, hi;
                pair_rows(x + c, r + 2 * i, rows, ld, &lo, &hi);
                _mm512_storeu_si512(d0 + 32 * i, lo);
                _mm512_storeu_si512(d1 + 32 * i, hi);
            }
        }
}

/* X [rows, cols] -> left operand X^T, contracted over rows, at tile `first` of `tiles` a panel. */
static void pack_left_rows(bf16 *dst, long tiles, long first, const bf16 *x, long ld, int rows,
                           int cols)
{
    for (int r = 0; r < rows; r += 32)
        for (int c = 0; c < cols; c += 32) {
            bf16 *d0 = dst + (c / 16 * tiles + first + r / 32) * TILE, *d1 = d0 + tiles * TILE;
            __m512i lo[16], hi[16];
            for (int i = 0; i < 16; i++)
                pair_rows(x + c, r + 2 * i, rows, ld, &lo[i], &hi[i]);
            transpose16(lo);
            transpose16(hi);
            for (int i = 0; i < 16; i++) {
                _mm512_storeu_si512(d0 + 32 * i, lo[i]);
                _mm512_storeu_si512(d1 + 32 * i, hi[i]);
            }
        }
}

/* X [rows, cols] -> right operand X^T, contracted over columns; rows are rounded up to 32. */
static void pack_right_cols(bf16 *dst, const bf16 *x, long ld, int rows, int cols)
{
    for (int r = 0; r < round_up(rows, 32); r += 16)
        for (int c = 0; c < cols; c += 32) {
            __m512i t[16];
            for (int i = 0; i < 16; i++)
                t[i] = row_or_zero(x + c, r + i, rows, ld);
            transpose16(t);
            for (int i = 0; i < 16; i++)
                _mm512_storeu_si512(dst + i * 32, t[i]);
            dst += TILE;
        }
}

#endif

/* kern_amx.c - kernels for AVX-512 with AMX: attention over bf16 memories in tiles
 *
 * Tiles hold 16 rows of 64 bytes. For one head and up to 16 queries:
 *
 *   C [rows, 16 keys] += A: queries [rows, 32 elements] * B: keys, half a block of 32 elements
 *   C [rows, 16]      += A: weights [rows, 32 frames]   * B: values [32 frames, 16 elements]
 *
 * Four C at a time. What is no multiple of 32 elements a head, and memories that are not bf16, go
 * to the body's attention. The chunk's own last frames, which may be fewer than 32, have tiles of
 * their own size: what lies behind them in memory is not theirs. The tiles are set up for each
 * call and given back after it; whoever else uses them does the same. kern.c asks Linux for the
 * permission to.
 */
/* clang before 16 has macros without the second underscore */
#if !(defined(__AMX_BF16__) || defined(__AMXBF16__)) || !defined(__AVX512VL__)
#error "compile this file with AMX_CFLAGS (configure.ac)"
#endif
#define KERN(name) shoal__kern_amx_##name
#include "kern/kern_body.h"

#include <immintrin.h>

/* The CPU's own conversion. It takes denormal numbers for 0. */
static void to_bf16(uint16_t *y, const float *x, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256bh h = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
        memcpy(y + i, &h, sizeof h);
    }
    KERN(to_bf16)(y + i, x + i, n - i);
}

/* Tile registers; sums are 0 to 3. Macros, because the intrinsics make strings of them. */
#define A      4
#define B      5
#define A_LAST 6
#define B_LAST 7

/* The intrinsics do not tell the compiler what memory they read and write. */
#define MEMORY_COUNTS(p) __asm__ volatile("" : : "r"(p) : "memory")

/* Tile registers as the CPU wants them described. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* One block of up to 16 queries at work. */
typedef struct job {
    const shoal__memory *past, *own;
    int rows, heads, dim;
    int own_at, wide;  /* columns of p: past's, a multiple of 32, then own's, of 16 */
    float *p;          /* [rows, wide] scores */
    uint16_t *weights; /* [rows, wide] softmax of them */
    uint16_t *q;       /* [rows, heads * dim] */
} job;

static void configure(int rows, int last_frames)
{
    int pairs = last_frames ? (last_frames + 1) / 2 : 16;
    tile_config c = { .palette = 1 };
    for (int t = 0; t < 8; t++) {
        c.row_bytes[t] = 64;
        c.rows[t] = (uint8_t)(t == B ? 16 : rows);
    }
    c.row_bytes[A_LAST] = (uint16_t)(4 * pairs);
    c.rows[B_LAST] = (uint8_t)pairs;
    MEMORY_COUNTS(&c);
    _tile_loadconfig(&c);
}

/* Each of n statements' first, n from 1 to 4. */
#define FIRST(n, one, two, three, four)                                                            \
    do {                                                                                           \
        one;                                                                                       \
        if ((n) > 1)                                                                               \
            two;                                                                                   \
        if ((n) > 2)                                                                               \
            three;                                                                                 \
        if ((n) > 3)                                                                               \
            four;                                                                                  \
    } while (0)

/* c += a * the tile of b at `from` */
#define TIMES(c, a, b, from, stride)                                                               \
    do {                                                                                           \
        _tile_loadd(b, from, stride);                                                              \
        _tile_dpbf16ps(c, a, b);                                                                   \
    } while (0)

static void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* to[0 .. n) = sums, 16 columns apart. */
static void store_sums(float *to, int stride, int n)
{
    size_t bytes = (size_t)stride * sizeof *to;
    FIRST(n, _tile_stored(0, to, bytes), _tile_stored(1, to + 16, bytes),
          _tile_stored(2, to + 32, bytes), _tile_stored(3, to + 48, bytes));
    MEMORY_COUNTS(to);
}

static void score(const job *j, const shoal__memory *m, int head, float *p)
{
    int words = j->dim / 2, blocks = (m->frames + 15) / 16;
    size_t block = (size_t)words * 16, stride = (size_t)(j->heads * j->dim) * 2;
    const uint32_t *keys = (const uint32_t *)m->keys + (size_t)(head * m->blocks) * block;
    for (int n = 0; blocks > 0; blocks -= n, keys += 4 * block, p += 64) {
        n = blocks < 4 ? blocks : 4;
        zero_sums();
        for (int w = 0; w < words; w += 16) {
            const uint32_t *k = keys + w * 16;
            _tile_loadd(A, j->q + head * j->dim + 2 * w, stride);
            FIRST(n, TIMES(0, A, B, k, 64), TIMES(1, A, B, k + block, 64),
                  TIMES(2, A, B, k + 2 * block, 64), TIMES(3, A, B, k + 3 * block, 64));
        }
        store_sums(p, j->wide, n);
    }
}

/* sums += weights * 16 n columns of a head's values; `last` of them, behind the last whole 32, in
 * tiles of their own size. */
static void mix(const job *j, const shoal__memory *m, const uint16_t *weights, const uint32_t *v,
                int n, int whole, int last)
{
    size_t a_bytes = (size_t)j->wide * 2, b_bytes = (size_t)m->value_stride * 4;
    for (; whole > 0; whole -= 32, weights += 32, v += 16 * m->value_stride) {
        _tile_loadd(A, weights, a_bytes);
        FIRST(n, TIMES(0, A, B, v, b_bytes), TIMES(1, A, B, v + 16, b_bytes),
              TIMES(2, A, B, v + 32, b_bytes), TIMES(3, A, B, v + 48, b_bytes));
    }
    if (!last)
        return;
    _tile_loadd(A_LAST, weights, a_bytes);
    FIRST(n, TIMES(0, A_LAST, B_LAST, v, b_bytes), TIMES(1, A_LAST, B_LAST, v + 16, b_bytes),
          TIMES(2, A_LAST, B_LAST, v + 32, b_bytes), TIMES(3, A_LAST, B_LAST, v + 48, b_bytes));
}

/* Ask for the r-th of n shares of some bytes. */
static void fetch_share(const void *from, int bytes, int r, int n)
{
    const char *line = from;
    int lines = bytes / 64;
    for (int i = lines * r / n; i < lines * (r + 1) / n; i++)
        __builtin_prefetch(line + 64 * i);
}

/* While row r goes through the softmax: a share of what this head and the next one read of the
 * past, which comes from far. All at once would wait for itself. */
static void fetch_ahead(const job *j, int head, int r)
{
    const shoal__memory *m = j->past;
    int words = m->frames * j->dim / 2;
    const uint32_t *values = (const uint32_t *)m->values + head * m->value_head;
    const uint32_t *keys = (const uint32_t *)m->keys + (head + 1) * m->blocks * j->dim / 2 * 16;
    fetch_share(values, words * 4, r, j->rows);
    if (head + 1 < j->heads)
        fetch_share(keys, words * 4, r, j->rows);
}

static void attend_head(const job *j, int head, float *y)
{
    int past = j->past->frames, own = j->own->frames;
    const uint32_t *past_values = (const uint32_t *)j->past->values + head * j->past->value_head;
    const uint32_t *own_values = (const uint32_t *)j->own->values + head * j->own->value_head;
    MEMORY_COUNTS(j->q);
    score(j, j->past, head, j->p);
    score(j, j->own, head, j->p + j->own_at);
    for (int r = 0; r < j->rows; r++) {
        float *p = j->p + r * j->wide;
        fetch_ahead(j, head, r);
        KERN(soften)(p, past, j->own_at, own, j->wide);
        to_bf16(j->weights + r * j->wide, p, j->wide);
    }
    MEMORY_COUNTS(j->weights);
    for (int at = 0; at < j->dim; at += 64) {
        int n = (j->dim - at) / 16;
        zero_sums();
        mix(j, j->past, j->weights, past_values + at, n, past, 0);
        mix(j, j->own, j->weights + j->own_at, own_values + at, n, own & ~31, own & 31);
        store_sums(y + head * j->dim + at, j->heads * j->dim, n);
    }
}

static void attend_tiles(float *y, const float *q, int q_stride, const shoal__memory *past,
                         const shoal__memory *own, int heads, int dim, float *scratch)
{
    if (past->kind != SHOAL__BF16 || dim % 32) {
        KERN(attend)(y, q, q_stride, past, own, heads, dim, scratch);
        return;
    }
    int D = heads * dim, own_at = (past->frames + 31) & ~31;
    job j = { .past = past,
              .own = own,
              .heads = heads,
              .dim = dim,
              .own_at = own_at,
              .wide = own_at + ((own->frames + 15) & ~15),
              .p = scratch };
    j.weights = (uint16_t *)(void *)(scratch + SHOAL__ATTEND_ROWS * j.wide);
    j.q = j.weights + SHOAL__ATTEND_ROWS * j.wide;
    for (int at = 0; at < own->frames; at += j.rows) {
        j.rows = own->frames - at < SHOAL__ATTEND_ROWS ? own->frames - at : SHOAL__ATTEND_ROWS;
        configure(j.rows, own->frames & 31);
        for (int r = 0; r < j.rows; r++)
            to_bf16(j.q + r * D, q + (at + r) * q_stride, D);
        for (int h = 0; h < heads; h++)
            attend_head(&j, h, y + at * D);
    }
    _tile_release();
}

#undef KERN_TO_BF16
#define KERN_TO_BF16 to_bf16
#undef KERN_ATTEND
#define KERN_ATTEND attend_tiles
const shoal__kern shoal__kern_amx = KERN_TABLE(SHOAL__AMX, "amx");

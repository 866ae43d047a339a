/* gemm_amx.c - the GEMM interface on Intel's matrix unit, AMX: fp32, bf16 and int8
 *
 * Own kernels, for oneDNN 2.6 does fp32 without AMX, and int8 with it at a third of the speed
 * (docs/performance.md). Here: packing, scratch, choice. gemm_amx.h has the number formats and the
 * layout, gemm_amx_rows.c makes tiles of activations, gemm_amx_kern.c multiplies. The
 * instruction set is looked for, and Linux asked to let this process use the tile registers, when
 * the first model opens; tiles are configured in every run, so any thread may call.
 *
 * A row's result does not depend on the other rows, bit for bit, in all three precisions.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef HAVE_AMX

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm_amx.h"
#include "gemm/gemm_memory.h"

/* ---- packing --------------------------------------------------------------------------------- */

static size_t up_to(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static uint16_t to_bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

static int parts_of(shoal_precision precision)
{
    return precision == SHOAL_FP32 ? AMX_PARTS : 1;
}

static int step_of(shoal_precision precision)
{
    return precision == SHOAL_BF16 ? 32 : 64;
}

/* The first byte of the tile for output n and input k. */
static unsigned char *tile_of(const amx_weight *w, int n, int k, int part)
{
    int chunk = CHUNK_STEPS(w->precision), wide = PANEL_TILES(w->precision);
    int step = k / step_of(w->precision), begin = step / chunk * chunk;
    int steps = w->steps - begin < chunk ? w->steps - begin : chunk;
    int place = begin * (w->columns / wide) + n / 16 / wide * steps + step - begin;
    int tile = (place * parts_of(w->precision) + part) * wide + n / 16 % wide;
    return w->tiles + (size_t)tile * AMX_TILE;
}

/* Rows of a tile are pairs of successive k, for each of 16 outputs. */
static void put_bf16(amx_weight *w, int n, int k, float x)
{
    uint16_t *tile = (uint16_t *)(void *)tile_of(w, n, k, 0);
    tile[k % 32 / 2 * 32 + n % 16 * 2 + k % 2] = to_bf16(x);
}

/* Rows of a tile are four k, 16 apart, for each of 16 outputs: how row_digits lays the rows. */
static void put_digits(amx_weight *w, int n, int k, int32_t x)
{
    for (int part = parts_of(w->precision) - 1; part >= 0; part--) {
        tile_of(w, n, k, part)[k % 16 * 64 + n % 16 * 4 + k % 64 / 16] = (unsigned char)x;
        x = (x + 128) >> 8;
    }
}

/* What an output's integers are to be multiplied by. */
static float digit_scale(const amx_weight *w, const float *row, int n)
{
    float top = 0.0f;
    for (int i = 0; i < n; i++)
        top = fmaxf(top, fabsf(row[i]));
    return (top > AMX_LEAST ? top : 1.0f) /
           (w->precision == SHOAL_INT8 ? AMX_LIMIT_1 : AMX_LIMIT_3);
}

static void fill(const shoal__linear *l, amx_weight *w)
{
    for (int n = 0; n < l->out; n++) {
        const float *row = l->weight + (size_t)n * (size_t)l->in;
        double scale = (double)digit_scale(w, row, l->in);
        /* the kernel's fp32 sum is in units of 2^16, the place of the least product it keeps */
        w->scale[n] = l->scale * (float)scale * (w->precision == SHOAL_FP32 ? 65536.0f : 1.0f);
        for (int k = 0; k < l->in; k++)
            if (w->precision == SHOAL_BF16)
                put_bf16(w, n, k, l->scale * row[k]);
            else
                put_digits(w, n, k, (int32_t)lrint((double)row[k] / scale));
    }
}

static void unpack(shoal__linear *l)
{
    amx_weight *w = l->packed;
    if (w) {
        shoal__weights_free(w->tiles);
        free(w->scale);
    }
    free(w);
    l->packed = NULL;
}

static int pack(shoal__linear *l, shoal_precision precision)
{
    amx_weight *w = calloc(1, sizeof *w);
    l->packed = w;
    if (!w)
        return SHOAL_ENOMEM;
    size_t columns = up_to((size_t)l->out, (size_t)(16 * PANEL_TILES(precision))) / 16;
    w->columns = (int)columns;
    w->precision = precision;
    w->steps = (l->in + step_of(precision) - 1) / step_of(precision);
    size_t bytes = columns * (size_t)(w->steps * parts_of(precision)) * AMX_TILE;
    w->tiles = shoal__weights_new(bytes);
    w->scale = calloc(columns * 16, sizeof *w->scale);
    if (!w->tiles || !w->scale)
        return SHOAL_ENOMEM;
    memset(w->tiles, 0, bytes);
    fill(l, w);
    return 0;
}

/* ---- scratch and run ------------------------------------------------------------------------- */

static void scratch_free(void *opaque)
{
    amx_scratch *s = opaque;
    if (!s)
        return;
    free(s->rows);
    free(s->row_scale);
    free(s->inner_tiles);
    free(s->inner);
    shoal__row_room_free(&s->room);
    free(s);
}

static int scratch_new(void **out, shoal__linear *const *all, int n, int max_rows)
{
    size_t steps = 1, columns = 1, rows = up_to((size_t)max_rows, 2 * AMX_ROWS);
    for (int i = 0; i < n; i++) {
        const amx_weight *w = all[i]->packed;
        steps = (size_t)w->steps > steps ? (size_t)w->steps : steps;
        columns = (size_t)w->columns > columns ? (size_t)w->columns : columns;
    }
    size_t parts = n ? (size_t)parts_of(((const amx_weight *)all[0]->packed)->precision) : 1;
    size_t bytes = rows / AMX_ROWS * steps * parts * AMX_TILE;
    amx_scratch *s = calloc(1, sizeof *s);
    if (!s)
        return SHOAL_ENOMEM;
    s->rows = aligned_alloc(64, bytes);
    s->row_scale = calloc(rows, sizeof *s->row_scale);
    s->inner_stride = columns * 16 + 16;
    s->inner = aligned_alloc(64, AMX_GROUP * s->inner_stride * sizeof *s->inner);
    s->inner_tiles = aligned_alloc(64, AMX_GROUP / AMX_ROWS * (columns + 1) / 2 * AMX_TILE);
    int rc = shoal__row_room_new(&s->room, all, n, max_rows);
    if (rc < 0 || !s->rows || !s->row_scale || !s->inner || !s->inner_tiles) {
        scratch_free(s);
        return SHOAL_ENOMEM;
    }
    memset(s->rows, 0, bytes);
    *out = s;
    return 0;
}

/* A few rows through both products at a time: what lies between them does not leave L2. */
static void plain_pair(const shoal__plain *p, const float *a, int rows, float *c)
{
    const shoal__linear *up = p->first, *down = p->last;
    amx_scratch *s = p->scratch;
    int direct =
        up->epilogue == SHOAL__SILU && ((const amx_weight *)up->packed)->precision == SHOAL_BF16;
    for (int row = 0; row < rows; row += AMX_GROUP) {
        int n = rows - row < AMX_GROUP ? rows - row : AMX_GROUP;
        shoal__amx_rows(s, up->packed, a + (size_t)row * (size_t)up->in, (size_t)up->in, n, up->in);
        shoal__amx_product(up, s, s->rows, s->inner, s->inner_stride,
                           direct ? s->inner_tiles : NULL);
        if (!direct)
            shoal__amx_rows(s, down->packed, s->inner, s->inner_stride, n, down->in);
        shoal__amx_product(down, s, direct ? s->inner_tiles : s->rows,
                           c + (size_t)row * (size_t)down->out, (size_t)down->out, NULL);
    }
}

static void run_pair(const shoal__linear *up, const shoal__linear *down, const shoal__kern *kern,
                     void *scratch, const float *a, int rows, const int *index,
                     const float *row_scale, float *c)
{
    const shoal__plain p = { plain_pair, up, down, kern, scratch };
    shoal__rows_run(&p, &((amx_scratch *)scratch)->room, a, rows, index, row_scale, c);
}

static void plain_run(const shoal__plain *p, const float *a, int rows, float *c)
{
    const shoal__linear *l = p->first;
    amx_scratch *s = p->scratch;
    shoal__amx_rows(s, l->packed, a, (size_t)l->in, rows, l->in);
    shoal__amx_product(l, s, s->rows, c, (size_t)l->out, NULL);
}

static void run(const shoal__linear *l, const shoal__kern *kern, void *scratch, const float *a,
                int rows, const int *index, const float *row_scale, float *c)
{
    const shoal__plain p = { plain_run, l, l, kern, scratch };
    shoal__rows_run(&p, &((amx_scratch *)scratch)->room, a, rows, index, row_scale, c);
}

/* ---- choice ---------------------------------------------------------------------------------- */

#define BACKEND(title, its_precision)                                                              \
    {                                                                                              \
        .name = title, .precision = its_precision, .row_invariant = 1, .pack = pack,               \
        .unpack = unpack, .scratch_new = scratch_new, .scratch_free = scratch_free, .run = run,    \
        .run_pair = run_pair                                                                       \
    }

const shoal__gemm *shoal__gemm_amx(shoal_precision precision, char *why, size_t why_size)
{
    static const shoal__gemm backends[] = {
        BACKEND("amx fp32 of 3 x int8", SHOAL_FP32),
        BACKEND("amx bf16", SHOAL_BF16),
        BACKEND("amx int8", SHOAL_INT8),
    };
    const char *missing = shoal__amx_missing();
    if (!missing)
        return &backends[precision];
    snprintf(why, why_size, "%s", missing);
    return NULL;
}

#endif /* HAVE_AMX */

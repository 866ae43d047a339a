/* gemm_amx.c - the GEMM interface on Intel's matrix unit, AMX: fp32, bf16 and int8
 *
 * Own kernels, for oneDNN 2.6 reaches less than half of what AMX gives at our sizes and does fp32
 * without it. See gemm_amx.h for the layout, gemm_amx_rows.c and gemm_amx_kern.c for the
 * work. The instruction set is looked for, and the kernel asked to let this process use the tile
 * registers, when the first model opens.
 *
 * A row's result does not depend on the other rows, bit for bit, in all three precisions.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef HAVE_AMX

#include <cpuid.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gemm_amx.h"

/* of asm/prctl.h and the CPU's manual: permission for state component 18, the tile registers */
enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 };

static struct {
    pthread_once_t once;
    const char *why;        /* NULL: usable. Written once under `once`, then constant */
} amx = { .once = PTHREAD_ONCE_INIT };

/* ---- packing --------------------------------------------------------------------------------- */

static size_t up_to(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static float channel_scale(const float *row, int n)
{
    float top = 0.0f;
    for (int i = 0; i < n; i++)
        top = fmaxf(top, fabsf(row[i]));
    return top > 0.0f ? top / 127.0f : 1.0f;
}

static uint16_t to_bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

/* Where weight (n, k) lies, counted in numbers: panel, k step, column of tiles, row of `group`
 * numbers of successive k for each of 16 outputs. */
static size_t place(const amx_weight *w, int n, int k, int group)
{
    int step = AMX_ROWS * group;
    size_t tile = ((size_t)(n / AMX_PANEL) * (size_t)w->steps + (size_t)(k / step)) * 2 +
                  (size_t)(n % AMX_PANEL / 16);
    size_t row = tile * AMX_ROWS + (size_t)(k % step / group);
    return (row * 16 + (size_t)(n % 16)) * (size_t)group + (size_t)(k % group);
}

static void fill(const shoal__linear *l, amx_weight *w)
{
    for (int n = 0; n < l->out; n++) {
        const float *row = l->weight + (size_t)n * (size_t)l->in;
        float scale = w->precision == SHOAL_INT8 ? channel_scale(row, l->in) : 1.0f;
        if (w->precision == SHOAL_INT8)
            w->scale[n] = l->scale * scale;
        for (int k = 0; k < l->in; k++)
            switch (w->precision) {
            case SHOAL_FP32:
                ((float *)(void *)w->tiles)[place(w, n, k, 2)] = l->scale * row[k];
                break;
            case SHOAL_BF16:
                ((uint16_t *)(void *)w->tiles)[place(w, n, k, 2)] = to_bf16(l->scale * row[k]);
                break;
            case SHOAL_INT8:
                ((int8_t *)w->tiles)[place(w, n, k, 4)] = (int8_t)lrintf(row[k] / scale);
                break;
            }
    }
}

static void unpack(shoal__linear *l)
{
    amx_weight *w = l->packed;
    if (w) {
        free(w->tiles);
        free(w->scale);
    }
    free(w);
    l->packed = NULL;
}

static int pack_as(shoal__linear *l, shoal_precision precision)
{
    amx_weight *w = calloc(1, sizeof *w);
    l->packed = w;
    if (!w)
        return SHOAL_ENOMEM;
    size_t step = precision == SHOAL_INT8 ? 64 : 32;
    w->precision = precision;
    w->steps = (int)(up_to((size_t)l->in, step) / step);
    w->panels = (int)(up_to((size_t)l->out, AMX_PANEL) / AMX_PANEL);
    size_t bytes = (size_t)w->panels * (size_t)w->steps * 2 * AMX_TILE *
                   (precision == SHOAL_FP32 ? 2 : 1);
    w->tiles = aligned_alloc(64, bytes);
    w->scale = calloc((size_t)w->panels * AMX_PANEL, sizeof *w->scale);
    if (!w->tiles || !w->scale)
        return SHOAL_ENOMEM;
    memset(w->tiles, 0, bytes);
    fill(l, w);
    return 0;
}

static int pack_fp32(shoal__linear *l)
{
    return pack_as(l, SHOAL_FP32);
}

static int pack_bf16(shoal__linear *l)
{
    return pack_as(l, SHOAL_BF16);
}

static int pack_int8(shoal__linear *l)
{
    return pack_as(l, SHOAL_INT8);
}

/* ---- scratch and run ------------------------------------------------------------------------- */

static void scratch_free(void *opaque)
{
    amx_scratch *s = opaque;
    if (!s)
        return;
    free(s->rows);
    free(s->row_scale);
    free(s->panel);
    free(s);
}

static int scratch_new(void **out, shoal__linear *const *all, int n, int max_rows)
{
    size_t steps = 1, rows = up_to((size_t)max_rows, AMX_PANEL);
    for (int i = 0; i < n; i++) {
        size_t of_this = (size_t)((const amx_weight *)all[i]->packed)->steps;
        steps = of_this > steps ? of_this : steps;
    }
    int fp32 = n && ((const amx_weight *)all[0]->packed)->precision == SHOAL_FP32;
    size_t parts = fp32 ? AMX_PARTS : 1, bytes = rows / AMX_ROWS * steps * parts * AMX_TILE;
    amx_scratch *s = calloc(1, sizeof *s);
    if (!s)
        return SHOAL_ENOMEM;
    s->rows = aligned_alloc(64, bytes);
    s->row_scale = calloc(rows, sizeof *s->row_scale);
    s->panel = aligned_alloc(64, fp32 ? steps * AMX_PARTS * 2 * AMX_TILE : 64);
    if (!s->rows || !s->row_scale || !s->panel) {
        scratch_free(s);
        return SHOAL_ENOMEM;
    }
    memset(s->rows, 0, bytes);
    *out = s;
    return 0;
}

static void run(const shoal__linear *l, const shoal__kern *kern, void *scratch, const float *a,
                int rows, float *c)
{
    (void)kern;
    shoal__amx_rows(scratch, l->packed, a, rows, l->in);
    shoal__amx_product(l, scratch, c);
}

/* ---- choice ---------------------------------------------------------------------------------- */

static int cpu_has_amx(void)
{
    enum { BF16 = 1 << 22, TILE = 1 << 24, INT8 = 1 << 25 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16) && (d & TILE) && (d & INT8);
}

static int cpu_has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bf16");
}

static void ask_once(void)
{
    if (!cpu_has_amx() || !cpu_has_avx512())
        amx.why = "this CPU has no AMX (amx-tile, amx-bf16, amx-int8): use another backend";
    else if (syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) != 0)
        amx.why = "the kernel does not let this process use AMX: Linux 5.16 or newer is needed";
}

const shoal__gemm *shoal__gemm_amx(shoal_precision precision, char *why, size_t why_size)
{
    static const shoal__gemm backends[] = {
        { "amx fp32 as 3 x bf16", pack_fp32, unpack, scratch_new, scratch_free, run },
        { "amx bf16", pack_bf16, unpack, scratch_new, scratch_free, run },
        { "amx int8", pack_int8, unpack, scratch_new, scratch_free, run },
    };
    pthread_once(&amx.once, ask_once);
    if (!amx.why)
        return &backends[precision];
    snprintf(why, why_size, "%s", amx.why);
    return NULL;
}

#endif /* HAVE_AMX */

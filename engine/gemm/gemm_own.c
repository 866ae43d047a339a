/* gemm_own.c - our own products behind the GEMM interface, at the level that gemm_choice.c picks;
 * those of int8 and bf16: gemm_own_narrow.c */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "gemm/gemm_memory.h"
#include "gemm/gemm_own.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct own_weight {
    const shoal__own_level *level;
    int padded; /* outputs, whole panels */
    float *data;
} own_weight;

/* What a pair keeps between its products, OWN_DEPTH inner activations at a time. A row is one line
 * longer, so that rows do not share sets of L1. */
enum { INNER_STRIDE = OWN_DEPTH + 16 };

static pthread_once_t once = PTHREAD_ONCE_INIT;

static const shoal__own_face *const levels[] = {
#ifdef HAVE_X86
    &shoal__own_avx512.face,
    &shoal__own_avx2.face,
#endif
#ifdef HAVE_NEON
    &shoal__own_neon.face,
#endif
    &shoal__own_scalar.face,
};
enum { LEVELS = sizeof levels / sizeof *levels };
static int sound[LEVELS]; /* written under `once`, then constant */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* ---- packing ---------------------------------------------------------------------------- */

/* Inputs [k0, k0 + depth) of a panel's outputs, those that are not there as zeros. */
static void pack_panel(float *to, const shoal__linear *l, int columns, int n0, int k0, int depth)
{
    for (int k = 0; k < depth; k++)
        for (int j = 0; j < columns; j++) {
            int n = n0 + j;
            *to++ = n < l->out ? l->scale * l->weight[(size_t)n * (size_t)l->in + (size_t)(k0 + k)]
                               : 0.0f;
        }
}

static void pack_all(own_weight *w, const shoal__linear *l)
{
    int columns = w->level->face.columns;
    for (int k = 0; k < l->in; k += OWN_DEPTH) {
        int depth = least(OWN_DEPTH, l->in - k);
        float *block = w->data + (size_t)k * (size_t)w->padded;
        for (int n = 0; n < w->padded; n += columns)
            pack_panel(block + (size_t)n * (size_t)depth, l, columns, n, k, depth);
    }
}

static int padded(const shoal__linear *l, const shoal__own_level *level)
{
    return (l->out + level->face.columns - 1) / level->face.columns * level->face.columns;
}

static int pack_for(shoal__linear *l, const shoal__own_level *level)
{
    own_weight *w = calloc(1, sizeof *w);
    l->packed = w;
    if (!w)
        return SHOAL_ENOMEM;
    w->level = level;
    w->padded = padded(l, level);
    w->data = shoal__weights_new((size_t)w->padded * (size_t)l->in * sizeof(float));
    if (!w->data)
        return SHOAL_ENOMEM;
    pack_all(w, l);
    return 0;
}

static void unpack(shoal__linear *l)
{
    own_weight *w = l->packed;
    if (w)
        shoal__weights_free(w->data);
    free(w);
    l->packed = NULL;
}

/* ---- running ---------------------------------------------------------------------------- */

static int scratch_new(void **out, shoal__linear *const *all, int n, int max_rows)
{
    (void)all, (void)n;
    size_t rows = (size_t)least(max_rows, OWN_GROUP);
    *out = aligned_alloc(64, rows * INNER_STRIDE * sizeof(float));
    return *out ? 0 : SHOAL_ENOMEM;
}

/* Part of a product: inputs from k on to outputs [n, n + b.to.outputs). b has what is known of
 * rows, a (at input k) and c (at output n); the rest is filled in here. */
static void run_block(const shoal__linear *l, int k, int n, shoal__own_block b)
{
    const own_weight *w = l->packed;
    b.depth = least(OWN_DEPTH, l->in - k);
    b.weight = w->data + (size_t)k * (size_t)w->padded + (size_t)n * (size_t)b.depth;
    b.to.bias = k == 0 ? l->bias + n : NULL;
    b.to.add = k > 0 || l->epilogue == SHOAL__ADD;
    b.to.silu = k + b.depth == l->in && l->epilogue == SHOAL__SILU;
    if (l->epilogue == SHOAL__SILU && !b.to.silu)
        b.to.row_scale = NULL;
    w->level->block(&b);
}

/* All inputs, some outputs; b.a at input 0. */
static void run_outputs(const shoal__linear *l, int n, shoal__own_block b)
{
    const float *a = b.a;
    for (int k = 0; k < l->in; k += OWN_DEPTH) {
        b.a = a + k;
        run_block(l, k, n, b);
    }
}

/* Rows of the next group, of about the same size. */
static int group_of(int left)
{
    int groups = (left + OWN_GROUP - 1) / OWN_GROUP;
    return (left + groups - 1) / groups;
}

/* Rows from number `row` on, n of them. */
static shoal__own_block rows_of(const float *a, int in, float *c, int out, int row, int n,
                                const int *index, const float *row_scale)
{
    return (shoal__own_block){ .a = shoal__own_from(a, in, row, index),
                               .a_stride = (size_t)in,
                               .a_index = index ? index + row : NULL,
                               .to = shoal__own_rows(c, out, row, n, index, row_scale) };
}

static void run(const shoal__linear *l, const shoal__kern *kern, void *scratch, const float *a,
                int rows, const int *index, const float *row_scale, float *c)
{
    (void)kern, (void)scratch;
    for (int row = 0, n; row < rows; row += n) {
        n = group_of(rows - row);
        run_outputs(l, 0, rows_of(a, l->in, c, l->out, row, n, index, row_scale));
    }
}

/* OWN_DEPTH inner activations are made and, while they are in L2, multiplied on: the order in which
 * `down` alone would add them. */
static void run_pair(const shoal__linear *up, const shoal__linear *down, const shoal__kern *kern,
                     void *scratch, const float *a, int rows, const int *index,
                     const float *row_scale, float *c)
{
    (void)kern;
    for (int row = 0, n; row < rows; row += n) {
        n = group_of(rows - row);
        shoal__own_block first = rows_of(a, up->in, scratch, 0, row, n, index, NULL);
        shoal__own_block then = rows_of(scratch, 0, c, down->out, row, n, index, row_scale);
        first.to.index = then.a_index = NULL;
        first.to.stride = then.a_stride = INNER_STRIDE;
        for (int k = 0; k < down->in; k += OWN_DEPTH) {
            first.to.outputs = least(OWN_DEPTH, up->out - k);
            run_outputs(up, k, first);
            run_block(down, k, 0, then);
        }
    }
}

/* ---- choice ----------------------------------------------------------------------------- */

/* The trial: a product that fills tiles of all sizes, blocks and an edge, added to nothing. */
enum { TRY_ROWS = 23, TRY_IN = 300, TRY_OUT = 75, TRY_WIDEST = 128 };

/* Its memory is static: a trial that found none would settle on a slow level for good. */
static struct {
    float a[TRY_ROWS * TRY_IN], weight[TRY_OUT * TRY_IN], bias[TRY_OUT];
    float want[TRY_ROWS * TRY_OUT], got[TRY_ROWS * TRY_OUT];
    _Alignas(64) float packed[(TRY_OUT + TRY_WIDEST) * TRY_IN];
} trial; /* under `once` */

static void try_product(const shoal__own_level *level, float *c)
{
    shoal__linear l = shoal__trial_linear(TRY_IN, TRY_OUT, trial.weight, trial.bias);
    own_weight w = { .level = level, .padded = padded(&l, level), .data = trial.packed };
    pack_all(&w, &l);
    l.packed = &w;
    run(&l, NULL, NULL, trial.a, TRY_ROWS, NULL, NULL, c);
}

static int is_sound(const shoal__own_level *level)
{
    if (level->face.columns > TRY_WIDEST)
        return 0;
    try_product(level, trial.got);
    return shoal__trial_passes(trial.got, trial.want, TRY_ROWS * TRY_OUT);
}

static const shoal__own_level *level_at(int i)
{
    return (const shoal__own_level *)levels[i];
}

static void try_once(void)
{
    shoal__trial_fill(trial.a, TRY_ROWS * TRY_IN);
    shoal__trial_fill(trial.weight, TRY_OUT * TRY_IN);
    shoal__trial_fill(trial.bias, TRY_OUT);
    try_product(&shoal__own_scalar, trial.want);
    for (int i = shoal__own_first(levels, LEVELS); i < LEVELS; i++)
        sound[i] = i == LEVELS - 1 || is_sound(level_at(i));
}

static const shoal__own_level *level_now(void)
{
    pthread_once(&once, try_once);
    return level_at(shoal__own_pick(levels, sound, LEVELS));
}

static int pack(shoal__linear *l, shoal_precision precision)
{
    (void)precision; /* fp32 only */
    return pack_for(l, level_now());
}

#define BACKEND(level)                                                                             \
    {                                                                                              \
        .name = "own " level " fp32", .precision = SHOAL_FP32, .row_invariant = 1, .pack = pack,   \
        .unpack = unpack, .scratch_new = scratch_new, .scratch_free = free, .run = run,            \
        .run_pair = run_pair                                                                       \
    }

const shoal__gemm *shoal__gemm_own(shoal_precision precision, char *why, size_t why_size)
{
    static const shoal__gemm backends[] = { BACKEND("avx512"), BACKEND("avx2"), BACKEND("neon"),
                                            BACKEND("scalar") };
    if (precision != SHOAL_FP32)
        return shoal__gemm_own_narrow(precision, why, why_size);
    return shoal__own_backend(backends, sizeof backends / sizeof *backends, &level_now()->face);
}

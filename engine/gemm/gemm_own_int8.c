/* gemm_own_int8.c - our own int8 products behind the GEMM interface
 *
 * Weights are integers with a scale per output, activations with one per row, made anew in every
 * product; the sums are exact, so every level gives the same integers and what is left to
 * differ is the last bit of what ends a product. The level is chosen as in fp32 (gemm_choice.c).
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm_int8_pack.h"
#include "gemm/gemm_memory.h"
#include "gemm/gemm_own.h"

typedef struct int8_weight {
    const shoal__own_int8 *level;
    int padded, quads; /* outputs, whole panels; inputs / 4, rounded up */
    int8_t *data;
    int32_t *start; /* [padded] */
    float *unit;    /* [padded] */
} int8_weight;

typedef struct int8_scratch {
    uint8_t *bytes;  /* [OWN_GROUP or fewer, stride] */
    float *row_unit; /* [OWN_GROUP or fewer] */
    float *inner;    /* [OWN_PAIR or fewer, inner_stride] */
    size_t stride;   /* one line more than the widest input, so that rows share no sets of L1 */
    size_t inner_stride;
} int8_scratch;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static const shoal__own_face *const levels[] = {
#ifdef HAVE_X86
#ifdef HAVE_VNNI
    &shoal__int8_vnni512.face,
#endif
    &shoal__int8_avx512.face,
#ifdef HAVE_VNNI
    &shoal__int8_vnni.face,
#endif
    &shoal__int8_avx2.face,
#endif
    &shoal__int8_scalar.face,
};
enum { LEVELS = sizeof levels / sizeof *levels };
static int sound[LEVELS]; /* written under `once`, then constant */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* ---- packing ---------------------------------------------------------------------------- */

/* Output n's weights, as bytes, to their places. */
static void pack_output(int8_weight *w, int n, const int8_t *q)
{
    int columns = w->level->face.columns;
    int8_t *panel = w->data + (size_t)(n / columns * columns) * (size_t)w->quads * 4;
    int32_t sum = 0;
    for (int k = 0; k < 4 * w->quads; k++) {
        panel[(k / 4 * columns + n % columns) * 4 + k % 4] = q[k];
        sum += q[k];
    }
    w->start[n] = -128 * sum;
}

/* q: room for an output's bytes. */
static void pack_all(int8_weight *w, const shoal__linear *l, int8_t *q)
{
    memset(q, 0, (size_t)w->quads * 4);
    for (int n = l->out; n < w->padded; n++) {
        pack_output(w, n, q);
        w->unit[n] = 0.0f;
    }
    for (int n = 0; n < l->out; n++) {
        w->unit[n] =
            l->scale * shoal__int8_channel(q, l->weight + (size_t)n * (size_t)l->in, l->in);
        pack_output(w, n, q);
    }
}

static void shape(int8_weight *w, const shoal__linear *l, const shoal__own_int8 *level)
{
    w->level = level;
    w->padded = (l->out + level->face.columns - 1) / level->face.columns * level->face.columns;
    w->quads = (l->in + 3) / 4;
}

static const shoal__own_int8 *level_now(void);

static int pack(shoal__linear *l, shoal_precision precision)
{
    int8_weight *w = calloc(1, sizeof *w);
    (void)precision; /* int8 only */
    l->packed = w;
    if (!w)
        return SHOAL_ENOMEM;
    shape(w, l, level_now());
    int8_t *q = malloc((size_t)w->quads * 4);
    w->data = shoal__weights_new((size_t)w->padded * (size_t)w->quads * 4);
    w->start = malloc((size_t)w->padded * sizeof *w->start);
    w->unit = malloc((size_t)w->padded * sizeof *w->unit);
    int rc = q && w->data && w->start && w->unit ? 0 : SHOAL_ENOMEM;
    if (rc == 0)
        pack_all(w, l, q);
    free(q);
    return rc;
}

static void unpack(shoal__linear *l)
{
    int8_weight *w = l->packed;
    if (w) {
        shoal__weights_free(w->data);
        free(w->start);
        free(w->unit);
    }
    free(w);
    l->packed = NULL;
}

/* ---- running ---------------------------------------------------------------------------- */

static void scratch_free(void *opaque)
{
    int8_scratch *s = opaque;
    if (!s)
        return;
    free(s->bytes);
    free(s->row_unit);
    free(s->inner);
    free(s);
}

static int scratch_new(void **out, shoal__linear *const *all, int n, int max_rows)
{
    size_t in = 1, width = 1, rows = (size_t)least(max_rows, OWN_GROUP);
    int8_scratch *s = calloc(1, sizeof *s);
    if (!s)
        return SHOAL_ENOMEM;
    for (int i = 0; i < n; i++) {
        in = (size_t)all[i]->in > in ? (size_t)all[i]->in : in;
        width = (size_t)all[i]->out > width ? (size_t)all[i]->out : width;
    }
    s->stride = ((in + 63) & ~(size_t)63) + 64;
    s->inner_stride = ((width + 15) & ~(size_t)15) + 16;
    s->bytes = aligned_alloc(64, rows * s->stride);
    s->row_unit = malloc(rows * sizeof *s->row_unit);
    s->inner =
        aligned_alloc(64, (size_t)least(max_rows, OWN_PAIR) * s->inner_stride * sizeof(float));
    if (!s->bytes || !s->row_unit || !s->inner) {
        scratch_free(s);
        return SHOAL_ENOMEM;
    }
    *out = s;
    return 0;
}

/* Rows a [.., stride], those of the index or from the first on, to bytes, one under the other, and
 * those through the product. */
static void multiply(const shoal__linear *l, int8_scratch *s, const float *a, size_t stride,
                     const int *index, shoal__own_end to)
{
    const int8_weight *w = l->packed;
    for (int i = 0; i < to.rows; i++)
        s->row_unit[i] = w->level->quantize(s->bytes + (size_t)i * s->stride,
                                            a + (size_t)(index ? index[i] : i) * stride, l->in);
    to.bias = l->bias;
    to.outputs = l->out;
    to.add = l->epilogue == SHOAL__ADD;
    to.silu = l->epilogue == SHOAL__SILU;
    w->level->product(&(shoal__own_bytes){ .a = s->bytes,
                                           .stride = s->stride,
                                           .row_unit = s->row_unit,
                                           .weight = w->data,
                                           .start = w->start,
                                           .unit = w->unit,
                                           .quads = w->quads,
                                           .to = to });
}

static void run(const shoal__linear *l, const shoal__kern *kern, void *scratch, const float *a,
                int rows, const int *index, const float *row_scale, float *c)
{
    (void)kern;
    for (int row = 0, n; row < rows; row += n) {
        n = least(OWN_GROUP, rows - row);
        multiply(l, scratch, shoal__own_from(a, l->in, row, index), (size_t)l->in,
                 index ? index + row : NULL, shoal__own_rows(c, l->out, row, n, index, row_scale));
    }
}

/* A few rows through both products at a time: what lies between them does not leave L2. */
static void run_pair(const shoal__linear *up, const shoal__linear *down, const shoal__kern *kern,
                     void *scratch, const float *a, int rows, const int *index,
                     const float *row_scale, float *c)
{
    int8_scratch *s = scratch;
    (void)kern;
    for (int row = 0, n; row < rows; row += n) {
        n = least(OWN_PAIR, rows - row);
        multiply(up, s, shoal__own_from(a, up->in, row, index), (size_t)up->in,
                 index ? index + row : NULL,
                 (shoal__own_end){ .c = s->inner, .stride = s->inner_stride, .rows = n });
        multiply(down, s, s->inner, s->inner_stride, NULL,
                 shoal__own_rows(c, down->out, row, n, index, row_scale));
    }
}

/* ---- choice ----------------------------------------------------------------------------- */

/* The trial: rows for tiles of all sizes, an edge, bytes from 1 to 255, pairs at their limit. */
enum { TRY_ROWS = 23, TRY_IN = 150, TRY_OUT = 75, TRY_WIDEST = 128, TRY_QUADS = (TRY_IN + 3) / 4 };

/* Static, as in fp32. */
static struct {
    float a[TRY_ROWS * TRY_IN], weight[TRY_OUT * TRY_IN], bias[TRY_OUT];
    float want[TRY_ROWS * TRY_OUT], got[TRY_ROWS * TRY_OUT];
    _Alignas(64) int8_t packed[(TRY_OUT + TRY_WIDEST) * TRY_QUADS * 4];
    int8_t row[TRY_QUADS * 4];
    uint8_t bytes[TRY_ROWS * TRY_QUADS * 4];
    int32_t start[TRY_OUT + TRY_WIDEST];
    float unit[TRY_OUT + TRY_WIDEST], row_unit[TRY_ROWS];
} trial; /* under `once` */

static void try_product(const shoal__own_int8 *level, float *c)
{
    shoal__linear l = { .in = TRY_IN,
                        .out = TRY_OUT,
                        .epilogue = SHOAL__SILU,
                        .scale = 1.0f,
                        .weight = trial.weight,
                        .bias = trial.bias };
    int8_weight w = { .data = trial.packed, .start = trial.start, .unit = trial.unit };
    int8_scratch s = { trial.bytes, trial.row_unit, NULL, TRY_QUADS * 4, 0 };
    shape(&w, &l, level);
    pack_all(&w, &l, trial.row);
    l.packed = &w;
    run(&l, NULL, &s, trial.a, TRY_ROWS, NULL, NULL, c);
}

static int is_sound(const shoal__own_int8 *level)
{
    if (level->face.columns > TRY_WIDEST || (level->face.cpu_has && !level->face.cpu_has()))
        return 0;
    try_product(level, trial.got);
    return shoal__trial_passes(trial.got, trial.want, TRY_ROWS * TRY_OUT);
}

static const shoal__own_int8 *level_at(int i)
{
    return (const shoal__own_int8 *)levels[i];
}

static void try_once(void)
{
    shoal__trial_fill(trial.a, TRY_ROWS * TRY_IN);
    shoal__trial_fill(trial.weight, TRY_OUT * TRY_IN);
    shoal__trial_fill(trial.bias, TRY_OUT);
    try_product(&shoal__int8_scalar, trial.want);
    for (int i = shoal__own_first(levels, LEVELS); i < LEVELS; i++)
        sound[i] = i == LEVELS - 1 || is_sound(level_at(i));
}

static const shoal__own_int8 *level_now(void)
{
    pthread_once(&once, try_once);
    return level_at(shoal__own_pick(levels, sound, LEVELS));
}

#define BACKEND(level)                                                                             \
    {                                                                                              \
        .name = "own " level " int8", .precision = SHOAL_INT8, .row_invariant = 1, .pack = pack,   \
        .unpack = unpack, .scratch_new = scratch_new, .scratch_free = scratch_free, .run = run,    \
        .run_pair = run_pair                                                                       \
    }

const shoal__gemm *shoal__gemm_own_int8(void)
{
    static const shoal__gemm backends[] = { BACKEND("avx512-vnni"), BACKEND("avx512"),
                                            BACKEND("avx2-vnni"), BACKEND("avx2"),
                                            BACKEND("scalar") };
    return shoal__own_backend(backends, sizeof backends / sizeof *backends, &level_now()->face);
}

/* gemm_own_narrow.c - our own int8 and bf16 products behind the GEMM interface
 *
 * In int8 weights are integers with a scale per output, activations with one per row, made anew in
 * every product; the sums are exact, so every level gives the same integers and what is left to
 * differ is the last bit of what ends a product. In bf16 both are rounded and all scales are 1;
 * sums are fp32. The level is chosen as in fp32 (gemm_choice.c).
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm_int8_pack.h"
#include "gemm/gemm_memory.h"
#include "gemm/gemm_own.h"

typedef struct narrow_weight {
    const shoal__own_narrow *level;
    int padded, words; /* outputs, whole panels; of a row's inputs */
    unsigned char *data;
    int32_t *start; /* [padded] */
    float *unit;    /* [padded] */
} narrow_weight;

typedef struct narrow_scratch {
    unsigned char *rows; /* [OWN_GROUP or fewer, stride] */
    float *row_unit;     /* [OWN_GROUP or fewer] */
    float *inner;        /* [OWN_PAIR or fewer, inner_stride] */
    size_t stride;       /* one line more than the widest input, so that rows share no sets of L1 */
    size_t inner_stride;
} narrow_scratch;

static const shoal__own_face *const int8_levels[] = {
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

static const shoal__own_face *const bf16_levels[] = {
#ifdef HAVE_AVX512BF16
    &shoal__bf16_avx512.face,
#endif
    &shoal__bf16_scalar.face,
};

/* One of the two precisions. */
typedef struct kind {
    const shoal__own_face *const *levels; /* the highest first */
    int count;
    int in_word;                                         /* inputs */
    int sound[sizeof int8_levels / sizeof *int8_levels]; /* written under `once`, then constant */
} kind;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static kind int8 = { int8_levels, sizeof int8_levels / sizeof *int8_levels, 4, { 0 } };
static kind bf16 = { bf16_levels, sizeof bf16_levels / sizeof *bf16_levels, 2, { 0 } };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* ---- packing ---------------------------------------------------------------------------- */

/* Output n's weights as bytes, or as bf16, to whole words; the return is what a step is worth. */
static float narrow_output(const kind *k, void *words, const shoal__linear *l, int n)
{
    const float *weight = l->weight + (size_t)n * (size_t)l->in;
    uint16_t *half = words;
    if (k == &int8)
        return l->scale * shoal__int8_channel(words, weight, l->in);
    for (int i = 0; i < l->in; i++) {
        float w = l->scale * weight[i];
        shoal__kern_scalar.to_bf16(half + i, &w, 1);
    }
    if (l->in % 2)
        half[l->in] = 0;
    return 1.0f;
}

/* Output n's words to their places. */
static void place_output(narrow_weight *w, int n, const unsigned char *words)
{
    int columns = w->level->face.columns;
    unsigned char *panel = w->data + (size_t)(n / columns * columns) * (size_t)w->words * 4;
    for (int k = 0; k < w->words; k++)
        memcpy(panel + (k * columns + n % columns) * 4, words + 4 * k, 4);
}

static int32_t sum_of(const unsigned char *words, int n)
{
    int32_t sum = 0;
    for (int i = 0; i < 4 * n; i++)
        sum += (int8_t)words[i];
    return sum;
}

/* words: room for an output's. */
static void pack_all(const kind *k, narrow_weight *w, const shoal__linear *l, unsigned char *words)
{
    for (int n = 0; n < w->padded; n++) {
        memset(words, 0, (size_t)w->words * 4);
        w->unit[n] = n < l->out ? narrow_output(k, words, l, n) : 0.0f;
        w->start[n] = k == &int8 ? -128 * sum_of(words, w->words) : 0;
        place_output(w, n, words);
    }
}

static void shape(const kind *k, narrow_weight *w, const shoal__linear *l,
                  const shoal__own_narrow *level)
{
    w->level = level;
    w->padded = (l->out + level->face.columns - 1) / level->face.columns * level->face.columns;
    w->words = (l->in + k->in_word - 1) / k->in_word;
}

static const shoal__own_narrow *level_now(const kind *k);

static int pack(shoal__linear *l, shoal_precision precision)
{
    const kind *k = precision == SHOAL_INT8 ? &int8 : &bf16;
    narrow_weight *w = calloc(1, sizeof *w);
    l->packed = w;
    if (!w)
        return SHOAL_ENOMEM;
    shape(k, w, l, level_now(k));
    unsigned char *words = malloc((size_t)w->words * 4);
    w->data = shoal__weights_new((size_t)w->padded * (size_t)w->words * 4);
    w->start = malloc((size_t)w->padded * sizeof *w->start);
    w->unit = malloc((size_t)w->padded * sizeof *w->unit);
    int rc = words && w->data && w->start && w->unit ? 0 : SHOAL_ENOMEM;
    if (rc == 0)
        pack_all(k, w, l, words);
    free(words);
    return rc;
}

static void unpack(shoal__linear *l)
{
    narrow_weight *w = l->packed;
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
    narrow_scratch *s = opaque;
    if (!s)
        return;
    free(s->rows);
    free(s->row_unit);
    free(s->inner);
    free(s);
}

static int scratch_for(const kind *k, void **out, shoal__linear *const *all, int n, int max_rows)
{
    size_t in = 1, width = 1, rows = (size_t)least(max_rows, OWN_GROUP);
    narrow_scratch *s = calloc(1, sizeof *s);
    if (!s)
        return SHOAL_ENOMEM;
    for (int i = 0; i < n; i++) {
        in = (size_t)all[i]->in > in ? (size_t)all[i]->in : in;
        width = (size_t)all[i]->out > width ? (size_t)all[i]->out : width;
    }
    s->stride = shoal__aligned(in * 4 / (size_t)k->in_word) + 64;
    s->inner_stride = ((width + 15) & ~(size_t)15) + 16;
    s->rows = aligned_alloc(64, rows * s->stride);
    s->row_unit = malloc(rows * sizeof *s->row_unit);
    s->inner =
        aligned_alloc(64, (size_t)least(max_rows, OWN_PAIR) * s->inner_stride * sizeof(float));
    if (!s->rows || !s->row_unit || !s->inner) {
        scratch_free(s);
        return SHOAL_ENOMEM;
    }
    *out = s;
    return 0;
}

static int int8_scratch(void **out, shoal__linear *const *all, int n, int max_rows)
{
    return scratch_for(&int8, out, all, n, max_rows);
}

static int bf16_scratch(void **out, shoal__linear *const *all, int n, int max_rows)
{
    return scratch_for(&bf16, out, all, n, max_rows);
}

/* Rows a [.., stride], those of the index or from the first on, to words, one under the other, and
 * those through the product. */
static void multiply(const shoal__linear *l, narrow_scratch *s, const float *a, size_t stride,
                     const int *index, shoal__own_end to)
{
    const narrow_weight *w = l->packed;
    for (int i = 0; i < to.rows; i++)
        s->row_unit[i] = w->level->narrow(s->rows + (size_t)i * s->stride,
                                          a + (size_t)(index ? index[i] : i) * stride, l->in);
    to.bias = l->bias;
    to.outputs = l->out;
    to.add = l->epilogue == SHOAL__ADD;
    to.silu = l->epilogue == SHOAL__SILU;
    w->level->product(&(shoal__own_words){ .a = s->rows,
                                           .stride = s->stride,
                                           .row_unit = s->row_unit,
                                           .weight = w->data,
                                           .start = w->start,
                                           .unit = w->unit,
                                           .words = w->words,
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
    narrow_scratch *s = scratch;
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
enum { TRY_ROWS = 23, TRY_IN = 149, TRY_OUT = 75, TRY_WIDEST = 128, TRY_WORDS = (TRY_IN + 1) / 2 };

/* Static, as in fp32. */
static struct {
    float a[TRY_ROWS * TRY_IN], weight[TRY_OUT * TRY_IN], bias[TRY_OUT];
    float want[TRY_ROWS * TRY_OUT], got[TRY_ROWS * TRY_OUT];
    _Alignas(64) unsigned char packed[(TRY_OUT + TRY_WIDEST) * TRY_WORDS * 4];
    uint32_t words[TRY_WORDS], rows[TRY_ROWS * TRY_WORDS];
    int32_t start[TRY_OUT + TRY_WIDEST];
    float unit[TRY_OUT + TRY_WIDEST], row_unit[TRY_ROWS];
} trial; /* under `once` */

static void try_product(const kind *k, const shoal__own_narrow *level, float *c)
{
    shoal__linear l = shoal__trial_linear(TRY_IN, TRY_OUT, trial.weight, trial.bias);
    narrow_weight w = { .data = trial.packed, .start = trial.start, .unit = trial.unit };
    narrow_scratch s = { .rows = (unsigned char *)trial.rows,
                         .row_unit = trial.row_unit,
                         .stride = TRY_WORDS * 4 };
    shape(k, &w, &l, level);
    pack_all(k, &w, &l, (unsigned char *)trial.words);
    l.packed = &w;
    run(&l, NULL, &s, trial.a, TRY_ROWS, NULL, NULL, c);
}

static int is_sound(const kind *k, const shoal__own_narrow *level)
{
    if (level->face.columns > TRY_WIDEST || (level->face.cpu_has && !level->face.cpu_has()))
        return 0;
    try_product(k, level, trial.got);
    return shoal__trial_passes(trial.got, trial.want, TRY_ROWS * TRY_OUT);
}

static const shoal__own_narrow *level_at(const kind *k, int i)
{
    return (const shoal__own_narrow *)k->levels[i];
}

static void try_levels(kind *k)
{
    try_product(k, level_at(k, k->count - 1), trial.want);
    for (int i = shoal__own_first(k->levels, k->count); i < k->count; i++)
        k->sound[i] = i == k->count - 1 || is_sound(k, level_at(k, i));
}

static void try_once(void)
{
    shoal__trial_fill(trial.a, TRY_ROWS * TRY_IN);
    shoal__trial_fill(trial.weight, TRY_OUT * TRY_IN);
    shoal__trial_fill(trial.bias, TRY_OUT);
    try_levels(&int8);
    try_levels(&bf16);
}

static const shoal__own_narrow *level_now(const kind *k)
{
    pthread_once(&once, try_once);
    return level_at(k, shoal__own_pick(k->levels, k->sound, k->count));
}

#define BACKEND(title, narrow, scratch)                                                            \
    {                                                                                              \
        .name = "own " title, .precision = narrow, .row_invariant = 1, .pack = pack,               \
        .unpack = unpack, .scratch_new = scratch, .scratch_free = scratch_free, .run = run,        \
        .run_pair = run_pair                                                                       \
    }
#define INT8(level) BACKEND(level " int8", SHOAL_INT8, int8_scratch)

const shoal__gemm *shoal__gemm_own_narrow(shoal_precision precision, char *why, size_t why_size)
{
    static const shoal__gemm backends[] = {
        INT8("avx512-vnni"), INT8("avx512"), INT8("avx2-vnni"),
        INT8("avx2"),        INT8("scalar"), BACKEND("avx512 bf16", SHOAL_BF16, bf16_scratch),
    };
    const shoal__own_narrow *level = level_now(precision == SHOAL_INT8 ? &int8 : &bf16);
    if (level != &shoal__bf16_scalar)
        return shoal__own_backend(backends, sizeof backends / sizeof *backends, &level->face);
    snprintf(why, why_size,
             "our own bf16 products want AVX-512 with bf16, or AMX: use precision fp32 or int8");
    return NULL;
}

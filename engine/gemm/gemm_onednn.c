/* gemm_onednn.c - oneDNN behind the GEMM interface: fp32, bf16 and int8
 *
 * oneDNN makes a primitive for each shape, and making one takes a millisecond of code generation.
 * The number of rows changes from run to run, so every weight gets primitives for a few row counts
 * (`tiles`) when the model opens, and a run is cut into tiles: 100 rows = 64 + 32 + 4. No
 * primitive is made, and nothing allocated, in the frame path. All tiles read the same packed
 * copy of the weight.
 *
 *   fp32   f32 x f32 -> f32, bias, SiLU and the residual sum fused into the product
 *   bf16   activations rounded to bf16 just before; products summed in f32; fused as above
 *   int8   activations scaled per row to 8 bits, weights per output channel; sums are exact in
 *          s32, scaled back and finished by kern->finish_int8
 *
 * A row's result does not depend on the tile it falls into, bit for bit, in int8 (exact sums) and,
 * with oneDNN's AVX-512 kernels, in fp32. In bf16, and in fp32 with its AVX2 kernels, it may by
 * 1e-5, since the order of the sum may differ (row_invariant; tests/check_gemm.c).
 *
 * oneDNN comes with OpenMP; a worker thread must not spawn more threads, so scratch_new and the
 * first run of a thread set its OpenMP width to one.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef HAVE_ONEDNN

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm_rows.h"

static const int tiles[] = { 64, 32, 16, 8, 7, 6, 5, 4, 3, 2, 1 };
enum { TILES = sizeof tiles / sizeof *tiles };

typedef struct packed {
    shoal_precision precision;
    dnnl_primitive_t tile[TILES];
    dnnl_memory_desc_t pad[TILES]; /* oneDNN's own scratch memory for each */
    dnnl_memory_t weight, bias;    /* bias NULL for int8: added by finish_int8 */
    float *scale;                  /* [out] of the weight's channels, int8 */
} packed;

/* Memory objects carry the pointer of their data, so every thread needs its own. */
typedef struct views {
    dnnl_memory_t source[TILES], target[TILES], pad[TILES];
} views;

typedef struct scratch {
    dnnl_stream_t stream;
    views *views; /* by linear id */
    int count;
    void *pad;        /* oneDNN's scratch memory, the largest that a tile wants */
    void *source;     /* [max_rows, widest in] of 1 or 2 bytes */
    float *row_scale; /* [max_rows], int8 */
    int32_t *sums;    /* [max_rows, widest out], int8 */
    shoal__row_room room;
    int failed; /* a product was not made: SHOAL_EBACKEND */
} scratch;

static struct {
    pthread_once_t once;
    dnnl_engine_t engine; /* written once under `once`, then constant */
    char name[3][64];
    shoal__gemm backend[3]; /* by precision */
} dnn = { .once = PTHREAD_ONCE_INIT };

static dnnl_data_type_t source_type(shoal_precision p)
{
    return p == SHOAL_FP32 ? dnnl_f32 : p == SHOAL_BF16 ? dnnl_bf16 : dnnl_s8;
}

static dnnl_data_type_t target_type(shoal_precision p)
{
    return p == SHOAL_INT8 ? dnnl_s32 : dnnl_f32;
}

/* ---- packing ---------------------------------------------------------------------------- */

static int matrix(dnnl_memory_desc_t *d, int rows, int columns, dnnl_data_type_t type,
                  dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = { rows, columns };
    return dnnl_memory_desc_init_by_tag(d, 2, dims, type, tag) == dnnl_success ? 0 : SHOAL_EBACKEND;
}

static dnnl_primitive_attr_t attributes(const shoal__linear *l, shoal_precision precision)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    dnnl_post_ops_create(&ops);
    if (precision != SHOAL_INT8 && l->epilogue == SHOAL__SILU)
        dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_swish, 1.0f, 0.0f);
    if (precision != SHOAL_INT8 && l->epilogue == SHOAL__ADD)
        dnnl_post_ops_append_sum(ops, 1.0f);
    dnnl_primitive_attr_set_post_ops(attr, ops);
    dnnl_post_ops_destroy(ops);
    return attr;
}

/* The primitive of one tile; *weight in: wished layout, out: the one it reads. */
static int make_tile(const shoal__linear *l, shoal_precision precision, int rows,
                     dnnl_memory_desc_t *weight, dnnl_memory_desc_t *pad, dnnl_primitive_t *out)
{
    dnnl_memory_desc_t source, target, bias;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t pd;
    if (matrix(&source, rows, l->in, source_type(precision), dnnl_ab) < 0 ||
        matrix(&target, rows, l->out, target_type(precision), dnnl_ab) < 0 ||
        matrix(&bias, 1, l->out, dnnl_f32, dnnl_ab) < 0)
        return SHOAL_EBACKEND;
    if (dnnl_matmul_desc_init(&desc, &source, weight, precision == SHOAL_INT8 ? NULL : &bias,
                              &target) != dnnl_success)
        return SHOAL_EBACKEND;
    dnnl_primitive_attr_t attr = attributes(l, precision);
    dnnl_status_t rc = dnnl_primitive_desc_create(&pd, &desc, attr, dnn.engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    if (rc != dnnl_success)
        return SHOAL_EBACKEND;
    *weight = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    *pad = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    rc = dnnl_primitive_create(out, pd);
    dnnl_primitive_desc_destroy(pd);
    return rc == dnnl_success ? 0 : SHOAL_EBACKEND;
}

static float channel_scale(const float *row, int n)
{
    float top = 0.0f;
    for (int i = 0; i < n; i++)
        top = row[i] > top ? row[i] : -row[i] > top ? -row[i] : top;
    return top > 0.0f ? top / 127.0f : 1.0f;
}

/* The weight as the packing reorder reads it: [out, in] f32, times l->scale; for int8 divided by
 * its channel's scale, so that rounding to s8 is all that is left to do. */
static float *prepare(const shoal__linear *l, packed *p)
{
    float *w = malloc((size_t)l->in * (size_t)l->out * sizeof *w);
    for (int n = 0; w && n < l->out; n++) {
        const float *row = l->weight + (size_t)n * (size_t)l->in;
        float s = l->scale;
        if (p->precision == SHOAL_INT8) {
            p->scale[n] = l->scale * channel_scale(row, l->in);
            s /= p->scale[n];
        }
        for (int k = 0; k < l->in; k++)
            w[(size_t)n * (size_t)l->in + (size_t)k] = s * row[k];
    }
    return w;
}

static int reorder(dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t p;
    dnnl_stream_t stream;
    const dnnl_memory_desc_t *f, *t;
    dnnl_memory_get_memory_desc(from, &f);
    dnnl_memory_get_memory_desc(to, &t);
    if (dnnl_reorder_primitive_desc_create(&pd, f, dnn.engine, t, dnn.engine, NULL) != dnnl_success)
        return SHOAL_EBACKEND;
    int rc = SHOAL_EBACKEND;
    if (dnnl_primitive_create(&p, pd) == dnnl_success) {
        dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
        dnnl_stream_create(&stream, dnn.engine, dnnl_stream_default_flags);
        if (dnnl_primitive_execute(p, stream, 2, args) == dnnl_success &&
            dnnl_stream_wait(stream) == dnnl_success)
            rc = 0;
        dnnl_stream_destroy(stream);
        dnnl_primitive_destroy(p);
    }
    dnnl_primitive_desc_destroy(pd);
    return rc;
}

static int pack_weight(const shoal__linear *l, packed *p, const dnnl_memory_desc_t *layout)
{
    dnnl_memory_desc_t plain;
    dnnl_memory_t from;
    float *w = prepare(l, p);
    if (!w)
        return SHOAL_ENOMEM;
    int rc = matrix(&plain, l->in, l->out, dnnl_f32, dnnl_ba);
    if (rc == 0 && dnnl_memory_create(&from, &plain, dnn.engine, w) == dnnl_success) {
        rc = SHOAL_ENOMEM;
        if (dnnl_memory_create(&p->weight, layout, dnn.engine, DNNL_MEMORY_ALLOCATE) ==
            dnnl_success)
            rc = reorder(from, p->weight);
        dnnl_memory_destroy(from);
    }
    free(w);
    return rc;
}

static int pack(shoal__linear *l, shoal_precision precision)
{
    dnnl_memory_desc_t layout, bias;
    packed *p = calloc(1, sizeof *p);
    l->packed = p;
    if (!p || !(p->scale = calloc((size_t)l->out, sizeof *p->scale)))
        return SHOAL_ENOMEM;
    omp_set_num_threads(1);
    p->precision = precision;
    int rc = matrix(&layout, l->in, l->out, source_type(precision), dnnl_format_tag_any);
    for (int i = 0; rc == 0 && i < TILES; i++)
        rc = make_tile(l, precision, tiles[i], &layout, &p->pad[i], &p->tile[i]);
    if (rc == 0)
        rc = pack_weight(l, p, &layout);
    if (rc == 0 && precision != SHOAL_INT8) {
        rc = matrix(&bias, 1, l->out, dnnl_f32, dnnl_ab);
        if (rc == 0 && dnnl_memory_create(&p->bias, &bias, dnn.engine, l->bias) != dnnl_success)
            rc = SHOAL_ENOMEM;
    }
    return rc;
}

static void unpack(shoal__linear *l)
{
    packed *p = l->packed;
    if (!p)
        return;
    for (int i = 0; i < TILES; i++)
        if (p->tile[i])
            dnnl_primitive_destroy(p->tile[i]);
    if (p->weight)
        dnnl_memory_destroy(p->weight);
    if (p->bias)
        dnnl_memory_destroy(p->bias);
    free(p->scale);
    free(p);
    l->packed = NULL;
}

/* ---- scratch ---------------------------------------------------------------------------- */

static void scratch_free(void *opaque)
{
    scratch *s = opaque;
    if (!s)
        return;
    for (int i = 0; s->views && i < s->count; i++)
        for (int t = 0; t < TILES; t++) {
            if (s->views[i].source[t])
                dnnl_memory_destroy(s->views[i].source[t]);
            if (s->views[i].target[t])
                dnnl_memory_destroy(s->views[i].target[t]);
            if (s->views[i].pad[t])
                dnnl_memory_destroy(s->views[i].pad[t]);
        }
    if (s->stream)
        dnnl_stream_destroy(s->stream);
    free(s->views);
    free(s->pad);
    free(s->source);
    free(s->row_scale);
    free(s->sums);
    shoal__row_room_free(&s->room);
    free(s);
}

static int make_views(views *v, const shoal__linear *l, void *pad)
{
    const packed *p = l->packed;
    for (int t = 0; t < TILES; t++) {
        dnnl_memory_desc_t source, target;
        if (matrix(&source, tiles[t], l->in, source_type(p->precision), dnnl_ab) < 0 ||
            matrix(&target, tiles[t], l->out, target_type(p->precision), dnnl_ab) < 0 ||
            dnnl_memory_create(&v->source[t], &source, dnn.engine, DNNL_MEMORY_NONE) ||
            dnnl_memory_create(&v->target[t], &target, dnn.engine, DNNL_MEMORY_NONE) ||
            dnnl_memory_create(&v->pad[t], &p->pad[t], dnn.engine, pad))
            return SHOAL_ENOMEM;
    }
    return 0;
}

static size_t largest_pad(shoal__linear *const *all, int n)
{
    size_t most = 64;
    for (int i = 0; i < n; i++)
        for (int t = 0; t < TILES; t++) {
            size_t size = dnnl_memory_desc_get_size(&((const packed *)all[i]->packed)->pad[t]);
            most = size > most ? size : most;
        }
    return shoal__aligned(most);
}

static int scratch_new(void **out, shoal__linear *const *all, int n, int max_rows)
{
    size_t in = 1, width = 1, rows = (size_t)max_rows;
    scratch *s = calloc(1, sizeof *s);
    int rc = s ? 0 : SHOAL_ENOMEM;
    for (int i = 0; i < n; i++) {
        in = (size_t)all[i]->in > in ? (size_t)all[i]->in : in;
        width = (size_t)all[i]->out > width ? (size_t)all[i]->out : width;
    }
    if (rc == 0) {
        int int8 = n && ((const packed *)all[0]->packed)->precision == SHOAL_INT8;
        s->count = n;
        s->views = calloc((size_t)n + 1, sizeof *s->views);
        s->pad = aligned_alloc(64, largest_pad(all, n));
        s->source = malloc(rows * in * 2);
        s->row_scale = malloc(rows * sizeof *s->row_scale);
        s->sums = malloc(int8 ? rows * width * sizeof *s->sums : 1);
        rc = shoal__row_room_new(&s->room, all, n, max_rows);
        if (!s->views || !s->pad || !s->source || !s->row_scale || !s->sums ||
            dnnl_stream_create(&s->stream, dnn.engine, dnnl_stream_default_flags) != dnnl_success)
            rc = SHOAL_ENOMEM;
    }
    for (int i = 0; rc == 0 && i < n; i++)
        rc = make_views(&s->views[i], all[i], s->pad);
    if (rc < 0) {
        scratch_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

/* ---- running ---------------------------------------------------------------------------- */

static void run_tile(const shoal__linear *l, scratch *s, int t, void *source, void *target)
{
    const packed *p = l->packed;
    views *v = &s->views[l->id];
    dnnl_memory_set_data_handle(v->source[t], source);
    dnnl_memory_set_data_handle(v->target[t], target);
    dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, v->source[t] },
                               { DNNL_ARG_WEIGHTS, p->weight },
                               { DNNL_ARG_DST, v->target[t] },
                               { DNNL_ARG_SCRATCHPAD, v->pad[t] },
                               { DNNL_ARG_BIAS, p->bias } };
    if (dnnl_primitive_execute(p->tile[t], s->stream, p->bias ? 5 : 4, args) != dnnl_success)
        s->failed = SHOAL_EBACKEND;
}

/* Cut rows into tiles, largest first. */
static void run_tiles(const shoal__linear *l, scratch *s, const void *source, size_t source_bytes,
                      int rows, void *target)
{
    const char *from = source;
    char *to = target;
    for (int t = 0; rows > 0; t++)
        for (; rows >= tiles[t]; rows -= tiles[t]) {
            run_tile(l, s, t, (void *)(uintptr_t)from, to);
            from += (size_t)tiles[t] * (size_t)l->in * source_bytes;
            to += (size_t)tiles[t] * (size_t)l->out * sizeof(float);
        }
}

static void one_thread(void)
{
    static _Thread_local int done;
    if (!done) {
        omp_set_num_threads(1);
        done = 1;
    }
}

static void run_plain(const shoal__plain *p, const float *a, int rows, float *c)
{
    const shoal__linear *l = p->first;
    const packed *w = l->packed;
    scratch *s = p->scratch;
    switch (w->precision) {
    case SHOAL_FP32: run_tiles(l, s, a, sizeof *a, rows, c); break;
    case SHOAL_BF16:
        p->kern->to_bf16(s->source, a, rows * l->in);
        run_tiles(l, s, s->source, 2, rows, c);
        break;
    case SHOAL_INT8:
        p->kern->quantize(s->source, s->row_scale, a, rows, l->in);
        run_tiles(l, s, s->source, 1, rows, s->sums);
        p->kern->finish_int8(c, s->sums, s->row_scale, w->scale, l->bias, rows, l->out,
                             (int)l->epilogue);
        break;
    case SHOAL_PRECISION_AUTO: break; /* no weight is packed so */
    }
}

static void run(const shoal__linear *l, const shoal__kern *kern, void *opaque, const float *a,
                int rows, const int *index, const float *row_scale, float *c)
{
    scratch *s = opaque;
    const shoal__plain p = { run_plain, l, l, kern, s };
    one_thread();
    shoal__rows_run(&p, &s->room, a, rows, index, row_scale, c);
}

static int failed(void *opaque)
{
    scratch *s = opaque;
    int rc = s->failed;
    s->failed = 0;
    return rc;
}

/* ---- choice ----------------------------------------------------------------------------- */

static const char *isa_name(void)
{
    switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_avx512_core_amx: return "amx";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512-bf16";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512-vnni";
    case dnnl_cpu_isa_avx512_core: return "avx512";
    case dnnl_cpu_isa_avx2_vnni: return "avx2-vnni";
    case dnnl_cpu_isa_avx2: return "avx2";
    default: return "generic";
    }
}

/* By what it will use, which ONEDNN_MAX_CPU_ISA may lower, not by the CPU alone. */
static int cpu_can(shoal_precision precision)
{
#ifdef HAVE_X86
    int isa = (int)dnnl_get_effective_cpu_isa();
    if (precision == SHOAL_BF16)
        return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
    if (precision == SHOAL_INT8)
        return (isa & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni;
#endif
    return precision == SHOAL_FP32;
}

/* Seen so with oneDNN 2.6 and 2.7 at each of these levels (tests/check_gemm.c). */
static int rows_are_invariant(shoal_precision precision)
{
    if (precision == SHOAL_FP32)
        return !strncmp(isa_name(), "avx512", 6) || !strcmp(isa_name(), "amx");
    return precision == SHOAL_INT8;
}

static void describe(shoal_precision precision)
{
    dnn.backend[precision] = (shoal__gemm){ .name = dnn.name[precision],
                                            .precision = precision,
                                            .row_invariant = rows_are_invariant(precision),
                                            .pack = pack,
                                            .unpack = unpack,
                                            .scratch_new = scratch_new,
                                            .scratch_free = scratch_free,
                                            .run = run,
                                            .failed = failed };
}

static void start_once(void)
{
    const dnnl_version_t *v = dnnl_version();
    if (dnnl_engine_create(&dnn.engine, dnnl_cpu, 0) != dnnl_success)
        dnn.engine = NULL;
    for (int i = 0; i < 3; i++) {
        snprintf(dnn.name[i], sizeof dnn.name[i], "onednn %d.%d.%d %s %s", v->major, v->minor,
                 v->patch, isa_name(), shoal__precision_name((shoal_precision)i));
        describe((shoal_precision)i);
    }
}

const shoal__gemm *shoal__gemm_onednn(shoal_precision precision, char *why, size_t why_size)
{
    pthread_once(&dnn.once, start_once);
    if (dnn.engine && cpu_can(precision))
        return &dnn.backend[precision];
    snprintf(why, why_size,
             dnn.engine ? "this CPU lacks the instructions for %s: use fp32"
                        : "oneDNN failed to start (%s)",
             precision == SHOAL_BF16   ? "bf16"
             : precision == SHOAL_INT8 ? "int8"
                                       : "fp32");
    return NULL;
}

#endif /* HAVE_ONEDNN */

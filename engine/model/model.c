/* model.c - open a model file: bind every tensor by name, type and exact shape
 *
 *   file -> safetensors -> configuration and program -> pools -> packed matrices
 *
 * The file's bytes are copied once into memory that the model owns; small tensors are views
 * into it, matrices are packed by the GEMM backend. A file that names a tensor nobody binds is
 * refused: it is not what its configuration says. What fails half-way is torn down by
 * shoal_model_close, which takes a model in any state.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "model/model.h"

#include <errno.h>
#include <math.h>
#include <sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 30)

enum { FOURGRAM_CLASSES = 64 }; /* whose four digits a float holds exactly */

/* The built-in model (default_model.c). */
extern const unsigned char shoal__default_model[], shoal__default_model_end[];

/* Sticky error: after the first failure every bind is a no-op. */
typedef struct binder {
    shoal_model *m;
    char *why;
    size_t size;
    int rc;
} binder;

__attribute__((format(printf, 4, 5))) static int explain(char *why, size_t size, int rc,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (why && size)
        vsnprintf(why, size, format, args);
    va_end(args);
    return rc;
}

/* One NaN among the weights would reach every client. */
static int all_finite(const float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(p[i]))
            return 0;
    return 1;
}

__attribute__((format(printf, 5, 6))) static const float *bind(binder *b, int rank, int d0, int d1,
                                                               const char *format, ...)
{
    char name[128];
    int shape[2] = { d0, d1 };
    va_list args;
    if (b->rc < 0)
        return NULL;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const float *p = shoal__safetensors_f32(b->m->tensors, name, rank, shape, b->why, b->size);
    if (!p || !all_finite(p, (size_t)d0 * (size_t)(rank > 1 ? d1 : 1)))
        b->rc = p ? explain(b->why, b->size, SHOAL_EMODEL, "tensor '%.80s' holds a NaN or infinity",
                            name)
                  : SHOAL_EMODEL;
    return p;
}

static void bind_linear(binder *b, shoal__linear *l, shoal__linear shape, const char *prefix)
{
    *l = shape;
    l->scale = l->scale == 0.0f ? 1.0f : l->scale;
    l->weight = bind(b, 2, l->out, l->in, "%s.weight", prefix);
    const float *bias = bind(b, 1, l->out, 0, "%s.bias", prefix);
    if (b->rc < 0)
        return;
    l->id = b->m->linear_count;
    b->m->linears[b->m->linear_count++] = l;
    l->bias = malloc((size_t)l->out * sizeof *l->bias);
    b->rc = l->bias ? shoal__gemm_pack(b->m->gemm, l) : SHOAL_ENOMEM;
    for (int i = 0; b->rc == 0 && i < l->out; i++)
        l->bias[i] = l->scale * bias[i];
}

static shoal__norm bind_norm(binder *b, const char *prefix, const char *name)
{
    shoal__norm n;
    n.weight = bind(b, 1, b->m->config.dim, 0, "%s.%s.weight", prefix, name);
    n.bias = bind(b, 1, b->m->config.dim, 0, "%s.%s.bias", prefix, name);
    return n;
}

/* [D, taps] in the file -> [taps, D], so that the kernel runs along channels. */
static void bind_depthwise(binder *b, shoal__block *k, int index)
{
    int D = b->m->config.dim, taps = b->m->config.kernel;
    const float *w = bind(b, 2, D, taps, "blocks.%d.conv.dw.weight", index);
    k->dw_bias = bind(b, 1, D, 0, "blocks.%d.conv.dw.bias", index);
    if (b->rc < 0)
        return;
    k->dw_weight = malloc((size_t)D * (size_t)taps * sizeof *k->dw_weight);
    if (!k->dw_weight) {
        b->rc = SHOAL_ENOMEM;
        return;
    }
    for (int d = 0; d < D; d++)
        for (int t = 0; t < taps; t++)
            k->dw_weight[t * D + d] = w[d * taps + t];
}

static void bind_block(binder *b, int index)
{
    const shoal__config *c = &b->m->config;
    shoal__block *k = &b->m->blocks[index];
    const shoal__epilogue silu = SHOAL__SILU, add = SHOAL__ADD;
    const struct {
        shoal__linear *l;
        const char *name;
        shoal__linear shape;
    } linears[] = {
        { &k->ffn1_up, "ffn1.up", { .out = c->ffn, .in = c->dim, .epilogue = silu } },
        { &k->ffn1_down,
          "ffn1.down",
          { .out = c->dim, .in = c->ffn, .epilogue = add, .scale = 0.5f } },
        { &k->qkv, "att.qkv", { .out = 3 * c->dim, .in = c->dim } },
        { &k->att_out, "att.out", { .out = c->dim, .in = c->dim, .epilogue = add } },
        { &k->pw1, "conv.pw1", { .out = 2 * c->dim, .in = c->dim } },
        { &k->pw2, "conv.pw2", { .out = c->dim, .in = c->dim, .epilogue = add } },
        { &k->ffn2_up, "ffn2.up", { .out = c->ffn, .in = c->dim, .epilogue = silu } },
        { &k->ffn2_down,
          "ffn2.down",
          { .out = c->dim, .in = c->ffn, .epilogue = add, .scale = 0.5f } },
    };
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "blocks.%d.%s", index, linears[i].name);
        bind_linear(b, linears[i].l, linears[i].shape, prefix);
    }
    bind_depthwise(b, k, index);
}

static void bind_norm_set(binder *b, int index)
{
    shoal__norm_set *n = &b->m->norm_sets[index];
    char prefix[32];
    snprintf(prefix, sizeof prefix, "norms.%d", index);
    n->ffn1 = bind_norm(b, prefix, "ffn1");
    n->att = bind_norm(b, prefix, "att");
    n->conv = bind_norm(b, prefix, "conv");
    n->conv_mid = bind_norm(b, prefix, "conv_mid");
    n->ffn2 = bind_norm(b, prefix, "ffn2");
    n->out = bind_norm(b, prefix, "out");
}

static void bind_frontend(binder *b)
{
    shoal_model *m = b->m;
    const shoal__config *c = &m->config;
    m->mel.window = bind(b, 1, SHOAL__WINDOW, 0, "frontend.window");
    m->mel_filters = bind(b, 2, c->mels, SHOAL__BINS, "frontend.mel_filters");
    m->mel.mean = bind(b, 1, c->mels, 0, "frontend.mean");
    m->mel.istd = bind(b, 1, c->mels, 0, "frontend.istd");
    for (int i = 0; b->rc == 0 && i < c->mels; i++) {
        const float *row = m->mel_filters + i * SHOAL__BINS;
        int first = 0, last = SHOAL__BINS;
        while (first < last && row[first] == 0.0f)
            first++;
        while (last > first && row[last - 1] == 0.0f)
            last--;
        m->mel_first[i] = first;
        m->mel_count[i] = last - first;
    }
    if (b->rc == 0)
        b->rc = shoal__mel_make(m);
    shoal__linear conv1 = { .out = c->dim, .in = 3 * c->mels, .epilogue = SHOAL__SILU };
    shoal__linear conv2 = { .out = c->dim, .in = 3 * c->dim };
    bind_linear(b, &m->conv1, conv1, "subsample.conv1");
    bind_linear(b, &m->conv2, conv2, "subsample.conv2");
    m->subsample_norm = bind_norm(b, "subsample", "norm");
}

static const shoal__fourgram *bind_fourgram(binder *b, const float *trigram)
{
    static const char name[] = "decoder.fourgram";
    shoal__fourgram *f = &b->m->fourgram;
    int C = b->m->config.classes, count = shoal__safetensors_dim(b->m->tensors, name, 0);
    const float *entries = bind(b, 2, count, 2, name);
    if (b->rc < 0)
        return NULL;
    if (C > FOURGRAM_CLASSES)
        b->rc = explain(b->why, b->size, SHOAL_EMODEL,
                        "tensor '%s' is for at most %d classes, not %d", name, FOURGRAM_CLASSES, C);
    else if ((b->rc = shoal__fourgram_make(f, entries, count, trigram, C)) == SHOAL_ENOMEM)
        explain(b->why, b->size, b->rc, "out of memory");
    else if (b->rc < 0)
        explain(b->why, b->size, b->rc,
                "tensor '%s': its first column must be whole numbers, ascending, "
                "below %d^4",
                name, C);
    return b->rc < 0 ? NULL : f;
}

/* A file has a bigram or a trigram; with both, the bigram belongs to nothing. */
static void bind_language_model(binder *b)
{
    shoal__search *s = &b->m->searches[SHOAL__LM];
    int C = b->m->config.classes,
        trigram = shoal__safetensors_has(b->m->tensors, "decoder.trigram");
    s->histories = trigram ? C : 1;
    s->transition =
        bind(b, 2, s->histories * C, C, trigram ? "decoder.trigram" : "decoder.transition");
    s->log_prior = bind(b, 1, C, 0, "decoder.log_prior");
    if (trigram && shoal__safetensors_has(b->m->tensors, "decoder.fourgram"))
        s->fourgram = bind_fourgram(b, s->transition);
}

/* Columns of a search's tables; 0 if the file does not have it. */
static int ages_of(binder *b, const char *leave)
{
    if (b->rc < 0 || !shoal__safetensors_has(b->m->tensors, leave))
        return 0;
    int ages = shoal__safetensors_dim(b->m->tensors, leave, 1);
    if (ages <= SHOAL__MAX_AGES)
        return ages ? ages : 1; /* a vector: bind will say what is wrong with it */
    b->rc = explain(b->why, b->size, SHOAL_EMODEL,
                    "tensor '%.80s' tells %d ages apart, at most %d are "
                    "allowed",
                    leave, ages, SHOAL__MAX_AGES);
    return 0;
}

/* The other searches; files may lack them. */
static void bind_search(binder *b, int which, const char *prefix)
{
    shoal__search *s = &b->m->searches[which];
    const shoal__search *lm = &b->m->searches[SHOAL__LM];
    int C = b->m->config.classes;
    char leave[64];
    snprintf(leave, sizeof leave, "%s.leave", prefix);
    s->ages = ages_of(b, leave);
    if (s->ages == 0)
        return;
    s->histories = which & SHOAL__LM ? lm->histories : 1;
    s->transition = which & SHOAL__LM ? lm->transition : NULL;
    s->fourgram = which & SHOAL__LM ? lm->fourgram : NULL;
    s->leave = bind(b, 2, C, s->ages, "%s", leave);
    s->stay = bind(b, 2, C, s->ages, "%s.stay", prefix);
    s->log_prior = bind(b, 1, C, 0, "%s.log_prior", prefix);
}

static void bind_decoder(binder *b)
{
    bind_language_model(b);
    bind_search(b, SHOAL__LM | SHOAL__DURATIONS, "decoder.lm_durations");
    bind_search(b, SHOAL__DURATIONS, "decoder.durations");
    bind_search(b, 0, "decoder.plain");
}

static int bind_all(shoal_model *m, char *why, size_t why_size)
{
    binder b = { .m = m, .why = why, .size = why_size };
    const shoal__config *c = &m->config;
    bind_frontend(&b);
    for (int i = 0; i < c->blocks; i++)
        bind_block(&b, i);
    for (int i = 0; i < c->norm_sets; i++)
        bind_norm_set(&b, i);
    bind_linear(&b, &m->head, (shoal__linear){ .out = c->classes, .in = c->dim }, "head");
    bind_decoder(&b);
    if (b.rc == 0 && shoal__safetensors_unused(m->tensors))
        return explain(why, why_size, SHOAL_EMODEL,
                       "tensor '%.80s' belongs to nothing in the configuration",
                       shoal__safetensors_unused(m->tensors));
    return b.rc;
}

static void describe(shoal_model *m)
{
    const shoal__config *c = &m->config;
    shoal_model_info *i = &m->info;
    i->name = c->name;
    i->sha256 = m->sha256;
    i->rate = 16000;
    i->mels = c->mels;
    i->frame_samples = 2 * SHOAL__HOP;
    i->window_extra_samples = SHOAL__WINDOW - SHOAL__HOP;
    i->delay_frames = c->delay;
    i->dim = c->dim;
    i->classes = c->classes;
    i->left_frames = c->left;
    i->max_left_frames = SHOAL__MAX_LEFT;
    i->max_chunk_frames = SHOAL__MAX_CHUNK;
    for (unsigned s = 0; s < SHOAL__SEARCHES; s++)
        i->decoders |= (m->searches[s].log_prior ? 1u : 0u) << s;
    i->parameters = shoal__safetensors_elements(m->tensors);
    i->labels = m->labels;
    i->backend = m->gemm->name;
    i->kernels = m->kern->name;
}

/* Takes ownership of file, also on failure. */
static int open_owned(shoal_model **out, void *file, size_t size, const shoal_model_params *params,
                      char *why, size_t why_size)
{
    shoal_model *m = calloc(1, sizeof *m);
    if (!m) {
        free(file);
        return explain(why, why_size, SHOAL_ENOMEM, "out of memory");
    }
    char unheard[8];
    if (!why || !why_size) {
        why = unheard;
        why_size = sizeof unheard;
    }
    m->file = file;
    m->kern = shoal__kern_choose();
    m->bf16_caches = params->precision != SHOAL_FP32;
    m->gemm = shoal__gemm_choose(params->backend, params->precision, why, why_size);
    int rc = m->gemm ? 0 : SHOAL_EBACKEND;
    if (rc == 0)
        rc = shoal__safetensors_parse(&m->tensors, file, size, why, why_size);
    if (rc == 0)
        rc = shoal__config_read(m, why, why_size);
    if (rc == 0)
        rc = bind_all(m, why, why_size);
    if (rc < 0) {
        shoal_model_close(m);
        return rc == SHOAL_ENOMEM ? explain(why, why_size, rc, "out of memory") : rc;
    }
    SHA256Data(file, size, m->sha256);
    describe(m);
    *out = m;
    return 0;
}

static int open_copy(shoal_model **out, const void *data, size_t size,
                     const shoal_model_params *params, char *why, size_t why_size)
{
    if (!size || size > MAX_FILE)
        return explain(why, why_size, SHOAL_EMODEL, "a model has 1 byte to 1 GiB, not %zu", size);
    void *copy = malloc(size);
    if (!copy)
        return explain(why, why_size, SHOAL_ENOMEM, "out of memory");
    memcpy(copy, data, size);
    return open_owned(out, copy, size, params, why, why_size);
}

shoal_model_params shoal_model_default_params(void)
{
    return (shoal_model_params){ SHOAL_BACKEND_AUTO, SHOAL_FP32 };
}

int shoal_model_open_memory(shoal_model **out, const void *data, size_t size, char *why,
                            size_t why_size)
{
    shoal_model_params params = shoal_model_default_params();
    return open_copy(out, data, size, &params, why, why_size);
}

/* The whole file in fresh memory; NULL with errno set. */
static void *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    void *data = NULL;
    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        long n = ftell(f);
        rewind(f);
        if (n <= 0 || (size_t)n > MAX_FILE)
            errno = n > 0 ? EFBIG : n == 0 ? ENODATA : errno;
        else if ((data = malloc((size_t)n)) && fread(data, 1, (size_t)n, f) != (size_t)n) {
            free(data);
            data = NULL;
            errno = EIO;
        }
        *size = (size_t)n;
    }
    int saved = errno;
    fclose(f);
    errno = saved;
    return data;
}

int shoal_model_open(shoal_model **out, const char *path, char *why, size_t why_size)
{
    shoal_model_params params = shoal_model_default_params();
    return shoal_model_open_with(out, path, &params, why, why_size);
}

int shoal_model_open_with(shoal_model **out, const char *path, const shoal_model_params *params,
                          char *why, size_t why_size)
{
    if ((unsigned)params->backend > SHOAL_BACKEND_AMX || (unsigned)params->precision > SHOAL_INT8)
        return explain(why, why_size, SHOAL_EINVAL, "no such backend or precision");
    if (!path)
        return open_copy(out, shoal__default_model,
                         (size_t)(shoal__default_model_end - shoal__default_model), params, why,
                         why_size);
    size_t size = 0;
    void *file = read_file(path, &size);
    if (!file)
        return explain(why, why_size, SHOAL_EIO, "cannot read model '%s': %s", path,
                       strerror(errno));
    char detail[256] = "";
    int rc = open_owned(out, file, size, params, detail, sizeof detail);
    if (rc < 0)
        explain(why, why_size, rc, "cannot use model '%s': %s", path, detail);
    return rc;
}

void shoal_model_close(shoal_model *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->linear_count; i++) {
        m->gemm->unpack(m->linears[i]);
        free(m->linears[i]->bias);
    }
    for (int i = 0; m->blocks && i < m->config.blocks; i++)
        free(m->blocks[i].dw_weight);
    free(m->mel.weights);
    shoal__fourgram_free(&m->fourgram);
    free(m->blocks);
    free(m->norm_sets);
    for (int i = 0; i < SHOAL__MAX_CLASSES; i++)
        free((void *)m->labels[i]);
    shoal__safetensors_free(m->tensors);
    free(m->file);
    free(m);
}

const shoal_model_info *shoal_model_get_info(const shoal_model *m)
{
    return &m->info;
}

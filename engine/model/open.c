/* open.c - open a model file and close it
 *
 *   file -> safetensors -> configuration and programs -> pools -> packed matrices
 *          (safetensors.c)  (config.c, program.c)        (ends.c, ops/, tables_bind.c)
 *
 * The file's bytes are copied once into memory that the model owns, but for the built-in one's,
 * which stay where they are; small tensors are views into them, matrices are packed by the GEMM
 * backend. What fails half-way is torn down by shoal_model_close, which takes a model in any state.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "model/bind.h"
#include "model/checksum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 30)

/* The built-in model (default_model.c). */
extern const unsigned char shoal__default_model[], shoal__default_model_end[];

/* auto: what is exact in fp32; below it, what the level's attention is fastest with. */
static shoal__kind cache_kind(const shoal__kern *kern, shoal_cache cache, shoal_precision precision)
{
    static const shoal__kind kinds[] = {
        [SHOAL_CACHE_F32] = SHOAL__F32,
        [SHOAL_CACHE_BF16] = SHOAL__BF16,
        [SHOAL_CACHE_F16] = SHOAL__F16,
        [SHOAL_CACHE_INT8] = SHOAL__I8,
    };
    if (cache != SHOAL_CACHE_AUTO)
        return kinds[cache];
    if (precision == SHOAL_FP32)
        return SHOAL__F32;
    return kern->level == SHOAL__SCALAR || kern->level == SHOAL__AVX2 ? SHOAL__F16 : SHOAL__BF16;
}

/* Values of the network: what front end and decoder bring are no weights. */
static size_t weights(const shoal__safetensors *st)
{
    return shoal__safetensors_elements(st, "") - shoal__safetensors_elements(st, "frontend.") -
           shoal__safetensors_elements(st, "decoder.") -
           shoal__safetensors_elements(st, "head.priors");
}

static void describe(shoal_model *m)
{
    static const char *const kind[] = { "fp32", "bf16", "fp16", "int8" };
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
    i->programs = m->program_count;
    i->left_frames = c->left;
    i->max_left_frames = SHOAL__MAX_LEFT;
    i->max_chunk_frames = SHOAL__MAX_CHUNK;
    for (unsigned s = 0; s < SHOAL__SEARCHES; s++)
        i->decoders |= (m->searches[s].log_prior ? 1u : 0u) << s;
    i->parameters = weights(m->tensors);
    i->labels = m->labels;
    i->backend = m->gemm->name;
    i->kernels = m->kern->name;
    i->precision = shoal__precision_name(m->gemm->precision);
    i->cache = kind[m->cache];
    i->why = m->why;
    i->row_invariant = m->gemm->row_invariant;
    i->temperature = m->config.temperature;
    i->priors = m->priors;
}

/* Everything of the file; a tensor that nobody binds is an error. */
static int bind_all(shoal_model *m, char *why, size_t why_size)
{
    shoal__binder b = { .m = m, .why = why, .size = why_size };
    shoal__ends_bind(&b);
    shoal__ops_bind(&b);
    shoal__tables_bind(&b);
    const char *left = b.rc == 0 ? shoal__safetensors_unused(m->tensors) : NULL;
    return left ? shoal__explain(why, why_size, SHOAL_EMODEL,
                                 "tensor '%.80s' belongs to nothing in the configuration", left)
                : b.rc;
}

static int choose(shoal_model *m, const shoal_model_params *p, char *why, size_t why_size)
{
    const char *levels = shoal__kern_refused();
    if (levels)
        return shoal__explain(why, why_size, SHOAL_EBACKEND,
                              "SHOAL_KERNELS is '%.40s', which is no level of kernels here: say "
                              "%s, or unset it",
                              getenv("SHOAL_KERNELS"), levels);
    m->kern = shoal__kern_choose();
    m->gemm = shoal__gemm_choose(p->backend, p->precision, why, why_size);
    if (!m->gemm)
        return SHOAL_EBACKEND;
    m->cache = cache_kind(m->kern, p->cache, m->gemm->precision);
    shoal__gemm_explain(m->why, sizeof m->why, m->gemm, p->backend, p->precision);
    return 0;
}

typedef struct source {
    const void *file;
    size_t size;
    void *owned; /* the same, or NULL if it outlives every model */
} source;

/* Takes ownership of what is owned, also on failure. */
static int open_source(shoal_model **out, source from, const shoal_model_params *params, char *why,
                       size_t why_size)
{
    const void *file = from.file;
    size_t size = from.size;
    shoal_model *m = calloc(1, sizeof *m);
    if (!m) {
        free(from.owned);
        return shoal__explain(why, why_size, SHOAL_ENOMEM, "out of memory");
    }
    char unheard[8];
    if (!why || !why_size) {
        why = unheard;
        why_size = sizeof unheard;
    }
    m->file = from.owned;
    int rc = choose(m, params, why, why_size);
    if (rc == 0)
        rc = shoal__safetensors_parse(&m->tensors, file, size, why, why_size);
    int summed = rc < 0 ? rc : shoal__checksum_verify(m->tensors, file, size, why, why_size);
    rc = summed < 0 ? summed : shoal__config_read(m, why, why_size);
    if (rc == 0 && m->config.format > 1 && !summed)
        rc = shoal__explain(why, why_size, SHOAL_EMODEL,
                            "metadata 'crc32' is missing, which format %d needs: write the file "
                            "with training/convert.py",
                            m->config.format);
    if (rc == 0)
        rc = bind_all(m, why, why_size);
    if (rc < 0) {
        shoal_model_close(m);
        return rc == SHOAL_ENOMEM ? shoal__explain(why, why_size, rc, "out of memory") : rc;
    }
    shoal__checksum_sha256(m->sha256, file, size);
    describe(m);
    *out = m;
    return 0;
}

static int open_copy(shoal_model **out, const void *data, size_t size,
                     const shoal_model_params *params, char *why, size_t why_size)
{
    if (!size || size > MAX_FILE)
        return shoal__explain(why, why_size, SHOAL_EMODEL, "a model has 1 byte to 1 GiB, not %zu",
                              size);
    void *copy = malloc(size);
    if (!copy)
        return shoal__explain(why, why_size, SHOAL_ENOMEM, "out of memory");
    memcpy(copy, data, size);
    return open_source(out, (source){ copy, size, copy }, params, why, why_size);
}

shoal_model_params shoal_model_default_params(void)
{
    return (shoal_model_params){ SHOAL_BACKEND_AUTO, SHOAL_FP32, SHOAL_CACHE_AUTO };
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
    if ((unsigned)params->backend > SHOAL_BACKEND_OWN ||
        (unsigned)params->precision > SHOAL_PRECISION_AUTO ||
        (unsigned)params->cache > SHOAL_CACHE_INT8)
        return shoal__explain(why, why_size, SHOAL_EINVAL, "no such backend, precision or cache");
    if (!path) {
        size_t n = (size_t)(shoal__default_model_end - shoal__default_model);
        return open_source(out, (source){ shoal__default_model, n, NULL }, params, why, why_size);
    }
    size_t size = 0;
    void *file = read_file(path, &size);
    if (!file)
        return shoal__explain(why, why_size, SHOAL_EIO, "cannot read model '%s': %s", path,
                              strerror(errno));
    char detail[256] = "";
    int rc = open_source(out, (source){ file, size, file }, params, detail, sizeof detail);
    if (rc < 0)
        shoal__explain(why, why_size, rc, "cannot use model '%s': %s", path, detail);
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
    free(m->linears);
    free(m->mel.weights);
    shoal__ops_unbind(m);
    shoal__tables_free(m);
    shoal__program_free(m);
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

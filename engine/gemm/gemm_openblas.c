/* gemm_openblas.c - OpenBLAS behind the GEMM interface, with the right kernels for the CPU
 *
 * Debian's OpenBLAS 0.3.21 does not know CPUs newer than itself and falls back to its AVX2
 * (Haswell) kernels on them, at half the speed that its AVX-512 (SkylakeX) kernels reach. Which
 * kernels it uses can only be said in OPENBLAS_CORETYPE before the library is loaded. So the
 * engine loads it itself, with dlopen, after setting that variable where the CPU has AVX-512
 * and the user has not chosen; the environment is put back afterwards. A process that has
 * loaded OpenBLAS before keeps what it has.
 *
 * OpenBLAS's own threads are switched off: the engine is called from one thread per worker.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gemm/gemm_rows.h"
#include "shoal.h"

enum { ROW_MAJOR = 101, NO_TRANS = 111 }; /* of cblas.h, which is fixed by the CBLAS standard */

typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha,
                         const float *a, int lda, const float *b, int ldb, float beta, float *c,
                         int ldc);

static struct {
    pthread_once_t once;
    sgemm_fn sgemm; /* written once under `once`, then constant */
    char name[64];
    char why[200];
} blas = { .once = PTHREAD_ONCE_INIT };

static int wants_skylakex(void)
{
#ifdef HAVE_X86
    return shoal__cpu_has_avx512() && __builtin_cpu_supports("avx512cd");
#else
    return 0;
#endif
}

static void *load_library(void)
{
    static const char *const names[] = { "libopenblas.so.0", "libopenblas.so", NULL };
    void *lib = NULL;
    int set_core = !getenv("OPENBLAS_CORETYPE") && wants_skylakex();
    int set_threads = !getenv("OPENBLAS_NUM_THREADS");
    if (set_core)
        setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
    if (set_threads)
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
    for (int i = 0; !lib && names[i]; i++)
        lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (set_core)
        unsetenv("OPENBLAS_CORETYPE");
    if (set_threads)
        unsetenv("OPENBLAS_NUM_THREADS");
    return lib;
}

static void load_once(void)
{
    void *lib = load_library();
    if (!lib) {
        snprintf(blas.why, sizeof blas.why,
                 "OpenBLAS cannot be loaded (%s): install libopenblas0-pthread", dlerror());
        return;
    }
    blas.sgemm = (sgemm_fn)dlsym(lib, "cblas_sgemm");
    void (*threads)(int) = (void (*)(int))dlsym(lib, "openblas_set_num_threads");
    char *(*config)(void) = (char *(*)(void))dlsym(lib, "openblas_get_config");
    char *(*core)(void) = (char *(*)(void))dlsym(lib, "openblas_get_corename");
    if (!blas.sgemm) {
        snprintf(blas.why, sizeof blas.why,
                 "libopenblas has no cblas_sgemm: install Debian's "
                 "libopenblas0-pthread");
        return;
    }
    if (threads)
        threads(1);
    char version[24] = "";
    if (config)
        sscanf(config(), "OpenBLAS %23s", version);
    snprintf(blas.name, sizeof blas.name, "openblas %s %s", version, core ? core() : "");
}

/* [in, out]: OpenBLAS copies either way, this one faster. */
static int pack(shoal__linear *l, shoal_precision precision)
{
    (void)precision; /* fp32 only: gemm.c */
    float *packed = malloc((size_t)l->in * (size_t)l->out * sizeof *packed);
    if (!packed)
        return SHOAL_ENOMEM;
    for (int n = 0; n < l->out; n++)
        for (int k = 0; k < l->in; k++)
            packed[(size_t)k * (size_t)l->out + (size_t)n] =
                l->scale * l->weight[(size_t)n * (size_t)l->in + (size_t)k];
    l->packed = packed;
    return 0;
}

static void unpack(shoal__linear *l)
{
    free(l->packed);
    l->packed = NULL;
}

static int scratch_new(void **out, shoal__linear *const *all, int n, int max_rows)
{
    shoal__row_room *room = calloc(1, sizeof *room);
    int rc = room ? shoal__row_room_new(room, all, n, max_rows) : SHOAL_ENOMEM;
    if (rc < 0) {
        free(room);
        return rc;
    }
    *out = room;
    return 0;
}

static void scratch_free(void *scratch)
{
    if (scratch)
        shoal__row_room_free(scratch);
    free(scratch);
}

static void run_plain(const shoal__plain *p, const float *a, int rows, float *c)
{
    const shoal__linear *l = p->first;
    p->kern->bias_rows(c, l->bias, rows, l->out, l->epilogue == SHOAL__ADD);
    blas.sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, rows, l->out, l->in, 1.0f, a, l->in, l->packed,
               l->out, 1.0f, c, l->out);
    if (l->epilogue == SHOAL__SILU)
        p->kern->silu(c, rows * l->out);
}

static void run(const shoal__linear *l, const shoal__kern *kern, void *scratch, const float *a,
                int rows, const int *index, const float *row_scale, float *c)
{
    const shoal__plain p = { run_plain, l, l, kern, NULL };
    shoal__rows_run(&p, scratch, a, rows, index, row_scale, c);
}

const shoal__gemm *shoal__gemm_openblas(char *why, size_t why_size)
{
    static const shoal__gemm backend = { .name = blas.name,
                                         .pack = pack,
                                         .unpack = unpack,
                                         .scratch_new = scratch_new,
                                         .scratch_free = scratch_free,
                                         .run = run };
    pthread_once(&blas.once, load_once);
    if (blas.sgemm)
        return &backend;
    snprintf(why, why_size, "%s", blas.why);
    return NULL;
}

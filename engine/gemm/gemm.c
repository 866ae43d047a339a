/* gemm.c - choose the backend of the matrix products
 *
 * auto: AMX where the CPU has it; then oneDNN where the level is AVX-512, since its kernels are
 * measured there and ours are not; then our own, which are the fastest on a CPU with AVX2 alone
 * (docs/performance.md), and have int8 on any. bf16 needs AMX or oneDNN. OpenBLAS is had by name.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "gemm/gemm.h"

#include <stdio.h>
#include <string.h>

static const shoal__gemm *choose_amx(shoal_precision precision, char *why, size_t why_size)
{
#ifdef HAVE_AMX
    if (shoal__kern_choose() == &shoal__kern_amx)
        return shoal__gemm_amx(precision, why, why_size);
    const char *missing = shoal__amx_missing();
    snprintf(why, why_size, "%s",
             missing ? missing : "SHOAL_KERNELS asks for less than amx: unset it");
    return NULL;
#else
    (void)precision;
    snprintf(why, why_size,
             "this build has no AMX kernels: the compiler or configure left them out");
    return NULL;
#endif
}

static const shoal__gemm *choose_onednn(shoal_precision precision, char *why, size_t why_size)
{
#ifdef HAVE_ONEDNN
    return shoal__gemm_onednn(precision, why, why_size);
#else
    (void)precision;
    snprintf(why, why_size, "this build has no oneDNN: install libdnnl-dev and configure again");
    return NULL;
#endif
}

static const shoal__gemm *choose_openblas(shoal_precision precision, char *why, size_t why_size)
{
    if (precision == SHOAL_FP32)
        return shoal__gemm_openblas(why, why_size);
    snprintf(why, why_size, "OpenBLAS multiplies fp32 only: use precision fp32 or another backend");
    return NULL;
}

/* oneDNN before our own products: it has kernels for AVX-512, and the level allows them. */
static int prefers_onednn(shoal_precision precision)
{
    const char *level = shoal__kern_choose()->name;
    return precision == SHOAL_BF16 || !strcmp(level, "avx512") || !strcmp(level, "amx");
}

const shoal__gemm *shoal__gemm_choose(shoal_backend backend, shoal_precision precision, char *why,
                                      size_t why_size)
{
    static const struct {
        shoal_backend backend;
        const shoal__gemm *(*choose)(shoal_precision precision, char *why, size_t why_size);
    } order[] = {
        { SHOAL_BACKEND_AMX, choose_amx },
        { SHOAL_BACKEND_ONEDNN, choose_onednn },
        { SHOAL_BACKEND_OWN, shoal__gemm_own },
        { SHOAL_BACKEND_OPENBLAS, choose_openblas },
    };
    const shoal__gemm *g = NULL;
    for (size_t i = 0; !g && i < sizeof order / sizeof *order; i++) {
        if (backend == SHOAL_BACKEND_AUTO && order[i].backend == SHOAL_BACKEND_ONEDNN &&
            !prefers_onednn(precision))
            continue;
        if (backend == SHOAL_BACKEND_AUTO || backend == order[i].backend)
            g = order[i].choose(precision, why, why_size);
    }
    return g;
}

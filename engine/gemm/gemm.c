/* gemm.c - choose the backend of the matrix products
 *
 * auto: AMX where the CPU has it, else oneDNN where it is built in, else (fp32 only) OpenBLAS.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "gemm/gemm.h"

#include <stdio.h>

static const shoal__gemm *choose_amx(shoal_precision precision, char *why, size_t why_size)
{
#ifdef HAVE_AMX
    return shoal__gemm_amx(precision, why, why_size);
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
    snprintf(why, why_size,
             "bf16 and int8 need the amx or onednn backend, which this build, CPU or "
             "choice excludes: use precision fp32, or build with libdnnl-dev");
    return NULL;
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
        { SHOAL_BACKEND_OPENBLAS, choose_openblas },
    };
    const shoal__gemm *g = NULL;
    for (size_t i = 0; !g && i < sizeof order / sizeof *order; i++)
        if (backend == SHOAL_BACKEND_AUTO || backend == order[i].backend)
            g = order[i].choose(precision, why, why_size);
    return g;
}

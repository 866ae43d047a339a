/* gemm.c - choose the backend of the matrix products */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "gemm.h"

#include <stdio.h>

const shoal__gemm *shoal__gemm_choose(shoal_backend backend, shoal_precision precision, char *why,
                                      size_t why_size)
{
#ifdef HAVE_ONEDNN
    if (backend != SHOAL_BACKEND_OPENBLAS) {
        const shoal__gemm *g = shoal__gemm_onednn(precision, why, why_size);
        if (g || backend == SHOAL_BACKEND_ONEDNN || precision != SHOAL_FP32)
            return g;
    }
#else
    if (backend == SHOAL_BACKEND_ONEDNN) {
        snprintf(why, why_size, "this build has no oneDNN: install libdnnl-dev and configure again");
        return NULL;
    }
#endif
    if (precision != SHOAL_FP32) {
        snprintf(why, why_size, "bf16 and int8 need the oneDNN backend, which this build or "
                 "choice excludes: use precision fp32, or build with libdnnl-dev");
        return NULL;
    }
    return shoal__gemm_openblas(why, why_size);
}

/* gemm.c - choose the backend of the matrix products
 *
 * auto: AMX where the CPU has it; then our own, which are the fastest with AVX2 alone and with
 * AVX-512 and bf16 (docs/performance.md), and have int8 on any; oneDNN with AVX-512 before that,
 * where ours were never measured. OpenBLAS is had by name. Precision auto is a rule, too, of
 * what docs/performance.md has measured: a trial at each start would make two servers of one kind
 * differ by chance, and features of two precisions are not the same.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "gemm/gemm.h"

#include <stdio.h>
#include <stdlib.h>
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

/* oneDNN before our own products; it also has bf16 where SHOAL_KERNELS lowers the level of ours. */
static int prefers_onednn(shoal_precision precision)
{
    shoal__level level = shoal__kern_choose()->level;
    if (level == SHOAL__AVX512)
        return !shoal__cpu_has_bf16();
    return precision == SHOAL_BF16 || level == SHOAL__AMX;
}

static const shoal__gemm *choose(shoal_backend backend, shoal_precision precision, char *why,
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

/* With AMX bf16 is as fast as int8 and nearer to fp32; elsewhere below AVX2 int8 is plain C. */
static shoal_precision fastest(void)
{
    shoal__level level = shoal__kern_choose()->level;
    if (level == SHOAL__AMX)
        return SHOAL_BF16;
    return level >= SHOAL__AVX2 ? SHOAL_INT8 : SHOAL_FP32;
}

const shoal__gemm *shoal__gemm_choose(shoal_backend backend, shoal_precision precision, char *why,
                                      size_t why_size)
{
    if (precision != SHOAL_PRECISION_AUTO)
        return choose(backend, precision, why, why_size);
    const shoal__gemm *g = choose(backend, fastest(), why, why_size);
    return g ? g : choose(backend, SHOAL_FP32, why, why_size);
}

/* ---- reasons ----------------------------------------------------------------------------- */

static const char *why_level(const char *level)
{
    const char *asked = getenv("SHOAL_KERNELS");
    return asked && !strcmp(asked, level) ? "SHOAL_KERNELS asks for it"
                                          : "the highest that CPU and build have";
}

static const char *why_backend(const shoal__gemm *g, shoal_backend asked)
{
    shoal__level level = shoal__kern_choose()->level;
    if (asked != SHOAL_BACKEND_AUTO)
        return "asked for";
    if (g->precision == SHOAL_BF16 && level < SHOAL__AVX512)
        return "bf16 needs it here";
    return level >= SHOAL__AVX2 ? "the fastest measured at this level" : "needs no library";
}

static const char *why_precision(const shoal__gemm *g, shoal_precision asked)
{
    if (asked != SHOAL_PRECISION_AUTO)
        return "as set";
    return g->precision == SHOAL_FP32 ? "auto, nothing narrower is faster here"
                                      : "auto, the fastest here within 1 % of fp32's errors";
}

const char *shoal__precision_name(shoal_precision precision)
{
    static const char *const names[] = { "fp32", "bf16", "int8" };
    return names[precision];
}

void shoal__gemm_explain(char *text, size_t size, const shoal__gemm *g, shoal_backend backend,
                         shoal_precision precision)
{
    const char *level = shoal__kern_choose()->name;
    snprintf(text, size, "kernels %s: %s; matrices %s: %s; precision %s: %s", level,
             why_level(level), g->name, why_backend(g, backend),
             shoal__precision_name(g->precision), why_precision(g, precision));
}

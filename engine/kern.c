/* kern.c - choose the elementwise kernels for this CPU */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdlib.h>
#include <string.h>

#include "kern.h"

#ifdef HAVE_X86
static int cpu_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int cpu_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const shoal__kern *shoal__kern_choose(void)
{
#ifdef HAVE_X86
    const char *force = getenv("SHOAL_KERNELS");
    int level = !force ? 2 : !strcmp(force, "scalar") ? 0 : !strcmp(force, "avx2") ? 1 : 2;
    __builtin_cpu_init();
    if (level >= 2 && cpu_has_avx512())
        return &shoal__kern_avx512;
    if (level >= 1 && cpu_has_avx2())
        return &shoal__kern_avx2;
#endif
    return &shoal__kern_scalar;
}

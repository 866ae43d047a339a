/* kern.c - choose the elementwise kernels for this CPU */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdlib.h>
#include <string.h>

#include "kern.h"

#ifdef HAVE_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

#ifdef HAVE_AMX
/* of asm/prctl.h and the CPU's manual: permission for state component 18, the tile registers */
enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 };

/* And Linux lets this process use it; asking again does no harm. */
static int cpu_has_amx(void)
{
    enum { BF16 = 1 << 22, TILE = 1 << 24 };
    unsigned a, b, c, d;
    return cpu_has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16) &&
           (d & TILE) && syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
}
#endif

static int forced_level(const char *name)
{
    static const char *const names[] = { "scalar", "avx2", "avx512" };
    for (int i = 0; name && i < 3; i++)
        if (!strcmp(name, names[i]))
            return i;
    return 3;
}
#endif

const shoal__kern *shoal__kern_choose(void)
{
#ifdef HAVE_X86
    int level = forced_level(getenv("SHOAL_KERNELS"));
    __builtin_cpu_init();
#ifdef HAVE_AMX
    if (level >= 3 && cpu_has_amx())
        return &shoal__kern_amx;
#endif
    if (level >= 2 && cpu_has_avx512())
        return &shoal__kern_avx512;
    if (level >= 1 && cpu_has_avx2())
        return &shoal__kern_avx2;
#endif
    return &shoal__kern_scalar;
}

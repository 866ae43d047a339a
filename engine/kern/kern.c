/* kern.c - choose the elementwise kernels for this CPU */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdlib.h>
#include <string.h>

#include "kern/kern.h"

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

static int forced_level(const char *name)
{
    static const char *const names[] = { "scalar", "avx2", "avx512" };
    for (int i = 0; name && i < 3; i++)
        if (!strcmp(name, names[i]))
            return i;
    return 3;
}
#endif

int shoal__cpu_has_bf16(void)
{
#ifdef HAVE_X86
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
}

#ifdef HAVE_AMX
/* of asm/prctl.h and the CPU's manual: permission for state component 18, the tile registers */
enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 };

static int cpu_has_amx(void)
{
    enum { BF16 = 1 << 22, TILE = 1 << 24, INT8 = 1 << 25 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16) && (d & TILE) && (d & INT8);
}

const char *shoal__amx_missing(void)
{
    __builtin_cpu_init();
    if (!cpu_has_amx() || !cpu_has_avx512() || !shoal__cpu_has_bf16())
        return "this CPU has no AMX (amx-tile, amx-bf16, amx-int8): use another backend";
    if (syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) != 0)
        return "the kernel does not let this process use AMX: Linux 5.16 or newer is needed";
    return NULL;
}
#endif

const shoal__kern *shoal__kern_choose(void)
{
#ifdef HAVE_X86
    int level = forced_level(getenv("SHOAL_KERNELS"));
    __builtin_cpu_init();
#ifdef HAVE_AMX
    if (level >= 3 && !shoal__amx_missing())
        return &shoal__kern_amx;
#endif
    if (level >= 2 && cpu_has_avx512())
        return &shoal__kern_avx512;
    if (level >= 1 && cpu_has_avx2())
        return &shoal__kern_avx2;
#endif
#ifdef HAVE_NEON
    const char *level = getenv("SHOAL_KERNELS");
    if (!level || strcmp(level, "scalar"))
        return &shoal__kern_neon;
#endif
    return &shoal__kern_scalar;
}

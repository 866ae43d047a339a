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

#endif

int shoal__cpu_has_avx512(void)
{
#ifdef HAVE_X86
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

/* What SHOAL_KERNELS may say here; and the same for people. */
static const char *const levels[] = {
    [SHOAL__SCALAR] = "scalar",
#if defined(HAVE_X86)
    [SHOAL__AVX2] = "avx2",
    [SHOAL__AVX512] = "avx512",
    [SHOAL__AMX] = "amx",
#define LEVELS "scalar, avx2, avx512 or amx"
#elif defined(HAVE_NEON)
    [SHOAL__NEON] = "neon",
#define LEVELS "scalar or neon"
#else
#define LEVELS "scalar"
#endif
};
enum { LEVEL_COUNT = sizeof levels / sizeof *levels };

/* The highest that may be chosen; LEVEL_COUNT: what was asked for is none. */
static int most_level(void)
{
    const char *asked = getenv("SHOAL_KERNELS");
    int i = 0;
    if (!asked || !*asked)
        return LEVEL_COUNT - 1;
    while (i < LEVEL_COUNT && !(levels[i] && !strcmp(asked, levels[i])))
        i++;
    return i;
}

const char *shoal__kern_refused(void)
{
    return most_level() < LEVEL_COUNT ? NULL : LEVELS;
}

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
    if (!cpu_has_amx() || !shoal__cpu_has_avx512() || !shoal__cpu_has_bf16())
        return "this CPU has no AMX (amx-tile, amx-bf16, amx-int8): use another backend";
    if (syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) != 0)
        return "the kernel does not let this process use AMX: Linux 5.16 or newer is needed";
    return NULL;
}
#endif

const shoal__kern *shoal__kern_choose(void)
{
    int most = most_level();
#ifdef HAVE_X86
    __builtin_cpu_init();
#ifdef HAVE_AMX
    if (most >= SHOAL__AMX && !shoal__amx_missing())
        return &shoal__kern_amx;
#endif
    if (most >= SHOAL__AVX512 && shoal__cpu_has_avx512())
        return &shoal__kern_avx512;
    if (most >= SHOAL__AVX2 && cpu_has_avx2())
        return &shoal__kern_avx2;
#endif
#ifdef HAVE_NEON
    if (most >= SHOAL__NEON)
        return &shoal__kern_neon;
#endif
    (void)most;
    return &shoal__kern_scalar;
}

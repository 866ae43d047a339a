/* cpu.c - the CPU that is emulated; EMULATED_CPU names it
 *
 * A program has the emulated levels because this file asks for them: the linker takes them before
 * it comes to the engine's library, where those for a real CPU lie under the same names.
 */
#include "emulated/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm_own.h"

#define AVX2   " avx2 fma "
#define AVX512 AVX2 " avx512f avx512bw avx512dq avx512vl "

static const struct {
    const char *name, *has;
} cpus[] = {
    { "skylake-x", AVX512 },
    { "zen4", AVX512 " avx512vnni avx512bf16 " },
    { "alderlake", AVX2 " avxvnni " },
};

const void *const emulated_levels[] = {
    (const void *)shoal__kern_choose,
    &shoal__kern_avx512,
    &shoal__own_avx512,
    &shoal__bf16_avx512,
    &shoal__int8_avx512,
    &shoal__int8_vnni,
    &shoal__int8_vnni512,
};

int emulated_cpu_has(const char *feature)
{
    const char *name = getenv("EMULATED_CPU");
    char word[32];
    snprintf(word, sizeof word, " %s ", feature);
    for (size_t i = 0; name && i < sizeof cpus / sizeof *cpus; i++)
        if (!strcmp(name, cpus[i].name))
            return strstr(cpus[i].has, word) != NULL;
    fprintf(stderr, "EMULATED_CPU is none of ours: %s\n", name ? name : "not set");
    abort();
}

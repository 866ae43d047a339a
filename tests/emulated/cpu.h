/* cpu.h - the CPU that is emulated: what it says of itself
 *
 * Put before the engine's and the tests' own sources by -include: they ask this CPU, not the one
 * that they run on.
 */
#ifndef EMULATED_CPU_H
#define EMULATED_CPU_H

#include <cpuid.h> /* before its name stands in its way */

/* By GCC's name of a feature. */
int emulated_cpu_has(const char *feature);

static inline __attribute__((unused)) int emulated_cpuid(unsigned leaf, unsigned subleaf,
                                                         unsigned *a, unsigned *b, unsigned *c,
                                                         unsigned *d)
{
    *a = leaf == 7 && subleaf == 1 && emulated_cpu_has("avxvnni") ? 1u << 4 : 0;
    *b = *c = *d = 0; /* no AMX */
    return 1;
}

#define __builtin_cpu_supports(feature)              emulated_cpu_has(feature)
#define __get_cpuid_count(leaf, subleaf, a, b, c, d) emulated_cpuid(leaf, subleaf, a, b, c, d)

#endif

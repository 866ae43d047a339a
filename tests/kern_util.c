/* kern_util.c - see kern_util.h */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "kern_util.h"

#include <math.h>
#include <stdlib.h>

enum { ROUNDS = 25 };

const shoal__kern *tables[4];
int table_count;
float a[MOST], b[MOST], c[MOST], d[MOST], out[MOST + GUARD], scalar[MOST + GUARD];
double want[MOST];
uint32_t seed;

void find_tables(void)
{
    tables[table_count++] = &shoal__kern_scalar;
#ifdef HAVE_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables[table_count++] = &shoal__kern_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        tables[table_count++] = &shoal__kern_avx512;
    unsetenv("SHOAL_KERNELS");
    if (shoal__kern_choose() != tables[table_count - 1]) /* AMX: a matter for CPU and Linux */
        tables[table_count++] = shoal__kern_choose();
#endif
#ifdef HAVE_NEON
    tables[table_count++] = &shoal__kern_neon;
#endif
}

int pick(int low, int high)
{
    return low + (int)(util_rand(&seed) % (uint32_t)(high - low + 1));
}

static void fill(float *x, float size)
{
    for (int i = 0; i < MOST; i++)
        x[i] = size * util_randf(&seed);
}

void prepare(float size)
{
    fill(a, size), fill(b, size), fill(c, size), fill(d, size);
    for (int i = 0; i < MOST + GUARD; i++)
        out[i] = scalar[i] = 12345.0f;
}

void verify(const shoal__kern *k, const char *what, int n, double tol)
{
    for (int i = 0; i < n; i++) {
        double size = fmax(1.0, fabs(want[i]));
        ck_assert_msg(fabs((double)out[i] - want[i]) <= tol * size,
                      "%s %s: [%d] of %d: %.9g, not %.9g", k->name, what, i, n, (double)out[i],
                      want[i]);
        ck_assert_msg(fabs((double)out[i] - (double)scalar[i]) <= tol * size,
                      "%s %s: [%d] of %d: %.9g, scalar %.9g", k->name, what, i, n, (double)out[i],
                      (double)scalar[i]);
    }
    for (int i = n; i < n + GUARD; i++)
        ck_assert_msg(out[i] == 12345.0f, "%s %s wrote past its %d values", k->name, what, n);
}

void run_rounds(void (*one)(const shoal__kern *), int number)
{
    for (int t = 0; t < table_count; t++) {
        seed = (uint32_t)(1000 * number + 1);
        for (int round = 0; round < ROUNDS; round++)
            one(tables[t]);
    }
}

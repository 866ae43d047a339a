/* check_gemm_choice.c - which matrix backend and which of our levels runs, and what is refused */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef HAVE_VNNI
#include <cpuid.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "gemm/gemm.h"

/* Choosing the kernels must not leave traces in the environment of the process. */
START_TEST(environment_is_put_back)
{
    char why[200];
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("OPENBLAS_NUM_THREADS");
    if (!shoal__gemm_openblas(why, sizeof why))
        ck_assert_ptr_nonnull(strstr(why, "OpenBLAS")); /* not on this machine */
    ck_assert_ptr_null(getenv("OPENBLAS_CORETYPE"));
    ck_assert_ptr_null(getenv("OPENBLAS_NUM_THREADS"));
}
END_TEST

START_TEST(openblas_refuses_low_precision)
{
    char why[200] = "";
    ck_assert_ptr_null(shoal__gemm_choose(SHOAL_BACKEND_OPENBLAS, SHOAL_BF16, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "fp32"));
    ck_assert_ptr_null(shoal__gemm_choose(SHOAL_BACKEND_OPENBLAS, SHOAL_INT8, why, sizeof why));
    ck_assert_ptr_nonnull(shoal__gemm_choose(SHOAL_BACKEND_AUTO, SHOAL_FP32, why, sizeof why));
}
END_TEST

/* Our int8 products at the level of the kernels, by the CPU's best instructions: a level that fails
 * its trial must be noticed here. Leaf 7, subleaf 1, bit 4 of eax: VNNI without AVX-512. */
static const char *int8_level(const char *kern)
{
    if (!strcmp(kern, "neon"))
        return "scalar"; /* int8 has no level for NEON */
#ifdef HAVE_VNNI
    unsigned a, b, c, d;
    __builtin_cpu_init();
    if (!strcmp(kern, "avx512") && __builtin_cpu_supports("avx512vnni"))
        return "avx512-vnni";
    if (!strcmp(kern, "avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4))
        return "avx2-vnni";
#endif
    return kern;
}

static int has_bf16(const char *kern)
{
#ifdef HAVE_AVX512BF16
    return !strcmp(kern, "avx512") && __builtin_cpu_supports("avx512bf16");
#else
    (void)kern;
    return 0;
#endif
}

/* SHOAL_KERNELS forces the level of the products too: no AMX below it, and ours of that level. */
START_TEST(level_is_that_of_the_kernels)
{
#ifdef HAVE_NEON
    static const char *const levels[] = { "scalar", "neon", "neon" };
#else
    static const char *const levels[] = { "scalar", "avx2", "avx512" };
#endif
    char why[200] = "", want[32];
    setenv("SHOAL_KERNELS", levels[_i], 1);
    const char *got = shoal__kern_choose()->name;
    const shoal__gemm *g = shoal__gemm_choose(SHOAL_BACKEND_OWN, SHOAL_FP32, why, sizeof why);
    snprintf(want, sizeof want, "own %s fp32", got);
    ck_assert_ptr_nonnull(g);
    ck_assert_str_eq(g->name, want);
    ck_assert_ptr_null(shoal__gemm_choose(SHOAL_BACKEND_AMX, SHOAL_FP32, why, sizeof why));
    ck_assert(*why);
    g = shoal__gemm_choose(SHOAL_BACKEND_AUTO, SHOAL_FP32, why, sizeof why);
    if (strcmp(got, "avx512"))
        ck_assert_str_eq(g->name, want);
    g = shoal__gemm_choose(SHOAL_BACKEND_OWN, SHOAL_INT8, why, sizeof why);
    snprintf(want, sizeof want, "own %s int8", int8_level(got));
    ck_assert_ptr_nonnull(g);
    ck_assert_str_eq(g->name, want);
    ck_assert_ptr_nonnull(shoal__gemm_choose(SHOAL_BACKEND_AUTO, SHOAL_INT8, why, sizeof why));
    g = shoal__gemm_choose(SHOAL_BACKEND_OWN, SHOAL_BF16, why, sizeof why);
    if (has_bf16(got)) {
        ck_assert_ptr_nonnull(g);
        ck_assert_str_eq(g->name, "own avx512 bf16");
    } else {
        ck_assert_ptr_null(g);
        ck_assert_ptr_nonnull(strstr(why, "fp32"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemm_choice");
    TCase *c = tcase_create("choice");
    tcase_add_test(c, environment_is_put_back);
    tcase_add_loop_test(c, level_is_that_of_the_kernels, 0, 3);
    tcase_add_test(c, openblas_refuses_low_precision);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

/* check_weights.c - the memory of packed weights: every one keeps what it holds, whoever goes first
 */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gemm/gemm_memory.h"
#include "suite.h"

enum { MANY = 64, LARGEST = 9 << 20 }; /* bytes: more than a region */

static size_t size_of(int i)
{
    return i == MANY - 1 ? LARGEST : 1 + (size_t)i * (size_t)i * 350; /* up to 1.3 MB */
}

/* Halves go in different orders, and what stays is whole: as when one model of two is closed. */
START_TEST(each_keeps_its_bytes)
{
    unsigned char *w[MANY];
    for (int i = 0; i < MANY; i++) {
        w[i] = shoal__weights_new(size_of(i));
        ck_assert_ptr_nonnull(w[i]);
        ck_assert_uint_eq((uintptr_t)w[i] % 64, 0);
        memset(w[i], i, size_of(i));
    }
    for (int i = MANY - 2; i >= 0; i -= 2)
        shoal__weights_free(w[i]);
    for (int i = 0; i < MANY; i += 2) {
        w[i] = shoal__weights_new(size_of(i));
        memset(w[i], i, size_of(i));
    }
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(w[i][0], i);
        ck_assert_int_eq(memcmp(w[i], w[i] + 1, size_of(i) - 1), 0);
        shoal__weights_free(w[i]);
    }
}
END_TEST

START_TEST(nothing_is_something_too)
{
    shoal__weights_free(NULL);
    void *w = shoal__weights_new(0);
    ck_assert_ptr_nonnull(w);
    shoal__weights_free(w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("weights");
    TCase *c = tcase_create("weights");
    tcase_add_test(c, each_keeps_its_bytes);
    tcase_add_test(c, nothing_is_something_too);
    suite_add_tcase(s, c);
    return suite_run(s);
}

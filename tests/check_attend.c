/* check_attend.c - attention in its two halves, and its map
 *
 * check_kern.c holds attend against its formula; here its halves are held against it: the same
 * bytes at every level of this CPU, and a map that says what it should.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_util.h"
#include "kern/kern.h"

enum { FRAMES = 80, WIDTH = 96, MOST = FRAMES * WIDTH };

/* fp32 rows as they come, or the words of bf16 pairs: any finite bits will do. */
typedef struct memory {
    shoal__memory m;
    uint32_t keys[2 * MOST], values[2 * MOST];
} memory;

static memory past, own;
static uint32_t rng = 11;

static uint32_t word(int bf16)
{
    float a = util_randf(&rng);
    uint32_t low, high;
    memcpy(&low, &a, sizeof low);
    a = util_randf(&rng);
    memcpy(&high, &a, sizeof high);
    return bf16 ? (high & 0xffff0000u) | low >> 16 : low;
}

static void fill(memory *m, int frames, int dim, int bf16)
{
    int blocks = (frames + 15) / 16;
    m->m = (shoal__memory){ m->keys, m->values, frames, blocks, dim, FRAMES * dim };
    for (int i = 0; i < 2 * MOST; i++) {
        m->keys[i] = word(bf16);
        m->values[i] = word(bf16);
    }
}

/* Rows of a map sum to 1; what stands for no frame is 0. */
static void check_map(const float *map, int rows, int wide, int bf16)
{
    int own_at = (past.m.frames + 15) & ~15;
    for (int r = 0; r < rows; r++, map += wide) {
        double sum = 0.0;
        for (int i = 0; i < wide; i++) {
            int frame = i < past.m.frames || (i >= own_at && i < own_at + own.m.frames);
            ck_assert_float_ge(map[i], 0.0f);
            ck_assert(frame || map[i] == 0.0f);
            sum += (double)map[i];
        }
        ck_assert_double_eq_tol(sum, 1.0, bf16 ? 1e-2 : 1e-5);
    }
}

static void check_halves(const shoal__kern *k, int bf16, int heads, int dim, int before, int frames)
{
    static float q[FRAMES * (WIDTH + 7)], again[FRAMES * (WIDTH + 7)], whole[MOST], halves[MOST];
    static float scratch[FRAMES * FRAMES * 4], map[3 * FRAMES * 2 * FRAMES];
    int stride = heads * dim + 7, wide = shoal__attend_wide(before, frames);
    size_t bytes = (size_t)(frames * heads * dim) * sizeof *whole;
    fill(&past, before, dim, bf16);
    fill(&own, frames, dim, bf16);
    for (int i = 0; i < frames * stride; i++)
        q[i] = again[i] = util_randf(&rng);
    (bf16 ? k->attend_bf16 : k->attend)(whole, q, stride, &past.m, &own.m, heads, dim, scratch);
    memset(halves, 1, sizeof halves);
    k->attend_scores(map, again, stride, &past.m, &own.m, heads, dim, bf16);
    check_map(map, heads * frames, wide, bf16);
    k->attend_mix(halves, map, &past.m, &own.m, heads, dim, bf16);
    ck_assert_msg(!memcmp(whole, halves, bytes), "%s, bf16 %d, %d x %d, %d + %d: differ by %g",
                  k->name, bf16, heads, dim, before, frames,
                  util_max_diff(whole, halves, bytes / sizeof *whole));
    k->attend_mix(halves, map, &past.m, &own.m, heads, dim, bf16); /* a second reader */
    ck_assert_mem_eq(whole, halves, bytes);
}

/* Every level up to this CPU's best but AMX, whose attend_bf16 is its own: there the halves are
 * those of AVX-512. */
static int levels(const shoal__kern *out[3])
{
    int n = 0;
    out[n++] = &shoal__kern_scalar;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[n++] = &shoal__kern_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        out[n++] = &shoal__kern_avx512;
#endif
    return n;
}

START_TEST(halves_equal_the_whole)
{
    static const int shapes[][4] = { /* heads, dim, before, frames */
                                     { 2, 32, 64, 8 },  { 3, 32, 0, 1 },  { 1, 96, 17, 33 },
                                     { 2, 16, 16, 64 }, { 1, 34, 5, 9 },  { 3, 2, 80, 3 },
                                     { 2, 48, 33, 16 }, { 1, 64, 79, 80 }
    };
    const shoal__kern *k[3];
    int n = levels(k);
    for (int i = 0; i < n; i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            check_halves(k[i], bf16, shapes[_i][0], shapes[_i][1], shapes[_i][2], shapes[_i][3]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attend");
    TCase *c = tcase_create("attend");
    tcase_add_loop_test(c, halves_equal_the_whole, 0, 8);
    suite_add_tcase(s, c);
    return util_main(s);
}

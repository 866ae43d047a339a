/* check_attend.c - attention in its two halves, and its map
 *
 * check_kern.c holds attend against its formula; here its halves are held against it: the same
 * bytes at every level of this CPU, and a map that says what it should. And memories in 16 and 8
 * bits: what is kept is what was given, rounded once, and attention sees just that.
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
    uint16_t scales[6 * FRAMES]; /* of int8 */
} memory;

static memory past, own;
static uint32_t rng = 11;

static uint32_t word(shoal__kind kind)
{
    float a = util_randf(&rng);
    uint32_t low, high;
    uint16_t half;
    memcpy(&low, &a, sizeof low);
    a = util_randf(&rng);
    memcpy(&high, &a, sizeof high);
    shoal__kern_scalar.to_f16(&half, &a, 1);
    return kind == SHOAL__BF16  ? (high & 0xffff0000u) | low >> 16
           : kind == SHOAL__F16 ? (uint32_t)half << 16 | half
           : kind == SHOAL__I8  ? low * 2654435761u
                                : low;
}

static void fill(memory *m, int frames, int dim, shoal__kind kind)
{
    int blocks = (frames + 15) / 16;
    m->m = (shoal__memory){ m->keys,      m->values, frames,    blocks,   dim,
                            FRAMES * dim, kind,      m->scales, m->scales };
    for (int i = 0; i < 2 * MOST; i++) {
        m->keys[i] = word(kind);
        m->values[i] = word(kind);
    }
    for (int i = 0; i < 6 * FRAMES; i++)
        m->scales[i] = (uint16_t)(0x3c00 + i); /* about 1/127 */
}

/* Rows of a map sum to 1; what stands for no frame is 0. */
static void check_map(const float *map, int rows, int wide, shoal__kind kind)
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
        ck_assert_double_eq_tol(sum, 1.0, kind == SHOAL__BF16 ? 1e-2 : 1e-5);
    }
}

static void check_halves(const shoal__kern *k, shoal__kind kind, int heads, int dim, int before,
                         int frames)
{
    static float q[FRAMES * (WIDTH + 7)], again[FRAMES * (WIDTH + 7)], whole[MOST], halves[MOST];
    static float scratch[FRAMES * FRAMES * 4], map[3 * FRAMES * 2 * FRAMES];
    int stride = heads * dim + 7, wide = shoal__attend_wide(before, frames);
    size_t bytes = (size_t)(frames * heads * dim) * sizeof *whole;
    fill(&past, before, dim, kind);
    fill(&own, frames, dim, kind == SHOAL__BF16 ? kind : SHOAL__F32);
    for (int i = 0; i < frames * stride; i++)
        q[i] = again[i] = util_randf(&rng);
    k->attend(whole, q, stride, &past.m, &own.m, heads, dim, scratch);
    memset(halves, 1, sizeof halves);
    k->attend_scores(map, again, stride, &past.m, &own.m, heads, dim);
    check_map(map, heads * frames, wide, kind);
    k->attend_mix(halves, map, &past.m, &own.m, heads, dim);
    ck_assert_msg(!memcmp(whole, halves, bytes), "%s, kind %d, %d x %d, %d + %d: differ by %g",
                  k->name, (int)kind, heads, dim, before, frames,
                  util_max_diff(whole, halves, bytes / sizeof *whole));
    k->attend_mix(halves, map, &past.m, &own.m, heads, dim); /* a second reader */
    ck_assert_mem_eq(whole, halves, bytes);
}

/* Every level up to this CPU's best but AMX, whose attend of bf16 is its own: there the halves
 * are those of AVX-512. */
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
#if defined(__aarch64__)
    out[n++] = &shoal__kern_neon;
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
        for (shoal__kind kind = SHOAL__F32; kind <= SHOAL__I8; kind++)
            check_halves(k[i], kind, shapes[_i][0], shapes[_i][1], shapes[_i][2], shapes[_i][3]);
}
END_TEST

/* ---- halves and bytes -------------------------------------------------------------------- */

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Every finite half there and back, at every level. */
START_TEST(halves_are_what_ieee_says)
{
    const shoal__kern *k[3];
    int n = levels(k);
    uint16_t half[0x400 + 3], again[0x400 + 3];
    float x[0x400 + 3];
    for (int l = 0; l < n; l++)
        for (int e = 0; e < 62; e++) { /* sign and exponent, but those of infinity and NaN */
            uint16_t high = (uint16_t)((e % 31) << 10 | (e / 31) << 15);
            for (int i = 0; i < 0x400 + 3; i++)
                half[i] = (uint16_t)(high | (i & 0x3ff));
            k[l]->from_f16(x, half, 0x400 + 3);
            for (int i = 0; i < 0x400; i++) {
                double size = e % 31 ? ldexp(1024.0 + i, e % 31 - 25) : ldexp(i, -24);
                ck_assert_double_eq((double)x[i], e / 31 ? -size : size);
            }
            k[l]->to_f16(again, x, 0x400 + 3);
            ck_assert_mem_eq(again, half, sizeof half);
        }
}
END_TEST

/* Nearest, ties to even, and nothing but finite halves from whatever comes. */
START_TEST(halves_are_rounded_once)
{
    static const uint32_t far[] = { 0x7f800000, 0xff800000, 0x7fc00000, 0x477fe000,
                                    0x477ff000, 0x00000001, 0x33000000, 0x33000001 };
    static const uint16_t want_far[] = { 0x7bff, 0xfbff, 0x7bff, 0x7bff, 0x7bff, 0, 0, 1 };
    enum { N = 4099 };
    static float x[N], back[N];
    static uint16_t half[N], scalar[N];
    const shoal__kern *k[3];
    int n = levels(k);
    for (int l = 0; l < n; l++) {
        for (int i = 0; i < N; i++)
            x[i] = i < 8 ? float_of(far[i])
                         : ldexpf(util_randf(&rng), (int)(util_rand(&rng) % 40) - 24);
        k[l]->to_f16(half, x, N);
        shoal__kern_scalar.to_f16(scalar, x, N);
        k[l]->from_f16(back, half, N);
        ck_assert_mem_eq(half, scalar, sizeof half);
        for (int i = 0; i < 8; i++)
            ck_assert_uint_eq(half[i], want_far[i]);
        for (int i = 8; i < N; i++) {
            int e;
            frexp((double)x[i], &e);
            double step = ldexp(1.0, e < -13 ? -24 : e - 11);
            ck_assert_double_eq((double)back[i], nearbyint((double)x[i] / step) * step);
        }
    }
}
END_TEST

/* What is kept of a block of columns and of rows, as numbers again. */
static float kept(const void *from, int at, uint16_t scale, shoal__kind kind)
{
    float x;
    if (kind == SHOAL__I8)
        return ((const int8_t *)from)[at] * float_of((uint32_t)scale << 16);
    shoal__kern_scalar.from_f16(&x, (const uint16_t *)from + at, 1);
    return x;
}

/* How far a number may be moved whose key or value has `top` as its largest. */
static double allowed(double x, double top, shoal__kind kind)
{
    return kind == SHOAL__I8 ? 0.51 * top / 127.0 * (1.0 + 1.0 / 128) : fabs(x) / 2048 + 1e-7;
}

static void check_kept(const shoal__kern *k, shoal__kind kind, int dim, int n)
{
    static float from[16 * WIDTH];
    static uint16_t columns[16 * WIDTH], row[WIDTH];
    uint16_t scales[17] = { [16] = 0x5a5a }, scale = 0;
    for (int i = 0; i < 16 * WIDTH; i++)
        from[i] = i % 16 == 1 ? 0.0f : 8.0f * util_randf(&rng); /* one key of zeros */
    k->keep_columns(columns, scales, from, dim, n, kind);
    k->keep_row(row, &scale, from, dim, kind);
    for (int i = 0; i < n; i++) {
        double top = 0.0, row_top = 0.0;
        for (int d = 0; d < dim; d++) {
            top = fmax(top, fabs((double)from[16 * d + i]));
            row_top = fmax(row_top, fabs((double)from[d]));
        }
        for (int d = 0; d < dim; d++) {
            double x = (double)from[16 * d + i], y = (double)from[d];
            ck_assert_double_le(fabs((double)kept(columns, 16 * d + i, scales[i], kind) - x),
                                allowed(x, top, kind));
            ck_assert_double_le(fabs((double)kept(row, d, scale, kind) - y),
                                allowed(y, row_top, kind));
        }
    }
    ck_assert_uint_eq(scales[16], 0x5a5a);
}

START_TEST(what_is_kept_is_what_was_given)
{
    const shoal__kern *k[3];
    int n = levels(k);
    for (int i = 0; i < n; i++)
        for (int frames = 1; frames <= 16; frames++)
            for (shoal__kind kind = SHOAL__F16; kind <= SHOAL__I8; kind++)
                check_kept(k[i], kind, 2 * frames + 32 * (frames % 2), frames);
}
END_TEST

/* The numbers of a narrow memory in fp32: attention over either must be the same. */
static void check_seen(const shoal__kern *k, shoal__kind kind, int dim, int before)
{
    static memory wide;
    static float q[8 * WIDTH], narrow_y[8 * WIDTH], wide_y[8 * WIDTH], scratch[4 * FRAMES * FRAMES];
    fill(&past, before, dim, kind);
    fill(&own, 8, dim, SHOAL__F32);
    wide.m = past.m;
    wide.m.kind = SHOAL__F32;
    wide.m.keys = wide.keys, wide.m.values = wide.values;
    for (int f = 0; f < past.m.blocks * 16; f++)
        for (int d = 0; d < dim; d++) {
            int key = (f / 16 * dim + d) * 16 + f % 16, value = f * dim + d;
            float a = kept(past.keys, key, past.scales[f], kind);
            float b = kept(past.values, value, past.scales[f], kind);
            memcpy(&wide.keys[key], &a, sizeof a);
            memcpy(&wide.values[value], &b, sizeof b);
        }
    for (int i = 0; i < 8 * dim; i++)
        q[i] = util_randf(&rng);
    k->attend(narrow_y, q, dim, &past.m, &own.m, 1, dim, scratch);
    k->attend(wide_y, q, dim, &wide.m, &own.m, 1, dim, scratch);
    ck_assert_double_le(util_max_diff(narrow_y, wide_y, (size_t)(8 * dim)), 5e-6);
}

START_TEST(attention_sees_what_is_kept)
{
    static const int shapes[][2] = { { 32, 64 }, { 64, 72 }, { 34, 17 }, { 96, 1 }, { 6, 33 } };
    const shoal__kern *k[3];
    int n = levels(k);
    for (int i = 0; i < n; i++)
        for (int s = 0; s < 5; s++)
            for (shoal__kind kind = SHOAL__F16; kind <= SHOAL__I8; kind++)
                check_seen(k[i], kind, shapes[s][0], shapes[s][1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attend");
    TCase *c = tcase_create("attend");
    tcase_add_test(c, halves_are_what_ieee_says);
    tcase_add_test(c, halves_are_rounded_once);
    tcase_add_test(c, what_is_kept_is_what_was_given);
    tcase_add_test(c, attention_sees_what_is_kept);
    tcase_add_loop_test(c, halves_equal_the_whole, 0, 8);
    suite_add_tcase(s, c);
    return suite_run(s);
}

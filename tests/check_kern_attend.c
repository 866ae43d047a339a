/* check_kern_attend.c - attention's kernels against the formula: see kern_util.h */
#include <math.h>
#include <string.h>

#include "gemm/gemm.h"
#include "kern_util.h"
#include "model/model.h"

/* The nearest bfloat16, by to_bf16, which has a case of its own. */
static float rounded(float x)
{
    uint16_t half;
    uint32_t word;
    shoal__kern_scalar.to_bf16(&half, &x, 1);
    word = (uint32_t)half << 16;
    memcpy(&x, &word, sizeof x);
    return x;
}

enum { FRAMES = 72, WIDTH = 200, PAIRS = 48 };

/* Keys and values of some frames, as rows and as attention reads them. */
typedef struct memory {
    float k[FRAMES][WIDTH], v[FRAMES][WIDTH];
    uint32_t keys[80 * WIDTH], values[2 * PAIRS * WIDTH];
    shoal__memory m;
} memory;

static uint32_t bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* Random rows, laid out by the words of kern.h; what is behind the last frame is not zero. */
static void fill_memory(memory *m, int frames, int heads, int dim, int bf16)
{
    int words = bf16 ? dim / 2 : dim, blocks = (frames + 15) / 16 + pick(0, 1);
    m->m =
        (shoal__memory){ m->keys, m->values, frames, blocks, dim, FRAMES * dim, bf16, NULL, NULL };
    for (int i = 0; i < 80 * WIDTH; i++)
        m->keys[i] = bits(rounded(util_randf(&seed)));
    for (int i = 0; i < 2 * PAIRS * WIDTH; i++)
        m->values[i] = bits(rounded(util_randf(&seed)));
    for (int f = 0; f < frames; f++)
        for (int i = 0; i < heads * dim; i++) {
            int h = i / dim, e = i % dim, w = bf16 ? e / 2 : e;
            uint32_t *key = &m->keys[((h * blocks + f / 16) * words + w) * 16 + f % 16];
            uint32_t *value = &m->values[h * FRAMES * dim + (bf16 ? f / 2 : f) * dim + e];
            m->k[f][i] = rounded(2.0f * util_randf(&seed));
            m->v[f][i] = rounded(util_randf(&seed));
            if (!bf16)
                *key = bits(m->k[f][i]), *value = bits(m->v[f][i]);
            else {
                *key = e % 2 ? (*key & 0xffff) | bits(m->k[f][i]) : bits(m->k[f][i]) >> 16;
                *value = f % 2 ? (*value & 0xffff) | bits(m->v[f][i]) : bits(m->v[f][i]) >> 16;
            }
        }
}

/* want of one query and head, in double. */
static void attend_formula(double *y, const float *q, const memory *past, const memory *own, int at,
                           int dim)
{
    int n = past->m.frames, all = n + own->m.frames;
    double s[2 * FRAMES], top = -1e30, sum = 0.0;
    for (int j = 0; j < all; j++) {
        const float *k = j < n ? past->k[j] : own->k[j - n];
        s[j] = 0.0;
        for (int i = 0; i < dim; i++)
            s[j] += (double)q[i] * (double)k[at + i];
        top = fmax(top, s[j]);
    }
    for (int j = 0; j < all; j++)
        sum += s[j] = exp(s[j] - top);
    for (int i = 0; i < dim; i++) {
        y[i] = 0.0;
        for (int j = 0; j < all; j++)
            y[i] += s[j] / sum * (double)(j < n ? past->v[j] : own->v[j - n])[at + i];
    }
}

static void case_attend(const shoal__kern *k)
{
    static memory past, own;
    static float scratch[FRAMES * FRAMES * 4];
    int bf16 = pick(0, 1), heads = pick(1, 3), dim = pick(0, 1) ? 32 * pick(1, 2) : 2 * pick(1, 33);
    heads = heads * dim > WIDTH ? 1 : heads;
    int width = heads * dim, stride = width + pick(0, 9), most = (MOST - 9) / stride;
    int frames = pick(1, most < 40 ? most : 40);
    prepare(1.0f);
    for (int i = 0; i < MOST; i++)
        a[i] = rounded(a[i]);
    fill_memory(&past, pick(0, 2) ? pick(0, FRAMES) : 64, heads, dim, bf16);
    fill_memory(&own, frames, heads, dim, bf16);
    for (int r = 0; r < frames; r++)
        for (int h = 0; h < heads; h++)
            attend_formula(want + r * width + h * dim, a + r * stride + h * dim, &past, &own,
                           h * dim, dim);
    ck_assert_uint_le(shoal__attend_scratch(FRAMES, FRAMES, WIDTH),
                      sizeof scratch / sizeof *scratch);
    k->attend(out, a, stride, &past.m, &own.m, heads, dim, scratch);
    shoal__kern_scalar.attend(scalar, a, stride, &past.m, &own.m, heads, dim, scratch);
    verify(k, bf16 ? "attend_bf16" : "attend", frames * width, bf16 ? 4e-3 : 5e-6);
}

START_TEST(attention_equals_formula)
{
    run_rounds(case_attend, 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kern_attend");
    TCase *tc = tcase_create("attend");
    find_tables();
    tcase_add_test(tc, attention_equals_formula);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}

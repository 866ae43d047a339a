/* kern_body.h - bodies of the elementwise kernels; see kern.h
 *
 * Included once by each kern_<isa>.c after it has defined KERN(name). The loops carry no
 * intrinsics, but for conversions: the per-file compiler flags (reassociation of sums, no errno,
 * no traps) let GCC vectorise them for the file's instruction set. Attention, narrower memories
 * and log-mel have bodies of their own, parts of this one.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kern/kern.h"

/* Sixteen floats for log-mel; and as many as a register has, for what must stay in registers: GCC
 * takes wider vectors through memory. Macros, because vectors wider than the file's registers
 * cannot be passed to functions. */
#if defined(__AVX512F__)
enum { KERN(lanes) = 16 };
#elif defined(__AVX2__)
enum { KERN(lanes) = 8 };
#else
enum { KERN(lanes) = 4 };
#endif
typedef float KERN(v16) __attribute__((vector_size(64), aligned(4), may_alias));
typedef float KERN(vec) __attribute__((vector_size(4 * KERN(lanes)), aligned(4), may_alias));
typedef uint32_t KERN(words) __attribute__((vector_size(4 * KERN(lanes)), aligned(4), may_alias));
#define LOAD16(p)     (*(const KERN(v16) *)(const void *)(p))
#define STORE16(p, v) (*(KERN(v16) *)(void *)(p) = (v))
#define LOAD(p)       (*(const KERN(vec) *)(const void *)(p))
#define STORE(p, v)   (*(KERN(vec) *)(void *)(p) = (v))
#define LOADW(p)      (*(const KERN(words) *)(const void *)(p))

/* A sum that those after it must not be mixed with, for all -fassociative-math. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_assoc_barrier)
#define IN_ORDER(x) __builtin_assoc_barrier(x)
#endif
#endif
#ifndef IN_ORDER
#define IN_ORDER(x) (x)
#endif

/* Rows and columns (in vectors) of a tile of sums, so that it fits the registers. 16 / lanes
 * vectors are the narrowest tile: a block of keys. */
#ifdef __AVX512F__
enum { KERN(tile_rows) = 8, KERN(tile_columns) = 2 };
#else
enum { KERN(tile_rows) = 4, KERN(tile_columns) = 16 / KERN(lanes) }; /* one block of keys */
#endif

/* e^x = 2^n * 2^r, r in [-1/2, 1/2], 2^r by a degree-6 polynomial (relative error < 2e-7).
 * Clamped to [-87, 88], where float stays normal. NaN, which only absurd weights can make, becomes
 * -87: it must not reach the conversion to int. */
static inline float KERN(exp)(float x)
{
    x = x > -87.0f ? x : -87.0f;
    x = x < 88.0f ? x : 88.0f;
    float t = x * 1.44269504088896f;
    float n = __builtin_rintf(t);
    float f = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two pieces (Cody-Waite) */
    float p = 1.0f / 720;
    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float KERN(sigmoid)(float x)
{
    return 1.0f / (1.0f + KERN(exp)(-x));
}

/* The sum of 64 floats in vectors. Where sixteen fill a register the compiler's order is the one
 * wanted; narrower ones are told to keep to a tree: four groups of 16, then halves, so that their
 * size does not matter. */
static inline float KERN(total)(const KERN(vec) * v)
{
#ifdef __AVX512F__
    float sum = 0.0f;
    KERN(vec) four = v[0] + (v[1] + v[2] + v[3]);
    for (int k = 0; k < 16; k++)
        sum += four[k];
    return sum;
#else
    enum { L = KERN(lanes), V = 16 / L };
    KERN(vec) sums[V];
    float s[8] = { 0 };
    for (int k = 0; k < V; k++)
        sums[k] = IN_ORDER(IN_ORDER(IN_ORDER(v[k] + v[k + V]) + v[k + 2 * V]) + v[k + 3 * V]);
    for (int w = V / 2; w > 0; w /= 2)
        for (int k = 0; k < w; k++)
            sums[k] = IN_ORDER(sums[k] + sums[k + w]);
    for (int k = 0; k < L; k++)
        s[k] = sums[0][k];
    for (int k = 0; k < 4; k++)
        s[k] = IN_ORDER(s[k] + s[k + 4]);
    return IN_ORDER(s[0] + s[2]) + IN_ORDER(s[1] + s[3]);
#endif
}

/* Mean and 1/sqrt(variance + eps) of a row. Two passes: the row is in L1 and the variance of
 * small residuals survives a large mean. Four sums at once, or each would wait for the last. */
static inline void KERN(moments)(const float *x, int n, float *mean, float *scale)
{
    enum { L = KERN(lanes), V = 64 / L };
    KERN(vec) sums[V] = { 0 }, squares[V] = { 0 };
    float sum = 0.0f, sq = 0.0f;
    int i = 0;
    for (; i + 64 <= n; i += 64)
        for (int k = 0; k < V; k++)
            sums[k] += LOAD(x + i + L * k);
    for (; i < n; i++)
        sum += x[i];
    sum += KERN(total)(sums);
    float m = sum / (float)n;
    for (i = 0; i + 64 <= n; i += 64)
        for (int k = 0; k < V; k++) {
            KERN(vec) d = LOAD(x + i + L * k) - m;
            squares[k] += d * d;
        }
    for (; i < n; i++)
        sq += (x[i] - m) * (x[i] - m);
    sq += KERN(total)(squares);
    *mean = m;
    *scale = 1.0f / sqrtf(sq / (float)n + 1e-5f);
}

static void KERN(layer_norm)(float *y, const float *x, const float *w, const float *b, int rows,
                             int n)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        float mean, scale;
        KERN(moments)(x, n, &mean, &scale);
        for (int i = 0; i < n; i++)
            y[i] = (x[i] - mean) * scale * w[i] + b[i];
    }
}

static void KERN(layer_norm_silu)(float *y, const float *x, const float *w, const float *b,
                                  int rows, int n)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        float mean, scale;
        KERN(moments)(x, n, &mean, &scale);
        for (int i = 0; i < n; i++) {
            float v = (x[i] - mean) * scale * w[i] + b[i];
            y[i] = v * KERN(sigmoid)(v);
        }
    }
}

static void KERN(bias_rows)(float *restrict c, const float *restrict b, int rows, int n, int add)
{
    for (int r = 0; r < rows; r++, c += n) {
        if (!add)
            memcpy(c, b, (size_t)n * sizeof *c);
        else
            for (int i = 0; i < n; i++)
                c[i] += b[i];
    }
}

static void KERN(silu)(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = x[i] * KERN(sigmoid)(x[i]);
}

static void KERN(glu)(float *restrict y, const float *restrict x, int rows, int n)
{
    for (int r = 0; r < rows; r++, x += 2 * n, y += n)
        for (int i = 0; i < n; i++)
            y[i] = x[i] * KERN(sigmoid)(x[n + i]);
}

/* R rows of n channels: each sum stays in a register over all taps; R is constant. */
static inline __attribute__((always_inline)) void KERN(depthwise_rows)(float *restrict y,
                                                                       const float *restrict x,
                                                                       const float *restrict w,
                                                                       const float *restrict b,
                                                                       int n, int taps, const int R)
{
    enum { L = KERN(lanes), W = 16 / L };
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        KERN(vec) sum[8][W];
        for (int r = 0; r < R; r++)
            for (int v = 0; v < W; v++)
                sum[r][v] = LOAD(b + i + L * v);
        for (int k = 0; k < taps; k++)
            for (int v = 0; v < W; v++) {
                KERN(vec) weight = LOAD(w + k * n + i + L * v);
                for (int r = 0; r < R; r++)
                    sum[r][v] += weight * LOAD(x + (r + k) * n + i + L * v);
            }
        for (int r = 0; r < R; r++)
            for (int v = 0; v < W; v++)
                STORE(y + r * n + i + L * v, sum[r][v]);
    }
    for (; i < n; i++)
        for (int r = 0; r < R; r++) {
            float sum = b[i];
            for (int k = 0; k < taps; k++)
                sum += w[k * n + i] * x[(r + k) * n + i];
            y[r * n + i] = sum;
        }
}

static void KERN(depthwise)(float *restrict y, const float *restrict x, const float *restrict w,
                            const float *restrict b, int rows, int n, int taps)
{
    const int R = KERN(tile_rows);
    for (; rows >= R; rows -= R, x += R * n, y += R * n)
        KERN(depthwise_rows)(y, x, w, b, n, taps, R);
    for (; rows > 0; rows--, x += n, y += n)
        KERN(depthwise_rows)(y, x, w, b, n, taps, 1);
}

static void KERN(rope)(float *x, const float *restrict cs, const float *restrict sn, int heads,
                       int dim, float scale)
{
    int half = dim / 2;
    for (int h = 0; h < heads; h++) {
        float *restrict a = x + h * dim, *restrict b = a + half;
        for (int i = 0; i < half; i++) {
            float u = scale * a[i], v = scale * b[i];
            a[i] = u * cs[i] - v * sn[i];
            b[i] = u * sn[i] + v * cs[i];
        }
    }
}

/* Of n numbers; in sixteen lanes, because a comparison with one is not vectorised (NaN). */
static float KERN(largest)(const float *x, int n)
{
    float top[16];
    int i = 0;
    for (int k = 0; k < 16; k++)
        top[k] = x[0];
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++)
            top[k] = x[i + k] > top[k] ? x[i + k] : top[k];
    for (; i < n; i++)
        top[0] = x[i] > top[0] ? x[i] : top[0];
    for (int w = 8; w > 0; w /= 2)
        for (int k = 0; k < w; k++)
            top[k] = top[k + w] > top[k] ? top[k + w] : top[k];
    return top[0];
}

static void KERN(log_softmax)(float *x, int rows, int n)
{
    for (int r = 0; r < rows; r++, x += n) {
        float top = KERN(largest)(x, n), sum = 0.0f;
        for (int i = 0; i < n; i++)
            sum += KERN(exp)(x[i] - top);
        float shift = top + logf(sum);
        for (int i = 0; i < n; i++)
            x[i] -= shift;
    }
}

/* The float's bits with its nearest bfloat16, ties to even, in the upper half. */
static inline uint32_t KERN(round_bits)(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u + 0x7fffu + (u >> 16 & 1);
}

static void KERN(blend)(float *restrict y, const float *restrict x, float share, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += share * (x[i] - y[i]);
}

static void KERN(to_bf16)(uint16_t *restrict y, const float *restrict x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = (uint16_t)(KERN(round_bits)(x[i]) >> 16);
}

static void KERN(from_bf16)(float *restrict y, const uint16_t *restrict x, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        memcpy(&y[i], &u, sizeof u);
    }
}

static void KERN(quantize)(int8_t *restrict q, float *restrict scale, const float *restrict x,
                           int rows, int n)
{
    for (int r = 0; r < rows; r++, x += n, q += n) {
        float top = 0.0f;
        for (int i = 0; i < n; i++) {
            float a = fabsf(x[i]);
            top = a > top ? a : top;
        }
        float inverse = top > 0.0f ? 127.0f / top : 0.0f;
        scale[r] = top / 127.0f;
        for (int i = 0; i < n; i++) {
            float v = x[i] * inverse;
            v = v > -127.0f ? v : -127.0f; /* NaN too */
            q[i] = (int8_t)(int32_t)__builtin_rintf(v < 127.0f ? v : 127.0f);
        }
    }
}

static void KERN(finish_int8)(float *restrict c, const int32_t *restrict sums,
                              const float *restrict row_scale, const float *restrict column_scale,
                              const float *restrict bias, int rows, int n, int epilogue)
{
    for (int r = 0; r < rows; r++, c += n, sums += n) {
        float s = row_scale[r];
        if (epilogue == SHOAL__ADD)
            for (int i = 0; i < n; i++)
                c[i] += (float)sums[i] * (s * column_scale[i]) + bias[i];
        else
            for (int i = 0; i < n; i++)
                c[i] = (float)sums[i] * (s * column_scale[i]) + bias[i];
        if (epilogue == SHOAL__SILU)
            KERN(silu)(c, n);
    }
}

#include "kern/narrow_body.h"

#include "kern/attend_body.h"
#include "kern/mel_body.h"

/* A file may put its own here. */
#define KERN_ATTEND  KERN(attend)
#define KERN_TO_BF16 KERN(to_bf16)

#define KERN_TABLE(at, isa)                                                                        \
    {                                                                                              \
        .level = at, .name = isa, .layer_norm = KERN(layer_norm),                                  \
        .layer_norm_silu = KERN(layer_norm_silu), .bias_rows = KERN(bias_rows),                    \
        .silu = KERN(silu), .glu = KERN(glu), .depthwise = KERN(depthwise), .rope = KERN(rope),    \
        .columns = KERN(columns), .pair_bf16 = KERN(pair_bf16), .attend = KERN_ATTEND,             \
        .attend_scores = KERN(attend_scores), .attend_mix = KERN(attend_mix),                      \
        .keep_columns = KERN(keep_columns), .keep_row = KERN(keep_row), .to_f16 = KERN(to_f16),    \
        .from_f16 = KERN(from_f16), .log_softmax = KERN(log_softmax), .log_mel = KERN(log_mel),    \
        .to_bf16 = KERN_TO_BF16, .from_bf16 = KERN(from_bf16), .quantize = KERN(quantize),         \
        .finish_int8 = KERN(finish_int8), .blend = KERN(blend)                                     \
    }

/* gemm_int8_pack.c - weights to 8-bit integers; see gemm_int8_pack.h
 *
 * Without VNNI a CPU adds two products of bytes in 16 bits, which hold 255 x 127 once but not
 * twice. To give up the eighth bit of all weights would double the error of each; but two large
 * weights of one sign beside one another are rare. So each output gets the largest integer
 * `top`, of 127 down to 64, at which the error is least: that of rounding, and that of pairs which
 * must be made smaller. At 64 there are none of these.
 */
#include "gemm/gemm_int8_pack.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MOST = 127, LEAST = 64, STEP = 3, PAIR = 128, BINS = 32 };

static float largest(const float *w, int n)
{
    float top = 0.0f;
    for (int i = 0; i < n; i++) {
        float size = fabsf(w[i]);
        top = size > top ? size : top;
    }
    return top;
}

/* The size of a pair's sum if its signs agree, else 0. */
static float pair_size(const float *w, int n, int i)
{
    float next = i + 1 < n ? w[i + 1] : 0.0f;
    return w[i] * next > 0.0f ? fabsf(w[i] + next) : 0.0f;
}

/* Only pairs larger than the largest weight can be too large; they are counted by their size, in
 * steps of 1 / BINS of it, once: this runs for every output while a model opens. */
static void count_pairs(int *bins, const float *w, int n, float limit)
{
    for (int i = 0; i < n; i += 2) {
        float size = pair_size(w, n, i);
        if (size > limit) {
            int bin = (int)((size / limit - 1.0f) * BINS);
            bins[bin < BINS ? bin : BINS - 1]++;
        }
    }
}

/* Squared error of all weights, in units of the largest: each is rounded by 1/12 on average, and
 * what a pair has too much is taken from both. */
static float error_at(int top, const int *bins, int n)
{
    float sum = (float)n / 12;
    for (int i = 0; i < BINS; i++) {
        float excess = (1.0f + (float)(i + 1) / BINS) * (float)top - PAIR;
        sum += excess > 0.0f ? (float)bins[i] * excess * excess / 2 : 0.0f;
    }
    return sum / (float)(top * top);
}

static int best_top(const float *w, int n, float limit)
{
    int best = MOST, bins[BINS] = { 0 };
    count_pairs(bins, w, n, limit);
    float least = error_at(MOST, bins, n);
    for (int top = MOST - STEP; top >= LEAST; top -= STEP) {
        float error = error_at(top, bins, n);
        if (error < least) {
            least = error;
            best = top;
        }
    }
    return best;
}

/* Two of one sign whose sizes sum to more than PAIR: half of what is too much from each. */
static void fit_pair(int8_t *q)
{
    int sign = q[0] < 0 ? -1 : 1, excess = sign * (q[0] + q[1]) - PAIR;
    if ((q[0] < 0) != (q[1] < 0) || excess <= 0)
        return;
    q[0] = (int8_t)(q[0] - sign * ((excess + 1) / 2));
    q[1] = (int8_t)(q[1] - sign * (excess / 2));
}

/* As lrintf, which would be a call for each of two million weights: at 1.5 x 2^23 a float has no
 * fractions, so that adding it rounds, and the integer is in its low bits. x: at most 127. */
static int8_t nearest(float x)
{
    float whole = x + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &whole, sizeof bits);
    return (int8_t)(bits - 0x4b400000);
}

float shoal__int8_channel(int8_t *q, const float *w, int n)
{
    float limit = largest(w, n);
    int whole = (n + 3) & ~3, top = limit > 0.0f ? best_top(w, n, limit) : MOST;
    float unit = limit > 1e-30f ? limit / (float)top : 1.0f;
    for (int i = 0; i < whole; i++)
        q[i] = i < n ? nearest(w[i] / unit) : 0;
    for (int i = 0; i < whole; i += 2)
        fit_pair(q + i);
    return unit;
}

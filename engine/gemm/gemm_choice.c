/* gemm_choice.c - which level of our own products runs, in every precision
 *
 * The level is that of the kernels between the products (SHOAL_KERNELS forces both); the scalar one
 * runs anywhere, so the engine needs no library to start. A level is tried against the scalar one
 * before it is used, since not every one can be tested where it was written: one that fails gives
 * way to the next lower.
 */
#include <math.h>
#include <string.h>

#include "gemm/gemm_own.h"

void shoal__trial_fill(float *x, int n)
{
    uint32_t seed = (uint32_t)n;
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = (float)(int32_t)seed * 0x1p-31f;
    }
}

shoal__linear shoal__trial_linear(int in, int out, const float *weight, float *bias)
{
    return (shoal__linear){
        .in = in, .out = out, .epilogue = SHOAL__SILU, .scale = 1.0f, .weight = weight, .bias = bias
    };
}

int shoal__trial_passes(const float *got, const float *want, int n)
{
    int ok = 1;
    for (int i = 0; ok && i < n; i++)
        ok = fabsf(got[i] - want[i]) <= 2e-4f;
    return ok;
}

int shoal__own_first(const shoal__own_face *const *levels, int n)
{
    shoal__level most = shoal__kern_choose()->level;
    int i = 0;
    while (i < n - 1 && levels[i]->level > most)
        i++;
    return i;
}

int shoal__own_pick(const shoal__own_face *const *levels, const int *sound, int n)
{
    for (int i = shoal__own_first(levels, n); i < n; i++)
        if (sound[i])
            return i;
    return n - 1;
}

const shoal__gemm *shoal__own_backend(const shoal__gemm *backends, size_t n,
                                      const shoal__own_face *level)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(backends[i].name, level->name))
            return &backends[i];
    return NULL;
}

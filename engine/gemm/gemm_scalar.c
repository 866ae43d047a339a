/* gemm_scalar.c - our products for any CPU: the oracle of the other levels */
#include <math.h>

#define OWN(name) shoal__own_scalar_##name
#define OWN_LANES 4
#define OWN_ROWS  6
#include "gemm/gemm_end_body.h"
/* after it: the body of fp32, then that of int8 */
#include "gemm/gemm_body.h"

const shoal__own_level shoal__own_scalar = OWN_LEVEL(SHOAL__SCALAR, "scalar");

static float largest(const float *x, int n)
{
    float top = 0.0f;
    for (int i = 0; i < n; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    return top;
}

static void quantize(uint8_t *q, const float *x, int n, float inverse)
{
    for (int i = 0; i < n; i++) {
        float v = x[i] * inverse;
        v = v > -127.0f ? v : -127.0f; /* NaN too */
        q[i] = (uint8_t)((int)__builtin_rintf(v < 127.0f ? v : 127.0f) + 128);
    }
}

/* The byte that is `shift` bits up in each place. */
#define A_BYTE(a, shift)   ((a) >> (shift)&0xff)
#define W_BYTE(w, shift)   ((w) << (24 - (shift)) >> 24)
#define TIMES(a, w, shift) (A_BYTE(a, shift) * W_BYTE(w, shift))

#define OWN_DOT(sum, a, w)                                                                         \
    ((sum) + TIMES(a, w, 0) + TIMES(a, w, 8) + TIMES(a, w, 16) + TIMES(a, w, 24))
#define OWN_WORDS_ROWS                 4
#define OWN_LARGEST(x, n)              largest(x, n)
#define OWN_QUANTIZE(q, x, n, inverse) quantize(q, x, n, inverse)
#include "gemm/gemm_int8_body.h"

const shoal__own_narrow shoal__int8_scalar = OWN_INT8(SHOAL__SCALAR, "scalar", NULL);

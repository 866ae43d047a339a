/* widen.c - see widen.h */
#include "model/widen.h"

#include <stdint.h>
#include <string.h>

static float as_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

void shoal__widen_bf16(float *out, const void *in, size_t n)
{
    const unsigned char *p = in;
    for (size_t i = 0; i < n; i++, p += 2)
        out[i] = as_float((uint32_t)p[0] << 16 | (uint32_t)p[1] << 24);
}

/* The exponent's bias is 15 in one and 127 in the other: moved to its place, the number is too
 * small by 2^112, subnormal ones too. Infinity and NaN keep their exponent of ones. Signs of
 * weights are as good as random, so nothing branches on them. */
static float half(uint32_t h)
{
    uint32_t sign = (h & 0x8000) << 16, rest = (h & 0x7fff) << 13;
    uint32_t size = bits_of(as_float(rest) * 0x1p112f);
    return as_float(sign | ((h & 0x7c00) == 0x7c00 ? rest | 0x7f800000 : size));
}

void shoal__widen_f16(float *out, const void *in, size_t n)
{
    const unsigned char *p = in;
    for (size_t i = 0; i < n; i++, p += 2)
        out[i] = half((uint32_t)p[0] | (uint32_t)p[1] << 8);
}

void shoal__widen_i8(float *out, const void *in, const float *scale, size_t rows, size_t columns)
{
    const signed char *p = in;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            *out++ = scale[r] * (float)*p++;
}

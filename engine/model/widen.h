/* widen.h - the narrow types of a model file to float32
 *
 * Little-endian in the file, as all of it. Each value widens exactly, but for I8, which is rounded
 * once: the product of value and scale.
 */
#ifndef SHOAL_WIDEN_H
#define SHOAL_WIDEN_H

#include <stddef.h>

void shoal__widen_bf16(float *out, const void *in, size_t n);
void shoal__widen_f16(float *out, const void *in, size_t n);
/* in [rows, columns], scale [rows] */
void shoal__widen_i8(float *out, const void *in, const float *scale, size_t rows, size_t columns);

#endif

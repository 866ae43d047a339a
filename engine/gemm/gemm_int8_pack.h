/* gemm_int8_pack.h - weights as 8-bit integers whose neighbours can be summed in 16 bits */
#ifndef SHOAL_GEMM_INT8_PACK_H
#define SHOAL_GEMM_INT8_PACK_H

#include <stdint.h>

/* One output's weights w [n] to q [n up to a multiple of 4, zeros there]; the return is what a step
 * is worth. Of two neighbours (0 and 1, 2 and 3, ..) the positive ones and the negative ones each
 * sum to at most 128: times a byte, 255, that keeps within 16 bits. */
float shoal__int8_channel(int8_t *q, const float *w, int n);

#endif

/* gemm_avx512.c - our products for AVX-512 */
#ifndef __AVX512F__
#error "compile this file with -mavx512f"
#endif
#define OWN(name) shoal__own_avx512_##name
#define OWN_LANES 16
#define OWN_ROWS  12
#include "gemm/gemm_body.h"

const shoal__own_level shoal__own_avx512 = OWN_LEVEL("avx512");

/* gemm_avx2.c - our products for AVX2 with FMA */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this file with -mavx2 -mfma"
#endif
#define OWN(name) shoal__own_avx2_##name
#define OWN_LANES 8
#define OWN_ROWS  6
#include "gemm/gemm_body.h"

const shoal__own_level shoal__own_avx2 = OWN_LEVEL("avx2");

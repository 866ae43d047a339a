/* kern_avx512.c - kernels for AVX-512 (F, BW, DQ, VL) */
#if !defined(__AVX512F__) || !defined(__AVX512VL__)
#error "compile this file with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512"
#endif
#define KERN(name) shoal__avx512_##name
#include "kern/kern_body.h"

const shoal__kern shoal__kern_avx512 = KERN_TABLE(SHOAL__AVX512, "avx512");

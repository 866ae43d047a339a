/* kern_avx2.c - kernels for AVX2 with FMA */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this file with -mavx2 -mfma"
#endif
#define KERN(name) shoal__avx2_##name
#include "kern/kern_body.h"

const shoal__kern shoal__kern_avx2 = KERN_TABLE(SHOAL__AVX2, "avx2");

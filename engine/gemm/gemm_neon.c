/* gemm_neon.c - our fp32 products for 64-bit ARM, whose 32 registers hold tiles of 12 rows */
#ifndef __aarch64__
#error "this file is for aarch64"
#endif
#define OWN(name) shoal__own_neon_##name
#define OWN_LANES 4
#define OWN_ROWS  12
#include <arm_neon.h>

/* fmaxnm and fminnm give the number where the other is none. */
#define OWN_MAX(x, b) ((OWN(vec))vmaxnmq_f32((float32x4_t)(x), (float32x4_t)(b)))
#define OWN_MIN(x, b) ((OWN(vec))vminnmq_f32((float32x4_t)(x), (float32x4_t)(b)))
#include "gemm/gemm_end_body.h"
/* after it, its vectors */
#include "gemm/gemm_body.h"

const shoal__own_level shoal__own_neon = OWN_LEVEL(SHOAL__NEON, "neon");

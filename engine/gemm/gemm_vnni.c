/* gemm_vnni.c - our int8 products for CPUs with AVX2 and VNNI: one instruction for four products
 *
 * Run by emulation only (tests/emulated/), for want of such a CPU: it is used if it passes its
 * trial (gemm_own_narrow.c).
 */
#if !defined(__AVX2__) || !defined(__AVXVNNI__)
#error "compile this file with -mavx2 -mavxvnni"
#endif
#include <cpuid.h>

#include "gemm/gemm_bytes_avx2.h"

#define OWN(name)     shoal__own_vnni_##name
#define OWN_LANES     8
#define OWN_MAX(x, b) ((OWN(vec))_mm256_max_ps((__m256)(x), (__m256)(b)))
#define OWN_MIN(x, b) ((OWN(vec))_mm256_min_ps((__m256)(x), (__m256)(b)))
#include "gemm/gemm_end_body.h"

#define OWN_DOT(sum, a, w)                                                                         \
    ((OWN(ints))_mm256_dpbusd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(w)))
#define OWN_WORDS_ROWS 6
#include "gemm/gemm_int8_body.h"

/* Leaf 7, subleaf 1, bit 4 of eax. */
static int has_vnni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

const shoal__own_narrow shoal__int8_vnni = OWN_INT8(SHOAL__AVX2, "avx2-vnni", has_vnni);

/* gemm_vnni512.c - our int8 products for AVX-512 with VNNI: one instruction for four products
 *
 * Run by emulation only (tests/emulated/), for want of such a CPU: it is used if it passes its
 * trial (gemm_own_narrow.c).
 */
#if !defined(__AVX512BW__) || !defined(__AVX512VNNI__)
#error "compile this file with -mavx512bw -mavx512vnni"
#endif
#include "gemm/gemm_bytes_avx2.h"

#define OWN(name)     shoal__own_vnni512_##name
#define OWN_LANES     16
#define OWN_MAX(x, b) ((OWN(vec))_mm512_max_ps((__m512)(x), (__m512)(b)))
#define OWN_MIN(x, b) ((OWN(vec))_mm512_min_ps((__m512)(x), (__m512)(b)))
#include "gemm/gemm_end_body.h"

#define OWN_DOT(sum, a, w)                                                                         \
    ((OWN(ints))_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(w)))
#define OWN_WORDS_ROWS 12
#include "gemm/gemm_int8_body.h"

static int has_vnni(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vnni");
}

const shoal__own_narrow shoal__int8_vnni512 = OWN_INT8(SHOAL__AVX512, "avx512-vnni", has_vnni);

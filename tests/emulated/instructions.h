/* instructions.h - AVX-512, VNNI and bf16 in C, for CPUs that lack them
 *
 * Put before the engine's own sources, unchanged, by -include: the levels above AVX2 run on any
 * CPU with AVX2. SIMDe gives most of what they call; what it lacks is defined here, as Intel's
 * manual says it. GCC's vectors of 64 bytes, which are all the rest, become pairs of AVX2's. What
 * is tried that way is what the sources say, not what a compiler makes of it for AVX-512.
 */
#ifndef EMULATED_INSTRUCTIONS_H
#define EMULATED_INSTRUCTIONS_H

#include <immintrin.h> /* before SIMDe's names stand in their way */
#include <stdint.h>
#include <string.h>

#include "emulated/cpu.h"

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/dpbf16.h>
#include <simde/x86/avx512/dpbusd.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/madd.h>
#include <simde/x86/avx512/maddubs.h>
#include <simde/x86/avx512/max.h>
#include <simde/x86/avx512/min.h>
#include <simde/x86/avx512/set1.h>

#undef _mm512_madd_epi16 /* SIMDe 0.7.4 has it with too many arguments */
#define _mm512_madd_epi16(a, b)            simde_mm512_madd_epi16(a, b)
#define _mm256_dpbusd_avx_epi32(sum, a, b) simde_mm256_dpbusd_epi32(sum, a, b)
#define _mm512_cvtneps_pbh(x)              emulated_cvtneps_pbh(x)
#define _mm512_cvtph_ps(h)                 emulated_cvtph_ps(h)
#define _mm512_cvtepi8_epi32(q)            emulated_cvtepi8_epi32(q)
#define _mm512_cvtepi32_ps(i)              emulated_cvtepi32_ps(i)

static inline __attribute__((unused)) simde__m512 emulated_cvtph_ps(__m256i halves)
{
    __m256 both[2] = { _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 0)),
                       _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)) };
    simde__m512 r;
    memcpy(&r, both, sizeof r);
    return r;
}

static inline __attribute__((unused)) simde__m512i emulated_cvtepi8_epi32(__m128i bytes)
{
    int8_t from[16];
    int32_t to[16];
    simde__m512i r;
    memcpy(from, &bytes, sizeof from);
    for (int i = 0; i < 16; i++)
        to[i] = from[i];
    memcpy(&r, to, sizeof r);
    return r;
}

static inline __attribute__((unused)) simde__m512 emulated_cvtepi32_ps(simde__m512i integers)
{
    int32_t from[16];
    float to[16];
    simde__m512 r;
    memcpy(from, &integers, sizeof from);
    for (int i = 0; i < 16; i++)
        to[i] = (float)from[i];
    memcpy(&r, to, sizeof r);
    return r;
}

/* To bf16, ties to even; denormal numbers become 0, and what is none, quiet. */
static inline __attribute__((unused)) simde__m256bh emulated_cvtneps_pbh(simde__m512 x)
{
    uint32_t from[16];
    uint16_t to[16];
    simde__m256bh r;
    memcpy(from, &x, sizeof from);
    for (int i = 0; i < 16; i++) {
        uint32_t size = from[i] & 0x7fffffff, odd = from[i] >> 16 & 1;
        if (size > 0x7f800000)
            to[i] = (uint16_t)(from[i] >> 16 | 0x40);
        else if (size < 0x00800000)
            to[i] = (uint16_t)(from[i] >> 16 & 0x8000);
        else
            to[i] = (uint16_t)((from[i] + 0x7fff + odd) >> 16);
    }
    memcpy(&r, to, sizeof r);
    return r;
}

/* ---- and now the sources may believe it ------------------------------------------------------ */

#define __AVX512F__    1
#define __AVX512BW__   1
#define __AVX512DQ__   1
#define __AVX512VL__   1
#define __AVX512VNNI__ 1
#define __AVX512BF16__ 1
#define __AVXVNNI__    1

#endif

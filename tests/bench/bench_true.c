/* bench_true.c - how fast this CPU could multiply if nothing had to be fetched; see bench.h
 *
 * Loops of a level's own instructions on registers alone: as many sums under way as the registers
 * hold beside the operands, so that neither latency nor memory counts. Written in assembly, or the
 * compiler would find that they compute nothing. A level whose sequence is not here (AMX, plain C
 * on other CPUs) has no true peak: 0.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "bench.h"

#include <string.h>

#define TEN(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3) X(r, 4) X(r, 5) X(r, 6) X(r, 7) X(r, 8) X(r, 9)

#ifdef HAVE_X86
#include <cpuid.h>

enum { TURNS = 60000, SUMS = 10 };

/* What happens to sum number n: registers 10 to 12 are for what lies between, 13 to 15 operands. */
#define FMA(r, n) "vfmadd231ps %%" r "14, %%" r "15, %%" r #n "\n"
#define BYTES(r, n)                                                                                \
    "vpmaddubsw %%" r "14, %%" r "15, %%" r "12\n"                                                 \
    "vpmaddwd %%" r "13, %%" r "12, %%" r "12\n"                                                   \
    "vpaddd %%" r "12, %%" r #n ", %%" r #n "\n"
#define VNNI(r, n)     "vpdpbusd %%" r "14, %%" r "15, %%" r #n "\n"
#define VEX_VNNI(r, n) "%{vex%} vpdpbusd %%" r "14, %%" r "15, %%" r #n "\n"
#define BF16(r, n)     "vdpbf16ps %%" r "14, %%" r "15, %%" r #n "\n"
#define SSE(r, n)                                                                                  \
    "movaps %%" r "14, %%" r "12\n"                                                                \
    "mulps %%" r "15, %%" r "12\n"                                                                 \
    "addps %%" r "12, %%" r #n "\n"
#define ZERO(r, n)     "vpxor %%xmm" #n ", %%xmm" #n ", %%xmm" #n "\n"
#define SSE_ZERO(r, n) "xorps %%xmm" #n ", %%xmm" #n "\n"

#define CLOBBERS                                                                                   \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc"

/* Operands are zeros: the time of none of these instructions depends on them. */
#define LOOP(name, STEP, r, CLEAR, END)                                                            \
    static void name(void)                                                                         \
    {                                                                                              \
        long turns = TURNS;                                                                        \
        __asm__ volatile(TEN(CLEAR, r) CLEAR(r, 12) CLEAR(r, 13) CLEAR(r, 14)                      \
                             CLEAR(r, 15) "1:\n" TEN(STEP, r) "dec %0\n"                           \
                                                              "jnz 1b\n" END                       \
                         : "+r"(turns)::CLOBBERS);                                                 \
    }

LOOP(scalar_fp32, SSE, "xmm", SSE_ZERO, "")
LOOP(avx2_fp32, FMA, "ymm", ZERO, "vzeroupper")
LOOP(avx2_int8, BYTES, "ymm", ZERO, "vzeroupper")
LOOP(avx512_fp32, FMA, "zmm", ZERO, "vzeroupper")
LOOP(avx512_int8, BYTES, "zmm", ZERO, "vzeroupper")
#ifdef HAVE_VNNI
LOOP(vnni_int8, VEX_VNNI, "ymm", ZERO, "vzeroupper")
LOOP(vnni512_int8, VNNI, "zmm", ZERO, "vzeroupper")
LOOP(avx512_bf16, BF16, "zmm", ZERO, "vzeroupper")
#endif

static const struct sequence {
    const char *level, *name;
    shoal_precision precision;
    int leaf_7_1,
        bit; /* CPUID says of it: eax of that subleaf, or ecx of leaf 7; 0: the level has it */
    double per_step; /* multiplications and additions */
    void (*run)(void);
} sequences[] = {
#ifdef HAVE_VNNI
    { "avx512", "vpdpbusd zmm", SHOAL_INT8, 0, 1 << 11, 128, vnni512_int8 },
    { "avx512", "vdpbf16ps zmm", SHOAL_BF16, 1, 1 << 5, 64, avx512_bf16 },
    { "avx2", "vpdpbusd ymm", SHOAL_INT8, 1, 1 << 4, 64, vnni_int8 },
#endif
    { "avx512", "vfmadd zmm", SHOAL_FP32, 0, 0, 32, avx512_fp32 },
    { "avx512", "vpmaddubsw + vpmaddwd + vpaddd zmm", SHOAL_INT8, 0, 0, 128, avx512_int8 },
    { "avx2", "vfmadd ymm", SHOAL_FP32, 0, 0, 16, avx2_fp32 },
    { "avx2", "vpmaddubsw + vpmaddwd + vpaddd ymm", SHOAL_INT8, 0, 0, 64, avx2_int8 },
    { "scalar", "mulps + addps xmm", SHOAL_FP32, 0, 0, 8, scalar_fp32 },
};

static int cpu_has(const struct sequence *s)
{
    unsigned a, b, c, d;
    if (!s->bit)
        return 1;
    if (!__get_cpuid_count(7, (unsigned)s->leaf_7_1, &a, &b, &c, &d))
        return 0;
    return ((s->leaf_7_1 ? a : c) & (unsigned)s->bit) != 0;
}

static const struct sequence *sequence_of(shoal_precision precision)
{
    const char *level = shoal__kern_choose()->name;
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        if (!strcmp(sequences[i].level, level) && sequences[i].precision == precision &&
            cpu_has(&sequences[i]))
            return &sequences[i];
    return NULL;
}

const char *bench_true_name(shoal_precision precision)
{
    const struct sequence *s = sequence_of(precision);
    return s ? s->name : NULL;
}

double bench_true_rate(shoal_precision precision)
{
    const struct sequence *s = sequence_of(precision);
    if (!s)
        return 0.0;
    double begin = bench_cpu_seconds();
    s->run();
    return s->per_step * SUMS * TURNS / (bench_cpu_seconds() - begin);
}
#else
const char *bench_true_name(shoal_precision precision)
{
    (void)precision;
    return NULL;
}

double bench_true_rate(shoal_precision precision)
{
    (void)precision;
    return 0.0;
}
#endif

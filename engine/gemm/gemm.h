/* gemm.h - the one matrix product of the engine: activations times a constant weight
 *
 * A backend packs every weight once when the model opens and multiplies any number of rows by
 * it afterwards, from any number of threads at once (each with its own scratch). Our own
 * scalar products need no library and are the oracle; OpenBLAS serves fp32 by name; oneDNN, where
 * it is built in, adds bf16 and int8; own kernels are faster than both where the CPU has AMX or, in
 * fp32, AVX2 alone. What follows a product (bias, SiLU, the residual sum) belongs to the product,
 * because a backend may fuse it.
 */
#ifndef SHOAL_GEMM_H
#define SHOAL_GEMM_H

#include <stddef.h>

#include "kern/kern.h"
#include "shoal.h"

/* y = scale * (x W^T + b). Set when the model opens, then constant. */
typedef struct shoal__linear {
    int in, out; /* K, N */
    shoal__epilogue epilogue;
    float scale;
    const float *weight; /* [out, in], a view while `pack` runs, then NULL */
    float *bias;         /* [out], owned, times scale */
    int id;              /* place in the model's list of linears */
    void *packed;        /* the backend's */
} shoal__linear;

typedef struct shoal__gemm {
    const char *name; /* library, version, kernels and precision in use */
    shoal_precision precision;
    /* 1: a row's result is the same bytes whatever rows are multiplied beside it, and how many.
     * 0: the order of its sum may depend on them; it moves by the last bits. Tests ask for what
     * is promised here, shoal_model_info.row_invariant passes it on. */
    int row_invariant;
    /* Fill l->packed from l->weight * l->scale; by shoal__gemm_pack. 0 or a negative SHOAL_E*. */
    int (*pack)(shoal__linear *l, shoal_precision precision);
    void (*unpack)(shoal__linear *l); /* free it; l->packed may be NULL */
    /* What one thread needs beside the weights, for products of up to max_rows rows. */
    int (*scratch_new)(void **out, shoal__linear *const *all, int n, int max_rows);
    void (*scratch_free)(void *scratch);
    /* Rows of a [.., in] to the same rows of c [.., out].
     * index: [rows] which, ascending, each once; other rows of c stay as they are. NULL: rows 0 to
     * rows - 1. row_scale: [rows], what each listed row's result is multiplied by, after SiLU and
     * before the residual sum. NULL: nothing. */
    void (*run)(const shoal__linear *l, const shoal__kern *kern, void *scratch, const float *a,
                int rows, const int *index, const float *row_scale, float *c);
    /* run(up), then run(down) of what it gave: a [.., up->in], c [.., down->out]; index as in run,
     * row_scale for down's results. NULL where two runs do. A backend that has it keeps the inner
     * activations in cache. */
    void (*run_pair)(const shoal__linear *up, const shoal__linear *down, const shoal__kern *kern,
                     void *scratch, const float *a, int rows, const int *index,
                     const float *row_scale, float *c);
    /* 0, or the negative SHOAL_E* of a product of this scratch that failed since the last call.
     * NULL: none can. A run of the batch asks when it has made all its products. */
    int (*failed)(void *scratch);
} shoal__gemm;

static inline int shoal__gemm_pack(const shoal__gemm *g, shoal__linear *l)
{
    return g->pack(l, g->precision);
}

/* At the level of the kernels (SHOAL_KERNELS): fp32 and int8 on any CPU, bf16 with AVX-512's. NULL
 * with a reason where there are none. */
const shoal__gemm *shoal__gemm_own(shoal_precision precision, char *why, size_t why_size);
/* Load the library (once a process) and return the backend; NULL with a reason in why. */
const shoal__gemm *shoal__gemm_openblas(char *why, size_t why_size);
#ifdef HAVE_ONEDNN
/* NULL with a reason where the CPU lacks what the precision needs. */
const shoal__gemm *shoal__gemm_onednn(shoal_precision precision, char *why, size_t why_size);
#endif

#ifdef HAVE_AMX
/* NULL with a reason where the CPU or the kernel lacks AMX. */
const shoal__gemm *shoal__gemm_amx(shoal_precision precision, char *why, size_t why_size);
#endif

/* The backend for these wishes; NULL with a reason in why (gemm.c). */
const shoal__gemm *shoal__gemm_choose(shoal_backend backend, shoal_precision precision, char *why,
                                      size_t why_size);
/* "fp32", "bf16" or "int8": of what is packed, so not of auto. */
const char *shoal__precision_name(shoal_precision precision);
/* A line for people: why this level, and why g for these wishes. */
void shoal__gemm_explain(char *text, size_t size, const shoal__gemm *g, shoal_backend backend,
                         shoal_precision precision);

#endif

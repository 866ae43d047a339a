/* gemm.h - the one matrix product of the engine: activations times a constant weight
 *
 * A backend packs a weight once when the model opens and multiplies any number of rows by it
 * afterwards, from any number of threads at once. OpenBLAS is the portable backend and the
 * reference in tests; others (oneDNN fp32, bf16, int8) plug in here.
 */
#ifndef SHOAL_GEMM_H
#define SHOAL_GEMM_H

#include <stddef.h>

typedef struct shoal__gemm shoal__gemm;

/* y = scale * (x W^T + b). Set when the model opens, then constant. */
typedef struct shoal__linear {
    int in, out;            /* K, N */
    const float *weight;    /* [out, in], view into the model file */
    float *bias;            /* [out], owned, times scale */
    float *packed;          /* [in, out]; owned; what the backend multiplies by */
} shoal__linear;

struct shoal__gemm {
    const char *name;       /* library, version and kernels in use */
    /* Fill l->packed from l->weight * scale. 0 or SHOAL_ENOMEM. */
    int (*pack)(shoal__linear *l, float scale);
    /* c [rows, out] = (accumulate ? c : 0) + a [rows, in] W^T. Rows are contiguous. */
    void (*run)(const shoal__linear *l, const float *a, int rows, float *c, int accumulate);
};

/* Load the library (once a process) and return the backend; NULL with a reason in why. */
const shoal__gemm *shoal__gemm_openblas(char *why, size_t why_size);

#endif

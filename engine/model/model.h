/* model.h - the opened model: pools of weights and the program that strings them together
 *
 * Everything here is written while the model opens and constant afterwards. Weights point into
 * the one copy of the file that the model owns, but for matrices, which the GEMM backend packs.
 */
#ifndef SHOAL_MODEL_H
#define SHOAL_MODEL_H

#include "gemm/gemm.h"
#include "kern/kern.h"
#include "model/explain.h"
#include "model/reader.h"
#include "model/safetensors.h"
#include "ops/op.h"
#include "phones/tables.h"
#include "shoal.h"

enum {
    SHOAL__HOP = 160,
    SHOAL__MAX_DEPTH = 64,
    SHOAL__MAX_PROGRAMS = 16,
    SHOAL__MAX_POOL = 64,
    SHOAL__MAX_EXPERTS = 64,
    SHOAL__MAX_DIM = 2048,
    SHOAL__MAX_FFN = 8192,
    SHOAL__MAX_KERNEL = 63,
    SHOAL__MAX_CHUNK = 64,
    SHOAL__MAX_LEFT = 256,
    SHOAL__MAX_DELAY = 16
};

/* A pool whose members have each their own inner width; they are optional. */
typedef struct shoal__mimics {
    int count;
    int inner[SHOAL__MAX_POOL]; /* [count] */
} shoal__mimics;

static inline int shoal__mimics_widest(const shoal__mimics *m)
{
    int widest = 0;
    for (int i = 0; i < m->count; i++)
        widest = m->inner[i] > widest ? m->inner[i] : widest;
    return widest;
}

typedef struct shoal__config {
    int format; /* 1 or 2 */
    char name[64];
    int mels, dim, ffn, heads, kernel, classes, delay, left;
    float mel_floor;
    float temperature; /* logits are divided by it; 1 in format 1 */
    shoal_smooth_params smooth;
    int blocks, norm_sets;     /* pool sizes */
    int expert_banks, routers; /* 0: the file has no experts */
    int experts;               /* of a bank */
    shoal__mimics mimic_linear, mimic_transformer;
} shoal__config;

typedef struct shoal__norm {
    const float *weight, *bias; /* [D] */
} shoal__norm;

/* What a session chooses: an order of virtual layers over the pools. */
struct shoal__program {
    char name[32];
    int depth;
    int blends;           /* some layer's exit is not 1 */
    shoal__layer *layers; /* [depth], owned */
};

struct shoal_model {
    shoal__config config;
    shoal_model_info info;
    char sha256[65], why[256];
    const char *labels[SHOAL__MAX_CLASSES];
    void *file; /* the whole file, owned; NULL: the built-in one */
    shoal__safetensors *tensors;
    const shoal__gemm *gemm;
    shoal__linear **linears; /* [linear_count] every linear below, by its id */
    int linear_count;
    const shoal__kern *kern;
    shoal__kind cache; /* in what streams remember */

    const float *mel_filters;       /* [mels, 257] */
    int mel_first[SHOAL__MAX_MELS]; /* bins where filter m is not zero: */
    int mel_count[SHOAL__MAX_MELS]; /*   [first, first + count) */
    shoal__mel mel;                 /* the same for the kernel */
    shoal__linear conv1, conv2;     /* [D, 3 * mels], [D, 3 * D]: taps unrolled */
    shoal__norm subsample_norm;
    void *pools[SHOAL__OPS];  /* each operation's own */
    shoal__program *programs; /* [program_count], the first is the default */
    int program_count;
    shoal__linear head;   /* [C, D] */
    const float *priors;  /* [C] shares of the classes in training, or NULL */
    shoal__ngrams ngrams; /* the searches' */
    shoal__search searches[SHOAL__SEARCHES];
};

/* Fill m->mel but for what is bound: 0 or SHOAL_ENOMEM (mel.c). */
int shoal__mel_make(shoal_model *m);

/* Read configuration and programs from the file's metadata (config.c). */
int shoal__config_read(shoal_model *m, char *why, size_t why_size);

/* The programs of the configuration; free them (program.c). */
void shoal__program_read(shoal__reader *r, shoal_model *m, const json_t *root);
void shoal__program_free(shoal_model *m);

typedef struct shoal__binder shoal__binder; /* bind.h */

#endif

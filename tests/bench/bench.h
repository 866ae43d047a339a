/* bench.h - what the files of bench_engine share
 *
 *     bench_engine.c   the grid of cases, tables, JSON
 *     bench_plan.c     command line
 *     bench_case.c     one case: streams fed with noise, CPU time a chunk
 *     bench_stages.c   where a run's time goes, seen from outside
 *     bench_peak.c     what the matrix libraries reach when nothing else is done
 *     bench_true.c     what this CPU could reach if nothing had to be fetched
 *     bench_shapes.c   the model's products against that, by rows
 *
 * All times are CPU time of the one thread, so that a busy neighbour disturbs less.
 */
#ifndef SHOAL_BENCH_H
#define SHOAL_BENCH_H

#include <jansson.h>
#include <stdio.h>

#include "run/stream.h"

double bench_cpu_seconds(void);

/* ---- what is asked for ------------------------------------------------------------------- */

enum { BENCH_MAX_LIST = 16, BENCH_FULL = 0 }; /* FULL: a depth, until the model is known */

typedef struct bench_depths {
    int depth[2]; /* of even and odd streams */
} bench_depths;

typedef struct bench_plan {
    double seconds;                        /* of CPU a case */
    int backend[BENCH_MAX_LIST], backends; /* places in bench_backends */
    int precision[BENCH_MAX_LIST], precisions;
    int cache; /* shoal_cache */
    bench_depths depth[BENCH_MAX_LIST];
    int depths;
    int chunk_ms[BENCH_MAX_LIST], chunks, streams[BENCH_MAX_LIST], counts;
    int plain;
    const char *json; /* file, "-" for stdout, or NULL */
    FILE *tables;     /* NULL: cannot be opened */
} bench_plan;

/* Exits with a complaint when the command line is wrong. */
bench_plan bench_plan_read(int argc, char **argv);

/* ---- stages ------------------------------------------------------------------------------ */

/* The engine is not instrumented: the bench puts itself between model and matrix library, and
 * since the products of a layer come in a fixed order, the time between two of them is
 * that of what lies between. Nothing of this is in the product. */
#define BENCH_STAGES(X)                                                                            \
    X(MEL, "log-mel (feed)")                                                                       \
    X(SUBSAMPLE, "subsampling")                                                                    \
    X(FFN, "FFN products")                                                                         \
    X(ATT_PRODUCTS, "attention products")                                                          \
    X(ATT_CORE, "attention core")                                                                  \
    X(CONV_PRODUCTS, "convolution products")                                                       \
    X(CONV, "GLU, depthwise conv., norm")                                                          \
    X(NORMS, "other norms")                                                                        \
    X(HEAD, "head, log softmax, results")                                                          \
    X(OTHER, "arranging, rotary tables")

typedef enum bench_stage {
#define BENCH_X(id, name) BENCH_##id,
    BENCH_STAGES(BENCH_X)
#undef BENCH_X
        BENCH_STAGE_COUNT
} bench_stage;

extern const char *const bench_stage_names[BENCH_STAGE_COUNT];

typedef struct bench_profile {
    double seconds[BENCH_STAGE_COUNT];
    double gemm_seconds, gemm_flops;
} bench_profile;

/* From now on products of m are metered; one model at a time. */
void bench_stages_attach(shoal_model *m);
void bench_stages_detach(shoal_model *m);
void bench_stages_begin(void);
/* What follows belongs to this stage, until the first product after it. */
void bench_stages_enter(bench_stage stage);
bench_profile bench_stages_end(void);

/* ---- one case ---------------------------------------------------------------------------- */

enum { BENCH_MAX_STREAMS = 256, BENCH_MAX_CHUNK = 64 };

typedef struct bench_case {
    int depth[2]; /* of even and odd streams */
    int chunk_frames, streams;
} bench_case;

typedef struct bench_outcome {
    double streams_per_core; /* seconds of audio a CPU second */
    double cpu_per_run_s;    /* of one run: one chunk of every stream */
    double runs;
    bench_profile profile; /* zero unless asked for */
} bench_outcome;

/* Runs for about so many CPU seconds, at least one chunk of every stream, from full caches. */
bench_outcome bench_case_run(shoal_model *m, bench_case c, double seconds, int profile);
/* Memory of one stream before any audio and once it has run. */
typedef struct bench_bytes {
    size_t silent, speaking;
} bench_bytes;

bench_bytes bench_case_bytes(const shoal_model *m, int depth, int chunk_frames);
/* Largest difference in log posteriors of a stream alone and among 31 at other depths. */
double bench_case_independence(shoal_model *m);

/* ---- peaks ------------------------------------------------------------------------------- */

typedef struct bench_peak {
    double flops;     /* a second; 0: no backend has this precision */
    char backend[80]; /* that reached it */
    double through;   /* the same through the engine's interface: fp32 in and out */
} bench_peak;

/* The fastest product of any backend, the best of several shapes and repetitions: bare where the
 * library allows that, so operands in the precision's own type, nothing converted or fused. */
bench_peak bench_peak_measure(shoal_precision precision);

/* Bytes a second that one core reads from memory in order, at best. */
double bench_memory_rate(void);

/* Operations a second of the instructions that this level (SHOAL_KERNELS) multiplies with, on
 * registers alone, in a burst of under a millisecond; and their names. 0 and NULL: not known for
 * it. */
double bench_true_rate(shoal_precision precision);
const char *bench_true_name(shoal_precision precision);

/* A table of a backend's share of that, a row for each of the model's products; into list, too. */
void bench_shapes_show(FILE *to, const shoal__gemm *g, json_t *list);

/* Backends by their number in shoal.h. */
extern const char *const bench_backends[];
extern const char *const bench_precisions[];

#endif

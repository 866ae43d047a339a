/* engine_util.h - what the engine's tests share: a model, a signal, runs, comparisons
 *
 * Everything aborts the running Check test on failure, so callers need no error paths. The
 * signal is integer arithmetic only: training/golden.py makes the same samples bit by bit.
 */
#ifndef ENGINE_UTIL_H
#define ENGINE_UTIL_H

#include <check.h>
#include <stdint.h>

#include "shoal.h"
#include "suite.h"

/* Features of one stream, gathered from many runs; frame 0 is the stream's first. */
typedef struct features {
    int dim, classes, frames, room;
    float *embedding; /* [frames, dim], owned */
    float *logp;      /* [frames, classes], owned */
    int *depth;       /* [frames] depth that made it, owned */
} features;

/* How audio is cut into feeds: sizes 1 + random % most; most 0: everything at once. */
typedef struct slicing {
    uint32_t seed, most;
} slicing;

static const slicing util_whole = { 0, 0 };

/* A whole file in malloc()ed memory. */
void *util_read_file(const char *path, size_t *size);
/* A model file; NULL if this build or CPU does not have that library, or bf16, or AMX. Anything
 * else must be there: what is skipped for the want of it would never be missed. */
shoal_model *util_open(const char *path, shoal_model_params p);
/* tests/data/tiny.safetensors: dim 32, depth 12, delay 2, left 16. */
shoal_model *util_tiny(void);
/* The same with a chosen matrix library, or NULL. */
shoal_model *util_tiny_on(shoal_backend backend, shoal_precision precision);
shoal_model *util_tiny_with(shoal_model_params p);

/* Noise and triangle waves, loud, soft and softer by turns of 100 ms. */
void util_signal(float *pcm, size_t n);
/* The next number of a small generator; and one in [-1, 1). */
uint32_t util_rand(uint32_t *state);
float util_randf(uint32_t *state);

features features_new(const shoal_model *m);
void features_free(features *f);
/* Copy a result behind the others; it must begin where they end. */
void features_add(features *f, const shoal_result *r);

/* Run a stream by its ready chunks, alone, until it is not ready. */
void util_run_ready(shoal_batch *b, shoal_stream *s, features *f);
/* Feed all samples in slices, running whenever a chunk is ready. */
void util_feed(shoal_batch *b, shoal_stream *s, const float *pcm, size_t n, slicing cut,
               features *f);
/* A stream from its first sample to finish, alone. */
features util_stream(const shoal_model *m, shoal_stream_params p, const float *pcm, size_t n,
                     slicing cut);
/* n streams in one batch, each run whenever a chunk of it is ready, till none is; got[n]: of each.
 */
void util_run_together(shoal_batch *b, shoal_stream **s, int n, const float *pcm, size_t samples,
                       features *got);

/* The same frames, embeddings and log posteriors, bit by bit. */
void util_same_bytes(const char *what, const features *a, const features *b);
/* got and want [n / columns, columns] agree within tol; else: where, both values, max diff. */
void util_close(const char *what, const float *got, const float *want, size_t n, int columns,
                double tol);
double util_max_diff(const float *a, const float *b, size_t n);
void util_all_finite(const char *what, const float *x, size_t n);

#endif

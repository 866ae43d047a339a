/* shoal.h - streaming speech features from one Conformer whose layers share weights
 *
 *     shoal_model *m;
 *     shoal_stream *s;
 *     shoal_batch *b;
 *     char why[256];
 *     if (shoal_model_open(&m, NULL, why, sizeof why) < 0)      // NULL: the built-in model
 *         errx(1, "%s", why);
 *     shoal_stream_params p = shoal_stream_default_params(m);
 *     p.depth = 6;
 *     if (shoal_stream_new(&s, m, &p) < 0 || shoal_batch_new(&b, m, 64) < 0)
 *         errx(1, "out of memory");
 *     for (;;) {
 *         size_t n = read_audio(pcm, 1600);                     // float, 16 kHz, mono
 *         for (size_t used = 0; used < n;) {
 *             used += shoal_stream_feed(s, pcm + used, n - used);
 *             while (shoal_stream_ready(s)) {                   // a whole chunk is there
 *                 shoal_result r;
 *                 if (shoal_batch_run(b, &s, 1, &r) == 0)
 *                     use(r.logp, r.frames);                    // valid until the next run
 *             }
 *         }
 *     }
 *
 * Objects:
 *   shoal_model    weights and programs. Immutable after opening; any number of threads may
 *                  share it. Must outlive its streams and batches.
 *   shoal_stream   the state of one client (audio not yet consumed, caches of every virtual
 *                  layer). One thread at a time.
 *   shoal_batch    scratch memory for one shoal_batch_run at a time, that is: one a worker
 *                  thread. Advances any number of streams, at any mix of depths and programs,
 *                  together: frames of all streams that are still running at layer l and whose
 *                  programs have the same one there (the same operation on the same weights) go
 *                  through the same matrix product.
 *
 * Time: audio is counted in samples at shoal_model_info.rate (16000), features in frames of
 * frame_samples (320 samples, 20 ms). Frame i describes samples [320 i, 320 i + 320). It can
 * be computed once the audio up to sample 320 (i + delay_frames + 1) + window_extra_samples
 * is there and its chunk is complete; chunks are counted from the first frame of the stream
 * (or from the last flush), including the delay_frames frames of look-ahead that lead in.
 *
 * Exactness: a chunk's features depend on the audio, the depth, the chunk length and the left
 * context alone: not on how the audio was sliced into feeds, nor on which other streams ran in the
 * same batch, how many, at which depths or in which order. Our own part keeps this to the bit, and
 * so do most matrix backends; one that sums a row differently in larger products (OpenBLAS, oneDNN
 * in bf16, oneDNN in fp32 without AVX-512) moves results, in fp32 by less than 1e-4.
 * shoal_model_info.row_invariant tells which of the two is promised.
 *
 * Memory: a stream without audio is small (some 20 KB). Its caches come with the first audio, for
 * the layers down to its depth, and go with its last frame: 142 KB a layer for left context 64, dim
 * 256 in fp32, half and less where shoal_cache says so.
 *
 * Nothing in ready/run allocates, locks, logs or prints, and of feed only a stream's first call
 * with audio allocates. Errors are negative SHOAL_E* codes; if a constructor fails there is nothing
 * to free.
 */
#ifndef SHOAL_H
#define SHOAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(SHOAL_BUILDING)
#define SHOAL_API __attribute__((visibility("default")))
#else
#define SHOAL_API
#endif

/* What is marked so returns an error or a count: look at it. */
#define SHOAL_CHECK SHOAL_API __attribute__((warn_unused_result))

/* Of this header; shoal_version() tells that of the library in use. */
#define SHOAL_VERSION_MAJOR 0
#define SHOAL_VERSION_MINOR 1
#define SHOAL_VERSION_PATCH 0
#define SHOAL_VERSION       "0.1.0"

/* code, name, message */
#define SHOAL_ERRORS(X)                                                                            \
    X(-1, SHOAL_EINVAL, "an argument is out of range")                                             \
    X(-2, SHOAL_ENOMEM, "out of memory")                                                           \
    X(-3, SHOAL_EIO, "the file cannot be read")                                                    \
    X(-4, SHOAL_EMODEL, "the model file is damaged or not a shoal model")                          \
    X(-5, SHOAL_EUNSUPPORTED, "not supported by this build, model or CPU")                         \
    X(-6, SHOAL_EAUDIO, "the audio holds NaN, infinity or a value beyond 1e15")                    \
    X(-7, SHOAL_ESTATE, "the stream is finished, or not in a state that allows this")              \
    X(-8, SHOAL_EBACKEND, "the matrix library is missing or failed to start")

enum {
    SHOAL_OK = 0,
#define SHOAL_X(code, name, text) name = code,
    SHOAL_ERRORS(SHOAL_X)
#undef SHOAL_X
};

SHOAL_API const char *shoal_version(void);      /* "0.1.0" */
SHOAL_API const char *shoal_strerror(int code); /* message; static */
SHOAL_API const char *shoal_errname(int code);  /* "SHOAL_EINVAL"; static */

/* ---- model --------------------------------------------------------------------------- */

typedef struct shoal_model shoal_model;
typedef struct shoal_stream shoal_stream;
typedef struct shoal_batch shoal_batch;

typedef struct shoal_model_info {
    const char *name;          /* from the file's metadata, e.g. "shoal-base" */
    const char *sha256;        /* 64 hex digits of the whole file */
    int rate;                  /* input sample rate, Hz: 16000 */
    int mels;                  /* 80 */
    int frame_samples;         /* samples a feature frame: 320 */
    int window_extra_samples;  /* audio needed past a frame's end by the mel window: 240 */
    int delay_frames;          /* look-ahead of the trained labels, frames: 3 */
    int dim;                   /* embedding size D */
    int classes;               /* posterior size C: 40 */
    int programs;              /* in the model; most have one */
    int depth;                 /* virtual layers of the first program; depths are 1..depth */
    int left_frames;           /* default left context, frames */
    int max_left_frames;       /* largest left context a stream may ask for: 256 */
    int max_chunk_frames;      /* longest chunk a stream may ask for: 64 (1.28 s) */
    unsigned decoders;         /* bit lm + 2 durations: a shoal_decoder may have these params;
                                * bit 1 (lm alone) is always set */
    size_t parameters;         /* weights of the network: without front end and decoder */
    const char *const *labels; /* [classes], labels[0] is "SIL" */
    const char *backend;       /* matrix library in use, e.g. "openblas 0.3.21 SkylakeX" */
    const char *kernels;       /* elementwise kernels in use: "amx", "avx512", "avx2" ... */
    float temperature;         /* what logits were divided by before logp; 1: nothing */
    const float *priors;   /* [classes] share of each class in training, above 0, sum 1; NULL: the
                            * file has none. logp - log prior are scaled likelihoods */
    const char *precision; /* of the products: "fp32", "bf16" or "int8" */
    int row_invariant;     /* 1: features are the same bytes in any company; 0: within 1e-4 in
                            * fp32 (see Exactness) */
    const char *cache;     /* type of what streams remember: "fp32", "bf16", "fp16" or "int8" */
    const char *why;       /* these kernels, this backend and precision: a line for people */
} shoal_model_info;

/* Matrix library and precision of its products; what lies between them is fp32. */
typedef enum shoal_backend {
    SHOAL_BACKEND_AUTO,     /* AMX on CPUs that have it; oneDNN with AVX-512 without bf16;
                             * else OWN */
    SHOAL_BACKEND_OPENBLAS, /* fp32 only; loaded when it is asked for */
    SHOAL_BACKEND_ONEDNN,   /* where it is built in */
    SHOAL_BACKEND_AMX,      /* own kernels for Intel AMX; fp32 as sums of int8 products */
    SHOAL_BACKEND_OWN       /* own kernels for any CPU, no library; fp32, int8 */
} shoal_backend;
typedef enum shoal_precision {
    SHOAL_FP32,
    SHOAL_BF16,
    SHOAL_INT8,
    SHOAL_PRECISION_AUTO /* what this CPU is fastest with, of those whose phone error rate is within
                          * 1 % of fp32's: BF16 with AMX, INT8 with AVX2 and AVX-512, else FP32 */
} shoal_precision;

/* The type of the numbers that a stream remembers, which are most of its memory and most of what
 * attention reads. Any type goes with any precision. Kilobytes a layer, and largest difference of
 * log posteriors from those with fp32 caches and products (docs/performance.md): */
typedef enum shoal_cache {
    SHOAL_CACHE_AUTO, /* F32 with fp32 products; below, BF16 with AVX-512 and AMX, else F16 */
    SHOAL_CACHE_F32,  /* 142, 0: Exactness above is with these */
    SHOAL_CACHE_BF16, /* 71, 1e-2: what tiles of AMX multiply as it lies; rounds queries, too */
    SHOAL_CACHE_F16,  /* 71, 7e-4 */
    SHOAL_CACHE_INT8  /* 40, 1e-2: keys and values in 8 bits, each with a scale; else F16 */
} shoal_cache;

typedef struct shoal_model_params {
    shoal_backend backend;
    shoal_precision precision;
    shoal_cache cache;
} shoal_model_params;

SHOAL_API shoal_model_params shoal_model_default_params(void); /* AUTO, FP32, AUTO */

/* Open a model file (docs/model-format.md); path NULL opens the built-in default.
 * why: receives cause and remedy when the result is negative; may be NULL.
 * Returns 0, SHOAL_EIO, SHOAL_EMODEL, SHOAL_ENOMEM, SHOAL_EBACKEND. */
SHOAL_CHECK int shoal_model_open(shoal_model **out, const char *path, char *why, size_t why_size);
/* The same with chosen backend, precision and caches. SHOAL_EINVAL when there is no such one,
 * SHOAL_EBACKEND when this build or CPU lacks it. */
SHOAL_CHECK int shoal_model_open_with(shoal_model **out, const char *path,
                                      const shoal_model_params *params, char *why, size_t why_size);
/* The same as shoal_model_open from memory; data is copied and may be freed afterwards. */
SHOAL_CHECK int shoal_model_open_memory(shoal_model **out, const void *data, size_t size, char *why,
                                        size_t why_size);
SHOAL_API void shoal_model_close(shoal_model *m); /* NULL is fine */
/* View, valid as long as the model. */
SHOAL_API const shoal_model_info *shoal_model_get_info(const shoal_model *m);

/* ---- stream -------------------------------------------------------------------------- */

/* The history that a layer finds when it wakes up, after set_depth to deeper. */
typedef enum shoal_wake {
    SHOAL_WAKE_EMPTY, /* nothing, as at the start of a stream: exactly defined, but for a while
                       * the deeper features know less than the shallow ones did */
    SHOAL_WAKE_COPY   /* a copy of what the deepest layer awake with the same weights (block)
                       * remembers: since their features are alike, nearly what it would have.
                       * Nothing where no such layer is awake */
} shoal_wake;

typedef struct shoal_stream_params {
    int depth;        /* 1..the program's depth */
    int chunk_frames; /* 1..info.max_chunk_frames; 8 frames are 160 ms */
    int left_frames;  /* 0..info.max_left_frames, attention's memory before the chunk */
    shoal_wake wake;  /* history of layers that wake up; default COPY */
    int program;      /* 0..info.programs - 1 (shoal_model_get_program); default 0 */
} shoal_stream_params;

SHOAL_API shoal_stream_params shoal_stream_default_params(const shoal_model *m);
/* Returns 0, SHOAL_EINVAL, SHOAL_ENOMEM. */
SHOAL_CHECK int shoal_stream_new(shoal_stream **out, const shoal_model *m,
                                 const shoal_stream_params *p);
SHOAL_API void shoal_stream_free(shoal_stream *s);

/* Take up to n samples of float mono PCM in [-1, 1]. Returns how many were taken: fewer than
 * n when the stream holds a chunk that is ready (run it, then feed the rest). Values outside
 * [-1, 1] are allowed; NaN, infinity and what is beyond SHOAL_MAX_SAMPLE (its power would no
 * longer be finite) give SHOAL_EAUDIO and take nothing of the call. So does SHOAL_ENOMEM, when the
 * first audio finds no memory for the caches. */
#define SHOAL_MAX_SAMPLE 1e15f
SHOAL_CHECK ptrdiff_t shoal_stream_feed(shoal_stream *s, const float *pcm, size_t n);
/* Internal frames the next run will advance: 0 while the chunk is incomplete. */
SHOAL_CHECK int shoal_stream_ready(const shoal_stream *s);
/* Make every whole frame heard so far ready as one short chunk; chunks count anew after it.
 * Up to frame_samples + window_extra_samples - 1 samples (34 ms) stay behind for the next
 * chunk, and output lags by the look-ahead; nothing is lost. Returns 0, or SHOAL_ESTATE after
 * shoal_stream_finish. */
SHOAL_CHECK int shoal_stream_flush(shoal_stream *s);
/* No more audio: pads with silence so that every sample heard lies in some output frame.
 * Keep running while ready. Total frames = ceil(samples / frame_samples). Feeding after
 * this gives SHOAL_ESTATE. */
SHOAL_CHECK int shoal_stream_finish(shoal_stream *s);
/* After finish, when all of it has been run: audio goes on with sample `at`, counted as ever, and
 * what lies before it was not heard. As with a new stream: nothing is remembered, chunks count
 * anew. Only frame numbers and samples run on; the frames between are never given. The frame of
 * sample `at` must not have been given (SHOAL_EINVAL). */
SHOAL_CHECK int shoal_stream_resume(shoal_stream *s, int64_t at);
/* Length of chunks from here on, frames. SHOAL_ESTATE while a whole frame waits for its chunk:
 * flush and run before. SHOAL_ENOMEM, longer than ever before (the length stays as it was). */
SHOAL_CHECK int shoal_stream_set_chunk(shoal_stream *s, int frames);
/* Depth from the next chunk on. Layers that wake up start as params.wake says.
 * Returns 0, SHOAL_EINVAL, or, deeper than ever before, SHOAL_ENOMEM (the depth stays as it was).
 * shoal_stream_next_frame() says from which output frame. */
SHOAL_CHECK int shoal_stream_set_depth(shoal_stream *s, int depth);
SHOAL_API int shoal_stream_get_depth(const shoal_stream *s);
/* Index of the first output frame that the next run will give. */
SHOAL_API int64_t shoal_stream_next_frame(const shoal_stream *s);
/* Samples taken by feed so far, and samples that output frames already cover. */
SHOAL_API int64_t shoal_stream_samples_fed(const shoal_stream *s);
SHOAL_API int64_t shoal_stream_samples_done(const shoal_stream *s);
/* Depths below its own whose outputs this stream wants as well, bit d - 1 for depth d; they cost
 * no encoder time (shoal_batch_get_tap). From the next chunk on. Bits at or above the stream's
 * depth are ignored. SHOAL_EINVAL for depths the model does not have. */
SHOAL_CHECK int shoal_stream_set_taps(shoal_stream *s, uint64_t depths);
/* The same of layers as they are (shoal_batch_get_hidden): bit l for layer l, 0 the subsampling's
 * output. Bits at or above the stream's depth are ignored, its own is in its result. */
SHOAL_CHECK int shoal_stream_set_hidden(shoal_stream *s, uint64_t layers);
/* 1: results have log-mel rows, too. From the next chunk on. */
SHOAL_API void shoal_stream_set_mel(shoal_stream *s, int on);
SHOAL_API size_t shoal_stream_memory(const shoal_stream *s); /* bytes owned now, caches too */

/* ---- programs, and what they cost ----------------------------------------------------- */

/* A program is an order of virtual layers over the model's weights. A stream follows one. */
typedef struct shoal_program_info {
    const char *name; /* e.g. "base"; valid as long as the model */
    int depth;        /* virtual layers; a stream of depth k goes through the first k */
} shoal_program_info;

#define SHOAL_LAYER_POOLS 4

/* One virtual layer. Texts are valid as long as the model. */
typedef struct shoal_layer_info {
    const char *op;                      /* its operation: "conformer", "mimic_linear", ... */
    int pools;                           /* pools that it takes something from: */
    const char *pool[SHOAL_LAYER_POOLS]; /* [pools] their names, e.g. "block", "norms" */
    int place[SHOAL_LAYER_POOLS];        /* [pools] and what it takes from each */
    float exit;                          /* its share in the embedding after it (shoal_result) */
} shoal_layer_info;

/* program 0..info.programs - 1, layer 0..depth - 1; SHOAL_EINVAL beyond. */
SHOAL_CHECK int shoal_model_get_program(const shoal_model *m, int program, shoal_program_info *out);
SHOAL_CHECK int shoal_model_get_layer(const shoal_model *m, int program, int layer,
                                      shoal_layer_info *out);

/* What is to be computed, in steps: a virtual layer for one chunk of each of some streams that are
 * alike. Layers may be left out, come several times, or have fewer streams than those before them
 * (the others left); streams with other chunks are a step of their own. */
enum {
    SHOAL_STEP_FRONT = -1, /* before the layers: log-mel rows to what the first layer reads */
    SHOAL_STEP_HEAD = -2   /* after them: posteriors. Frames of taps are further streams of it */
};

typedef struct shoal_step {
    int program;      /* 0..info.programs - 1 */
    int layer;        /* 0..depth - 1, or SHOAL_STEP_* */
    int streams;      /* at least 0 */
    int chunk_frames; /* of each, at least 0 */
    int left_frames;  /* attention's memory before the chunk, taken to be full; at least 0 */
} shoal_step;

typedef struct shoal_cost {
    double flops;       /* a multiply-add is two; not counted: norms, activations, log-mel */
    size_t cache_bytes; /* what these streams keep of these layers from chunk to chunk */
    int reach_frames;   /* how far before a frame these layers look, one after the other */
} shoal_cost;

/* The sum over n steps. 0, or SHOAL_EINVAL for a step that the model does not have. Any thread. */
SHOAL_CHECK int shoal_model_cost(const shoal_model *m, const shoal_step *steps, int n,
                                 shoal_cost *out);
/* The plan of a chunk of `streams` streams with these params: front, layers, head. Returns the
 * number of steps, p->depth + 2; SHOAL_EINVAL if the model has no such depth or max is less. */
SHOAL_CHECK int shoal_model_plan(const shoal_model *m, const shoal_stream_params *p, int streams,
                                 shoal_step *steps, int max);

/* ---- running ------------------------------------------------------------------------- */

/* An embedding at depth k is what the head reads there: not the k-th layer's output but, in models
 * trained so (shoal_layer_info.exit), an average over the exits up to it. Rows of several depths
 * are alike in meaning and may be compared; they are phonetic, and tell words better than voices.
 */
typedef struct shoal_result {
    int64_t first_frame;    /* index of the first frame below */
    int frames;             /* may be 0: the look-ahead frames that lead in give no output */
    int depth;              /* depth used */
    const float *embedding; /* [frames, dim], owned by the batch, valid until its next run */
    const float *logp;      /* [frames, classes], natural log, rows sum to 1 after exp */
    const float *hidden;    /* [frames, dim] what leaves the last layer itself */
    /* shoal_stream_set_mel: what the encoder reads of this chunk, delay_frames ahead of the above.
     * Two rows a frame, of 400 samples each, normalised over the training data. */
    const float *mel;        /* [2 * mel_frames, mels]; NULL: not asked for */
    int64_t mel_first_frame; /* index of the frame of the first two rows */
    int mel_frames;
} shoal_result;

/* Scratch for runs of up to max_frames internal frames in total, all streams together
 * (at least one stream's chunk). All three return 0, SHOAL_EINVAL (fewer than one
 * such frame, more than 65536, or more than 1048576 of the others), SHOAL_ENOMEM,
 * SHOAL_EBACKEND. */
SHOAL_CHECK int shoal_batch_new(shoal_batch **out, const shoal_model *m, int max_frames);
/* The same, with room for max_tap_frames frames of taps in all. */
SHOAL_CHECK int shoal_batch_new_taps(shoal_batch **out, const shoal_model *m, int max_frames,
                                     int max_tap_frames);
typedef struct shoal_batch_room {
    int frames;        /* internal frames in all */
    int tap_frames;    /* frames of taps in all */
    int hidden_frames; /* frames of hidden layers in all */
} shoal_batch_room;
SHOAL_CHECK int shoal_batch_new_room(shoal_batch **out, const shoal_model *m,
                                     const shoal_batch_room *room);
SHOAL_API void shoal_batch_free(shoal_batch *b);
/* Advance each of n different streams by its ready chunk. results[i] belongs to streams[i].
 * Streams that are not ready are an error (SHOAL_ESTATE), as is a sum of ready frames above
 * max_frames or of tapped or hidden frames above their room (SHOAL_EINVAL); neither changes any
 * stream. SHOAL_EBACKEND: the matrix library failed in a product; there are no results, and what
 * the streams remember is not to be relied on. */
SHOAL_CHECK int shoal_batch_run(shoal_batch *b, shoal_stream *const *streams, int n,
                                shoal_result *results);
/* Output of the last run at a tapped depth of its i-th stream. SHOAL_EINVAL if there is none. */
SHOAL_CHECK int shoal_batch_get_tap(const shoal_batch *b, int i, int depth, shoal_result *out);
/* A hidden layer of it: out->hidden, and frames as those of its result, row for row of the same
 * computation (a row of layer 0 is of what came delay_frames after the frame of its number). */
SHOAL_CHECK int shoal_batch_get_hidden(const shoal_batch *b, int i, int layer, shoal_result *out);
SHOAL_API size_t shoal_batch_memory(const shoal_batch *b);

/* ---- audio in: any format to 16 kHz mono float ---------------------------------------- */

typedef enum shoal_pcm_format {
    SHOAL_PCM_S16LE,
    SHOAL_PCM_F32LE,
    SHOAL_PCM_MULAW,
    SHOAL_PCM_ALAW,
    SHOAL_PCM_OPUS
} shoal_pcm_format;

/* Bytes of one format, rate and channel count -> float mono at 16 kHz. Bytes may be cut
 * anywhere, inside a sample too (for OPUS: one whole packet a call). Channels are averaged, or one
 * is taken; rates other than 16000 go through libsoxr, whose output does not depend on the slicing.
 */
typedef struct shoal_pcm shoal_pcm;

/* rate 8000..48000, channels 1..8. Returns 0, SHOAL_EINVAL, SHOAL_ENOMEM, SHOAL_EUNSUPPORTED (this
 * build has no libopus). */
SHOAL_CHECK int shoal_pcm_new(shoal_pcm **out, shoal_pcm_format format, int rate, int channels);
SHOAL_API void shoal_pcm_free(shoal_pcm *c);
/* Which channel is heard: 1..channels, or 0 (all, averaged). Before the first bytes. Returns 0,
 * SHOAL_EINVAL or, for Opus, SHOAL_ENOMEM: then c can only be freed. */
SHOAL_CHECK int shoal_pcm_set_channel(shoal_pcm *c, int channel);
/* Convert up to size bytes into at most max floats; *used says how many bytes were taken
 * (keep calling while it is less than size or the result is max). Returns the floats
 * written, SHOAL_EAUDIO (NaN, infinity, beyond SHOAL_MAX_SAMPLE, a bad Opus packet) or
 * SHOAL_ENOMEM. */
SHOAL_CHECK ptrdiff_t shoal_pcm_convert(shoal_pcm *c, const void *bytes, size_t size, size_t *used,
                                        float *out, size_t max);
/* After the last bytes: drain the resampler. Call until it returns 0, or SHOAL_ENOMEM. */
SHOAL_CHECK ptrdiff_t shoal_pcm_drain(shoal_pcm *c, float *out, size_t max);
/* After that: other audio follows, from a whole sample on. One that was cut is left out. Returns 0
 * or SHOAL_ENOMEM. */
SHOAL_CHECK int shoal_pcm_reset(shoal_pcm *c);

#ifdef __cplusplus
}
#endif

#include "shoal-phones.h"

#endif

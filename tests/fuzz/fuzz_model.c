/* fuzz_model.c - any bytes at all as a model file, and then as a model
 *
 * What opens must run: a fifth of a second of tone through a stream of each program at full
 * depth, chunk by chunk, and its posteriors through decoders and smoother. Weights may be absurd,
 * so values are not judged, only that nothing crashes, that frames add up and that a refusal has a
 * message. What is refused for its checksum alone is tried again with the right one.
 *
 * To fuzz, configure --without-onednn: making its primitives takes most of a run's time. Without
 * libFuzzer (-DSHOAL_FUZZ_REPLAY) main replays the files it is given (replay.c).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "shoal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAMPLES = 3200, CHUNK = 5 };

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_model: %s\n", what);
    abort();
}

enum { DECODERS = 4 };

/* Every one that the model has; the others stay NULL. */
static void open_decoders(const shoal_model *m, shoal_decoder **decoders)
{
    for (int i = 0; i < DECODERS; i++) {
        shoal_decoder_params p = { .lm = i & 1, .durations = i >> 1 };
        int there = shoal_model_get_info(m)->decoders >> i & 1;
        require(shoal_decoder_new(&decoders[i], m, &p) == (there ? 0 : SHOAL_EUNSUPPORTED),
                "a decoder is not there as promised");
    }
}

static shoal_smoother *open_smoother(const shoal_model *m)
{
    shoal_smooth_params p = shoal_smoother_default_params(m);
    shoal_smoother *s;
    require(shoal_smoother_new(&s, m, &p) == 0, "the model's own smoothing is refused");
    return s;
}

/* Run what is ready; returns the frames that came out. */
static int run_ready(shoal_batch *b, shoal_stream *s, shoal_decoder **decoders,
                     shoal_smoother *smoother)
{
    static float smooth[CHUNK * 255];
    shoal_phone phones[CHUNK + SHOAL_DECODER_LAG];
    shoal_result r;
    int frames = 0;
    while (shoal_stream_ready(s)) {
        require(shoal_batch_run(b, &s, 1, &r) == 0, "a ready stream does not run");
        for (int i = 0; i < DECODERS; i++)
            if (decoders[i])
                require(shoal_decoder_run(decoders[i], r.logp, r.frames, phones,
                                          CHUNK + SHOAL_DECODER_LAG) >= 0,
                        "a decoder does not run");
        shoal_smoother_run(smoother, r.logp, r.frames, smooth);
        frames += r.frames;
    }
    return frames;
}

static void use(const shoal_model *m, int program)
{
    static float pcm[SAMPLES];
    shoal_stream *s;
    shoal_batch *b;
    shoal_decoder *decoders[DECODERS] = { NULL };
    int frames = 0;
    shoal_program_info info;
    require(shoal_model_get_program(m, program, &info) == 0 && *info.name, "no such program");
    shoal_stream_params p = shoal_stream_default_params(m);
    p.program = program;
    p.depth = info.depth;
    p.chunk_frames = CHUNK;
    require(p.depth >= 1 && p.left_frames >= 0, "default parameters are out of range");
    for (int i = 0; i < SAMPLES; i++)
        pcm[i] = (float)((i * 37) % 200 - 100) / 200.0f;
    require(shoal_stream_new(&s, m, &p) == 0 && shoal_batch_new(&b, m, CHUNK) == 0,
            "an open model cannot be used");
    open_decoders(m, decoders);
    shoal_smoother *smoother = open_smoother(m);
    for (size_t at = 0; at < SAMPLES;) {
        at += (size_t)shoal_stream_feed(s, pcm + at, SAMPLES - at);
        frames += run_ready(b, s, decoders, smoother);
    }
    require(shoal_stream_finish(s) == 0, "a stream does not finish");
    frames += run_ready(b, s, decoders, smoother);
    require(frames == SAMPLES / 320, "frames are missing");
    for (int i = 0; i < DECODERS; i++)
        shoal_decoder_free(decoders[i]);
    shoal_smoother_free(smoother);
    shoal_batch_free(b);
    shoal_stream_free(s);
}

static int try(const uint8_t *data, size_t size, char *why, size_t why_size)
{
    shoal_model *m = NULL;
    int rc = shoal_model_open_memory(&m, data, size, why, why_size);
    if (rc < 0) {
        require(!m && *why, "a refusal without a message");
        return rc;
    }
    for (int i = 0; i < shoal_model_get_info(m)->programs; i++)
        use(m, i);
    shoal_model_close(m);
    return 0;
}

/* The same bytes with a checksum that fits, so that mutations get past it. */
static void try_summed(const uint8_t *data, size_t size)
{
    static const char mark[] = "\"crc32\":\"";
    char digits[9], why[256] = "";
    uint8_t *copy = malloc(size), *at;
    require(copy != NULL, "out of memory");
    memcpy(copy, data, size);
    at = memmem(copy, size, mark, sizeof mark - 1);
    if (at && (size_t)(copy + size - at) >= sizeof mark - 1 + 8) {
        at += sizeof mark - 1;
        memset(at, '0', 8);
        snprintf(digits, sizeof digits, "%08lx", crc32_z(0, copy, size));
        memcpy(at, digits, 8);
        try(copy, size, why, sizeof why);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[256] = "";
    if (try(data, size, why, sizeof why) < 0 && strstr(why, "checksum"))
        try_summed(data, size);
    return 0;
}

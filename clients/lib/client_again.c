/* client_again.c - see client_again.h
 *
 * The reach of the encoder, where the server does not tell it: each layer looks left_ms back from
 * the beginning of a chunk, and its convolution CONVOLUTION_MS back from a frame, which may lie in
 * the chunk before. So a layer adds left_ms + CONVOLUTION_MS, rounded up to chunks: 19.2 s for 12
 * layers at 160 ms.
 */
#include "lib/client_again.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_MS = 250,
    MOST_MS = 5000,
    CONVOLUTION_MS = 280, /* 15 frames see 14 before */
    DECODER_MS = 2560,    /* twice what the decoder waits at most: paths have met by then */
    FRAMES_A_SECOND = 1000 / SHOAL_FRAME_MS
};

int shoal__again_helps(const shoal_client_failure *f)
{
    return f->retry_ms >= 0 && f->cause != SHOAL_CLIENT_REJECTED && f->cause != SHOAL_CLIENT_BROKEN;
}

int shoal__again_wait_ms(int n, int retry_ms, uint32_t chance)
{
    int64_t wait = (int64_t)FIRST_MS << (n < 10 ? n : 10);

    wait = wait < MOST_MS ? wait : MOST_MS;
    wait = wait > retry_ms ? wait : retry_ms;
    wait += (int64_t)(chance % 1000) * wait / 2000; /* up to a half more */
    return wait < INT_MAX ? (int)wait : INT_MAX;
}

/* Waits of our own end where patience does, so that the last attempt is made then. */
int shoal__again_plan(shoal__patience *p, const shoal_client_failure *f, int advanced,
                      int64_t now_ms, int limit_ms, uint32_t chance)
{
    int64_t left;
    int wait;

    if (!p->until_ms || advanced)
        *p = (shoal__patience){ .until_ms = now_ms + limit_ms };
    left = p->until_ms - now_ms;
    if (left <= 0 || f->error.retry_after_ms > left)
        return -1;
    wait = shoal__again_wait_ms(p->attempts++, f->retry_ms, chance);
    return wait < left ? wait : (int)left;
}

/* Packets tell no time; means, and cuts of long speech, depend on where they began. */
int shoal__again_can_replay(const shoal_options *o)
{
    int cuts = (shoal_options_all_outputs(o) & SHOAL_OUTPUT_ACTIVITY) && o->activity_max_ms > 0;

    return o->format != SHOAL_FORMAT_OPUS && o->every <= 1 && o->pool == SHOAL_POOL_NONE && !cuts;
}

const char *shoal__again_differs(const shoal_ready *a, const shoal_ready *b, char *why, size_t n)
{
    if (strcmp(a->model_sha256, b->model_sha256) != 0) {
        snprintf(why, n, "the server has another model now (%.12s, before %.12s)", b->model_sha256,
                 a->model_sha256);
        return "other_model";
    }
    if (strcmp(a->precision, b->precision) != 0) {
        snprintf(why, n, "the server computes in %s now, before in %s", b->precision, a->precision);
        return "other_precision";
    }
    if (strcmp(a->backend, b->backend) != 0 || strcmp(a->kernels, b->kernels) != 0) {
        snprintf(why, n, "the server computes with %s, %s now, before with %s, %s", b->backend,
                 b->kernels, a->backend, a->kernels);
        return "other_kernels";
    }
    return NULL;
}

/* ---- from where ---- */

static uint64_t up_to(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

uint64_t shoal__again_reach_ms(const shoal_ready *r)
{
    const shoal_options *o = &r->options;
    uint64_t chunk = (uint64_t)(o->chunk_ms > 0 ? o->chunk_ms : SHOAL_DEFAULT_CHUNK_MS);
    uint64_t layer =
        up_to((uint64_t)(o->left_ms > 0 ? o->left_ms : 0), chunk) + up_to(CONVOLUTION_MS, chunk);
    uint64_t hangover = (uint64_t)(o->activity_hangover_ms > 0 ? o->activity_hangover_ms : 0);

    if (r->replay_ms > 0)
        return (uint64_t)r->replay_ms;
    return layer * (uint64_t)(o->depth_max > 0 ? o->depth_max : 1) + (uint64_t)r->latency_ms +
           DECODER_MS + hangover;
}

size_t shoal__again_sample_bytes(const shoal_options *o)
{
    return (size_t)shoal_format_bytes(o->format) * (size_t)o->channels;
}

static uint64_t common(uint64_t a, uint64_t b)
{
    return b ? common(b, a % b) : a;
}

/* Frames after which both a sample and a step of the resampler begin: 1 at 8, 16, 44.1 and 48 kHz,
 * 2 at 11025 Hz. */
static uint64_t even_frames(const shoal_ready *r)
{
    uint64_t rates = common((uint64_t)r->options.rate, (uint64_t)r->model_rate);

    return FRAMES_A_SECOND / common(FRAMES_A_SECOND, rates);
}

uint64_t shoal__again_frame(const shoal_ready *r, uint64_t next, uint64_t origin)
{
    uint64_t reach = up_to(shoal__again_reach_ms(r), SHOAL_FRAME_MS) / SHOAL_FRAME_MS;
    uint64_t even = even_frames(r), chunk = (uint64_t)r->options.chunk_ms / SHOAL_FRAME_MS;
    uint64_t frame = next > reach ? next - reach : 0;

    if (frame <= origin)
        return origin % even ? 0 : origin;
    frame -= (frame - origin) % (chunk ? chunk : 1);
    while (frame > origin && frame % even)
        frame -= chunk;
    return frame % even ? 0 : frame;
}

uint64_t shoal__again_first_frame(const shoal_ready *r, uint64_t byte)
{
    uint64_t unit = shoal__again_sample_bytes(&r->options), rate = (uint64_t)r->options.rate;
    uint64_t sample = (byte + unit - 1) / unit;

    return up_to(up_to(sample * FRAMES_A_SECOND, rate) / rate, even_frames(r));
}

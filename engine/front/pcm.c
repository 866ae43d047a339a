/* pcm.c - any accepted audio format to float mono at 16 kHz
 *
 *   bytes -> whole sample frames -> float, channels averaged -> [libsoxr] -> 16 kHz
 *
 * A sample frame cut in two by a message boundary waits in `part`. At 16 kHz the samples pass
 * through untouched. libsoxr keeps its own history, so its output does not depend on slicing.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <math.h>
#include <soxr.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_OPUS
#include <opus/opus.h>
#endif

#include "shoal.h"

enum { RATE = 16000, MAX_CHANNELS = 8, BLOCK = 1024, OPUS_MAX = 1920 /* 120 ms at 16 kHz */ };

struct shoal_pcm {
    shoal_pcm_format format;
    int channels;
    int channel;  /* the one that is heard; 0: all */
    size_t width; /* bytes of a sample frame, all channels */
    unsigned char part[MAX_CHANNELS * 4];
    size_t part_size;
    soxr_t soxr;                 /* NULL at 16 kHz */
    void *opus;                  /* OpusDecoder */
    float pending[2 * OPUS_MAX]; /* decoded packet not yet handed out; stereo while it is decoded */
    size_t pending_at, pending_count;
};

static size_t sample_bytes(shoal_pcm_format format)
{
    return format == SHOAL_PCM_F32LE ? 4 : format == SHOAL_PCM_S16LE ? 2 : 1;
}

static int open_resampler(shoal_pcm *c, int rate)
{
    soxr_error_t error;
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    c->soxr = soxr_create(rate, RATE, 1, &error, &io, &quality, &runtime);
    return error || !c->soxr ? SHOAL_ENOMEM : 0;
}

static int open_opus(shoal_pcm *c, int channels)
{
#ifdef HAVE_OPUS
    int error;
    c->opus = opus_decoder_create(RATE, channels, &error);
    return error == OPUS_OK ? 0 : SHOAL_ENOMEM;
#else
    (void)c;
    (void)channels;
    return SHOAL_EUNSUPPORTED;
#endif
}

int shoal_pcm_new(shoal_pcm **out, shoal_pcm_format format, int rate, int channels)
{
    if (rate < 8000 || rate > 48000 || channels < 1 || channels > MAX_CHANNELS)
        return SHOAL_EINVAL;
    if (format < SHOAL_PCM_S16LE || format > SHOAL_PCM_OPUS)
        return SHOAL_EINVAL;
    shoal_pcm *c = calloc(1, sizeof *c);
    if (!c)
        return SHOAL_ENOMEM;
    c->format = format;
    c->channels = channels;
    c->width = sample_bytes(format) * (size_t)channels;
    int rc = format == SHOAL_PCM_OPUS ? open_opus(c, 1)
             : rate != RATE           ? open_resampler(c, rate)
                                      : 0;
    if (rc < 0) {
        shoal_pcm_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void shoal_pcm_free(shoal_pcm *c)
{
    if (!c)
        return;
    soxr_delete(c->soxr);
#ifdef HAVE_OPUS
    if (c->opus)
        opus_decoder_destroy(c->opus);
#endif
    free(c);
}

int shoal_pcm_set_channel(shoal_pcm *c, int channel)
{
    if (channel < 0 || channel > c->channels)
        return SHOAL_EINVAL;
    c->channel = channel;
#ifdef HAVE_OPUS
    if (c->opus && channel) { /* else libopus mixes */
        opus_decoder_destroy(c->opus);
        c->opus = NULL;
        return open_opus(c, 2);
    }
#endif
    return 0;
}

static float from_s16(const unsigned char *p)
{
    return (float)(int16_t)(uint16_t)(p[0] | p[1] << 8) / 32768.0f;
}

static float from_f32(const unsigned char *p)
{
    uint32_t u = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* ITU-T G.711: 14-bit range in mu-law, 13-bit in A-law; both scaled to 16 bits. */
static float from_mulaw(unsigned char byte)
{
    int u = ~byte & 0xff;
    int magnitude = (((u & 0x0f) << 3) + 0x84) << (u >> 4 & 7);
    return (float)(u & 0x80 ? 0x84 - magnitude : magnitude - 0x84) / 32768.0f;
}

static float from_alaw(unsigned char byte)
{
    int a = byte ^ 0x55, exponent = a >> 4 & 7;
    int magnitude = (a & 0x0f) << 4;
    magnitude = exponent ? (magnitude + 0x108) << (exponent - 1) : magnitude + 8;
    return (float)(a & 0x80 ? magnitude : -magnitude) / 32768.0f;
}

static float sample(shoal_pcm_format format, const unsigned char *p)
{
    switch (format) {
    case SHOAL_PCM_S16LE: return from_s16(p);
    case SHOAL_PCM_F32LE: return from_f32(p);
    case SHOAL_PCM_MULAW: return from_mulaw(*p);
    default: return from_alaw(*p);
    }
}

/* One sample frame: a channel of it, or all averaged. */
static float mono(const shoal_pcm *c, const unsigned char *p)
{
    float sum = 0.0f;
    if (c->channel)
        return sample(c->format, p + (size_t)(c->channel - 1) * sample_bytes(c->format));
    for (int i = 0; i < c->channels; i++)
        sum += sample(c->format, p + (size_t)i * sample_bytes(c->format));
    return sum / (float)c->channels;
}

/* Whole sample frames out of bytes, up to max; *used counts bytes. */
static size_t unpack(shoal_pcm *c, const unsigned char *bytes, size_t size, size_t *used,
                     float *out, size_t max)
{
    size_t n = 0, at = 0;
    while (n < max) {
        size_t need = c->width - c->part_size;
        if (size - at < need) {
            if (size > at)
                memcpy(c->part + c->part_size, bytes + at, size - at);
            c->part_size += size - at;
            at = size;
            break;
        }
        if (c->part_size) {
            memcpy(c->part + c->part_size, bytes + at, need);
            out[n++] = mono(c, c->part);
            c->part_size = 0;
        } else {
            out[n++] = mono(c, bytes + at);
        }
        at += need;
    }
    *used = at;
    return n;
}

static int sane(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= SHOAL_MAX_SAMPLE)) /* NaN too */
            return 0;
    return 1;
}

static ptrdiff_t resample(shoal_pcm *c, const unsigned char *bytes, size_t size, size_t *used,
                          float *out, size_t max)
{
    float block[BLOCK];
    size_t total = 0;
    *used = 0;
    while (total < max) {
        size_t took = 0, eaten = 0, made = 0;
        /* soxr refuses input that the room for output could not absorb: rates of at least
         * 8 kHz give at most two samples out for one in, so this much is always taken. */
        size_t room = (max - total) / 4 + 1;
        size_t n =
            unpack(c, bytes + *used, size - *used, &took, block, room < BLOCK ? room : BLOCK);
        *used += took;
        if (!sane(block, n))
            return SHOAL_EAUDIO;
        if (soxr_process(c->soxr, block, n, &eaten, out + total, max - total, &made))
            return SHOAL_ENOMEM;
        total += made;
        if (!n && !made)
            break;
    }
    return (ptrdiff_t)total;
}

#ifdef HAVE_OPUS
static ptrdiff_t decode_opus(shoal_pcm *c, const unsigned char *bytes, size_t size, size_t *used,
                             float *out, size_t max)
{
    *used = 0;
    if (c->pending_at == c->pending_count && size) {
        int n = opus_decode_float(c->opus, bytes, (opus_int32)size, c->pending, OPUS_MAX, 0);
        if (n < 0)
            return SHOAL_EAUDIO;
        for (int i = 0; c->channel && i < n; i++)
            c->pending[i] = c->pending[2 * i + c->channel - 1];
        *used = size;
        c->pending_at = 0;
        c->pending_count = (size_t)n;
    }
    size_t n = c->pending_count - c->pending_at;
    n = n < max ? n : max;
    memcpy(out, c->pending + c->pending_at, n * sizeof *out);
    c->pending_at += n;
    return (ptrdiff_t)n;
}
#endif

ptrdiff_t shoal_pcm_convert(shoal_pcm *c, const void *bytes, size_t size, size_t *used, float *out,
                            size_t max)
{
#ifdef HAVE_OPUS
    if (c->opus)
        return decode_opus(c, bytes, size, used, out, max);
#endif
    if (c->soxr)
        return resample(c, bytes, size, used, out, max);
    size_t n = unpack(c, bytes, size, used, out, max);
    return sane(out, n) ? (ptrdiff_t)n : SHOAL_EAUDIO;
}

ptrdiff_t shoal_pcm_drain(shoal_pcm *c, float *out, size_t max)
{
    size_t made = 0;
    if (c->soxr && soxr_process(c->soxr, NULL, 0, NULL, out, max, &made))
        return SHOAL_ENOMEM;
    return (ptrdiff_t)made;
}

int shoal_pcm_reset(shoal_pcm *c)
{
#ifdef HAVE_OPUS
    if (c->opus)
        opus_decoder_ctl(c->opus, OPUS_RESET_STATE);
#endif
    c->part_size = 0;
    return c->soxr && soxr_clear(c->soxr) ? SHOAL_ENOMEM : 0;
}

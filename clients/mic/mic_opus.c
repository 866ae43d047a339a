/* mic_opus.c - see mic_opus.h
 *
 * 24 kbit/s, as is usual for speech at 16 kHz. The lookahead of the encoder, 6.5 ms, is not taken
 * off, so times are that much later.
 */
#include "config.h"

#include "mic/mic_opus.h"

#include <stdio.h>

#ifdef HAVE_OPUS

#include <opus.h>
#include <stdlib.h>
#include <string.h>

enum { BITS_A_SECOND = 24000, PACKETS_A_SECOND = 50, MAX_FRAME = 960, MAX_PACKET = 1275 };

struct mic_opus {
    OpusEncoder *encoder;
    int16_t frame[MAX_FRAME];
    size_t used, size; /* samples of it; of a packet */
};

mic_opus *mic_opus_open(int rate, char *why, size_t why_size)
{
    mic_opus *o = calloc(1, sizeof *o);
    int error = OPUS_ALLOC_FAIL;

    if (o)
        o->encoder = opus_encoder_create(rate, 1, OPUS_APPLICATION_VOIP, &error);
    if (o && o->encoder) {
        o->size = (size_t)(rate / PACKETS_A_SECOND);
        opus_encoder_ctl(o->encoder, OPUS_SET_BITRATE(BITS_A_SECOND));
        return o;
    }
    snprintf(why, why_size,
             error == OPUS_BAD_ARG ? "--opus takes 8000, 12000, 16000, 24000 or 48000 Hz, not %d: "
                                     "add --rate 48000"
                                   : "--opus at %d Hz: out of memory",
             rate);
    free(o);
    return NULL;
}

void mic_opus_free(mic_opus *o)
{
    if (!o)
        return;
    opus_encoder_destroy(o->encoder);
    free(o);
}

static int give(mic_opus *o, mic_opus_packet *take, void *user)
{
    uint8_t packet[MAX_PACKET];
    int n = opus_encode(o->encoder, o->frame, (int)o->size, packet, sizeof packet);

    o->used = 0;
    return n > 0 ? take(user, packet, (size_t)n) : -1;
}

int mic_opus_add(mic_opus *o, const int16_t *samples, size_t n, mic_opus_packet *take, void *user)
{
    while (n) {
        size_t piece = o->size - o->used < n ? o->size - o->used : n;

        memcpy(o->frame + o->used, samples, piece * sizeof *samples);
        o->used += piece;
        samples += piece;
        n -= piece;
        if (o->used == o->size && give(o, take, user) < 0)
            return -1;
    }
    return 0;
}

int mic_opus_flush(mic_opus *o, mic_opus_packet *take, void *user)
{
    if (!o->used)
        return 0;
    memset(o->frame + o->used, 0, (o->size - o->used) * sizeof *o->frame);
    return give(o, take, user);
}

void mic_opus_reset(mic_opus *o)
{
    o->used = 0;
    opus_encoder_ctl(o->encoder, OPUS_RESET_STATE);
}

#else

mic_opus *mic_opus_open(int rate, char *why, size_t why_size)
{
    (void)rate;
    snprintf(why, why_size, "--opus: this shoal-mic was built without Opus");
    return NULL;
}

void mic_opus_free(mic_opus *o)
{
    (void)o;
}

int mic_opus_add(mic_opus *o, const int16_t *samples, size_t n, mic_opus_packet *take, void *user)
{
    (void)o, (void)samples, (void)n, (void)take, (void)user;
    return -1;
}

int mic_opus_flush(mic_opus *o, mic_opus_packet *take, void *user)
{
    (void)o, (void)take, (void)user;
    return -1;
}

void mic_opus_reset(mic_opus *o)
{
    (void)o;
}

#endif

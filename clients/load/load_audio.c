/* load_audio.c - what is sent: a file, or made-up speech
 *
 * One buffer for all sessions, read-only during a run; each session begins at its own place and
 * goes round. The beginning is repeated after the end, so a packet is always one piece.
 *
 * Made-up speech: syllables of a pulse train through two resonators, hissing onsets, pauses.
 * Cost does not depend on what is said, but a phone decoder should have something to do.
 */
#include "load/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file/file_audio.h"

enum { SYNTHETIC_S = 20, MAX_FILE_S = 600, GUARD = LOAD_RATE * LOAD_MAX_PACKET_MS / 1000 };

typedef struct resonator {
    float a, b; /* y = x + a y[-1] + b y[-2] */
    float y1, y2;
} resonator;

static void tune(resonator *r, double hz, double bandwidth)
{
    double radius = exp(-M_PI * bandwidth / LOAD_RATE);

    r->a = (float)(2 * radius * cos(2 * M_PI * hz / LOAD_RATE));
    r->b = (float)(-radius * radius);
}

static float ring(resonator *r, float x)
{
    float y = x + r->a * r->y1 + r->b * r->y2;

    r->y2 = r->y1;
    return r->y1 = y;
}

static double uniform(uint64_t *random, double from, double to)
{
    return from + (to - from) * (double)(load_random(random) >> 11) * 0x1p-53;
}

/* One syllable: 50 ms of hiss, a vowel that swells and fades, then a short or long pause. */
static size_t syllable(float *out, size_t room, uint64_t *random)
{
    resonator f1 = { 0 }, f2 = { 0 };
    size_t hiss = LOAD_RATE / 20, voiced = (size_t)(uniform(random, 0.10, 0.25) * LOAD_RATE);
    size_t pause = (size_t)(uniform(random, 0, 1) < 0.15 ? 0.4 * LOAD_RATE : 0.03 * LOAD_RATE);
    size_t n = hiss + voiced + pause;
    double pitch = uniform(random, 90, 220) / LOAD_RATE, phase = 1;

    tune(&f1, uniform(random, 250, 850), 80);
    tune(&f2, uniform(random, 900, 2500), 120);
    n = n < room ? n : room;
    for (size_t i = 0; i < n; i++) {
        double swell =
            i < hiss || i >= hiss + voiced ? 0 : sin(M_PI * (double)(i - hiss) / (double)voiced);
        float pulse = (phase += pitch) >= 1 ? (float)swell : 0;
        float noise = (float)uniform(random, -1, 1) * (i < hiss ? 0.05f : 0.001f);

        phase -= phase >= 1;
        out[i] = 0.02f * ring(&f2, ring(&f1, pulse)) + noise;
    }
    return n;
}

static void make_speech(float *out, size_t n, uint64_t seed)
{
    uint64_t random = seed;

    for (size_t done = 0; done < n;)
        done += syllable(out + done, n - done, &random);
}

/* float -> the session's format, little-endian */
static void put_sample(uint8_t *to, float x, shoal_format f)
{
    uint32_t bits;

    x = x > 1 ? 1 : x < -1 ? -1 : x;
    if (f == SHOAL_FORMAT_F32LE)
        memcpy(&bits, &x, sizeof bits);
    else
        bits = (uint32_t)lrintf(x * 32767);
    for (int i = 0; i < shoal_format_bytes(f); i++)
        to[i] = (uint8_t)(bits >> 8 * i);
}

static int store(load_audio *a, const float *samples, size_t n, shoal_format f)
{
    a->sample_bytes = (size_t)shoal_format_bytes(f);
    a->samples = n;
    a->bytes = malloc((n + GUARD) * a->sample_bytes);
    if (!a->bytes)
        return -1;
    for (size_t i = 0; i < n + GUARD; i++)
        put_sample(a->bytes + i * a->sample_bytes, samples[i % n], f);
    return 0;
}

/* ---- a file ---- */

static float get_sample(const uint8_t *from, int s16)
{
    float x;

    if (s16)
        return (float)(int16_t)(from[0] | from[1] << 8) / 32768;
    memcpy(&x, from, sizeof x);
    return x;
}

/* Up to room samples of an open file. How many, or -1 with cause in why. */
static ptrdiff_t read_samples(file_audio *f, float *out, size_t room, char *why, size_t why_size)
{
    uint8_t block[4 * 4096];
    size_t done = 0;
    ptrdiff_t got = 1;

    while (got > 0 && done < room) {
        size_t want = room - done < 4096 ? room - done : 4096;
        const file_audio_info *info = file_audio_get_info(f);

        got = file_audio_read(f, block, want, why, why_size);
        for (ptrdiff_t i = 0; i < got; i++)
            out[done++] = get_sample(block + (size_t)i * info->frame_bytes, info->s16);
    }
    return got < 0 ? -1 : (ptrdiff_t)done;
}

static ptrdiff_t load_file(const char *path, float *out, size_t room, char *why, size_t why_size)
{
    const file_audio_limits limits = { LOAD_RATE, LOAD_RATE, 1, LOAD_RATE };
    file_audio *f;
    char cause[256];
    ptrdiff_t n = -1;

    if (file_audio_open(&f, path, &limits, cause, sizeof cause) == 0) {
        n = read_samples(f, out, room, cause, sizeof cause);
        file_audio_close(f);
    }
    if (n < 0)
        snprintf(why, why_size, "%s: %s", path, cause);
    if (n == 0)
        snprintf(why, why_size, "%s: it holds no audio; give another --audio FILE", path);
    return n;
}

int load_audio_open(load_audio *a, const load_options *o, char *why, size_t why_size)
{
    size_t room = (size_t)LOAD_RATE * (o->audio_file ? MAX_FILE_S : SYNTHETIC_S);
    float *samples = malloc(sizeof *samples * room);
    ptrdiff_t n = (ptrdiff_t)room;
    int r = -1;

    if (samples && o->audio_file)
        n = load_file(o->audio_file, samples, room, why, why_size);
    else if (samples)
        make_speech(samples, room, o->seed);
    if (!samples || (n > 0 && (r = store(a, samples, (size_t)n, o->session.format)) < 0))
        snprintf(why, why_size, "out of memory for the audio: give a shorter --audio FILE");
    free(samples);
    return r;
}

void load_audio_free(load_audio *a)
{
    free(a->bytes);
    a->bytes = NULL;
}

const uint8_t *load_audio_view(const load_audio *a, const load_plan *p, int64_t k)
{
    uint64_t ms = p->audio_ms + (uint64_t)k * (uint64_t)p->packet_ms;

    return a->bytes + ms * (LOAD_RATE / 1000) % a->samples * a->sample_bytes;
}

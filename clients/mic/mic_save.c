/* mic_save.c - see mic_save.h */
#include "mic/mic_save.h"

#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "out/out.h"

int mic_save_init(mic_save *s, int rate)
{
    memset(s, 0, sizeof *s);
    s->rate = rate;
    s->samples = calloc((size_t)rate * MIC_SAVE_SECONDS, sizeof *s->samples);
    return s->samples ? 0 : -1;
}

void mic_save_free(mic_save *s)
{
    free(s->samples);
    s->samples = NULL;
}

static size_t capacity(const mic_save *s)
{
    return (size_t)s->rate * MIC_SAVE_SECONDS;
}

void mic_save_add(mic_save *s, const int16_t *samples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->samples[(s->n + i) % capacity(s)] = samples[i];
    s->n += n;
}

void mic_save_add_phone(mic_save *s, const char *label, double start, double end, float confidence)
{
    mic_saved_phone *p = &s->phones[s->phone_count++ % MIC_SAVE_PHONES];

    snprintf(p->label, sizeof p->label, "%s", label);
    p->start = start;
    p->end = end;
    p->confidence = confidence;
}

static uint64_t first_sample(const mic_save *s)
{
    return s->n > capacity(s) ? s->n - capacity(s) : 0;
}

static int write_sound(const mic_save *s, const char *path, char *why, size_t why_size)
{
    SF_INFO info = { .samplerate = s->rate,
                     .channels = 1,
                     .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };
    uint64_t from = first_sample(s), left = s->n - from;
    size_t at = (size_t)(from % capacity(s)), part = capacity(s) - at;
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    int good;

    part = part < left ? part : (size_t)left;
    good = f && sf_write_short(f, s->samples + at, (sf_count_t)part) == (sf_count_t)part &&
           sf_write_short(f, s->samples, (sf_count_t)(left - part)) == (sf_count_t)(left - part);
    if (!good)
        snprintf(why, why_size, "%s: %s", path, sf_strerror(f));
    if (f && sf_close(f) && good) {
        snprintf(why, why_size, "%s: cannot be written", path);
        good = 0;
    }
    if (f && !good)
        remove(path); /* half a recording is none */
    return good ? 0 : -1;
}

static int write_phones(const mic_save *s, out *o, double from, char *why, size_t why_size)
{
    unsigned first = s->phone_count > MIC_SAVE_PHONES ? s->phone_count - MIC_SAVE_PHONES : 0;

    for (unsigned i = first; i < s->phone_count; i++) {
        const mic_saved_phone *p = &s->phones[i % MIC_SAVE_PHONES];
        out_phone phone = { p->label, p->start - from, p->end - from, p->confidence };

        if (phone.start < 0)
            continue;
        if (o->ops->phones(o, (out_source){ 0 }, &phone, 1, why, why_size) < 0)
            return -1;
    }
    return 0;
}

static int write_grid(const mic_save *s, const char *dir, const char *stem, char *why,
                      size_t why_size)
{
    out_run run = { .dir = dir };
    double from = (double)first_sample(s) / s->rate, to = (double)s->n / s->rate;
    out *o;
    int r = out_textgrid_open(&o, &run, stem, why, why_size);

    if (r < 0)
        return -1;
    if (o->ops->announce(o, "phones", 0, 0, why, why_size) < 0 ||
        write_phones(s, o, from, why, why_size) < 0 ||
        o->ops->finish(o, to - from, why, why_size) < 0)
        r = -1;
    o->ops->free(o);
    return r;
}

double mic_save_write(const mic_save *s, const char *dir, const char *stem, char *why,
                      size_t why_size)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s.wav", dir, stem);
    if (write_sound(s, path, why, why_size) < 0 || write_grid(s, dir, stem, why, why_size) < 0)
        return -1;
    return (double)(s->n - first_sample(s)) / s->rate;
}

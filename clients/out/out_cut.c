/* out_cut.c - see out_cut.h */
#include "out/out_cut.h"

#include <errno.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct out_cut {
    out_cut_params p; /* strings are owned */
    size_t width;     /* bytes of a sample of all channels */
    uint8_t *sound;   /* samples [first, first + count) */
    size_t cap, count;
    uint64_t first;
    int open;       /* an utterance is */
    int waiting;    /* it has ended, and the sound behind it is not there yet */
    uint64_t begin; /* of it, with what lies in front */
    uint64_t end;   /* once waiting */
    int number;
};

out_cut *out_cut_open(const out_cut_params *p)
{
    out_cut *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->p = *p;
    c->p.dir = strdup(p->dir);
    c->p.stem = strdup(p->stem);
    c->width = (p->f32 ? 4 : 2) * (size_t)p->channels;
    if (c->p.dir && c->p.stem)
        return c;
    out_cut_free(c);
    return NULL;
}

void out_cut_free(out_cut *c)
{
    if (!c)
        return;
    free((char *)c->p.dir);
    free((char *)c->p.stem);
    free(c->sound);
    free(c);
}

static uint64_t pad(const out_cut *c)
{
    return (uint64_t)c->p.rate * OUT_CUT_PAD_MS / 1000;
}

static uint64_t last(const out_cut *c)
{
    return c->first + c->count;
}

/* ---- a file ---- */

static int write_samples(const out_cut *c, SNDFILE *f, uint64_t from, uint64_t to)
{
    const uint8_t *at = c->sound + (size_t)(from - c->first) * c->width;
    sf_count_t n = (sf_count_t)(to - from);
    sf_count_t done = c->p.f32 ? sf_writef_float(f, (const float *)(const void *)at, n)
                               : sf_writef_short(f, (const short *)(const void *)at, n);

    return done == n ? 0 : -1;
}

static int write_file(out_cut *c, uint64_t from, uint64_t to, char *why, size_t why_size)
{
    SF_INFO info = { .samplerate = c->p.rate,
                     .channels = c->p.channels,
                     .format = SF_FORMAT_WAV | (c->p.f32 ? SF_FORMAT_FLOAT : SF_FORMAT_PCM_16) };
    char *path;
    SNDFILE *f;
    int r;

    if (asprintf(&path, "%s/%s.%04d.wav", c->p.dir, c->p.stem, ++c->number) < 0) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    errno = 0; /* libsndfile's words say less */
    f = sf_open(path, SFM_WRITE, &info);
    r = f ? write_samples(c, f, from, to) : -1;
    if (r < 0)
        snprintf(why, why_size, "cannot write %s: %s", path,
                 errno ? strerror(errno) : sf_strerror(f));
    if (f && sf_close(f) != 0 && r == 0) {
        snprintf(why, why_size, "cannot write %s in full", path);
        r = -1;
    }
    if (f && r < 0)
        unlink(path); /* no half a file */
    if (r == 0 && c->p.on_file)
        c->p.on_file(c->p.user, path, (double)from / c->p.rate, (double)to / c->p.rate);
    free(path);
    return r;
}

/* The utterance is [begin, end), or as much of it as there is. */
static int close_utterance(out_cut *c, uint64_t end, char *why, size_t why_size)
{
    uint64_t from = c->begin > c->first ? c->begin : c->first;

    c->open = c->waiting = 0;
    end = end < last(c) ? end : last(c);
    return end > from ? write_file(c, from, end, why, why_size) : 0;
}

/* No turn before that sample comes any more. Half of the memory at least goes, so that what stays
 * is seldom moved. */
static void forget(out_cut *c, uint64_t sample)
{
    uint64_t keep = sample > pad(c) ? sample - pad(c) : 0;
    size_t drop;

    if (c->open && c->begin < keep)
        keep = c->begin;
    if (keep <= c->first)
        return;
    drop = keep - c->first < c->count ? (size_t)(keep - c->first) : c->count;
    if (drop < c->count / 2)
        return;
    c->count -= drop;
    c->first += drop;
    memmove(c->sound, c->sound + drop * c->width, c->count * c->width);
}

/* Once the sound behind its end has come, or it is too long. */
static int look(out_cut *c, char *why, size_t why_size)
{
    uint64_t most = (uint64_t)c->p.rate * OUT_CUT_MOST_S;

    if (c->waiting && last(c) >= c->end)
        return close_utterance(c, c->end, why, why_size);
    if (!c->open || c->waiting || last(c) - c->begin < most)
        return 0;
    if (close_utterance(c, c->begin + most, why, why_size) < 0)
        return -1;
    c->open = 1;
    c->begin += most;
    forget(c, c->begin + pad(c));
    return 0;
}

/* ---- sound and turns ---- */

static int reserve(out_cut *c, size_t frames)
{
    size_t need = (c->count + frames) * c->width, cap = c->cap ? c->cap : 1 << 16;
    uint8_t *more;

    if (need <= c->cap)
        return 0;
    while (cap < need)
        cap *= 2;
    more = realloc(c->sound, cap);
    if (!more)
        return -1;
    c->sound = more;
    c->cap = cap;
    return 0;
}

int out_cut_add(out_cut *c, const void *samples, size_t frames, char *why, size_t why_size)
{
    if (reserve(c, frames) < 0) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    memcpy(c->sound + c->count * c->width, samples, frames * c->width);
    c->count += frames;
    return look(c, why, why_size);
}

int out_cut_turn(out_cut *c, int speech, uint64_t sample, char *why, size_t why_size)
{
    if (speech && c->waiting) { /* it goes on before its end was written: one utterance */
        c->waiting = 0;
    } else if (speech) {
        c->open = 1;
        c->begin = sample > pad(c) ? sample - pad(c) : 0;
    } else if (c->open) {
        c->waiting = 1;
        c->end = sample + pad(c);
    }
    return look(c, why, why_size);
}

int out_cut_finish(out_cut *c, char *why, size_t why_size)
{
    return c->open ? close_utterance(c, c->waiting ? c->end : last(c), why, why_size) : 0;
}

void out_cut_processed(out_cut *c, uint64_t sample)
{
    if (c && sample > (uint64_t)c->p.rate)
        forget(c, sample - (uint64_t)c->p.rate);
}

/* stream.c - audio in, chunks ready; see stream.h
 *
 * feed() computes mel rows as samples arrive and stops taking samples once the chunk's rows
 * are complete, so a stream holds at most one chunk. Internal frame j is made of mel rows up
 * to 2j + 1; output frame i is internal frame i + delay.
 */
#include "run/arena.h"
#include "run/stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

shoal_stream_params shoal_stream_default_params(const shoal_model *m)
{
    return (shoal_stream_params){ .depth = m->info.depth,
                                  .chunk_frames = 8,
                                  .left_frames = m->info.left_frames,
                                  .wake = SHOAL_WAKE_COPY };
}

static int params_ok(const shoal_model *m, const shoal_stream_params *p)
{
    return p->program >= 0 && p->program < m->program_count && p->depth >= 1 &&
           p->depth <= m->programs[p->program].depth && p->chunk_frames >= 1 &&
           p->chunk_frames <= m->info.max_chunk_frames && p->left_frames >= 0 &&
           p->left_frames <= m->info.max_left_frames;
}

/* Lay out everything a stream owns; called twice: to size the block, then to point into it. */
static size_t layout(shoal_stream *s, unsigned char *base)
{
    const shoal_model *m = s->model;
    size_t D = (size_t)m->config.dim, at = 0;
    shoal__carve(base, &at, sizeof *s);
    s->caches = shoal__carve(base, &at, (size_t)s->program->depth * sizeof *s->caches);
    s->pcm = shoal__carve_floats(base, &at, SHOAL__PCM_SIZE);
    s->mel_room = 2 + 2 * s->params.chunk_frames;
    s->mel = shoal__carve_floats(base, &at, (size_t)s->mel_room * (size_t)m->config.mels);
    s->conv1_last = shoal__carve_floats(base, &at, D);
    return at;
}

int shoal_stream_new(shoal_stream **out, const shoal_model *m, const shoal_stream_params *p)
{
    if (!params_ok(m, p))
        return SHOAL_EINVAL;
    shoal_stream plan = { .model = m, .program = &m->programs[p->program], .params = *p };
    size_t bytes = layout(&plan, NULL);
    unsigned char *block = aligned_alloc(64, bytes);
    if (!block)
        return SHOAL_ENOMEM;
    memset(block, 0, bytes);
    shoal_stream *s = (shoal_stream *)(void *)block;
    *s = plan;
    s->bytes = bytes;
    layout(s, block);
    *out = s;
    return 0;
}

void shoal_stream_free(shoal_stream *s)
{
    if (!s)
        return;
    shoal__cache_release(s);
    free(s->own_mel);
    free(s);
}

size_t shoal_stream_memory(const shoal_stream *s)
{
    size_t own = s->own_mel ? (size_t)s->mel_room * (size_t)s->model->config.mels : 0;
    return s->bytes + own * sizeof *s->mel + shoal__cache_memory(s);
}

static int mel_full(const shoal_stream *s)
{
    return s->mel_rows == 2 * s->params.chunk_frames;
}

/* Turn whole windows into mel rows while there is room for rows. */
static void make_rows(shoal_stream *s)
{
    int at = 0;
    while (!mel_full(s) && s->pcm_count - at >= SHOAL__WINDOW) {
        float *row = s->mel + (size_t)(2 + s->mel_rows) * (size_t)s->model->config.mels;
        s->model->kern->log_mel(row, s->pcm + at, &s->model->mel);
        s->mel_rows++;
        at += SHOAL__HOP;
    }
    s->pcm_count -= at;
    memmove(s->pcm, s->pcm + at, (size_t)s->pcm_count * sizeof *s->pcm);
}

/* Take samples without the checks of feed; returns how many. pcm NULL: silence. */
static size_t take(shoal_stream *s, const float *pcm, size_t n)
{
    size_t done = 0;
    while (done < n && !mel_full(s)) {
        size_t room = (size_t)(SHOAL__PCM_SIZE - s->pcm_count);
        size_t part = n - done < room ? n - done : room;
        if (pcm)
            memcpy(s->pcm + s->pcm_count, pcm + done, part * sizeof *pcm);
        else
            memset(s->pcm + s->pcm_count, 0, part * sizeof *s->pcm);
        s->pcm_count += (int)part;
        done += part;
        make_rows(s);
    }
    return done;
}

ptrdiff_t shoal_stream_feed(shoal_stream *s, const float *pcm, size_t n)
{
    if (s->finishing)
        return SHOAL_ESTATE;
    if (s->flushing)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(pcm[i]) <= SHOAL_MAX_SAMPLE)) /* NaN too */
            return SHOAL_EAUDIO;
    if (n > 0 && shoal__cache_reserve(s, s->params.depth) < 0)
        return SHOAL_ENOMEM;
    size_t done = take(s, pcm, n);
    s->fed += (int64_t)done;
    return (ptrdiff_t)done;
}

/* Internal frames that remain until the last output frame, once finishing. */
static int64_t remaining(const shoal_stream *s)
{
    return s->total_frames ? s->total_frames + s->model->config.delay - s->position : 0;
}

/* After finish: add silence until the chunk or the last frame is complete. */
static void pad(shoal_stream *s)
{
    int64_t rows = 2 * remaining(s);
    while (!mel_full(s) && s->mel_rows < rows)
        take(s, NULL, SHOAL__HOP);
}

int shoal_stream_finish(shoal_stream *s)
{
    if (s->finishing)
        return SHOAL_ESTATE;
    int frame = s->model->info.frame_samples;
    s->total_frames = (s->fed + frame - 1) / frame;
    s->finishing = 1;
    if (!s->flushing)
        pad(s);
    return 0;
}

int shoal_stream_flush(shoal_stream *s)
{
    if (s->finishing)
        return SHOAL_ESTATE;
    s->flushing = s->mel_rows >= 2;
    return 0;
}

/* As it was made, but for depth, taps and the like. */
static void forget(shoal_stream *s)
{
    const shoal__config *c = &s->model->config;
    shoal__cache_release(s);
    memset(s->mel, 0, 2 * (size_t)c->mels * sizeof *s->mel);
    memset(s->conv1_last, 0, (size_t)c->dim * sizeof *s->conv1_last);
    s->depth_used = s->finishing = s->flushing = s->pcm_count = s->mel_rows = 0;
    s->fed = s->total_frames = s->position = 0;
}

int shoal_stream_resume(shoal_stream *s, int64_t at)
{
    int frame = s->model->info.frame_samples;
    if (!s->finishing || shoal_stream_ready(s))
        return SHOAL_ESTATE;
    if (at < 0 || at / frame < s->base + s->total_frames)
        return SHOAL_EINVAL;
    forget(s);
    s->base = at / frame;
    if (at % frame > 0 && shoal__cache_reserve(s, s->params.depth) < 0)
        return SHOAL_ENOMEM;
    s->fed = (int64_t)take(s, NULL, (size_t)(at % frame));
    return 0;
}

/* Rows of mel for chunks of so many frames. 0 or SHOAL_ENOMEM. */
static int make_room(shoal_stream *s, int frames)
{
    size_t mels = (size_t)s->model->config.mels;
    int room = 2 + 2 * frames;
    if (room <= s->mel_room)
        return 0;
    float *mel = aligned_alloc(64, shoal__aligned((size_t)room * mels * sizeof *mel));
    if (!mel)
        return SHOAL_ENOMEM;
    memcpy(mel, s->mel, (size_t)(2 + s->mel_rows) * mels * sizeof *mel);
    free(s->own_mel);
    s->mel = s->own_mel = mel;
    s->mel_room = room;
    return 0;
}

int shoal_stream_set_chunk(shoal_stream *s, int frames)
{
    if (frames < 1 || frames > s->model->info.max_chunk_frames)
        return SHOAL_EINVAL;
    if (s->finishing || s->mel_rows >= 2)
        return SHOAL_ESTATE;
    if (make_room(s, frames) < 0)
        return SHOAL_ENOMEM;
    s->params.chunk_frames = frames;
    return 0;
}

int shoal_stream_ready(const shoal_stream *s)
{
    if (mel_full(s))
        return s->params.chunk_frames;
    if (s->flushing)
        return s->mel_rows / 2;
    if (s->finishing) {
        int64_t left = remaining(s);
        return left < s->params.chunk_frames ? (int)left : s->params.chunk_frames;
    }
    return 0;
}

int shoal_stream_set_depth(shoal_stream *s, int depth)
{
    if (depth < 1 || depth > s->program->depth)
        return SHOAL_EINVAL;
    if (s->reserved && shoal__cache_reserve(s, depth) < 0)
        return SHOAL_ENOMEM;
    s->params.depth = depth;
    return 0;
}

int shoal_stream_set_taps(shoal_stream *s, uint64_t depths)
{
    int depth = s->program->depth;
    if (depth < 64 && depths >> depth)
        return SHOAL_EINVAL;
    s->taps = depths;
    return 0;
}

int shoal_stream_set_hidden(shoal_stream *s, uint64_t layers)
{
    int depth = s->program->depth;
    if (depth < 63 && layers >> (depth + 1))
        return SHOAL_EINVAL;
    s->hidden = layers;
    return 0;
}

void shoal_stream_set_mel(shoal_stream *s, int on)
{
    s->wants_mel = on;
}

int shoal_stream_get_depth(const shoal_stream *s)
{
    return s->params.depth;
}

int64_t shoal_stream_next_frame(const shoal_stream *s)
{
    int64_t i = s->position - s->model->config.delay;
    return s->base + (i < 0 ? 0 : i);
}

int64_t shoal_stream_samples_fed(const shoal_stream *s)
{
    return s->base * s->model->info.frame_samples + s->fed;
}

int64_t shoal_stream_samples_done(const shoal_stream *s)
{
    int64_t done = shoal_stream_next_frame(s) * s->model->info.frame_samples;
    int64_t fed = shoal_stream_samples_fed(s);
    return done < fed ? done : fed;
}

void shoal__stream_advance(shoal_stream *s, int frames)
{
    size_t mels = (size_t)s->model->config.mels;
    int used = 2 * frames;
    /* the last two rows used become history; an odd row after them moves to the front */
    memmove(s->mel, s->mel + (size_t)used * mels,
            (size_t)(2 + s->mel_rows - used) * mels * sizeof *s->mel);
    s->mel_rows -= used;
    s->position += frames;
    make_rows(s);
    if (s->mel_rows < 2)
        s->flushing = 0;
    if (s->finishing && !s->flushing)
        pad(s);
    if (s->finishing && remaining(s) == 0)
        shoal__cache_release(s);
}

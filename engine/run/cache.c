/* cache.c - what a virtual layer remembers of one stream; see stream.h */
#include <stdlib.h>
#include <string.h>

#include "run/stream.h"

/* Bytes of the parts of a block; each a multiple of 64 where the model's sizes allow it. */
typedef struct parts {
    size_t keys, values, tail;
} parts;

static int key_blocks(const shoal_stream *s)
{
    return (s->params.left_frames + SHOAL__KEY_BLOCK - 1) / SHOAL__KEY_BLOCK;
}

/* 32-bit words of a key of one head. */
static int key_words(const shoal_stream *s)
{
    const shoal_model *m = s->model;
    return m->config.dim / m->config.heads / (m->bf16_caches ? 2 : 1);
}

/* Rows of values, a head. */
static int value_rows(const shoal_stream *s)
{
    int left = s->params.left_frames;
    return s->model->bf16_caches ? (left + 31) / 32 * 16 : left;
}

static parts parts_of(const shoal_stream *s)
{
    const shoal__config *c = &s->model->config;
    size_t D = (size_t)c->dim, number = s->model->bf16_caches ? 2 : 4;
    return (parts){ .keys = (size_t)key_blocks(s) * SHOAL__KEY_BLOCK * D * number,
                    .values = (size_t)value_rows(s) * D * 4,
                    .tail = (size_t)(c->kernel - 1) * D * number };
}

size_t shoal__cache_bytes(const shoal_stream *s)
{
    parts p = parts_of(s);
    return (p.keys + p.values + p.tail + 63) & ~(size_t)63;
}

/* Zeroed, that is, really there: the batch's run will wait for no page. */
static int make(const shoal_stream *s, shoal__cache *c)
{
    parts p = parts_of(s);
    size_t bytes = shoal__cache_bytes(s);
    unsigned char *block = aligned_alloc(64, bytes ? bytes : 64);
    if (!block)
        return SHOAL_ENOMEM;
    memset(block, 0, bytes);
    *c = (shoal__cache){ .block = block,
                         .keys = (uint32_t *)(void *)block,
                         .values = (uint32_t *)(void *)(block + p.keys),
                         .tail = block + p.keys + p.values };
    return 0;
}

int shoal__cache_reserve(shoal_stream *s, int depth)
{
    for (; s->reserved < depth; s->reserved++)
        if (make(s, &s->caches[s->reserved]) < 0)
            return SHOAL_ENOMEM;
    return 0;
}

void shoal__cache_release(shoal_stream *s)
{
    while (s->reserved > 0)
        free(s->caches[--s->reserved].block);
}

void shoal__cache_empty(const shoal_stream *s, shoal__cache *c)
{
    c->filled = c->next = 0;
    memset(c->tail, 0, parts_of(s).tail);
}

void shoal__cache_copy(const shoal_stream *s, shoal__cache *to, const shoal__cache *from)
{
    to->filled = from->filled;
    to->next = from->next;
    memcpy(to->block, from->block, shoal__cache_bytes(s));
}

shoal__memory shoal__cache_view(const shoal_stream *s, const shoal__cache *c)
{
    const shoal__config *config = &s->model->config;
    int dh = config->dim / config->heads;
    return (shoal__memory){ .keys = c->keys,
                            .values = c->values,
                            .frames = c->filled,
                            .blocks = key_blocks(s),
                            .value_stride = dh,
                            .value_head = value_rows(s) * dh };
}

/* One head's n keys from place `from` to place `to`, inside one block on both sides. */
static void copy_keys(uint32_t *target, const uint32_t *source, int words, int to, int from, int n)
{
    target += to / 16 * 16 * words + to % 16;
    source += from / 16 * 16 * words + from % 16;
    for (int w = 0; w < words; w++, target += 16, source += 16)
        if (n == 8) /* chunks of 160 ms: the compiler makes it one move */
            memcpy(target, source, 8 * sizeof *target);
        else
            memcpy(target, source, (size_t)n * sizeof *target);
}

/* A frame's half of a row of pairs: low for even places, high for odd ones. */
static void copy_half(uint32_t *target, const uint32_t *source, int to, int from, int n)
{
    int up = to % 2 * 16, down = from % 2 * 16;
    for (int i = 0; i < n; i++)
        target[i] = (target[i] & 0xffff0000u >> up) | (source[i] >> down & 0xffffu) << up;
}

/* The same for one head's values. */
static void copy_values(const shoal_stream *s, uint32_t *target, const uint32_t *source, int stride,
                        int to, int from, int n)
{
    int bf16 = s->model->bf16_caches, dh = s->model->config.dim / s->model->config.heads;
    for (int step; n > 0; n -= step, from += step, to += step) {
        const uint32_t *row = source + (bf16 ? from / 2 : from) * stride;
        uint32_t *place = target + (bf16 ? to / 2 : to) * dh;
        step = bf16 && from % 2 == 0 && to % 2 == 0 && n > 1 ? 2 : 1;
        if (step == 2 || !bf16)
            memcpy(place, row, (size_t)dh * sizeof *place);
        else
            copy_half(place, row, to, from, dh);
    }
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

void shoal__cache_keep(const shoal_stream *s, shoal__cache *c, const shoal__memory *own)
{
    shoal__memory past = shoal__cache_view(s, c);
    int left = s->params.left_frames, words = key_words(s), block = 16 * words, n;
    for (int f = own->frames > left ? own->frames - left : 0; f < own->frames; f += n) {
        n = min(min(own->frames - f, left - c->next), min(16 - f % 16, 16 - c->next % 16));
        for (int h = 0; h < s->model->config.heads; h++) {
            copy_keys(c->keys + h * past.blocks * block,
                      (const uint32_t *)own->keys + h * own->blocks * block, words, c->next, f, n);
            copy_values(s, c->values + h * past.value_head,
                        (const uint32_t *)own->values + h * own->value_head, own->value_stride,
                        c->next, f, n);
        }
        c->next = (c->next + n) % left;
        c->filled = min(c->filled + n, left);
    }
}

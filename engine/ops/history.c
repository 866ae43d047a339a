/* history.c - see history.h */
#include "ops/history.h"

#include <string.h>

enum { HEAD = 64 }; /* bytes before the keys: they stay aligned */

static int key_blocks(int left)
{
    return (left + SHOAL__KEY_BLOCK - 1) / SHOAL__KEY_BLOCK;
}

/* 32-bit words of a key of one head. */
static int key_words(const shoal_model *m)
{
    return m->config.dim / m->config.heads / (m->bf16_caches ? 2 : 1);
}

/* Rows of values, a head. */
static int value_rows(const shoal_model *m, int left)
{
    return m->bf16_caches ? (left + 31) / 32 * 16 : left;
}

static size_t key_bytes(const shoal_model *m, int left)
{
    return (size_t)(key_blocks(left) * SHOAL__KEY_BLOCK * m->config.heads * key_words(m)) * 4;
}

size_t shoal__history_bytes(const shoal_model *m, int left)
{
    return HEAD + key_bytes(m, left) + (size_t)(value_rows(m, left) * m->config.dim) * 4;
}

static uint32_t *keys_of(shoal__history *h)
{
    return (uint32_t *)(void *)((unsigned char *)h + HEAD);
}

static uint32_t *values_of(const shoal_model *m, int left, shoal__history *h)
{
    return (uint32_t *)(void *)((unsigned char *)h + HEAD + key_bytes(m, left));
}

shoal__memory shoal__history_view(const shoal_model *m, int left, const shoal__history *h)
{
    int dh = m->config.dim / m->config.heads;
    const unsigned char *keys = (const unsigned char *)h + HEAD;
    return (shoal__memory){ .keys = keys,
                            .values = keys + key_bytes(m, left),
                            .frames = h->filled,
                            .blocks = key_blocks(left),
                            .value_stride = dh,
                            .value_head = value_rows(m, left) * dh };
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
static void copy_values(const shoal_model *m, uint32_t *target, const uint32_t *source, int stride,
                        int to, int from, int n)
{
    int bf16 = m->bf16_caches, dh = m->config.dim / m->config.heads;
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

void shoal__history_keep(const shoal_model *m, int left, shoal__history *h,
                         const shoal__memory *own)
{
    shoal__memory past = shoal__history_view(m, left, h);
    uint32_t *keys = keys_of(h), *values = values_of(m, left, h);
    int words = key_words(m), block = 16 * words, n;
    for (int f = own->frames > left ? own->frames - left : 0; f < own->frames; f += n) {
        n = min(min(own->frames - f, left - h->next), min(16 - f % 16, 16 - h->next % 16));
        for (int i = 0; i < m->config.heads; i++) {
            copy_keys(keys + i * past.blocks * block,
                      (const uint32_t *)own->keys + i * own->blocks * block, words, h->next, f, n);
            copy_values(m, values + i * past.value_head,
                        (const uint32_t *)own->values + i * own->value_head, own->value_stride,
                        h->next, f, n);
        }
        h->next = (h->next + n) % left;
        h->filled = min(h->filled + n, left);
    }
}

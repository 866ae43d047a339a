/* history.c - see history.h */
#include "ops/history.h"

#include <string.h>

/* Where the pieces lie, in bytes from the history's beginning. */
typedef struct layout {
    size_t values, value_scales, keys, key_scales, end;
} layout;

static int key_blocks(int left)
{
    return (left + SHOAL__KEY_BLOCK - 1) / SHOAL__KEY_BLOCK;
}

/* Bytes of what a kind is moved by: two elements of bf16, one of any other. */
static const int word_bytes[] = {
    [SHOAL__F32] = 4, [SHOAL__BF16] = 4, [SHOAL__F16] = 2, [SHOAL__I8] = 1
};

/* Words of a frame's key that has dim elements. */
static int key_words(shoal__kind kind, int dim)
{
    return kind == SHOAL__BF16 ? dim / 2 : dim;
}

/* Rows of values, a head. */
static int value_rows(const shoal_model *m, int left)
{
    return m->cache == SHOAL__BF16 ? (left + 31) / 32 * 16 : left;
}

static layout layout_of(const shoal_model *m, int left)
{
    size_t word = (size_t)word_bytes[m->cache];
    size_t D = (size_t)m->config.dim, places = (size_t)(key_blocks(left) * SHOAL__KEY_BLOCK);
    size_t scales = m->cache == SHOAL__I8 ? places * (size_t)m->config.heads * 2 : 0;
    layout l = { .values = shoal__aligned(sizeof(shoal__history)) };
    l.value_scales = shoal__aligned(l.values + (size_t)value_rows(m, left) * D * word);
    l.keys = shoal__aligned(l.value_scales + scales);
    l.key_scales =
        shoal__aligned(l.keys + places * (size_t)key_words(m->cache, m->config.dim) * word);
    l.end = l.key_scales + scales;
    return l;
}

size_t shoal__history_bytes(const shoal_model *m, int left)
{
    return layout_of(m, left).end;
}

size_t shoal__history_value_bytes(const shoal_model *m, int left)
{
    return layout_of(m, left).keys;
}

void shoal__history_follow(const shoal_model *m, int left, shoal__history *h, shoal__history as)
{
    layout l = layout_of(m, left);
    if (h->filled == as.filled && h->next == as.next)
        return;
    memset((unsigned char *)h + l.values, 0, l.keys - l.values);
    *h = as;
}

shoal__memory shoal__history_view(const shoal_model *m, int left, const shoal__history *h)
{
    int dh = m->config.dim / m->config.heads;
    const unsigned char *base = (const unsigned char *)h;
    layout l = layout_of(m, left);
    return (shoal__memory){ .keys = base + l.keys,
                            .values = base + l.values,
                            .frames = h->filled,
                            .blocks = key_blocks(left),
                            .value_stride = dh,
                            .value_head = value_rows(m, left) * dh,
                            .kind = m->cache,
                            .key_scales = (const uint16_t *)(const void *)(base + l.key_scales),
                            .value_scales =
                                (const uint16_t *)(const void *)(base + l.value_scales) };
}

/* A chunk's keys and values on their way to a history. */
typedef struct move {
    const shoal_model *m;
    const shoal__memory *own;
    int blocks, value_head; /* of the history */
    unsigned char *keys, *values;
    uint16_t *key_scales, *value_scales;
    int to, from, n; /* frames, inside one block on both sides */
} move;

/* One head's keys, word by word of 32 bits. */
static void copy_keys(uint32_t *target, const uint32_t *source, int words, int n)
{
    for (int w = 0; w < words; w++, target += SHOAL__KEY_BLOCK, source += SHOAL__KEY_BLOCK)
        if (n == 8) /* chunks of 160 ms: the compiler makes it one move */
            memcpy(target, source, 8 * sizeof *target);
        else
            memcpy(target, source, (size_t)n * sizeof *target);
}

/* Where a frame's first word lies among a head's keys. */
static ptrdiff_t key_at(int block, int frame, int words)
{
    return (ptrdiff_t)block * SHOAL__KEY_BLOCK * words + frame % SHOAL__KEY_BLOCK;
}

static void keep_keys(const move *v, int head)
{
    int dim = v->m->config.dim / v->m->config.heads;
    int words = key_words(v->m->cache, dim), width = word_bytes[v->m->cache];
    int block = head * v->blocks + v->to / SHOAL__KEY_BLOCK;
    ptrdiff_t to = key_at(block, v->to, words);
    ptrdiff_t from = key_at(head * v->own->blocks + v->from / SHOAL__KEY_BLOCK, v->from, words);
    void *target = v->keys + to * width;
    if (width == 4)
        copy_keys(target, (const uint32_t *)v->own->keys + from, words, v->n);
    else
        v->m->kern->keep_columns(target, v->key_scales + key_at(block, v->to, 1),
                                 (const float *)v->own->keys + from, dim, v->n, v->m->cache);
}

/* A frame's half of a row of pairs: low for even places, high for odd ones. */
static void copy_half(uint32_t *target, const uint32_t *source, int to, int from, int n)
{
    int up = to % 2 * 16, down = from % 2 * 16;
    for (int i = 0; i < n; i++)
        target[i] = (target[i] & 0xffff0000u >> up) | (source[i] >> down & 0xffffu) << up;
}

/* One head's values in pairs of frames. */
static void keep_pairs(const move *v, uint32_t *target, const uint32_t *source, int dim)
{
    for (int step, i = 0; i < v->n; i += step) {
        int from = v->from + i, to = v->to + i;
        const uint32_t *row = source + from / 2 * v->own->value_stride;
        uint32_t *place = target + to / 2 * dim;
        step = from % 2 == 0 && to % 2 == 0 && v->n - i > 1 ? 2 : 1;
        if (step == 2)
            memcpy(place, row, (size_t)dim * sizeof *place);
        else
            copy_half(place, row, to, from, dim);
    }
}

static void keep_values(const move *v, int head)
{
    int dim = v->m->config.dim / v->m->config.heads;
    ptrdiff_t to = (ptrdiff_t)head * v->value_head, from = (ptrdiff_t)head * v->own->value_head;
    uint32_t *pairs = (uint32_t *)(void *)v->values + to;
    if (v->m->cache == SHOAL__BF16) {
        keep_pairs(v, pairs, (const uint32_t *)v->own->values + from, dim);
        return;
    }
    int width = word_bytes[v->m->cache];
    for (int i = 0; i < v->n; i++) {
        const float *row =
            (const float *)v->own->values + from + (v->from + i) * v->own->value_stride;
        void *target = v->values + (to + (v->to + i) * dim) * width;
        if (width == 4)
            memcpy(target, row, (size_t)dim * sizeof *row);
        else
            v->m->kern->keep_row(target,
                                 v->value_scales + head * v->blocks * SHOAL__KEY_BLOCK + v->to + i,
                                 row, dim, v->m->cache);
    }
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int left_in_block(int frame)
{
    return SHOAL__KEY_BLOCK - frame % SHOAL__KEY_BLOCK;
}

void shoal__history_keep(const shoal_model *m, int left, shoal__history *h,
                         const shoal__memory *own)
{
    unsigned char *base = (unsigned char *)h;
    layout l = layout_of(m, left);
    move v = { .m = m,
               .own = own,
               .blocks = key_blocks(left),
               .value_head = value_rows(m, left) * (m->config.dim / m->config.heads),
               .keys = base + l.keys,
               .values = base + l.values,
               .key_scales = (uint16_t *)(void *)(base + l.key_scales),
               .value_scales = (uint16_t *)(void *)(base + l.value_scales) };
    for (int f = own->frames > left ? own->frames - left : 0; f < own->frames; f += v.n) {
        v.n = min(min(own->frames - f, left - h->next),
                  min(left_in_block(f), left_in_block(h->next)));
        v.to = h->next;
        v.from = f;
        for (int i = 0; i < m->config.heads; i++) {
            if (own->keys)
                keep_keys(&v, i);
            keep_values(&v, i);
        }
        h->next = (h->next + v.n) % left;
        h->filled = min(h->filled + v.n, left);
    }
}

/* attention.c - attention of each stream's chunk over its history and itself
 *
 *   q k v [frames, 3D] -> rotate q, k -> the chunk's keys and values in the kernels' order
 *     -> attend over the layer's history and them -> y [frames, D]
 *     -> they become history, over the oldest
 */
#include <math.h>

#include "ops/modules.h"
#include "ops/history.h"
#include "run/arena.h"

size_t shoal__attention_cache_bytes(const shoal_model *m, const shoal_stream_params *p)
{
    return shoal__history_bytes(m, p->left_frames);
}

void shoal__attention_cache_empty(void *cache)
{
    *(shoal__history *)cache = (shoal__history){ 0 };
}

/* Maps that live at once. */
static int maps_of(const shoal_model *m)
{
    const shoal__conformer_pools *pools = m->pools[SHOAL__CONFORMER];
    return pools->maps;
}

/* Floats of a map that a row may take. */
static size_t row_of_maps(const shoal__config *c)
{
    return (size_t)(c->heads * shoal__attend_wide(SHOAL__MAX_LEFT, SHOAL__MAX_CHUNK));
}

float *shoal__attention_map(const shoal_batch *b, const shoal__item *it, int place,
                            shoal__history **of)
{
    const shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    size_t row = (size_t)(place - 1) * (size_t)b->room.frames + (size_t)it->row;
    *of = s->map_of + row;
    return s->maps + row * row_of_maps(&b->model->config);
}

void shoal__attention_scratch(shoal_batch *b, unsigned char *base, size_t *at)
{
    shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    const shoal__config *c = &b->model->config;
    size_t R = (size_t)b->room.frames, D = (size_t)c->dim, chunk = SHOAL__MAX_CHUNK;
    size_t half = D / (size_t)c->heads / 2;
    s->freq = shoal__carve(base, at, half * sizeof *s->freq);
    s->turn_cos = shoal__carve(base, at, half * sizeof *s->turn_cos);
    s->turn_sin = shoal__carve(base, at, half * sizeof *s->turn_sin);
    s->cs = shoal__carve_floats(base, at, R * half);
    s->sn = shoal__carve_floats(base, at, R * half);
    s->key_rows = shoal__carve(base, at, chunk * D * sizeof *s->key_rows);
    s->keys = shoal__carve(base, at, chunk * D * sizeof *s->keys);
    s->pairs = shoal__carve(base, at, chunk / 2 * D * sizeof *s->pairs);
    s->scores = shoal__carve_floats(
        base, at, shoal__attend_scratch(SHOAL__MAX_LEFT, SHOAL__MAX_CHUNK, c->dim));
    size_t maps = (size_t)maps_of(b->model);
    s->maps = shoal__carve_floats(base, at, maps * R * row_of_maps(c));
    s->map_of = shoal__carve(base, at, maps * R * sizeof *s->map_of);
    for (size_t i = 0; base && i < half; i++) {
        s->freq[i] = pow(10000.0, -2.0 * (double)i / (double)(2 * half));
        s->turn_cos[i] = cos(s->freq[i]);
        s->turn_sin[i] = sin(s->freq[i]);
    }
}

/* Angles of every row: position * freq, in double so that the position may count for months. The
 * first row of a chunk by cos and sin, the others each turned on by one frame from the last. */
static void turn_rows(const shoal__conformer_scratch *s, const shoal__item *it, int half)
{
    float *cs = s->cs + (size_t)it->row * (size_t)half,
          *sn = s->sn + (size_t)it->row * (size_t)half;
    for (int k = 0; k < half; k++) {
        double angle = (double)it->position * s->freq[k], c = cos(angle), d = sin(angle);
        for (int f = 0; f < it->frames; f++) {
            cs[f * half + k] = (float)c;
            sn[f * half + k] = (float)d;
            double turned = c * s->turn_cos[k] - d * s->turn_sin[k];
            d = d * s->turn_cos[k] + c * s->turn_sin[k];
            c = turned;
        }
    }
}

void shoal__attention_begin(shoal_batch *b)
{
    for (int i = 0; i < b->count; i++)
        turn_rows(shoal__conformer_scratch_of(b), &b->items[i],
                  b->model->config.dim / b->model->config.heads / 2);
}

/* Rotate queries and keys; queries are also scaled by 1/sqrt(dim of a head). */
static void rotate(const shoal_batch *b, const shoal__item *it, float *qkv)
{
    const shoal__config *c = &b->model->config;
    const shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    int D = c->dim, dh = D / c->heads;
    float scale = 1.0f / sqrtf((float)dh);
    for (int f = 0; f < it->frames; f++, qkv += 3 * D) {
        const float *cs = s->cs + (size_t)(it->row + f) * (size_t)(dh / 2);
        const float *sn = s->sn + (size_t)(it->row + f) * (size_t)(dh / 2);
        b->model->kern->rope(qkv, cs, sn, c->heads, dh, scale);
        b->model->kern->rope(qkv + D, cs, sn, c->heads, dh, 1.0f);
    }
}

/* Keys (rows of `words` a head, D / dh * words in all) to columns, head by head. */
static void turn_keys(const shoal_batch *b, const void *rows, int stride, int frames, int words)
{
    const shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    const uint32_t *from = rows;
    size_t head = (size_t)((frames + 15) / 16 * 16 * words);
    for (int h = 0; h < b->model->config.heads; h++)
        b->model->kern->columns(s->keys + (size_t)h * head, from + h * words, stride, frames,
                                words);
}

static void turn_keys_bf16(const shoal_batch *b, const float *k, int stride, int frames)
{
    const shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    int D = b->model->config.dim;
    for (int f = 0; f < frames; f++)
        b->model->kern->to_bf16(s->key_rows + (size_t)f * (size_t)D, k + (size_t)(f * stride), D);
    turn_keys(b, s->key_rows, D / 2, frames, D / b->model->config.heads / 2);
}

static const uint32_t *pair_values(const shoal_batch *b, const float *v, int stride, int frames)
{
    uint32_t *pairs = shoal__conformer_scratch_of(b)->pairs;
    int D = b->model->config.dim;
    for (int f = 0; f < frames; f += 2, v += 2 * stride)
        /* a last frame without a partner is one with itself: what attention weighs with 0 */
        b->model->kern->pair_bf16(pairs + (size_t)(f / 2) * (size_t)D, v,
                                  f + 1 < frames ? v + stride : v, D);
    return pairs;
}

shoal__memory shoal__attention_values(const shoal_batch *b, const float *v, int stride, int frames)
{
    int D = b->model->config.dim, bf16 = b->model->cache == SHOAL__BF16;
    return (shoal__memory){ .values = bf16 ? (const void *)pair_values(b, v, stride, frames) : v,
                            .frames = frames,
                            .blocks = (frames + 15) / 16,
                            .value_stride = bf16 ? D : stride,
                            .value_head = D / b->model->config.heads,
                            .kind = bf16 ? SHOAL__BF16 : SHOAL__F32 };
}

/* A chunk's own, from its q k v. */
static shoal__memory own_of(const shoal_batch *b, const float *qkv, int frames)
{
    int D = b->model->config.dim;
    shoal__memory own = shoal__attention_values(b, qkv + 2 * D, 3 * D, frames);
    if (own.kind == SHOAL__BF16)
        turn_keys_bf16(b, qkv + D, 3 * D, frames);
    else
        turn_keys(b, qkv + D, 3 * D, frames, D / b->model->config.heads);
    own.keys = shoal__conformer_scratch_of(b)->keys;
    return own;
}

/* attend, in halves: the map stays for layers behind this one. */
static void attend_kept(const shoal_batch *b, const shoal__item *it, int place, float *y, float *q,
                        const shoal__memory *past, const shoal__memory *own,
                        const shoal__history *h)
{
    const shoal_model *m = b->model;
    int D = m->config.dim, heads = m->config.heads;
    shoal__history *of;
    float *map = shoal__attention_map(b, it, place, &of);
    *of = *h;
    m->kern->attend_scores(map, q, 3 * D, past, own, heads, D / heads);
    m->kern->attend_mix(y, map, past, own, heads, D / heads);
}

static void attend_stream(shoal_batch *b, const shoal__item *it, void *cache, int keeps_map)
{
    const shoal_model *m = b->model;
    const shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    int D = m->config.dim, heads = m->config.heads, left = it->stream->params.left_frames;
    float *qkv = s->wide + (size_t)it->row * 3 * (size_t)D, *y = s->y + (size_t)it->row * (size_t)D;
    rotate(b, it, qkv);
    shoal__memory past = shoal__history_view(m, left, cache);
    shoal__memory own = own_of(b, qkv, it->frames);
    if (keeps_map)
        attend_kept(b, it, keeps_map, y, qkv, &past, &own, cache);
    else
        m->kern->attend(y, qkv, 3 * D, &past, &own, heads, D / heads, s->scores);
    shoal__history_keep(m, left, cache, &own);
}

void shoal__attention(shoal_batch *b, const shoal__linear *qkv, const shoal__linear *out,
                      shoal__norm n, int place, size_t offset, const shoal__rows *rows)
{
    shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    shoal__batch_norm(b, s->y, b->x, n, rows);
    shoal__batch_linear(b, qkv, s->y, rows, s->wide);
    for (int i = 0; i < rows->items; i++) {
        const shoal__item *it = &b->items[shoal__rows_item(rows, i)];
        /* asked of the stream's own program: others may go through this layer with it */
        attend_stream(b, it, it->stream->caches[place] + offset,
                      it->stream->program->layers[place].keeps_map);
    }
    shoal__batch_linear(b, out, s->y, rows, b->x);
}

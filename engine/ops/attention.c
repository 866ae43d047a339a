/* attention.c - attention of each stream's chunk over its history and itself
 *
 *   q k v [frames, 3D] -> rotate q, k -> the chunk's keys and values in the kernels' order
 *     -> attend over the layer's cache and them -> y [frames, D]
 *     -> they become history, over the oldest
 */
#include <math.h>

#include "run/batch.h"

/* Angles of every row: position * freq, in double so that the position may count for months. The
 * first row of a chunk by cos and sin, the others each turned on by one frame from the last. */
static void turn_rows(const shoal_batch *b, const shoal__item *it, int half)
{
    float *cs = b->cs + (size_t)it->row * (size_t)half,
          *sn = b->sn + (size_t)it->row * (size_t)half;
    for (int k = 0; k < half; k++) {
        double angle = (double)it->position * b->freq[k], c = cos(angle), s = sin(angle);
        for (int f = 0; f < it->frames; f++) {
            cs[f * half + k] = (float)c;
            sn[f * half + k] = (float)s;
            double turned = c * b->turn_cos[k] - s * b->turn_sin[k];
            s = s * b->turn_cos[k] + c * b->turn_sin[k];
            c = turned;
        }
    }
}

void shoal__batch_rotary(shoal_batch *b)
{
    for (int i = 0; i < b->count; i++)
        turn_rows(b, &b->items[i], b->model->config.dim / b->model->config.heads / 2);
}

/* Rotate queries and keys; queries are also scaled by 1/sqrt(dim of a head). */
static void rotate(const shoal_batch *b, const shoal__item *it, float *qkv)
{
    const shoal__config *c = &b->model->config;
    int D = c->dim, dh = D / c->heads;
    float scale = 1.0f / sqrtf((float)dh);
    for (int f = 0; f < it->frames; f++, qkv += 3 * D) {
        const float *cs = b->cs + (size_t)(it->row + f) * (size_t)(dh / 2);
        const float *sn = b->sn + (size_t)(it->row + f) * (size_t)(dh / 2);
        b->model->kern->rope(qkv, cs, sn, c->heads, dh, scale);
        b->model->kern->rope(qkv + D, cs, sn, c->heads, dh, 1.0f);
    }
}

/* Keys (rows of `words` a head, D / dh * words in all) to columns, head by head. */
static void turn_keys(const shoal_batch *b, const void *rows, int stride, int frames, int words)
{
    const uint32_t *from = rows;
    size_t head = (size_t)((frames + 15) / 16 * 16 * words);
    for (int h = 0; h < b->model->config.heads; h++)
        b->model->kern->columns(b->keys + (size_t)h * head, from + h * words, stride, frames,
                                words);
}

static shoal__memory own_fp32(const shoal_batch *b, const float *qkv, int frames)
{
    int D = b->model->config.dim, dh = D / b->model->config.heads;
    turn_keys(b, qkv + D, 3 * D, frames, dh);
    return (shoal__memory){ .keys = b->keys,
                            .values = qkv + 2 * D,
                            .frames = frames,
                            .blocks = (frames + 15) / 16,
                            .value_stride = 3 * D,
                            .value_head = dh };
}

static shoal__memory own_bf16(const shoal_batch *b, const float *qkv, int frames)
{
    const shoal__kern *kern = b->model->kern;
    int D = b->model->config.dim, dh = D / b->model->config.heads;
    for (int f = 0; f < frames; f++)
        kern->to_bf16(b->key_rows + (size_t)f * (size_t)D, qkv + (size_t)f * 3 * (size_t)D + D, D);
    turn_keys(b, b->key_rows, D / 2, frames, dh / 2);
    for (int f = 0; f < frames; f += 2) {
        const float *v = qkv + (size_t)f * 3 * (size_t)D + 2 * D;
        /* a last frame without a partner is one with itself: what attention weighs with 0 */
        kern->pair_bf16(b->pairs + (size_t)(f / 2) * (size_t)D, v, f + 1 < frames ? v + 3 * D : v,
                        D);
    }
    return (shoal__memory){ .keys = b->keys,
                            .values = b->pairs,
                            .frames = frames,
                            .blocks = (frames + 15) / 16,
                            .value_stride = D,
                            .value_head = dh };
}

static void attend_stream(shoal_batch *b, const shoal__item *it, int layer)
{
    const shoal_model *m = b->model;
    int D = m->config.dim, heads = m->config.heads;
    float *qkv = b->wide + (size_t)it->row * 3 * (size_t)D, *y = b->y + (size_t)it->row * (size_t)D;
    shoal__cache *cache = &it->stream->caches[layer];
    rotate(b, it, qkv);
    shoal__memory past = shoal__cache_view(it->stream, cache);
    shoal__memory own =
        m->bf16_caches ? own_bf16(b, qkv, it->frames) : own_fp32(b, qkv, it->frames);
    (m->bf16_caches ? m->kern->attend_bf16 : m->kern->attend)(y, qkv, 3 * D, &past, &own, heads,
                                                              D / heads, b->scores);
    shoal__cache_keep(it->stream, cache, &own);
}

void shoal__batch_attend(shoal_batch *b, int layer, int streams)
{
    for (int i = 0; i < streams; i++)
        attend_stream(b, &b->items[i], layer);
}

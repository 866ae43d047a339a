/* convolution.c - the convolution module: causal, so its history is its last taps - 1 rows */
#include <string.h>

#include "ops/modules.h"
#include "run/arena.h"

/* Floats of history. */
static int history(const shoal_model *m)
{
    return (m->config.kernel - 1) * m->config.dim;
}

size_t shoal__convolution_cache_bytes(const shoal_model *m)
{
    return (size_t)history(m) * (m->cache == SHOAL__F32 ? 4 : 2);
}

void shoal__convolution_cache_empty(const shoal_model *m, void *cache)
{
    memset(cache, 0, shoal__convolution_cache_bytes(m));
}

void shoal__convolution_scratch(shoal_batch *b, unsigned char *base, size_t *at)
{
    size_t rows = SHOAL__MAX_CHUNK + (size_t)b->model->config.kernel - 1;
    shoal__conformer_scratch_of(b)->conv =
        shoal__carve_floats(base, at, rows * (size_t)b->model->config.dim);
}

/* The history to the first rows of `in`, and the last of the rows behind it back. */
static void recall_tail(const shoal_model *m, float *in, const void *tail, int n)
{
    if (m->cache == SHOAL__F32)
        memcpy(in, tail, (size_t)n * sizeof *in);
    else
        (m->cache == SHOAL__BF16 ? m->kern->from_bf16 : m->kern->from_f16)(in, tail, n);
}

static void keep_tail(const shoal_model *m, void *tail, const float *last, int n)
{
    if (m->cache == SHOAL__F32)
        memcpy(tail, last, (size_t)n * sizeof *last);
    else
        (m->cache == SHOAL__BF16 ? m->kern->to_bf16 : m->kern->to_f16)(tail, last, n);
}

/* Between the pointwise products, while one stream's rows are in L1: GLU, causal depthwise
 * convolution behind the history, LayerNorm, SiLU. */
static void convolve_stream(shoal_batch *b, const shoal__block *k, shoal__norm mid,
                            const shoal__item *it, void *tail)
{
    const shoal__kern *kern = b->model->kern;
    const shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    int D = b->model->config.dim, n = history(b->model);
    float *in = s->conv, *y = s->y + (size_t)it->row * (size_t)D;
    recall_tail(b->model, in, tail, n);
    kern->glu(in + n, s->wide + (size_t)it->row * 2 * (size_t)D, it->frames, D);
    keep_tail(b->model, tail, in + (size_t)it->frames * (size_t)D, n);
    kern->depthwise(y, in, k->dw_weight, k->dw_bias, it->frames, D, b->model->config.kernel);
    kern->layer_norm_silu(y, y, mid.weight, mid.bias, it->frames, D);
}

void shoal__convolution(shoal_batch *b, const shoal__block *k, const shoal__norm_set *n, int place,
                        const shoal__rows *rows)
{
    shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    shoal__batch_norm(b, s->y, b->x, n->conv, rows);
    shoal__batch_linear(b, &k->pw1, s->y, rows, s->wide);
    for (int i = 0; i < rows->items; i++) {
        const shoal__item *it = &b->items[shoal__rows_item(rows, i)];
        convolve_stream(b, k, n->conv_mid, it, it->stream->caches[place]);
    }
    shoal__batch_linear(b, &k->pw2, s->y, rows, b->x);
}

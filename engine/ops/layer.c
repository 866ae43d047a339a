/* layer.c - one virtual layer, on a prefix of the rows
 *
 *   x += FFN1(x)/2; x += MHSA(x); x += Conv(x); x += FFN2(x)/2; x = LN(x)
 *
 * The half step of the FFNs is folded into their down matrices when the model opens.
 */
#include <string.h>

#include "run/batch.h"

static void feed_forward(shoal_batch *b, const shoal__linear *up, const shoal__linear *down,
                         shoal__norm n, int rows)
{
    const shoal__gemm *gemm = b->model->gemm;
    shoal__batch_norm(b, b->y, b->x, n, rows);
    if (gemm->run_pair) {
        gemm->run_pair(up, down, b->model->kern, b->gemm_scratch, b->y, rows, b->x);
        return;
    }
    shoal__batch_linear(b, up, b->y, rows, b->wide);
    shoal__batch_linear(b, down, b->wide, rows, b->x);
}

static void attention(shoal_batch *b, const shoal__layer *l, int layer, int rows, int streams)
{
    shoal__batch_norm(b, b->y, b->x, l->norms->att, rows);
    shoal__batch_linear(b, &l->block->qkv, b->y, rows, b->wide);
    shoal__batch_attend(b, layer, streams);
    shoal__batch_linear(b, &l->block->att_out, b->y, rows, b->x);
}

/* The convolution's history to the first rows of `in`, and the last of n + tail rows back. */
static void recall_tail(const shoal_batch *b, float *in, const void *tail, int n)
{
    if (b->model->bf16_caches)
        b->model->kern->from_bf16(in, tail, n);
    else
        memcpy(in, tail, (size_t)n * sizeof *in);
}

static void keep_tail(const shoal_batch *b, void *tail, const float *last, int n)
{
    if (b->model->bf16_caches)
        b->model->kern->to_bf16(tail, last, n);
    else
        memcpy(tail, last, (size_t)n * sizeof *last);
}

/* Between the pointwise products, while one stream's rows are in L1: GLU, causal depthwise
 * convolution behind the history, LayerNorm, SiLU. */
static void convolve_stream(shoal_batch *b, const shoal__layer *l, const shoal__item *it, int layer)
{
    const shoal__kern *kern = b->model->kern;
    const shoal__norm mid = l->norms->conv_mid;
    int D = b->model->config.dim, taps = b->model->config.kernel, history = (taps - 1) * D;
    void *tail = it->stream->caches[layer].tail;
    float *in = b->conv, *y = b->y + (size_t)it->row * (size_t)D;
    recall_tail(b, in, tail, history);
    kern->glu(in + history, b->wide + (size_t)it->row * 2 * (size_t)D, it->frames, D);
    keep_tail(b, tail, in + (size_t)it->frames * (size_t)D, history);
    kern->depthwise(y, in, l->block->dw_weight, l->block->dw_bias, it->frames, D, taps);
    kern->layer_norm_silu(y, y, mid.weight, mid.bias, it->frames, D);
}

static void convolution(shoal_batch *b, const shoal__layer *l, int layer, int rows, int streams)
{
    shoal__batch_norm(b, b->y, b->x, l->norms->conv, rows);
    shoal__batch_linear(b, &l->block->pw1, b->y, rows, b->wide);
    for (int i = 0; i < streams; i++)
        convolve_stream(b, l, &b->items[i], layer);
    shoal__batch_linear(b, &l->block->pw2, b->y, rows, b->x);
}

void shoal__batch_layer(shoal_batch *b, int layer, int rows, int streams)
{
    const shoal__layer *l = &b->model->programs->layers[layer];
    feed_forward(b, &l->block->ffn1_up, &l->block->ffn1_down, l->norms->ffn1, rows);
    attention(b, l, layer, rows, streams);
    convolution(b, l, layer, rows, streams);
    feed_forward(b, &l->block->ffn2_up, &l->block->ffn2_down, l->norms->ffn2, rows);
    shoal__batch_norm(b, b->x, b->x, l->norms->out, rows);
}

/* batch.c - advance many streams by one chunk each, at any mix of depths
 *
 * The rows (frames) of all streams lie one under the other, deepest stream first. Layer l
 * multiplies the prefix of rows whose streams are deeper than l: since all virtual layers take
 * their weights from the same pool, frames of all depths share every matrix product. What
 * belongs to one stream (attention, the convolution's history) runs stream by stream.
 *
 *   mel rows [2R, 3 mels] -> conv1, SiLU [2R, D] -> unfold [R, 3D] -> conv2, LayerNorm [R, D]
 *   per layer, on a prefix: x += FFN1(x)/2; x += MHSA(x); x += Conv(x); x += FFN2(x)/2; x = LN(x)
 *   -> head, log softmax [R, C]
 *
 * The half step of the FFNs is folded into their down matrices when the model opens. A batch is
 * scratch: nothing in it survives a run but the results.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "stream.h"

typedef struct item {
    shoal_stream *stream;
    int64_t position;       /* of its first frame, internal */
    int index;              /* place in the caller's array */
    int row, frames;        /* rows [row, row + frames) of every matrix below */
} item;

/* Rows of x kept from a shallower depth of items[item]. */
typedef struct tap {
    int item, depth, row;
} tap;

struct shoal_batch {
    const shoal_model *model;
    int max_frames, max_tap_frames;
    item *items;            /* [max_frames]: every stream has at least one frame */
    tap *taps;              /* [max_tap_frames], likewise */
    float *unfold;          /* [2R, 3 mels] then [R, 3D] */
    float *conv;            /* [2R, D] first convolution's output; later one stream's depthwise
                             * input with its history [frames + taps - 1, D] */
    float *x;               /* [R + tapped rows, D] residual stream, at last the embedding */
    float *y;               /* [R, D] normed input of a module */
    float *wide;            /* [R, max(ffn, 3D)] FFN's inner, q k v, GLU's input */
    double *freq;           /* [dh/2] radians a frame: 10000^(-2i/dh) */
    float *cs, *sn;         /* [R, dh/2] rotary tables of each row */
    float *scores;          /* [chunk, SCORES] attention of one head */
    float *logp;            /* [R + tapped rows, C] */
    void *gemm_scratch;     /* the backend's */
    size_t bytes;
    int rows, count;        /* of this run */
    int tap_rows, tap_count;
};

/* Scores of one query row: history, its rounding up, and the chunk. */
enum { SCORES = SHOAL__MAX_LEFT + 16 + SHOAL__MAX_CHUNK };

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t layout(shoal_batch *b, unsigned char *base)
{
    const shoal__config *c = &b->model->config;
    size_t R = (size_t)b->max_frames, D = (size_t)c->dim, mels = (size_t)c->mels;
    size_t tapped = (size_t)b->max_tap_frames;
    size_t at = 0, taps = (size_t)c->kernel;
    shoal__carve(base, &at, sizeof *b);
    b->items = shoal__carve(base, &at, R * sizeof *b->items);
    b->taps = shoal__carve(base, &at, tapped * sizeof *b->taps);
    b->unfold = shoal__carve_floats(base, &at, max_size(2 * R * 3 * mels, R * 3 * D));
    b->conv = shoal__carve_floats(base, &at, max_size(2 * R, R + taps - 1) * D);
    b->x = shoal__carve_floats(base, &at, (R + tapped) * D);
    b->y = shoal__carve_floats(base, &at, R * D);
    b->wide = shoal__carve_floats(base, &at, R * max_size((size_t)c->ffn, 3 * D));
    size_t half = D / (size_t)c->heads / 2;
    b->freq = shoal__carve(base, &at, half * sizeof *b->freq);
    b->cs = shoal__carve_floats(base, &at, R * half);
    b->sn = shoal__carve_floats(base, &at, R * half);
    b->scores = shoal__carve_floats(base, &at, SHOAL__MAX_CHUNK * SCORES);
    b->logp = shoal__carve_floats(base, &at, (R + tapped) * (size_t)c->classes);
    return at;
}

int shoal_batch_new(shoal_batch **out, const shoal_model *m, int max_frames)
{
    return shoal_batch_new_taps(out, m, max_frames, 0);
}

int shoal_batch_new_taps(shoal_batch **out, const shoal_model *m, int max_frames,
                         int max_tap_frames)
{
    if (max_frames < 1 || max_frames > 1 << 16 || max_tap_frames < 0 || max_tap_frames > 1 << 20)
        return SHOAL_EINVAL;
    shoal_batch plan = { .model = m, .max_frames = max_frames, .max_tap_frames = max_tap_frames };
    size_t bytes = layout(&plan, NULL);
    unsigned char *block = aligned_alloc(64, bytes);
    if (!block)
        return SHOAL_ENOMEM;
    memset(block, 0, bytes);
    shoal_batch *b = (shoal_batch *)(void *)block;
    *b = plan;
    b->bytes = bytes;
    layout(b, block);
    int dh = m->config.dim / m->config.heads;
    for (int i = 0; i < dh / 2; i++)
        b->freq[i] = pow(10000.0, -2.0 * i / dh);
    int rc = m->gemm->scratch_new(&b->gemm_scratch, m->linears, m->linear_count,
                                  max_frames + (max_frames > max_tap_frames ? max_frames
                                                                            : max_tap_frames));
    if (rc < 0) {
        free(b);
        return rc;
    }
    *out = b;
    return 0;
}

void shoal_batch_free(shoal_batch *b)
{
    if (b)
        b->model->gemm->scratch_free(b->gemm_scratch);
    free(b);
}

size_t shoal_batch_memory(const shoal_batch *b)
{
    return b->bytes;
}

static void linear(const shoal_batch *b, const shoal__linear *l, const float *a, int rows, float *c)
{
    b->model->gemm->run(l, b->model->kern, b->gemm_scratch, a, rows, c);
}

static void norm(const shoal_batch *b, float *y, const float *x, shoal__norm n, int rows)
{
    b->model->kern->layer_norm(y, x, n.weight, n.bias, rows, b->model->config.dim);
}

/* ---- front: mel rows to the first residual stream --------------------------------------- */

/* Rows [t-2, t-1, t] side by side, for each stream's 2 * frames mel rows. */
static void unfold_mel(shoal_batch *b)
{
    size_t mels = (size_t)b->model->config.mels;
    float *to = b->unfold;
    for (int i = 0; i < b->count; i++)
        for (int t = 0; t < 2 * b->items[i].frames; t++, to += 3 * mels)
            memcpy(to, b->items[i].stream->mel + (size_t)t * mels, 3 * mels * sizeof *to);
}

/* Frame j reads rows 2j - 1, 2j, 2j + 1 of the first convolution; row -1 is the history. */
static void unfold_conv(shoal_batch *b)
{
    size_t D = (size_t)b->model->config.dim;
    for (int i = 0; i < b->count; i++) {
        const item *it = &b->items[i];
        const float *rows = b->conv + (size_t)(2 * it->row) * D;
        float *to = b->unfold + (size_t)it->row * 3 * D;
        memcpy(to, it->stream->conv1_last, D * sizeof *to);
        memcpy(to + D, rows, 2 * D * sizeof *to);
        for (int j = 1; j < it->frames; j++)
            memcpy(to + (size_t)j * 3 * D, rows + (size_t)(2 * j - 1) * D, 3 * D * sizeof *to);
        memcpy(it->stream->conv1_last, rows + (size_t)(2 * it->frames - 1) * D, D * sizeof *to);
    }
}

static void subsample(shoal_batch *b)
{
    const shoal_model *m = b->model;
    unfold_mel(b);
    linear(b, &m->conv1, b->unfold, 2 * b->rows, b->conv);
    unfold_conv(b);
    linear(b, &m->conv2, b->unfold, b->rows, b->x);
    norm(b, b->x, b->x, m->subsample_norm, b->rows);
}

/* ---- one virtual layer ------------------------------------------------------------------ */

static void feed_forward(shoal_batch *b, const shoal__linear *up, const shoal__linear *down,
                         shoal__norm n, int rows)
{
    const shoal__gemm *gemm = b->model->gemm;
    norm(b, b->y, b->x, n, rows);
    if (gemm->run_pair) {
        gemm->run_pair(up, down, b->model->kern, b->gemm_scratch, b->y, rows, b->x);
        return;
    }
    linear(b, up, b->y, rows, b->wide);
    linear(b, down, b->wide, rows, b->x);
}

/* Angles of every row: position * freq, in double so that the position may count for months. */
static void rotary_tables(shoal_batch *b)
{
    int half = b->model->config.dim / b->model->config.heads / 2;
    float *cs = b->cs, *sn = b->sn;
    for (int i = 0; i < b->count; i++)
        for (int f = 0; f < b->items[i].frames; f++, cs += half, sn += half)
            for (int k = 0; k < half; k++) {
                double angle = (double)(b->items[i].position + f) * b->freq[k];
                cs[k] = (float)cos(angle);
                sn[k] = (float)sin(angle);
            }
}

/* One head of one stream: softmax over the history and the chunk's own keys, mixed values into
 * out [frames, D]. own: q k v [frames, 3D], already rotated. */
static void attend(const shoal_batch *b, const shoal_stream *s, const shoal__cache *c,
                   const float *own, int frames, int head, float *out)
{
    const shoal__kern *kern = b->model->kern;
    int D = b->model->config.dim, dh = D / b->model->config.heads, at = head * dh;
    float scale = 1.0f / sqrtf((float)dh), *p = b->scores;
    const float *keys = c->keys + (size_t)at * (size_t)s->key_stride;
    kern->scores_columns(p, SCORES, own + at, 3 * D, frames, keys, s->key_stride, c->filled, dh,
                         scale);
    kern->scores(p + c->filled, SCORES, own + at, 3 * D, frames, own + D + at, 3 * D, frames, dh,
                 scale);
    for (int f = 0; f < frames; f++) {
        kern->softmax(p + f * SCORES, c->filled + frames);
        memset(out + (size_t)f * (size_t)D + at, 0, (size_t)dh * sizeof *out);
    }
    kern->mix(out + at, D, p, SCORES, frames, c->values + at, D, c->filled, dh);
    kern->mix(out + at, D, p + c->filled, SCORES, frames, own + 2 * D + at, 3 * D, frames, dh);
}

/* The chunk's keys and values become history, over the oldest rows. */
static void remember(const shoal_stream *s, shoal__cache *c, const float *own, int frames)
{
    size_t D = (size_t)s->model->config.dim;
    int left = s->params.left_frames;
    for (int f = frames > left ? frames - left : 0; f < frames; f++) {
        const float *row = own + (size_t)f * 3 * D;
        for (size_t d = 0; d < D; d++)
            c->keys[d * (size_t)s->key_stride + (size_t)c->next] = row[D + d];
        memcpy(c->values + (size_t)c->next * D, row + 2 * D, D * sizeof *row);
        c->next = c->next + 1 == left ? 0 : c->next + 1;
        c->filled += c->filled < left;
    }
}

static void attend_stream(shoal_batch *b, const item *it, int layer)
{
    const shoal__config *c = &b->model->config;
    int D = c->dim, dh = D / c->heads;
    float *own = b->wide + (size_t)it->row * 3 * (size_t)D;     /* q k v [frames, 3D] */
    shoal__cache *cache = &it->stream->caches[layer];
    for (int f = 0; f < it->frames; f++) {
        const float *cs = b->cs + (size_t)(it->row + f) * (size_t)(dh / 2);
        const float *sn = b->sn + (size_t)(it->row + f) * (size_t)(dh / 2);
        /* q and k lie side by side: 2 * heads heads */
        b->model->kern->rope(own + (size_t)f * 3 * (size_t)D, cs, sn, 2 * c->heads, dh);
    }
    for (int h = 0; h < c->heads; h++)
        attend(b, it->stream, cache, own, it->frames, h, b->y + (size_t)it->row * (size_t)D);
    remember(it->stream, cache, own, it->frames);
}

static void attention(shoal_batch *b, const shoal__layer *l, int layer, int rows, int streams)
{
    norm(b, b->y, b->x, l->norms->att, rows);
    linear(b, &l->block->qkv, b->y, rows, b->wide);
    for (int i = 0; i < streams; i++)
        attend_stream(b, &b->items[i], layer);
    linear(b, &l->block->att_out, b->y, rows, b->x);
}

/* Causal depthwise convolution of one stream's rows: its history in front, then the chunk. */
static void convolve_stream(shoal_batch *b, const shoal__layer *l, const item *it, int layer)
{
    const shoal__config *c = &b->model->config;
    size_t D = (size_t)c->dim, tail = (size_t)(c->kernel - 1), n = (size_t)it->frames;
    float *in = b->conv, *history = it->stream->caches[layer].tail;
    float *rows = b->y + (size_t)it->row * D;
    memcpy(in, history, tail * D * sizeof *in);
    memcpy(in + tail * D, rows, n * D * sizeof *in);
    memcpy(history, in + n * D, tail * D * sizeof *in);
    b->model->kern->depthwise(rows, in, l->block->dw_weight, l->block->dw_bias, it->frames,
                              c->dim, c->kernel);
}

static void convolution(shoal_batch *b, const shoal__layer *l, int layer, int rows, int streams)
{
    const shoal__kern *kern = b->model->kern;
    shoal__norm mid = l->norms->conv_mid;
    int D = b->model->config.dim;
    norm(b, b->y, b->x, l->norms->conv, rows);
    linear(b, &l->block->pw1, b->y, rows, b->wide);
    kern->glu(b->y, b->wide, rows, D);
    for (int i = 0; i < streams; i++)
        convolve_stream(b, l, &b->items[i], layer);
    kern->layer_norm_silu(b->y, b->y, mid.weight, mid.bias, rows, D);
    linear(b, &l->block->pw2, b->y, rows, b->x);
}

static void conformer_layer(shoal_batch *b, int layer, int rows, int streams)
{
    const shoal__layer *l = &b->model->program[layer];
    feed_forward(b, &l->block->ffn1_up, &l->block->ffn1_down, l->norms->ffn1, rows);
    attention(b, l, layer, rows, streams);
    convolution(b, l, layer, rows, streams);
    feed_forward(b, &l->block->ffn2_up, &l->block->ffn2_down, l->norms->ffn2, rows);
    norm(b, b->x, b->x, l->norms->out, rows);
}

/* ---- the run ---------------------------------------------------------------------------- */

/* Tapped depths below the stream's own. */
static uint64_t wanted_taps(const shoal_stream *s)
{
    return s->taps & (((uint64_t)1 << (s->params.depth - 1)) - 1);
}

static int check(const shoal_batch *b, shoal_stream *const *streams, int n)
{
    int rows = 0, tapped = 0;
    if (n < 0 || n > b->max_frames)
        return SHOAL_EINVAL;
    for (int i = 0; i < n; i++) {
        int frames = shoal_stream_ready(streams[i]);
        if (!frames)
            return SHOAL_ESTATE;
        if (streams[i]->model != b->model || frames > b->max_frames - rows)
            return SHOAL_EINVAL;
        rows += frames;
        tapped += frames * __builtin_popcountll(wanted_taps(streams[i]));
        if (tapped > b->max_tap_frames)
            return SHOAL_EINVAL;
    }
    return 0;
}

/* Deepest first, by counting depths; equal depths keep the caller's order. */
static void arrange(shoal_batch *b, shoal_stream *const *streams, int n)
{
    b->count = b->rows = b->tap_rows = b->tap_count = 0;
    for (int depth = b->model->info.depth; depth >= 1; depth--)
        for (int i = 0; i < n; i++)
            if (streams[i]->params.depth == depth) {
                int frames = shoal_stream_ready(streams[i]);
                b->items[b->count++] = (item){ .stream = streams[i],
                                                 .position = streams[i]->position,
                                                 .index = i,
                                                 .row = b->rows,
                                                 .frames = frames };
                b->rows += frames;
            }
}

/* Keep the rows of streams that tap this depth, behind the rows of the run. */
static void keep_taps(shoal_batch *b, int depth, int streams)
{
    size_t D = (size_t)b->model->config.dim;
    for (int i = 0; i < streams; i++) {
        const item *it = &b->items[i];
        if (!(wanted_taps(it->stream) >> (depth - 1) & 1))
            continue;
        int row = b->rows + b->tap_rows;
        memcpy(b->x + (size_t)row * D, b->x + (size_t)it->row * D,
               (size_t)it->frames * D * sizeof *b->x);
        b->taps[b->tap_count++] = (tap){ i, depth, row };
        b->tap_rows += it->frames;
    }
}

/* The output of rows [first_row, first_row + frames), less the look-ahead that leads in. */
static void report(const shoal_batch *b, const item *it, int first_row, int depth, shoal_result *r)
{
    const shoal__config *c = &b->model->config;
    int64_t first = it->position - c->delay;
    int skip = first < 0 ? (int)(-first < it->frames ? -first : it->frames) : 0;
    size_t row = (size_t)(first_row + skip);
    r->first_frame = first + skip < 0 ? 0 : first + skip;
    r->frames = it->frames - skip;
    r->depth = depth;
    r->embedding = b->x + row * (size_t)c->dim;
    r->logp = b->logp + row * (size_t)c->classes;
}

int shoal_batch_run(shoal_batch *b, shoal_stream *const *streams, int n, shoal_result *results)
{
    const shoal_model *m = b->model;
    int rc = check(b, streams, n);
    if (rc < 0 || n == 0)
        return rc;
    arrange(b, streams, n);
    for (int i = 0; i < n; i++)
        shoal__stream_wake(streams[i]);
    rotary_tables(b);
    subsample(b);
    int active = b->count, rows = b->rows;
    for (int layer = 0; layer < b->items[0].stream->params.depth; layer++) {
        while (b->items[active - 1].stream->params.depth <= layer)
            rows -= b->items[--active].frames;
        conformer_layer(b, layer, rows, active);
        keep_taps(b, layer + 1, active);
    }
    linear(b, &m->head, b->x, b->rows + b->tap_rows, b->logp);
    m->kern->log_softmax(b->logp, b->rows + b->tap_rows, m->config.classes);
    for (int i = 0; i < b->count; i++) {
        const item *it = &b->items[i];
        report(b, it, it->row, it->stream->params.depth, &results[it->index]);
        shoal__stream_advance(it->stream, it->frames);
    }
    return 0;
}

int shoal_batch_get_tap(const shoal_batch *b, int i, int depth, shoal_result *out)
{
    for (int t = 0; t < b->tap_count; t++) {
        const item *it = &b->items[b->taps[t].item];
        if (it->index == i && b->taps[t].depth == depth) {
            report(b, it, b->taps[t].row, depth, out);
            return 0;
        }
    }
    return SHOAL_EINVAL;
}

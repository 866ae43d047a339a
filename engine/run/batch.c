/* batch.c - advance many streams by one chunk each, at any mix of depths
 *
 * The rows (frames) of all streams lie one under the other, deepest stream first. Layer l
 * multiplies the prefix of rows whose streams are deeper than l: since all virtual layers take
 * their weights from the same pool, frames of all depths share every matrix product. What
 * belongs to one stream (attention, the convolution's history) runs stream by stream.
 *
 *   mel rows [2R, 3 mels] -> conv1, SiLU [2R, D] -> unfold [R, 3D] -> conv2, LayerNorm [R, D]
 *   per layer, on a prefix: layer.c and attention.c, which see a batch as batch.h has it
 *   -> blended with what would have left before [R, D], the embedding
 *   -> head, log softmax [R, C]
 *
 * A batch is scratch: nothing in it survives a run but the results.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/arena.h"
#include "run/batch.h"

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
    b->out = shoal__carve_floats(base, &at, (R + tapped) * D);
    b->x = b->model->programs->blends ? shoal__carve_floats(base, &at, R * D) : b->out;
    b->y = shoal__carve_floats(base, &at, R * D);
    b->wide = shoal__carve_floats(base, &at, R * max_size((size_t)c->ffn, 3 * D));
    size_t half = D / (size_t)c->heads / 2;
    b->freq = shoal__carve(base, &at, half * sizeof *b->freq);
    b->turn_cos = shoal__carve(base, &at, half * sizeof *b->turn_cos);
    b->turn_sin = shoal__carve(base, &at, half * sizeof *b->turn_sin);
    b->cs = shoal__carve_floats(base, &at, R * half);
    b->sn = shoal__carve_floats(base, &at, R * half);
    size_t chunk = SHOAL__MAX_CHUNK;
    b->key_rows = shoal__carve(base, &at, chunk * D * sizeof *b->key_rows);
    b->keys = shoal__carve(base, &at, chunk * D * sizeof *b->keys);
    b->pairs = shoal__carve(base, &at, chunk / 2 * D * sizeof *b->pairs);
    b->scores = shoal__carve_floats(
        base, &at, shoal__attend_scratch(SHOAL__MAX_LEFT, SHOAL__MAX_CHUNK, c->dim));
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
    for (int i = 0; i < dh / 2; i++) {
        b->freq[i] = pow(10000.0, -2.0 * i / dh);
        b->turn_cos[i] = cos(b->freq[i]);
        b->turn_sin[i] = sin(b->freq[i]);
    }
    int rc = m->gemm->scratch_new(&b->gemm_scratch, m->linears, m->linear_count,
                                  max_frames +
                                      (max_frames > max_tap_frames ? max_frames : max_tap_frames));
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
        const shoal__item *it = &b->items[i];
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
    shoal__batch_linear(b, &m->conv1, b->unfold, 2 * b->rows, b->conv);
    unfold_conv(b);
    shoal__batch_linear(b, &m->conv2, b->unfold, b->rows, b->x);
    shoal__batch_norm(b, b->x, b->x, m->subsample_norm, b->rows);
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
                b->items[b->count++] = (shoal__item){ .stream = streams[i],
                                                      .position = streams[i]->position,
                                                      .index = i,
                                                      .row = b->rows,
                                                      .frames = frames };
                b->rows += frames;
            }
}

/* What leaves after this layer: the first `rows` rows of out. */
static void leave(shoal_batch *b, int layer, int rows)
{
    float share = b->model->programs->layers[layer].exit;
    int n = rows * b->model->config.dim;
    if (b->out == b->x)
        return;
    if (share < 1.0f)
        b->model->kern->blend(b->out, b->x, share, n);
    else
        memcpy(b->out, b->x, (size_t)n * sizeof *b->x);
}

/* Keep the rows of streams that tap this depth, behind the rows of the run. */
static void keep_taps(shoal_batch *b, int depth, int streams)
{
    size_t D = (size_t)b->model->config.dim;
    for (int i = 0; i < streams; i++) {
        const shoal__item *it = &b->items[i];
        if (!(wanted_taps(it->stream) >> (depth - 1) & 1))
            continue;
        int row = b->rows + b->tap_rows;
        memcpy(b->out + (size_t)row * D, b->out + (size_t)it->row * D,
               (size_t)it->frames * D * sizeof *b->out);
        b->taps[b->tap_count++] = (shoal__tap){ i, depth, row };
        b->tap_rows += it->frames;
    }
}

/* The output of rows [first_row, first_row + frames), less the look-ahead that leads in. */
static void report(const shoal_batch *b, const shoal__item *it, int first_row, int depth,
                   shoal_result *r)
{
    const shoal__config *c = &b->model->config;
    int64_t first = it->position - c->delay;
    int skip = first < 0 ? (int)(-first < it->frames ? -first : it->frames) : 0;
    size_t row = (size_t)(first_row + skip);
    r->first_frame = first + skip < 0 ? 0 : first + skip;
    r->frames = it->frames - skip;
    r->depth = depth;
    r->embedding = b->out + row * (size_t)c->dim;
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
    shoal__batch_rotary(b);
    subsample(b);
    int active = b->count, rows = b->rows;
    for (int layer = 0; layer < b->items[0].stream->params.depth; layer++) {
        while (b->items[active - 1].stream->params.depth <= layer)
            rows -= b->items[--active].frames;
        shoal__batch_layer(b, layer, rows, active);
        leave(b, layer, rows);
        keep_taps(b, layer + 1, active);
    }
    shoal__batch_linear(b, &m->head, b->out, b->rows + b->tap_rows, b->logp);
    m->kern->log_softmax(b->logp, b->rows + b->tap_rows, m->config.classes);
    for (int i = 0; i < b->count; i++) {
        const shoal__item *it = &b->items[i];
        report(b, it, it->row, it->stream->params.depth, &results[it->index]);
        shoal__stream_advance(it->stream, it->frames);
    }
    return 0;
}

int shoal_batch_get_tap(const shoal_batch *b, int i, int depth, shoal_result *out)
{
    for (int t = 0; t < b->tap_count; t++) {
        const shoal__item *it = &b->items[b->taps[t].item];
        if (it->index == i && b->taps[t].depth == depth) {
            report(b, it, b->taps[t].row, depth, out);
            return 0;
        }
    }
    return SHOAL_EINVAL;
}

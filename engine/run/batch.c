/* batch.c - advance many streams by one chunk each, at any mix of depths
 *
 * The rows (frames) of all streams lie one under the other, deepest stream first. Layer l
 * multiplies the prefix of rows whose streams are deeper than l: since all virtual layers take
 * their weights from the same pool, frames of all depths share every matrix product. What
 * belongs to one stream (attention, the convolution's history) runs stream by stream.
 *
 *   mel rows [2R, 3 mels] -> conv1, SiLU [2R, D] -> unfold [R, 3D] -> conv2, LayerNorm [R, D]
 *   per layer, on a prefix: walk.c and the operations, which see a batch as batch.h has it
 *   -> blended with what would have left before [R, D], the embedding
 *   -> head, log softmax [R, C]
 *
 * A batch is scratch: nothing in it survives a run but the results.
 */
#include <stdlib.h>
#include <string.h>

#include "run/arena.h"
#include "run/batch.h"

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int blends(const shoal_model *m)
{
    int any = 0;
    for (int i = 0; i < m->program_count; i++)
        any |= m->programs[i].blends;
    return any;
}

static size_t layout(shoal_batch *b, unsigned char *base)
{
    const shoal__config *c = &b->model->config;
    size_t R = (size_t)b->room.frames, D = (size_t)c->dim, mels = (size_t)c->mels;
    size_t tapped = (size_t)b->room.tap_frames, hidden = (size_t)b->room.hidden_frames, at = 0;
    shoal__carve(base, &at, sizeof *b);
    b->items = shoal__carve(base, &at, R * sizeof *b->items);
    b->item_of = shoal__carve(base, &at, R * sizeof *b->item_of);
    b->tap_row = shoal__carve(base, &at, tapped * sizeof *b->tap_row);
    b->hidden_row = shoal__carve(base, &at, hidden * sizeof *b->hidden_row);
    b->row_list = shoal__carve(base, &at, R * sizeof *b->row_list);
    b->item_list = shoal__carve(base, &at, R * sizeof *b->item_list);
    b->unfold = shoal__carve_floats(base, &at, max_size(2 * R * 3 * mels, R * 3 * D));
    b->conv = shoal__carve_floats(base, &at, 2 * R * D);
    b->out = shoal__carve_floats(base, &at, (R + tapped) * D);
    b->x = blends(b->model) ? shoal__carve_floats(base, &at, R * D) : b->out;
    b->logp = shoal__carve_floats(base, &at, (R + tapped) * (size_t)c->classes);
    b->hidden = shoal__carve_floats(base, &at, hidden * D);
    b->mel = shoal__carve_floats(base, &at, 2 * R * mels);
    shoal__ops_scratch(b, base, &at);
    return at;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int room_ok(const shoal_batch_room *r)
{
    return r->frames >= 1 && r->frames <= 1 << 16 && r->tap_frames >= 0 &&
           r->tap_frames <= 1 << 20 && r->hidden_frames >= 0 && r->hidden_frames <= 1 << 20;
}

int shoal_batch_new_room(shoal_batch **out, const shoal_model *m, const shoal_batch_room *room)
{
    if (!room_ok(room))
        return SHOAL_EINVAL;
    shoal_batch plan = { .model = m, .room = *room };
    size_t bytes = layout(&plan, NULL);
    unsigned char *block = aligned_alloc(64, bytes);
    if (!block)
        return SHOAL_ENOMEM;
    memset(block, 0, bytes);
    shoal_batch *b = (shoal_batch *)(void *)block;
    *b = plan;
    b->bytes = bytes;
    layout(b, block);
    int rc = m->gemm->scratch_new(&b->gemm_scratch, m->linears, m->linear_count,
                                  room->frames + max_int(room->frames, room->tap_frames));
    if (rc < 0) {
        free(b);
        return rc;
    }
    *out = b;
    return 0;
}

int shoal_batch_new(shoal_batch **out, const shoal_model *m, int max_frames)
{
    return shoal_batch_new_room(out, m, &(shoal_batch_room){ .frames = max_frames });
}

int shoal_batch_new_taps(shoal_batch **out, const shoal_model *m, int max_frames,
                         int max_tap_frames)
{
    const shoal_batch_room room = { .frames = max_frames, .tap_frames = max_tap_frames };
    return shoal_batch_new_room(out, m, &room);
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
    const shoal__rows mels = { .count = 2 * b->rows }, frames = { .count = b->rows };
    unfold_mel(b);
    shoal__batch_linear(b, &m->conv1, b->unfold, &mels, b->conv);
    unfold_conv(b);
    shoal__batch_linear(b, &m->conv2, b->unfold, &frames, b->x);
    shoal__batch_norm(b, b->x, b->x, m->subsample_norm, &frames);
}

/* ---- the run ---------------------------------------------------------------------------- */

/* Of depths or layers, those below the stream's own. */
static uint64_t below(uint64_t wanted, int depth)
{
    return depth < 64 ? wanted & (((uint64_t)1 << depth) - 1) : wanted;
}

static uint64_t wanted_taps(const shoal_stream *s)
{
    return below(s->taps, s->params.depth - 1);
}

static uint64_t wanted_hidden(const shoal_stream *s)
{
    return below(s->hidden, s->params.depth);
}

static int check(const shoal_batch *b, shoal_stream *const *streams, int n)
{
    int rows = 0, tapped = 0, hidden = 0;
    if (n < 0 || n > b->room.frames)
        return SHOAL_EINVAL;
    for (int i = 0; i < n; i++) {
        int frames = shoal_stream_ready(streams[i]);
        if (!frames || streams[i]->reserved < streams[i]->params.depth)
            return SHOAL_ESTATE;
        if (streams[i]->model != b->model || frames > b->room.frames - rows)
            return SHOAL_EINVAL;
        rows += frames;
        tapped += frames * __builtin_popcountll(wanted_taps(streams[i]));
        hidden += frames * __builtin_popcountll(wanted_hidden(streams[i]));
        if (tapped > b->room.tap_frames || hidden > b->room.hidden_frames)
            return SHOAL_EINVAL;
    }
    return 0;
}

static void place(shoal_batch *b, shoal_stream *s, int index, int *tap, int *hidden)
{
    shoal__item *it = &b->items[b->count];
    *it = (shoal__item){ .stream = s,
                         .position = s->position,
                         .index = index,
                         .depth = s->params.depth,
                         .row = b->rows,
                         .frames = shoal_stream_ready(s),
                         .taps = wanted_taps(s),
                         .first_tap = *tap,
                         .hidden = wanted_hidden(s),
                         .first_hidden = *hidden };
    *tap += __builtin_popcountll(it->taps);
    *hidden += __builtin_popcountll(it->hidden);
    b->item_of[index] = b->count++;
    b->rows += it->frames;
    b->mixed |= s->program != b->items->stream->program;
}

/* Deepest first, by counting depths; equal depths keep the caller's order. */
static void arrange(shoal_batch *b, shoal_stream *const *streams, int n)
{
    int deepest = 0, tap = 0, hidden = 0;
    for (int i = 0; i < n; i++)
        deepest = streams[i]->params.depth > deepest ? streams[i]->params.depth : deepest;
    b->count = b->rows = b->tap_rows = b->hidden_rows = b->mixed = 0;
    for (int depth = deepest; depth >= 1; depth--)
        for (int i = 0; i < n; i++)
            if (streams[i]->params.depth == depth)
                place(b, streams[i], i, &tap, &hidden);
}

/* Streams that want their log-mel rows get a copy, for the rows move on with the run. */
static void keep_mel(shoal_batch *b)
{
    size_t mels = (size_t)b->model->config.mels;
    for (int i = 0; i < b->count; i++)
        if (b->items[i].stream->wants_mel)
            memcpy(b->mel + (size_t)(2 * b->items[i].row) * mels,
                   b->items[i].stream->mel + 2 * mels,
                   (size_t)(2 * b->items[i].frames) * mels * sizeof *b->mel);
}

int shoal_batch_run(shoal_batch *b, shoal_stream *const *streams, int n, shoal_result *results)
{
    const shoal_model *m = b->model;
    int rc = check(b, streams, n);
    if (rc < 0 || n == 0)
        return rc;
    arrange(b, streams, n);
    for (int i = 0; i < n; i++)
        shoal__cache_wake(streams[i]);
    keep_mel(b);
    subsample(b);
    shoal__batch_walk(b);
    const shoal__rows all = { .count = b->rows + b->tap_rows };
    shoal__batch_linear(b, &m->head, b->out, &all, b->logp);
    rc = m->gemm->failed ? m->gemm->failed(b->gemm_scratch) : 0;
    if (rc < 0)
        return rc;
    m->kern->log_softmax(b->logp, all.count, m->config.classes);
    for (int i = 0; i < b->count; i++) {
        const shoal__item *it = &b->items[i];
        shoal__batch_report(b, it, &results[it->index]);
        shoal__stream_advance(it->stream, it->frames);
    }
    return 0;
}

/* taps.c - results of a run, also from depths on the way
 *
 * A tap keeps what leaves after a depth, behind the rows of the run, so that the head sees it. A
 * hidden layer is kept as it is, in rows of its own that no head reads.
 */
#include <string.h>

#include "run/batch.h"

/* Of the streams that have this bit, which place among those it has. */
static int rank(uint64_t set, int bit)
{
    return __builtin_popcountll(set & (((uint64_t)1 << bit) - 1));
}

static int has(uint64_t set, int bit)
{
    return bit >= 0 && bit < 64 && set >> bit & 1;
}

void shoal__batch_keep_taps(shoal_batch *b, int depth, int active)
{
    size_t D = (size_t)b->model->config.dim;
    for (int i = 0; i < active; i++) {
        const shoal__item *it = &b->items[i];
        if (!has(it->taps, depth - 1))
            continue;
        int row = b->rows + b->tap_rows;
        memcpy(b->out + (size_t)row * D, b->out + (size_t)it->row * D,
               (size_t)it->frames * D * sizeof *b->out);
        b->tap_row[it->first_tap + rank(it->taps, depth - 1)] = row;
        b->tap_rows += it->frames;
    }
}

void shoal__batch_keep_hidden(shoal_batch *b, int layer, int active)
{
    size_t D = (size_t)b->model->config.dim;
    for (int i = 0; i < active; i++) {
        const shoal__item *it = &b->items[i];
        if (!has(it->hidden, layer))
            continue;
        memcpy(b->hidden + (size_t)b->hidden_rows * D, b->x + (size_t)it->row * D,
               (size_t)it->frames * D * sizeof *b->x);
        b->hidden_row[it->first_hidden + rank(it->hidden, layer)] = b->hidden_rows;
        b->hidden_rows += it->frames;
    }
}

/* Which output frames the item's are, less the look-ahead that leads in. Returns how many rows
 * that are. */
static int number(const shoal_batch *b, const shoal__item *it, shoal_result *r)
{
    int64_t first = it->position - b->model->config.delay;
    int skip = first < 0 ? (int)(-first < it->frames ? -first : it->frames) : 0;
    *r = (shoal_result){ .first_frame = it->stream->base + (first + skip < 0 ? 0 : first + skip),
                         .frames = it->frames - skip };
    return skip;
}

/* Log-mels look at nothing ahead: they are of the frames that came, but for the padding. */
static void report_mel(const shoal_batch *b, const shoal__item *it, shoal_result *r)
{
    const shoal_stream *s = it->stream;
    int64_t frames = it->frames;
    if (!s->wants_mel)
        return;
    if (s->finishing && it->position + frames > s->total_frames)
        frames = s->total_frames > it->position ? s->total_frames - it->position : 0;
    r->mel = b->mel + (size_t)(2 * it->row) * (size_t)b->model->config.mels;
    r->mel_first_frame = s->base + it->position;
    r->mel_frames = (int)frames;
}

static void point(const shoal_batch *b, size_t row, shoal_result *r)
{
    r->embedding = b->out + row * (size_t)b->model->config.dim;
    r->logp = b->logp + row * (size_t)b->model->config.classes;
}

void shoal__batch_report(const shoal_batch *b, const shoal__item *it, shoal_result *r)
{
    size_t row = (size_t)(it->row + number(b, it, r));
    r->depth = it->depth;
    r->hidden = b->x + row * (size_t)b->model->config.dim;
    point(b, row, r);
    report_mel(b, it, r);
}

int shoal_batch_get_tap(const shoal_batch *b, int i, int depth, shoal_result *out)
{
    if (i < 0 || i >= b->count)
        return SHOAL_EINVAL;
    const shoal__item *it = &b->items[b->item_of[i]];
    if (!has(it->taps, depth - 1))
        return SHOAL_EINVAL;
    int row = b->tap_row[it->first_tap + rank(it->taps, depth - 1)];
    point(b, (size_t)(row + number(b, it, out)), out);
    out->depth = depth;
    return 0;
}

int shoal_batch_get_hidden(const shoal_batch *b, int i, int layer, shoal_result *out)
{
    if (i < 0 || i >= b->count)
        return SHOAL_EINVAL;
    const shoal__item *it = &b->items[b->item_of[i]];
    if (!has(it->hidden, layer))
        return SHOAL_EINVAL;
    int row = b->hidden_row[it->first_hidden + rank(it->hidden, layer)];
    row += number(b, it, out);
    out->hidden = b->hidden + (size_t)row * (size_t)b->model->config.dim;
    out->depth = layer;
    return 0;
}

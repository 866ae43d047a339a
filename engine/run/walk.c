/* walk.c - all streams of a batch through their layers
 *
 * Layer after layer, those who are deep enough go on: a prefix, since the deepest lie first. If
 * they all follow one program the whole prefix goes through one operation. If not, those whose
 * programs have the same layer at this place (the same operation on the same weights) go
 * together, as a list of rows.
 */
#include <string.h>

#include "run/batch.h"

static const shoal__layer *layer_of(const shoal__item *it, int place)
{
    return &it->stream->program->layers[place];
}

/* What leaves after a layer: its share of x, the rest from what would have left before it. */
static void leave(shoal_batch *b, float share, const shoal__rows *rows)
{
    size_t D = (size_t)b->model->config.dim;
    for (int i = 0, n, first; b->out != b->x && i < rows->count; i += n) {
        n = shoal__rows_span(rows, i, &first);
        float *out = b->out + (size_t)first * D, *x = b->x + (size_t)first * D;
        if (share < 1.0f)
            b->model->kern->blend(out, x, share, n * (int)D);
        else
            memcpy(out, x, (size_t)n * D * sizeof *x);
    }
}

static void run_layer(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows)
{
    l->op->run(b, l, place, rows);
    leave(b, l->exit, rows);
}

/* The first of those that have not gone through layer `place`, and all like it: to the lists. */
static shoal__rows gather(shoal_batch *b, int place, int active)
{
    shoal__rows rows = { .index = b->row_list, .item = b->item_list };
    const shoal__layer *first = NULL;
    for (int i = 0; i < active; i++) {
        shoal__item *it = &b->items[i];
        const shoal__layer *l = layer_of(it, place);
        if (it->done > place || (first && !(shoal__layer_same(first, l) && first->exit == l->exit)))
            continue;
        first = l;
        it->done = place + 1;
        b->item_list[rows.items++] = i;
        for (int f = 0; f < it->frames; f++)
            b->row_list[rows.count++] = it->row + f;
    }
    return rows;
}

static void step(shoal_batch *b, int place, int active, int rows)
{
    shoal__rows some = { .count = rows, .items = active };
    if (!b->mixed) {
        run_layer(b, layer_of(b->items, place), place, &some);
        return;
    }
    for (int left = active; left > 0; left -= some.items) {
        some = gather(b, place, active);
        run_layer(b, layer_of(&b->items[some.item[0]], place), place, &some);
    }
}

void shoal__batch_walk(shoal_batch *b)
{
    int active = b->count, rows = b->rows;
    shoal__ops_begin(b);
    shoal__batch_keep_hidden(b, 0, active);
    for (int place = 0; place < b->items[0].depth; place++) {
        while (b->items[active - 1].depth <= place)
            rows -= b->items[--active].frames;
        step(b, place, active, rows);
        shoal__batch_keep_taps(b, place + 1, active);
        shoal__batch_keep_hidden(b, place + 1, active);
    }
}

/* ffn.c - the feed-forward module: row by row, nothing remembered
 *
 * The half step of a conformer's FFNs is folded into their down matrices when the model opens.
 */
#include "ops/modules.h"

void shoal__ffn(shoal_batch *b, const shoal__linear *up, const shoal__linear *down, shoal__norm n,
                const shoal__rows *rows)
{
    shoal__conformer_scratch *s = shoal__conformer_scratch_of(b);
    shoal__batch_norm(b, s->y, b->x, n, rows);
    shoal__batch_pair(b, up, down, s->y, rows, NULL, s->wide, b->x);
}

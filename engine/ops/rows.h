/* rows.h - which rows of a batch something works on
 *
 * Rows are frames; those of one stream lie one under the other, the deepest streams first. Mostly
 * all who go this deep are meant: a prefix. Streams that leave early, or that follow another
 * program, make it a list: of rows for what works row by row (products, norms), of items for what
 * works stream by stream. Both say the same.
 */
#ifndef SHOAL_ROWS_H
#define SHOAL_ROWS_H

typedef struct shoal__rows {
    int count;        /* rows */
    const int *index; /* [count] theirs, ascending; NULL: the first `count` */
    int items;        /* the streams that they belong to, whole */
    const int *item;  /* [items] places in the batch's items, ascending; NULL: the first `items` */
} shoal__rows;

static inline int shoal__rows_item(const shoal__rows *r, int i)
{
    return r->item ? r->item[i] : i;
}

/* From the i-th row on: how many lie one under the other, and the first of them. A loop over rows
 * steps by what this returns. */
static inline int shoal__rows_span(const shoal__rows *r, int i, int *first)
{
    int n = 1;
    *first = r->index ? r->index[i] : i;
    if (!r->index)
        return r->count - i;
    while (i + n < r->count && r->index[i + n] == *first + n)
        n++;
    return n;
}

#endif

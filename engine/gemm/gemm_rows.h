/* gemm_rows.h - lists and scales of rows for backends of others
 *
 * A library multiplies rows that lie one under the other and knows no scale of a row. So such rows
 * are copied to a room of the thread's scratch, multiplied there, and brought back, a few at a time
 * while they are in cache. Rows as they lie, all of them and unscaled, go straight to the library.
 */
#ifndef SHOAL_GEMM_ROWS_H
#define SHOAL_GEMM_ROWS_H

#include "gemm/gemm.h"

/* Room for a few rows, of the widest inputs and outputs there are. */
typedef struct shoal__row_room {
    float *a, *c; /* owned */
    int rows;
} shoal__row_room;

/* A product, or a pair, of rows that lie one under the other. */
typedef struct shoal__plain {
    void (*run)(const struct shoal__plain *p, const float *a, int rows, float *c);
    const shoal__linear *first, *last; /* of the product: the same */
    const shoal__kern *kern;
    void *scratch; /* the backend's */
} shoal__plain;

/* 0 or SHOAL_ENOMEM, and then nothing is to be freed. */
int shoal__row_room_new(shoal__row_room *room, shoal__linear *const *all, int n, int max_rows);
void shoal__row_room_free(shoal__row_room *room);

/* As shoal__gemm.run. */
void shoal__rows_run(const shoal__plain *p, const shoal__row_room *room, const float *a, int rows,
                     const int *index, const float *row_scale, float *c);

#endif

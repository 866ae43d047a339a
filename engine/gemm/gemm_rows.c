/* gemm_rows.c - rows to and from the room where a library multiplies them; see gemm_rows.h */
#include "gemm/gemm_rows.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_ROWS = 64 }; /* as AMX takes in a pair: they stay in L2 */

static int most(int a, int b)
{
    return a > b ? a : b;
}

int shoal__row_room_new(shoal__row_room *room, shoal__linear *const *all, int n, int max_rows)
{
    int in = 1, out = 1;
    for (int i = 0; i < n; i++) {
        in = most(in, all[i]->in);
        out = most(out, all[i]->out);
    }
    room->rows = max_rows < ROOM_ROWS ? max_rows : ROOM_ROWS;
    room->a = malloc((size_t)room->rows * (size_t)in * sizeof *room->a);
    room->c = malloc((size_t)room->rows * (size_t)out * sizeof *room->c);
    if (room->a && room->c)
        return 0;
    shoal__row_room_free(room);
    return SHOAL_ENOMEM;
}

void shoal__row_room_free(shoal__row_room *room)
{
    free(room->a);
    free(room->c);
    *room = (shoal__row_room){ 0 };
}

static void copy_row(float *to, const float *from, int n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

/* A row's result from the room, which begins at zero where it is scaled before it is added. */
static void bring_back(float *c, const float *y, int n, const float *scale, int add)
{
    if (!scale)
        copy_row(c, y, n);
    for (int i = 0; scale && i < n; i++)
        c[i] = add ? c[i] + *scale * y[i] : *scale * y[i];
}

/* No more rows than the room has. */
static void run_few(const shoal__plain *p, const shoal__row_room *room, const float *a, int rows,
                    const int *index, const float *row_scale, float *c)
{
    int in = p->first->in, out = p->last->out, add = p->last->epilogue == SHOAL__ADD;
    for (int i = 0; i < rows; i++) {
        size_t row = (size_t)index[i];
        copy_row(room->a + (size_t)i * (size_t)in, a + row * (size_t)in, in);
        if (add && !row_scale)
            copy_row(room->c + (size_t)i * (size_t)out, c + row * (size_t)out, out);
    }
    if (add && row_scale)
        memset(room->c, 0, (size_t)rows * (size_t)out * sizeof *room->c);
    p->run(p, room->a, rows, room->c);
    for (int i = 0; i < rows; i++)
        bring_back(c + (size_t)index[i] * (size_t)out, room->c + (size_t)i * (size_t)out, out,
                   row_scale ? row_scale + i : NULL, add);
}

static int in_one_piece(const int *index, int rows)
{
    return !index || index[rows - 1] - index[0] == rows - 1;
}

void shoal__rows_run(const shoal__plain *p, const shoal__row_room *room, const float *a, int rows,
                     const int *index, const float *row_scale, float *c)
{
    int list[ROOM_ROWS];
    if (rows > 0 && !row_scale && in_one_piece(index, rows)) {
        size_t first = index ? (size_t)index[0] : 0;
        p->run(p, a + first * (size_t)p->first->in, rows, c + first * (size_t)p->last->out);
        return;
    }
    for (int i = 0, n; i < rows; i += n) {
        n = rows - i < room->rows ? rows - i : room->rows;
        for (int k = 0; k < n; k++)
            list[k] = index ? index[i + k] : i + k;
        run_few(p, room, a, n, list, row_scale ? row_scale + i : NULL, c);
    }
}

/* mean.c - see mean.h
 *
 * Sums are doubles: an utterance may have thousands of rows, and a mean that does not depend on how
 * they were cut into chunks is one that adds them in order. */
#include "work/mean.h"

#include <stdlib.h>
#include <string.h>

struct shoald_mean {
    int dim, room;
    int64_t from, tail, next; /* [from, tail) are in the sum, [tail, next) in the ring */
    int empty;                /* no row yet */
    float *ring;              /* [room, dim] at frame % room */
    double sum[];             /* [dim] */
};

shoald_mean *shoald_mean_new(int dim, int room)
{
    size_t n = (size_t)dim;
    shoald_mean *p = malloc(sizeof *p + n * sizeof(double) + (size_t)room * n * sizeof(float));
    if (!p)
        return NULL;
    p->dim = dim;
    p->room = room;
    p->ring = (float *)(void *)(p->sum + n);
    shoald_mean_reset(p);
    return p;
}

void shoald_mean_free(shoald_mean *p)
{
    free(p);
}

static void clear(shoald_mean *p)
{
    memset(p->sum, 0, (size_t)p->dim * sizeof *p->sum);
}

void shoald_mean_reset(shoald_mean *p)
{
    p->from = p->tail = p->next = 0;
    p->empty = 1;
    clear(p);
}

static void add(shoald_mean *p, const float *row)
{
    for (int i = 0; i < p->dim; i++)
        p->sum[i] += (double)row[i];
}

static float *kept(const shoald_mean *p, int64_t frame)
{
    return p->ring + (size_t)(frame % p->room) * (size_t)p->dim;
}

/* Rows before `frame` leave the ring. Never further back than what is in the sum already. */
static int64_t sum_up_to(shoald_mean *p, int64_t frame)
{
    frame = frame > p->next ? p->next : frame;
    while (p->tail < frame)
        add(p, kept(p, p->tail++));
    return p->tail;
}

void shoald_mean_put(shoald_mean *p, int64_t frame, const float *row)
{
    if (p->empty)
        p->from = p->tail = p->next = frame;
    p->empty = 0;
    p->next++;
    if (p->room == 0) {
        add(p, row);
        p->tail = p->next;
        return;
    }
    if (p->next - p->tail > p->room)
        sum_up_to(p, p->next - p->room);
    memcpy(kept(p, frame), row, (size_t)p->dim * sizeof *row);
}

int64_t shoald_mean_next(const shoald_mean *p)
{
    return p->next;
}

void shoald_mean_begin(shoald_mean *p, int64_t frame)
{
    if (frame <= p->from)
        return;
    p->from = sum_up_to(p, frame);
    clear(p);
}

int64_t shoald_mean_take(shoald_mean *p, int64_t frame, float *out, int64_t *first)
{
    int64_t end = sum_up_to(p, frame), n = end - p->from;
    if (n <= 0)
        return 0;
    for (int i = 0; i < p->dim; i++)
        out[i] = (float)(p->sum[i] / (double)n);
    *first = p->from;
    p->from = end;
    clear(p);
    return n;
}

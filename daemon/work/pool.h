/* pool.h - the mean of some rows, when it is known only later which ones
 *
 * Rows of frames that follow each other are put in; frames from `from` on belong to the mean that
 * is being made. Its end (and its begin, where it is not simply the end of the one before) may be
 * said of a frame that has passed: the last `room` rows are kept one by one, older ones are only a
 * sum. Pure, but for the memory of a new one.
 */
#ifndef SHOALD_POOL_H
#define SHOALD_POOL_H

#include <stdint.h>

typedef struct shoald_pool shoald_pool;

/* dim: values a row. room: rows that may be looked back at, 0: the end is always now. NULL: no
 * memory. */
shoald_pool *shoald_pool_new(int dim, int room);
void shoald_pool_free(shoald_pool *p); /* NULL is fine */
/* The next row. The first one, and the first after a reset, may be of any frame. */
void shoald_pool_put(shoald_pool *p, int64_t frame, const float *row);
/* The frame after the last one. */
int64_t shoald_pool_next(const shoald_pool *p);
/* Frames before this one do not belong to the mean. */
void shoald_pool_begin(shoald_pool *p, int64_t frame);
/* The mean of the frames up to this one, to out [dim], and the first of them to *first; the next
 * mean begins with this frame. Returns how many they are; 0: out is left alone. */
int64_t shoald_pool_take(shoald_pool *p, int64_t frame, float *out, int64_t *first);
/* Forget everything. */
void shoald_pool_reset(shoald_pool *p);

#endif

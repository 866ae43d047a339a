/* mean.h - the mean of some rows, when it is known only later which ones
 *
 * Rows of frames that follow each other are put in; frames from `from` on belong to the mean that
 * is being made. Its end (and its begin, where it is not simply the end of the one before) may be
 * said of a frame that has passed: the last `room` rows are kept one by one, older ones are only a
 * sum. Pure, but for the memory of a new one.
 */
#ifndef SHOALD_MEAN_H
#define SHOALD_MEAN_H

#include <stdint.h>

typedef struct shoald_mean shoald_mean;

/* dim: values a row. room: rows that may be looked back at, 0: the end is always now. NULL: no
 * memory. */
shoald_mean *shoald_mean_new(int dim, int room);
void shoald_mean_free(shoald_mean *p); /* NULL is fine */
/* The next row. The first one, and the first after a reset, may be of any frame. */
void shoald_mean_put(shoald_mean *p, int64_t frame, const float *row);
/* The frame after the last one. */
int64_t shoald_mean_next(const shoald_mean *p);
/* Frames before this one do not belong to the mean. */
void shoald_mean_begin(shoald_mean *p, int64_t frame);
/* The mean of the frames up to this one, to out [dim], and the first of them to *first; the next
 * mean begins with this frame. Returns how many they are; 0: out is left alone. */
int64_t shoald_mean_take(shoald_mean *p, int64_t frame, float *out, int64_t *first);
/* Forget everything. */
void shoald_mean_reset(shoald_mean *p);

#endif

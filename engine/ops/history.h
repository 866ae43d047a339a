/* history.h - the keys and values that attention remembers of one stream and layer
 *
 * A ring of left_frames rotated keys and values in the kernels' order (kern.h, shoal__memory);
 * all of it is visible to every query, so its order in time does not matter and the ring is read
 * from place 0 to `filled`. The type of its numbers is the model's `cache`. It is one piece of
 * memory without pointers: to copy it is to copy its bytes. Keys lie at its end. A layer that reads
 * another one's map has none: its history is the beginning of one with keys.
 */
#ifndef SHOAL_HISTORY_H
#define SHOAL_HISTORY_H

#include "model/model.h"

/* The head of a history. Behind it, each piece 64 bytes on or at the next multiple of that: values
 * [heads, left, dim] or, bf16, [heads, left / 2 rounded up to 16, dim] pairs, with int8's scales
 * [heads, 16 key blocks]; then keys [heads, key blocks, words, 16], with theirs. */
typedef struct shoal__history {
    int filled; /* frames, 0..left */
    int next;   /* ring place that the next frame overwrites */
} shoal__history;

/* left: the stream's left_frames. */
size_t shoal__history_bytes(const shoal_model *m, int left);
size_t shoal__history_value_bytes(const shoal_model *m, int left); /* without keys */
/* What attention sees of it, and a chunk's own keys and values put over the oldest; own->keys NULL:
 * values alone. */
shoal__memory shoal__history_view(const shoal_model *m, int left, const shoal__history *h);
void shoal__history_keep(const shoal_model *m, int left, shoal__history *h,
                         const shoal__memory *own);
/* One without keys as old as `as`, with which its layer's map was made: what it does not hold of
 * that counts as 0. Nothing, if both have heard the same. */
void shoal__history_follow(const shoal_model *m, int left, shoal__history *h, shoal__history as);

#endif

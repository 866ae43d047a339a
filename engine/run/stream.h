/* stream.h - the state of one client
 *
 *   feed -> pcm window -> mel rows (2 per frame, up to one chunk) -> [batch] -> results
 *                                                                     |
 *                              caches of every virtual layer  <-------+
 *
 * One allocation holds all but the caches. Those come with the first audio, a block for each
 * layer down to the stream's depth, and go with the last frame: a client that is connected and
 * silent costs some 20 KB. In bf16 and int8 models they hold bf16, in fp32 models fp32.
 *
 * Attention's history is a ring of left_frames rotated keys and values in the kernels' order
 * (kern.h, shoal__memory); all of it is visible to every query, so its order in time does not
 * matter and the ring is read from place 0 to `filled`. The convolution's history is its last
 * taps - 1 rows.
 */
#ifndef SHOAL_STREAM_H
#define SHOAL_STREAM_H

#include "model/model.h"

/* Cache of one virtual layer; that of a layer which wakes up is made by shoal__stream_wake. */
typedef struct shoal__cache {
    unsigned char *block; /* owned, holds the three below; NULL: never used so far */
    uint32_t *keys;       /* [heads, key_blocks, words, 16] ring */
    uint32_t *values;     /* [left, D] ring; bf16: [left / 2 rounded up to 16, D] pairs */
    void *tail;           /* [kernel - 1, D] */
    int filled;           /* frames of history, 0..left */
    int next;             /* ring place that the next frame overwrites */
} shoal__cache;

struct shoal_stream {
    const shoal_model *model;
    shoal_stream_params params; /* depth: as wished for the next chunk */
    uint64_t taps;              /* bit d - 1: depth d is wanted as well */
    int depth_used;             /* depth of the last chunk: deeper caches are stale */
    int finishing;              /* finish was called */
    int flushing;               /* flush was called and frames of before it remain */
    int64_t fed, total_frames;  /* samples taken; output frames in all, once finishing */
    int64_t position;           /* internal frames computed so far */

    float *pcm; /* [pcm_size] samples from mel frame `mel_rows` on */
    int pcm_count;
    float *mel;           /* [2 + 2 * chunk, mels] normalised; 2 rows of history */
    int mel_rows;         /* rows after the history */
    float *conv1_last;    /* [D] last output row of the first convolution */
    shoal__cache *caches; /* [info.depth], the first `reserved` have their memory */
    int reserved;
    size_t bytes; /* of the stream's own allocation */
};

enum { SHOAL__PCM_SIZE = 2048 };

/* stream.c, for the batch: internal frames ready; after they are computed, step over them. */
void shoal__stream_advance(shoal_stream *s, int frames);
/* cache.c: bytes of one; memory for those of layers [0, depth), 0 or SHOAL_ENOMEM; free all. */
size_t shoal__cache_bytes(const shoal_stream *s);
int shoal__cache_reserve(shoal_stream *s, int depth);
void shoal__cache_release(shoal_stream *s);
void shoal__cache_empty(const shoal_stream *s, shoal__cache *c);
void shoal__cache_copy(const shoal_stream *s, shoal__cache *to, const shoal__cache *from);
/* What attention sees of it, and the chunk's own keys and values put over the oldest. */
shoal__memory shoal__cache_view(const shoal_stream *s, const shoal__cache *c);
void shoal__cache_keep(const shoal_stream *s, shoal__cache *c, const shoal__memory *own);

/* Give layers that were asleep during the last chunk a history (shoal_wake). */
void shoal__stream_wake(shoal_stream *s);

#endif

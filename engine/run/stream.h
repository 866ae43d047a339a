/* stream.h - the state of one client
 *
 *   feed -> pcm window -> mel rows (2 per frame, up to one chunk) -> [batch] -> results
 *                                                                     |
 *                              caches of every virtual layer  <-------+
 *
 * One allocation holds all but the caches. Those come with the first audio, a block for each
 * layer down to the stream's depth, and go with the last frame: a client that is connected and
 * silent costs some 20 KB. What is in them is the operation's (ops/op.h).
 */
#ifndef SHOAL_STREAM_H
#define SHOAL_STREAM_H

#include "model/model.h"

struct shoal_stream {
    const shoal_model *model;
    const shoal__program *program;
    shoal_stream_params params; /* depth: as wished for the next chunk */
    uint64_t taps;              /* bit d - 1: depth d is wanted as well */
    uint64_t hidden;            /* bit l: and layer l as it is */
    int wants_mel;
    int depth_used;            /* depth of the last chunk: deeper caches are stale */
    int finishing;             /* finish was called */
    int flushing;              /* flush was called and frames of before it remain */
    int64_t base;              /* frames before the first one of these: */
    int64_t fed, total_frames; /* samples taken; output frames in all, once finishing */
    int64_t position;          /* internal frames computed so far */

    float *pcm; /* [pcm_size] samples from mel frame `mel_rows` on */
    int pcm_count;
    float *mel;             /* [mel_room, mels] normalised; 2 rows of history */
    int mel_room;           /* 2 + 2 * longest chunk so far */
    float *own_mel;         /* mel, if a longer chunk has made it move; else NULL */
    int mel_rows;           /* rows after the history */
    float *conv1_last;      /* [D] last output row of the first convolution */
    unsigned char **caches; /* [program's depth], the first `reserved` have their memory;
                             * NULL: the layer remembers nothing */
    int reserved;
    size_t bytes; /* of the stream's own allocation */
};

enum { SHOAL__PCM_SIZE = 2048 };

/* stream.c, for the batch: step over frames that it has computed. */
void shoal__stream_advance(shoal_stream *s, int frames);
/* cache.c: memory for the caches of layers [0, depth), 0 or SHOAL_ENOMEM; its bytes; free all. */
int shoal__cache_reserve(shoal_stream *s, int depth);
size_t shoal__cache_memory(const shoal_stream *s);
void shoal__cache_release(shoal_stream *s);
/* Give layers that were asleep during the last chunk a history (shoal_wake). */
void shoal__cache_wake(shoal_stream *s);

#endif

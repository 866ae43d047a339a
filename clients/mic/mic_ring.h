/* mic_ring.h - samples from the one who hears to the one who sends, without a lock
 *
 *     writer (PortAudio's callback) -> [ read .... written ) -> reader (the loop)
 *
 * One writer, one reader. Each counter has one side that stores it: `written` orders the samples
 * before it, `read` the room behind it; both only grow and are taken modulo the size. The writer
 * never waits, allocates or logs: what finds no room is counted and gone.
 */
#ifndef MIC_RING_H
#define MIC_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mic_ring {
    int16_t *samples;      /* [cap] */
    size_t cap;            /* a power of two; set at init, then constant, as samples is */
    atomic_size_t written; /* the writer's */
    atomic_size_t read;    /* the reader's */
    atomic_ullong lost;    /* samples that found no room; the writer's */
} mic_ring;

/* Room for this many samples at least. 0, or -1: no memory. */
int mic_ring_init(mic_ring *r, size_t samples) __attribute__((warn_unused_result));
void mic_ring_free(mic_ring *r);

/* The writer: every stride-th of n * stride samples. Returns how many found room. */
size_t mic_ring_write(mic_ring *r, const int16_t *from, size_t n, size_t stride);
/* The reader: up to n samples. Returns how many. */
size_t mic_ring_read(mic_ring *r, int16_t *to, size_t n);

#endif

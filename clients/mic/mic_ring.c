/* mic_ring.c - see mic_ring.h */
#include "mic/mic_ring.h"

#include <stdlib.h>

int mic_ring_init(mic_ring *r, size_t samples)
{
    *r = (mic_ring){ .cap = 1 };
    while (r->cap < samples)
        r->cap *= 2;
    r->samples = calloc(r->cap, sizeof *r->samples);
    return r->samples ? 0 : -1;
}

void mic_ring_free(mic_ring *r)
{
    free(r->samples);
    r->samples = NULL;
}

size_t mic_ring_write(mic_ring *r, const int16_t *from, size_t n, size_t stride)
{
    size_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
    size_t room = r->cap - (at - atomic_load_explicit(&r->read, memory_order_acquire));
    size_t taken = n < room ? n : room;

    for (size_t i = 0; i < taken; i++)
        r->samples[(at + i) & (r->cap - 1)] = from[i * stride];
    atomic_store_explicit(&r->written, at + taken, memory_order_release);
    if (taken < n)
        atomic_fetch_add_explicit(&r->lost, n - taken, memory_order_relaxed);
    return taken;
}

size_t mic_ring_read(mic_ring *r, int16_t *to, size_t n)
{
    size_t at = atomic_load_explicit(&r->read, memory_order_relaxed);
    size_t there = atomic_load_explicit(&r->written, memory_order_acquire) - at;
    size_t taken = n < there ? n : there;

    for (size_t i = 0; i < taken; i++)
        to[i] = r->samples[(at + i) & (r->cap - 1)];
    atomic_store_explicit(&r->read, at + taken, memory_order_release);
    return taken;
}

/* arena.h - lay several arrays out in one block
 *
 * A layout function runs twice with the same steps: with base NULL to count the bytes, then with
 * the block to point into it. Every piece begins on a 64-byte boundary.
 */
#ifndef SHOAL_ARENA_H
#define SHOAL_ARENA_H

#include "kern/kern.h"

#include <stddef.h>

/* The next `bytes` of the block, or NULL while only counting; *at moves on. */
static inline void *shoal__carve(unsigned char *base, size_t *at, size_t bytes)
{
    void *p = base ? base + *at : NULL;
    *at += shoal__aligned(bytes);
    return p;
}

static inline float *shoal__carve_floats(unsigned char *base, size_t *at, size_t n)
{
    return shoal__carve(base, at, n * sizeof(float));
}

#endif

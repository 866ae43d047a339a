/* recent.c - see recent.h */
#include "plan/recent.h"

#include "plan/times.h"

#include <math.h>
#include <stdlib.h>

#define FIRST_NS  1e5 /* upper bound of the first bucket */
#define WINDOW_NS (SHOALD_RECENT_WINDOW_S * SHOALD_NS_PER_S)

int shoald_recent_init(shoald_recent *r, int depths)
{
    r->depths = depths;
    atomic_init(&r->window, 0);
    r->counts = calloc((size_t)(2 * depths * SHOALD_RECENT_BUCKETS), sizeof *r->counts);
    return r->counts ? 0 : -1;
}

void shoald_recent_free(shoald_recent *r)
{
    free((void *)r->counts);
    r->counts = NULL;
}

static _Atomic uint32_t *counts_of(const shoald_recent *r, uint64_t window, int depth)
{
    size_t slot = window % 2 * (size_t)r->depths + (size_t)depth - 1;
    return r->counts + slot * SHOALD_RECENT_BUCKETS;
}

static void forget(shoald_recent *r, uint64_t window)
{
    _Atomic uint32_t *counts = counts_of(r, window, 1);
    for (int i = 0; i < r->depths * SHOALD_RECENT_BUCKETS; i++)
        atomic_store_explicit(&counts[i], 0, memory_order_relaxed);
}

static int bucket_of(uint64_t latency_ns)
{
    double octaves = latency_ns > FIRST_NS ? log2((double)latency_ns / FIRST_NS) : 0;
    int i = (int)ceil(4 * octaves);
    return i < SHOALD_RECENT_BUCKETS ? i : SHOALD_RECENT_BUCKETS - 1;
}

void shoald_recent_add(shoald_recent *r, int depth, uint64_t latency_ns, uint64_t now_ns)
{
    uint64_t window = now_ns / WINDOW_NS, last = atomic_load(&r->window);
    if (window != last) {
        forget(r, window);
        if (window != last + 1)
            forget(r, window + 1);
        atomic_store(&r->window, window);
    }
    _Atomic uint32_t *count = &counts_of(r, window, depth)[bucket_of(latency_ns)];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

void shoald_recent_sum(const shoald_recent *r, int depth, uint64_t now_ns, uint64_t *counts)
{
    uint64_t now = now_ns / WINDOW_NS, written = atomic_load(&r->window);
    for (uint64_t age = 0; age < 2; age++) {
        if (now > written + 1 - age)
            return; /* too old */
        const _Atomic uint32_t *from = counts_of(r, written - age, depth);
        for (int i = 0; i < SHOALD_RECENT_BUCKETS; i++)
            counts[i] += atomic_load_explicit(&from[i], memory_order_relaxed);
    }
}

double shoald_recent_percentile(const uint64_t *counts, double p)
{
    uint64_t total = 0, so_far = 0;
    for (int i = 0; i < SHOALD_RECENT_BUCKETS; i++)
        total += counts[i];
    for (int i = 0; total && i < SHOALD_RECENT_BUCKETS; i++) {
        so_far += counts[i];
        if ((double)so_far >= p * (double)total)
            return FIRST_NS * exp2(i / 4.0);
    }
    return 0;
}

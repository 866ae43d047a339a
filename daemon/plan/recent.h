/* recent.h - how late results come at present, by depth
 *
 * Histograms of one worker over the last half to whole minute: two windows of 30 s that take turns.
 * One writing thread; any thread may read, and may then miss what is being written. Buckets are a
 * quarter of an octave wide, so a percentile is at most 19 % too high.
 */
#ifndef SHOALD_RECENT_H
#define SHOALD_RECENT_H

#include <stdatomic.h>
#include <stdint.h>

enum { SHOALD_RECENT_BUCKETS = 70, SHOALD_RECENT_WINDOW_S = 30 };

typedef struct shoald_recent {
    int depths;
    _Atomic uint64_t window;  /* the one being written: time / 30 s */
    _Atomic uint32_t *counts; /* [2][depths][SHOALD_RECENT_BUCKETS] */
} shoald_recent;

int shoald_recent_init(shoald_recent *r, int depths); /* 0 or -1 */
void shoald_recent_free(shoald_recent *r);
/* Writer. */
void shoald_recent_add(shoald_recent *r, int depth, uint64_t latency_ns, uint64_t now_ns);
/* Adds what there is of a depth to counts[SHOALD_RECENT_BUCKETS]. */
void shoald_recent_sum(const shoald_recent *r, int depth, uint64_t now_ns, uint64_t *counts);
/* The latency, ns, that the share p (0..1) of them did not exceed; 0: there are none. */
double shoald_recent_percentile(const uint64_t *counts, double p);

#endif

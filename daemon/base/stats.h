/* stats.h - counters and histograms, for /metrics
 *
 * A worker's numbers have one writer (the worker) and are read by the loop whenever somebody
 * scrapes; relaxed atomics are enough. The loop's own are plain. Histograms have fixed buckets,
 * no labels a session, so the page's size does not depend on the load.
 */
#ifndef SHOALD_STATS_H
#define SHOALD_STATS_H

#include "shoal-protocol.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
    SHOALD_LATENCY_BUCKETS = 14,
    SHOALD_BATCH_BUCKETS = 10,
    SHOALD_DEPTH_BUCKETS = 12,
    SHOALD_LAG_BUCKETS = 10,
    SHOALD_LATE_BUCKETS = 9,
    SHOALD_SETTLED_BUCKETS = 12
};
extern const double shoald_latency_bounds[SHOALD_LATENCY_BUCKETS]; /* seconds, upper */
extern const double shoald_batch_bounds[SHOALD_BATCH_BUCKETS];     /* streams a run */
extern const double shoald_depth_bounds[SHOALD_DEPTH_BUCKETS];     /* layers */
extern const double shoald_late_bounds[SHOALD_LATE_BUCKETS];       /* seconds */
extern const double shoald_settled_bounds[SHOALD_SETTLED_BUCKETS]; /* seconds */
extern const double shoald_lag_bounds[SHOALD_LAG_BUCKETS];         /* seconds */

typedef _Atomic uint64_t shoald_counter;

typedef struct shoald_histogram {
    shoald_counter counts[16]; /* [buckets + 1]; the last is beyond all bounds */
    shoald_counter sum;        /* in millionths of the unit */
} shoald_histogram;

typedef struct shoald_worker_stats {
    shoald_counter chunks, frames, runs, samples, phones, busy_ns;
    shoald_counter beside_ns; /* spent on sessions beside the engine */
    shoald_counter errors[SHOAL_CODE_COUNT];
    shoald_histogram latency; /* last sample of a chunk received -> result queued */
    shoald_histogram late;    /* deadline of a chunk -> result queued; 0: in time */
    shoald_histogram batch;   /* streams a run */
    shoald_histogram depth;   /* of a chunk */
    shoald_histogram settled; /* a phone's end -> its message, in audio */
} shoald_worker_stats;

/* Why somebody may not come in (net/access, net/gates). */
typedef enum shoald_refusal {
    SHOALD_REFUSED_HOST,
    SHOALD_REFUSED_ORIGIN,
    SHOALD_REFUSED_NO_TOKEN,
    SHOALD_REFUSED_BAD_TOKEN,
    SHOALD_REFUSED_TOKEN_SESSIONS,
    SHOALD_REFUSED_TOKEN_RATE,
    SHOALD_REFUSALS
} shoald_refusal;

/* How clients fare that come back to their sessions. */
enum {
    SHOALD_RESUME_DONE,
    SHOALD_RESUME_UNKNOWN,   /* nobody has that ticket, or no longer */
    SHOALD_RESUME_UNCOVERED, /* what the client lacks is not kept */
    SHOALD_RESUME_REFUSED,   /* no room, or draining */
    SHOALD_RESUMES
};

typedef struct shoald_loop_stats {
    shoald_counter connections, http_requests, refused, sessions_done, sessions_error,
        sessions_lost;
    shoald_counter received_bytes, sent_bytes, pauses;
    shoald_counter evicted; /* connections that had to make room */
    shoald_counter access_refused[SHOALD_REFUSALS];
    shoald_counter parked, unparked; /* sessions: entered; over before their clients came back */
    shoald_counter unshared;         /* of these, for the sake of other addresses or tokens */
    shoald_counter resumes[SHOALD_RESUMES];
    shoald_counter errors[SHOAL_CODE_COUNT];
    shoald_histogram lag; /* of the loop: how late its timer comes */
} shoald_loop_stats;

/* One writer, so no read-modify-write is needed. */
static inline void shoald_count(shoald_counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void shoald_observe(shoald_histogram *h, const double *bounds, int buckets, double value);

#endif

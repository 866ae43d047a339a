/* edf.h - which chunk when: earliest deadline first, and the depth at which all are in time
 *
 * A chunk of a live stream is due one chunk after its audio was complete: by then the next one is
 * there. A stream that sends faster than real time pays with ever later deadlines and only gets
 * what others leave (turn.h); an eighth of a chunk is forgiven each chunk, so that a live stream
 * whose network held up some seconds, or whose clock runs fast, is soon treated as live again.
 * Pure functions; times are nanoseconds of any clock.
 */
#ifndef SHOALD_EDF_H
#define SHOALD_EDF_H

#include "plan/cost.h"
#include "plan/times.h"

#include <stdint.h>

/* The longest, unless much is due at once; the shortest, however short the chunks are: very short
 * runs cost too much. */
#define SHOALD_LONGEST_RUN_NS  (40 * SHOALD_NS_PER_MS)
#define SHOALD_SHORTEST_RUN_NS (10 * SHOALD_NS_PER_MS)

/* a chunk that is ready */
typedef struct shoald_due {
    uint64_t deadline_ns, chunk_ns;
    uint64_t patient_ns; /* till then it waits for a gap (turn.h); 0: it does not wait */
    int frames;
    int depth_min, depth_max; /* what its session allows */
    const double *layers;     /* of its program (load.h) */
    const void *kind; /* only those of one kind share a run: whose products they can share */
    void *owner;      /* the caller's */
} shoald_due;

/* The time from which a chunk's deadline counts: when it arrived, or later if it came faster than
 * real time. previous: the deadline of the stream's last chunk, 0: none. */
uint64_t shoald_edf_release(uint64_t arrived_ns, uint64_t previous_ns, uint64_t chunk_ns);

/* How long runs may be beside sessions with such chunks: a quarter, within the limits above. */
uint64_t shoald_edf_run_ns(int chunk_ms);

void shoald_edf_sort(shoald_due *due, int n); /* earliest deadline first */
/* The depth of a chunk under a ceiling. */
int shoald_edf_depth(const shoald_due *due, int ceiling);
/* The same in layers (cost.h). */
double shoald_edf_layers(const shoald_due *due, int ceiling);
/* due is sorted. The largest ceiling, at most the one given and at least 1, at which by the cost
 * model each chunk is through half a chunk before its deadline; one that is too late for that,
 * soon. */
int shoald_edf_fit(const shoald_due *due, int n, const shoald_cost *c, int ceiling,
                   uint64_t now_ns);
/* due is sorted. How many from the front make the next run: at least one, at most batch_frames
 * frames, and about run_ns long (at the speed of the calibration: when others take the processor,
 * smaller runs would only cost more). When more than three such runs are due within a chunk the run
 * gets up to twice as long, because large ones cost less. work: what they are. */
int shoald_edf_take(const shoald_due *due, int n, const shoald_cost *c, int ceiling,
                    int batch_frames, double run_ns, uint64_t now_ns, shoald_work *work);
/* The same of a run that takes limit_ns by the cost model. */
int shoald_edf_take_within(const shoald_due *due, int n, const shoald_cost *c, int ceiling,
                           int batch_frames, double limit_ns, shoald_work *work);

#endif

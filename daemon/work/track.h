/* track.h - the worker's side of a session: input records -> engine -> results
 *
 * shoald_track_advance takes records off the input queue until a chunk is ready to run
 * (READY), the input is empty (IDLE), the output lacks room for one more step (BLOCKED), or it has
 * done so much that others shall have their turn first (MORE).
 * The worker then runs all ready chunks as a batch and hands each result back to
 * shoald_track_deliver. So a step never fails for want of room and nothing is ever dropped.
 */
#ifndef SHOALD_TRACK_H
#define SHOALD_TRACK_H

#include "lane.h"
#include "work/bench.h"
#include "work/state.h"

typedef enum shoald_track_state {
    SHOALD_IDLE,
    SHOALD_BLOCKED,
    SHOALD_READY,
    SHOALD_MORE
} shoald_track_state;

/* A lane that this worker has not seen before: 0, or -1 (no memory; its client has been told). */
int shoald_track_make(shoald_lane *l, shoald_bench *w);
shoald_track_state shoald_track_advance(shoald_lane *l, shoald_bench *w);
/* Depth of the chunk that is ready; tells the client if it is another one. */
void shoald_track_set_depth(shoald_lane *l, shoald_bench *w, int depth);
/* r: its place in w->results. start_ns, end_ns: of the run that gave the result. */
void shoald_track_deliver(shoald_lane *l, shoald_bench *w, const shoal_result *r, uint64_t start_ns,
                          uint64_t end_ns);
/* Answer with an error at this place and take no more input. */
void shoald_track_fail(shoald_lane *l, shoald_bench *w, shoal_error *err);
/* The same, of what a SHOAL_E* code means. */
void shoald_track_fail_engine(shoald_lane *l, shoald_bench *w, int result);
/* Free it all. */
void shoald_track_close(shoald_lane *l);

#endif

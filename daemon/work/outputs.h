/* outputs.h - what a session is given of each chunk, and the state that takes
 *
 * One shoald_output for the session's own depth and one for each tap (state.h). Worker thread only.
 */
#ifndef SHOALD_OUTPUTS_H
#define SHOALD_OUTPUTS_H

#include "lane.h"
#include "work/bench.h"
#include "work/state.h"

/* From the next frame on give what o says; what ends is settled and given first. 0 or a
 * negative SHOAL_E*. */
int shoald_outputs_set(shoald_lane *l, shoald_bench *w, const shoal_options *o);
/* What the run gave to its index-th stream. 0 or a negative SHOAL_E*. */
int shoald_outputs_deliver(shoald_lane *l, shoald_bench *w, int index, uint32_t queued_us,
                           uint32_t computed_us);
/* A flush: give what the decoders still hold. At the end: close what is speech, too. */
void shoald_outputs_settle(shoald_lane *l, shoald_bench *w, bool end);
/* After a gap, when all is settled: phones, activity and means begin anew. 0 or a negative
 * SHOAL_E*. */
int shoald_outputs_restart(shoald_lane *l);
void shoald_outputs_free(shoald_outputs *outputs);

#endif

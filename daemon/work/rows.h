/* rows.h - rows of features, of every kind that an output asks for, on their way to packets
 *
 * As they are, or as means: of `every` frames, counted from frame 0, or of each utterance.
 */
#ifndef SHOALD_ROWS_H
#define SHOALD_ROWS_H

#include "lane.h"
#include "work/bench.h"
#include "work/state.h"

/* Ready for the kinds of out; those that were there go on. 0 or SHOAL_ENOMEM. */
int shoald_rows_open(shoald_output *out, const shoal_model_info *m, const shoal_options *o);
/* Give and forget what is not among kinds. */
void shoald_rows_close(shoald_lane *l, shoald_bench *w, shoald_output *out, unsigned kinds);
/* What a run has of them, in the order of docs/protocol.md, section 7. events: of its utterances.
 */
void shoald_rows_deliver(shoald_lane *l, shoald_bench *w, shoald_output *out, const shoald_run *run,
                         const shoald_events *events);
/* Give what has been pooled so far, by a flush or at the end. events: an utterance that ends with
 * it. */
void shoald_rows_settle(shoald_lane *l, shoald_bench *w, shoald_output *out,
                        const shoald_events *events);
/* Rows of other frames follow. */
void shoald_rows_reset(shoald_output *out);
void shoald_rows_free(shoald_output *out);
/* What is to be remembered of events, once all outputs have seen them. */
void shoald_rows_saw(shoald_outputs *all, const shoald_events *events);

#endif

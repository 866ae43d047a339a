/* outputs.h - what a session is given of each chunk, and the state that takes
 *
 * One shoald_output for the session's own depth and one for each depth that outputs ask for
 * with @ (a tap of the engine). Each has its own decoder and detector: phones from different
 * depths are different paths. Worker side; part of shoald_track.
 */
#ifndef SHOALD_OUTPUTS_H
#define SHOALD_OUTPUTS_H

#include <stdbool.h>

#include "shoal.h"
#include "shoal-protocol.h"

struct shoald_session;
struct shoald_worker;

typedef struct shoald_output {
    int tap;              /* depth asked for; 0: the session's */
    unsigned kinds;       /* SHOAL_OUTPUT_* */
    int depth;            /* of its last result; 0: none yet */
    int posteriors_depth; /* of its last packets; 0: none yet */
    int embedding_depth;
    shoal_decoder *decoder;   /* NULL while phones are not asked for */
    int64_t decoder_base;     /* the stream's frame that the decoder calls 0 */
    shoal_activity *activity; /* NULL while activity is not asked for */
} shoald_output;

typedef struct shoald_outputs {
    shoald_output at[1 + SHOAL_MAX_TAPS]; /* [0] the session's depth, then taps, ascending */
    int count;                            /* at least 1 once set */
} shoald_outputs;

/* From the next frame on give what o says; what ends is settled and given first. 0 or a
 * negative SHOAL_E*. */
int shoald_outputs_set(struct shoald_session *s, struct shoald_worker *w, const shoal_options *o);
/* What the run gave to its index-th stream. 0 or a negative SHOAL_E*. */
int shoald_outputs_deliver(struct shoald_session *s, struct shoald_worker *w, int index,
                           uint32_t queued_us, uint32_t computed_us);
/* A flush: give what the decoders still hold. At the end: close what is speech, too. */
void shoald_outputs_settle(struct shoald_session *s, struct shoald_worker *w, bool end);
/* outputs and taps as in options. */
void shoald_outputs_tell(const shoald_outputs *outputs, shoal_options *o);
void shoald_outputs_free(shoald_outputs *outputs);
/* Bytes of the output queue that the results of one step may take at most. */
size_t shoald_outputs_step_bytes(const shoal_model_info *m, const shoal_options *o);

#endif

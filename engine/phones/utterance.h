/* utterance.h - what of the speech that the detector finds is told, and where it is cut */
#ifndef SHOAL_UTTERANCE_H
#define SHOAL_UTTERANCE_H

#include "shoal.h"

typedef struct shoal__utterance {
    int told;             /* its begin has been */
    int64_t speech_begin; /* of the speech under way, by the detector */
    int64_t begin, end;   /* as told: of the one under way; of the last one */
    float least;          /* evidence of speech in the frame where it would be cut */
    int64_t least_at;
} shoal__utterance;

/* One more frame of speech; speech_end: after the last one that is no pause. Returns how many
 * events it wrote, 3 at most. */
int shoal__utterance_hear(shoal__utterance *u, const shoal_activity_params *p, int64_t frame,
                          float evidence, int64_t speech_end, shoal_activity_event *out);
/* The speech has ended; heard: the frames heard. 1 at most. */
int shoal__utterance_end(shoal__utterance *u, const shoal_activity_params *p, int64_t speech_end,
                         int64_t heard, shoal_activity_event *out);

#endif

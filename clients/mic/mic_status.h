/* mic_status.h - the status line of shoal-mic: what is known -> 80 columns; pure */
#ifndef MIC_STATUS_H
#define MIC_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "mic/mic_level.h"

enum { MIC_WAITS = 256 };

/* How long phones took to settle, the last MIC_WAITS of them. */
typedef struct mic_waits {
    int ms[MIC_WAITS];
    int n, next;
} mic_waits;

void mic_waits_add(mic_waits *w, int ms);
int mic_waits_percentile(const mic_waits *w, int percent); /* ms; -1: none yet */

typedef struct mic_status {
    const mic_level *level;
    const mic_waits *waits;
    const char *trouble; /* instead of the rest: "the microphone is away"; NULL: none */
    int paused;
    int lag_ms;                      /* audio that the server has and has not computed; -1 */
    int depth, depth_min, depth_max; /* in force, and the range */
    int lost_ms;                     /* audio that found no room */
    int load;                        /* of the server, percent; -1: not known */
} mic_status;

void mic_status_print(const mic_status *s, char *text, size_t size);

#endif

/* mic_level.h - how loud the microphone is, and whether it is one that hears nothing; pure
 *
 * Time is counted in samples, so the same audio gives the same picture.
 */
#ifndef MIC_LEVEL_H
#define MIC_LEVEL_H

#include <stddef.h>
#include <stdint.h>

enum { MIC_LEVEL_FLOOR_DB = -60 };

typedef struct mic_level {
    int rate;            /* Hz */
    double peak, hold;   /* 0..1 of full scale: falling, and the highest of the last second */
    uint64_t hold_left;  /* samples for which hold stays */
    uint64_t clip_left;  /* samples for which clipping is shown; 0: it is not */
    uint64_t zeros;      /* samples since the last that was not 0 */
    uint64_t clipped, n; /* samples of all */
} mic_level;

void mic_level_init(mic_level *l, int rate);
void mic_level_add(mic_level *l, const int16_t *samples, size_t n);
double mic_level_db(double peak); /* of 0..1; MIC_LEVEL_FLOOR_DB at least */
/* Nothing but zeros for two seconds: a muted microphone, or one that is gone. */
int mic_level_is_muted(const mic_level *l);
/* "-23 dB [######----|---]": 10 + width bytes and a NUL. */
void mic_level_print(const mic_level *l, int width, char *text, size_t size);

#endif

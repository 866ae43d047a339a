/* probe.h - does the first second of raw audio look like another format than declared?
 *
 * Samples without a header cannot be told apart by force, but mistakes that people make leave
 * marks that no sound leaves. (16-bit samples read as floats need no look here: soon one of them
 * is NaN or beyond SHOAL_MAX_SAMPLE. That many are tiny is no mark, decoders leave such tails
 * where sound has faded to nothing.)
 *   - floats read as 16-bit samples: every second value is the sign and exponent of a number
 *     around 0.001..1, so it lies in 0x3000..0x3fff or 0xb000..0xbfff. (One channel only: with
 *     two, an absurdly offset right channel could look so.)
 *   - floats scaled to 16 bits: most values are beyond 8, that is 18 dB above full scale.
 * Each needs PROBE_MIN values that are not zero and an overwhelming majority, so silence, DC
 * and clipped music pass.
 */
#ifndef SHOALD_PROBE_H
#define SHOALD_PROBE_H

#include "shoal-protocol.h"

#include <stdbool.h>

typedef struct shoald_probe {
    shoal_format format;
    bool watching;
    unsigned char part[4]; /* of a value cut in two */
    int part_size;
    int index;                   /* value number, for even and odd */
    int seen, limit;             /* values; limit is one second */
    int nonzero[2], floatish[2]; /* s16: [even, odd] */
    int loud;                    /* f32 */
} shoald_probe;

void shoald_probe_init(shoald_probe *p, const shoal_options *o);
/* More bytes. false: the audio is something else, and err says what. */
bool shoald_probe_look(shoald_probe *p, const void *bytes, size_t n, shoal_error *err);

#endif

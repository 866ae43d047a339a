/* probe.h - does raw audio look like something else than was declared?
 *
 * Samples without a header cannot be told apart by force, but mistakes that people make leave
 * marks that no sound leaves:
 *   - floats read as 16-bit samples: every second value is the sign and exponent of a number, so
 *     it lies in 0x3000..0x4fff or 0xb000..0xcfff, while those between spread evenly;
 *   - 16-bit samples in the other byte order: full-scale noise, and with bytes swapped a smooth
 *     curve on both sides of zero. A square wave and sound clipped at full scale are no noise: they
 *     stand at two values;
 *   - floats on another scale: most values are beyond 8, that is 18 dB above full scale;
 *   - floats in the other byte order: with bytes swapped nearly all lie in -2..2;
 *   - samples of another width: widths.h;
 *   - text where bytes were promised: base64, no byte that is not printable, many different;
 *     numbers (hex, a list), none that these do not have, eight digits at least.
 * And one that is no mistake of format: channels that cancel each other out, so that their mix is
 * silence. It is worth a warning, for the session goes on.
 *
 * (16-bit samples read as floats need no look here: soon one of them is NaN or beyond
 * SHOAL_MAX_SAMPLE. That many are tiny is no mark, decoders leave such tails where sound has faded
 * to nothing.)
 *
 * Values that are zero say nothing and do not count, however many there are. What counts is judged
 * after a second of it, and where less came, at the end. Each verdict needs an overwhelming
 * majority of many values, so DC, tones, noise and clipped music pass.
 */
#ifndef SHOALD_PROBE_H
#define SHOALD_PROBE_H

#include "shoal-protocol.h"
#include "work/widths.h"

#include <stdbool.h>
#include <stdint.h>

enum { SHOALD_PROBE_UPPERS = 64 }; /* kinds of upper byte that are told apart */

typedef struct shoald_probe {
    shoal_format format;
    bool mixed;          /* all channels are heard as one */
    int channels, width; /* bytes of a value; 1: only text is looked for */
    bool watching;       /* for what samples tell; text is looked for as long as all may be text */
    unsigned char part[4]; /* of a value cut in two */
    int part_size;
    uint64_t index;     /* value number */
    int counted, limit; /* values that are not zero; a second of them */

    int nonzero[2], exponents[2], small[2]; /* s16: [even, odd] */
    double steps, swapped_steps;            /* s16: sum of |difference| in a channel */
    int negative;                           /* s16, bytes swapped */
    int uppers[SHOALD_PROBE_UPPERS];        /* s16: how many have each */
    int last[SHOAL_MAX_CHANNELS], swapped_last[SHOAL_MAX_CHANNELS];
    shoald_widths widths;
    int loud, plausible, swapped; /* f32: beyond 8; in -2..2; in it with bytes swapped */

    double frame_sum, mix_power, power; /* of frames of all channels */
    bool cancels, warned;

    bool text; /* all bytes so far are printable */
    uint64_t bytes;
    uint32_t letters[4]; /* which of 128 */
} shoald_probe;

void shoald_probe_init(shoald_probe *p, const shoal_options *o);
/* More bytes. false: the audio is something else, and err says what. */
bool shoald_probe_look(shoald_probe *p, const void *bytes, size_t n, shoal_error *err);
/* What is left of a sample of all channels is dropped: the next byte begins another. */
void shoald_probe_align(shoald_probe *p);
/* No more comes for now, or what came is no audio (NaN): false if few values are enough to say. */
bool shoald_probe_judge(shoald_probe *p, shoal_error *err);
/* true, once: err is a warning. */
bool shoald_probe_warns(shoald_probe *p, shoal_error *err);

#endif

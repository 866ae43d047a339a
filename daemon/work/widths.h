/* widths.h - does raw audio look like samples of another width than was declared? A part of probe.h
 *
 *   - 24 bits read as 16: every third value is a sample without its lowest byte, the one behind it
 *     begins with the noise of the two lower bytes;
 *   - 8 bits read as 16: both bytes lie about 0x80, most of them close to it;
 *   - floats of 64 bits read as 16: every fourth value is a sign and an exponent, and no other;
 *   - floats of 64 bits read as 32: every second value has a magnitude of 0.4 to 2, whatever the
 *     sound, since its exponent has three bits more.
 */
#ifndef SHOALD_WIDTHS_H
#define SHOALD_WIDTHS_H

#include <stdint.h>

typedef struct shoald_widths {
    int values[4], exponents[4];          /* by the value's number mod 4 */
    int third[3], last[3];                /* by its number mod 3: how many, the one before */
    double steps[3];                      /* sums of |difference| to that one */
    int counted, middle, close, negative; /* both bytes 0x40..0xbf; 0x70..0x8f; below zero */
    int halves[2], hefty[2];              /* f32: by its number mod 2: how many, of 0.4..2 */
    uint64_t kinds;                       /* f32: which magnitudes of these; s16: lower bytes */
} shoald_widths;

/* A value that is not zero, and its number. */
void shoald_widths_s16(shoald_widths *w, uint64_t index, int value);
void shoald_widths_f32(shoald_widths *w, uint64_t index, float value);
/* What is told, or NULL. channels: of the session. */
const char *shoald_widths_verdict(const shoald_widths *w, int channels);

#endif

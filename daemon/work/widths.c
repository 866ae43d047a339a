/* widths.c - see widths.h */
#include "work/widths.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { FEW = 200 }; /* values, fewer say nothing */

static const double noisy = 12000, least = 0.4, most = 2; /* steps of noise are 21,845 */

static bool nearly_all(int count, int of)
{
    return of >= FEW && count > 0.98 * of;
}

static bool is_within(int byte, int from, int to)
{
    return byte >= from && byte <= to;
}

void shoald_widths_s16(shoald_widths *w, uint64_t index, int value)
{
    int lower = value & 0xff, upper = value >> 8 & 0xff, exponent = value & 0x7000;
    unsigned third = (unsigned)(index % 3), fourth = (unsigned)(index % 4);
    w->values[fourth]++;
    w->exponents[fourth] += exponent == 0x3000 || exponent == 0x4000;
    w->steps[third] += abs(value - w->last[third]);
    w->last[third] = value;
    w->third[third]++;
    w->counted++;
    w->middle += is_within(lower, 0x40, 0xbf) && is_within(upper, 0x40, 0xbf);
    w->close += is_within(lower, 0x70, 0x8f) && is_within(upper, 0x70, 0x8f);
    w->kinds |= (uint64_t)1 << lower / 4;
}

void shoald_widths_f32(shoald_widths *w, uint64_t index, float value)
{
    unsigned half = (unsigned)(index % 2);
    float size = fabsf(value);
    bool hefty = size >= least && size < most;
    w->halves[half]++;
    w->hefty[half] += hefty;
    if (half == 0 || !hefty)
        return;
    w->negative += value < 0;
    w->kinds |= (uint64_t)1 << (int)(32 * (size - least) / (most - least));
}

/* The first of the three bytes is noise unless it is zero; the second always is. */
static bool is_24(const shoald_widths *w)
{
    for (int i = 0; i < 3; i++) {
        int behind = (i + 1) % 3;
        if (w->third[i] < FEW || w->third[behind] < FEW)
            continue;
        double smooth = w->steps[i] / w->third[i], rough = w->steps[behind] / w->third[behind];
        if (rough > noisy && smooth < rough / 4)
            return true;
    }
    return false;
}

static bool is_8(const shoald_widths *w)
{
    return nearly_all(w->middle, w->counted) && w->close > 0.5 * w->counted &&
           __builtin_popcountll(w->kinds) >= 3;
}

/* Two fourths are exponents where floats have 32 bits. */
static bool is_64(const shoald_widths *w)
{
    return nearly_all(w->exponents[3], w->values[3]) && w->values[2] >= FEW / 2 &&
           w->exponents[2] < 0.5 * w->values[2] && w->exponents[1] <= 0.7 * w->values[1];
}

static bool is_64_as_32(const shoald_widths *w)
{
    return nearly_all(w->hefty[1], w->halves[1]) && w->hefty[0] <= 0.6 * w->halves[0] &&
           w->negative > 0.05 * w->halves[1] && w->negative < 0.95 * w->halves[1] &&
           __builtin_popcountll(w->kinds) >= 6;
}

const char *shoald_widths_verdict(const shoald_widths *w, int channels)
{
    if (channels % 3 != 0 && is_24(w))
        return "declared as s16le, but the bytes look like samples of 24 bits: leave out the "
               "lowest byte of each (ffmpeg -f s24le -ar RATE -ac CHANNELS -i X -f s16le Y)";
    if (is_8(w))
        return "declared as s16le, but the bytes look like samples of 8 bits: subtract 128 from "
               "each and multiply by 256 (ffmpeg -f u8 -ar RATE -ac CHANNELS -i X -f s16le Y)";
    if ((channels % 4 != 0 && is_64(w)) || is_64_as_32(w))
        return "the bytes look like floats of 64 bits: make them f32le "
               "(ffmpeg -f f64le -ar RATE -ac CHANNELS -i X -f f32le Y)";
    return NULL;
}

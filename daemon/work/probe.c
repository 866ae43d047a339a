/* probe.c - recognising audio declared in the wrong format; see probe.h */
#include "work/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FEW = 200,         /* values, fewer say nothing */
    TEXT_BYTES = 256,  /* of text, at least */
    TEXT_LETTERS = 20, /* of them different ones */
};

void shoald_probe_init(shoald_probe *p, const shoal_options *o)
{
    memset(p, 0, sizeof *p);
    p->format = o->format;
    p->channels = o->channels;
    p->mixed = o->channels > 1 && o->channel == 0;
    p->width = shoal_format_bytes(o->format);
    p->limit = o->rate * o->channels;
    p->watching = p->width > 1;
    p->text = true;
}

/* ---- counting ------------------------------------------------------------------------ */

static void count_frame(shoald_probe *p, double x)
{
    p->frame_sum += x;
    p->power += x * x;
    if (p->index % (uint64_t)p->channels != (uint64_t)p->channels - 1)
        return;
    p->mix_power += p->frame_sum * p->frame_sum;
    p->frame_sum = 0;
}

static void count_steps(shoald_probe *p, int value, int swapped)
{
    int channel = (int)(p->index % (uint64_t)p->channels);
    p->steps += abs(value - p->last[channel]);
    p->swapped_steps += abs(swapped - p->swapped_last[channel]);
    p->last[channel] = value;
    p->swapped_last[channel] = swapped;
    p->negative += swapped < 0;
    p->uppers[(unsigned)(value >> 8 & 0xff) / (256 / SHOALD_PROBE_UPPERS)]++;
}

static bool count_s16(shoald_probe *p, const unsigned char *b)
{
    unsigned v = b[0] | (unsigned)b[1] << 8, exponent = v & 0x7000;
    int odd = (int)(p->index & 1), value = (int16_t)v, swapped = (int16_t)(b[1] | b[0] << 8);
    count_frame(p, value);
    if (v == 0)
        return false;
    count_steps(p, value, swapped);
    shoald_widths_s16(&p->widths, p->index, value);
    p->nonzero[odd]++;
    p->exponents[odd] += exponent == 0x3000 || exponent == 0x4000;
    p->small[odd] += abs(value) < 0x1000;
    return true;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 0, or the size of a sample that is neither rounding noise nor beyond what is usual */
static bool is_plausible(float x)
{
    return fabsf(x) < 2 && fabsf(x) > 0x1p-32f;
}

static bool count_f32(shoald_probe *p, const unsigned char *b)
{
    uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float x = float_of(bits);
    count_frame(p, isfinite(x) ? (double)x : 0);
    if (x == 0)
        return false;
    shoald_widths_f32(&p->widths, p->index, x);
    p->loud += fabsf(x) > 8;
    p->plausible += is_plausible(x);
    p->swapped += is_plausible(float_of(__builtin_bswap32(bits)));
    return true;
}

static void count_value(shoald_probe *p)
{
    p->counted += p->width == 4 ? count_f32(p, p->part) : count_s16(p, p->part);
    p->index++;
}

static void count_text(shoald_probe *p, unsigned char c)
{
    p->bytes++;
    p->text = p->text && ((c >= ' ' && c < 0x7f) || c == '\n' || c == '\r' || c == '\t');
    p->letters[c / 32 & 3] |= 1u << c % 32;
}

/* ---- verdicts ------------------------------------------------------------------------ */

static bool most(int count, int of)
{
    return count > 0.98 * of;
}

static bool looks_like_text(const shoald_probe *p)
{
    int letters = 0;
    for (int i = 0; i < 4; i++)
        letters += __builtin_popcount(p->letters[i]);
    return p->text && p->bytes >= TEXT_BYTES && letters >= TEXT_LETTERS;
}

static bool has_letter(const shoald_probe *p, int c)
{
    return p->letters[c / 32] >> c % 32 & 1;
}

/* Hex, or a list as JSON or Python write it. */
static bool looks_like_numbers(const shoald_probe *p)
{
    static const char others[] = "+-.,[] \t\r\nabcdefABCDEFxX";
    int digits = 0, letters = 0, strangers = 0;
    for (int c = '0'; c <= '9'; c++)
        digits += has_letter(p, c);
    for (const char *c = others; *c; c++)
        letters += has_letter(p, *c);
    for (int i = 0; i < 4; i++)
        strangers += __builtin_popcount(p->letters[i]);
    return p->bytes >= TEXT_BYTES && digits >= 8 && strangers == digits + letters;
}

/* One phase is nearly all exponents, the other (mantissas) spreads. */
static bool s16_is_f32(const shoald_probe *p)
{
    for (int i = 0; i < 2; i++)
        if (p->nonzero[i] >= FEW && most(p->exponents[i], p->nonzero[i]) &&
            p->nonzero[!i] >= FEW / 2 && p->exponents[!i] < 0.5 * p->nonzero[!i] &&
            p->small[!i] < 0.6 * p->nonzero[!i])
            return true;
    return false;
}

/* Two kinds of upper byte are most of all: those of a square wave, or of sound that was clipped at
 * full scale, 0x7f and 0x80. */
static bool s16_stands(const shoald_probe *p)
{
    int first = 0, second = 0;
    for (int i = 0; i < SHOALD_PROBE_UPPERS; i++) {
        int n = p->uppers[i];
        second = n > first ? first : n > second ? n : second;
        first = n > first ? n : first;
    }
    return first + second > 0.5 * p->counted;
}

/* The lower bytes of sound are noise, whatever the sound: with bytes swapped its steps are 22,000
 * on average (or, where it is very soft, 256 times as large). Eight bits in the upper byte have no
 * such lower ones, but one sign only when they are swapped. Nor have sounds that stand at two
 * values, and jump. */
static bool s16_is_swapped(const shoald_probe *p)
{
    return p->counted >= 2 * FEW && !s16_stands(p) && p->steps > 2 * p->swapped_steps &&
           p->steps > 256.0 * p->counted && p->negative > 0.05 * p->counted &&
           p->negative < 0.95 * p->counted;
}

static bool f32_is_loud(const shoald_probe *p)
{
    return p->counted >= FEW && p->loud > 0.5 * p->counted;
}

/* Most of its values are soon NaN or huge, so this is asked early. */
static bool f32_is_swapped(const shoald_probe *p)
{
    return p->counted >= FEW / 10 && most(p->swapped, p->counted) &&
           p->plausible < 0.5 * p->counted;
}

static const char *verdict(const shoald_probe *p)
{
    if (p->text && !looks_like_text(p) && !looks_like_numbers(p))
        return NULL; /* one letter again and again, as silence in base64 */
    if (p->text)
        return "these bytes are text (base64, hex, a list of numbers?), not audio: send the bytes "
               "of the samples as they are, in binary messages";
    const char *width = shoald_widths_verdict(&p->widths, p->channels);
    if (width)
        return width;
    if (p->format == SHOAL_FORMAT_S16LE && s16_is_f32(p))
        return "declared as s16le, but the bytes look like 32-bit floats: use format=f32le";
    if (p->format == SHOAL_FORMAT_S16LE && s16_is_swapped(p))
        return "declared as s16le, but the bytes look like 16-bit samples in big-endian order: "
               "swap the two bytes of each sample "
               "(ffmpeg -f s16be -ar RATE -ac CHANNELS -i X -f s16le Y)";
    if (p->format == SHOAL_FORMAT_F32LE && f32_is_swapped(p))
        return "declared as f32le, but the bytes look like floats in big-endian order: "
               "swap the four bytes of each sample "
               "(ffmpeg -f f32be -ar RATE -ac CHANNELS -i X -f f32le Y)";
    if (p->format == SHOAL_FORMAT_F32LE && f32_is_loud(p))
        return "f32le samples must lie in -1..1, but most are beyond 8: divide them by their full "
               "scale (32768 for 16 bits, 8388608 for 24), or send 16-bit values as format=s16le";
    return NULL;
}

bool shoald_probe_judge(shoald_probe *p, shoal_error *err)
{
    const char *what = verdict(p);
    if (what) {
        shoal_error_set(err, SHOAL_CODE_BAD_AUDIO_FORMAT, "format", "%s", what);
        return false;
    }
    p->cancels = p->mixed && p->counted >= FEW && p->mix_power < 0.01 * p->power;
    return true;
}

bool shoald_probe_warns(shoald_probe *p, shoal_error *err)
{
    if (!p->cancels || p->warned)
        return false;
    p->warned = true;
    shoal_error_set(err, SHOAL_CODE_BAD_AUDIO_FORMAT, "channels",
                    "the channels cancel each other out, so that their mix is silence: one is "
                    "inverted; turn it over, or take one of them with channel=left");
    err->fatal = 0;
    return true;
}

/* ---- looking ------------------------------------------------------------------------- */

static void look_at(shoald_probe *p, unsigned char c)
{
    if (p->text)
        count_text(p, c);
    if (!p->watching)
        return;
    p->part[p->part_size++] = c;
    if (p->part_size < p->width)
        return;
    p->part_size = 0;
    count_value(p);
}

void shoald_probe_align(shoald_probe *p)
{
    p->part_size = 0;
    p->index -= p->index % (uint64_t)p->channels;
    p->frame_sum = 0;
}

bool shoald_probe_look(shoald_probe *p, const void *bytes, size_t n, shoal_error *err)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n && (p->watching || p->text); i++) {
        look_at(p, b[i]);
        bool enough = p->watching && p->counted >= p->limit;
        if (!enough && !(p->text && p->bytes % TEXT_BYTES == 0))
            continue;
        p->watching = p->watching && !enough;
        if (!shoald_probe_judge(p, err))
            return false;
    }
    return true;
}

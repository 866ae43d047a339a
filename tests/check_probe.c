/* check_probe.c - audio that is not what was declared, and audio that only seems so
 *
 * The sound is made up: voiced bursts with gaps, some 2,000 of 32,768 on average. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work/probe.h"
#include "suite.h"

enum { RATE = 16000, MOST = 4 * RATE * 2 };

static unsigned seed = 1;

static double noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (double)(seed >> 8) / (1 << 23) - 1;
}

/* -1..1 */
static double sound(int i)
{
    double t = (double)i / RATE, loud = fmax(0, sin(2 * M_PI * 3 * t));
    return loud * (0.2 * sin(2 * M_PI * 140 * t) + 0.1 * sin(2 * M_PI * 700 * t)) + 0.002 * noise();
}

static int16_t sample(int i)
{
    return (int16_t)lrint(32767 * sound(i));
}

typedef struct clip {
    unsigned char bytes[MOST * 4];
    size_t n;
} clip;

static clip c;

static void put(const void *bytes, size_t n, bool swapped)
{
    for (size_t i = 0; i < n; i++)
        c.bytes[c.n++] = ((const unsigned char *)bytes)[swapped ? n - 1 - i : i];
}

static void put_zeros(size_t n)
{
    memset(c.bytes + c.n, 0, n);
    c.n += n;
}

static void put_s16(int from, int n, int channels, bool swapped)
{
    for (int i = from; i < from + n; i++)
        for (int k = 0; k < channels; k++) {
            int16_t v = sample(i + 37 * k);
            put(&v, sizeof v, swapped);
        }
}

static void put_f32(int from, int n, int channels, double scale, bool swapped)
{
    for (int i = from; i < from + n; i++)
        for (int k = 0; k < channels; k++) {
            float v = (float)(scale * sound(i + 37 * k));
            put(&v, sizeof v, swapped);
        }
}

/* All in odd pieces, then the end. "" if nothing is said. */
static const char *look(shoal_format format, int channels)
{
    static shoal_error err;
    shoal_options o = shoal_options_default();
    shoald_probe p;
    bool good = true;
    o.format = format;
    o.channels = channels;
    shoald_probe_init(&p, &o);
    for (size_t at = 0; at < c.n && good; at += 777)
        good = shoald_probe_look(&p, c.bytes + at, c.n - at < 777 ? c.n - at : 777, &err);
    good = good && shoald_probe_judge(&p, &err);
    if (good && !shoald_probe_warns(&p, &err))
        err.message[0] = '\0';
    else
        ck_assert_int_eq(err.code, SHOAL_CODE_BAD_AUDIO_FORMAT);
    ck_assert(!shoald_probe_warns(&p, &err)); /* once */
    c.n = 0;
    return err.message;
}

#define SAYS(format, channels, words)                                                              \
    do {                                                                                           \
        const char *said = look(format, channels);                                                 \
        ck_assert_msg(strstr(said, words) != NULL, "said \"%s\"", said);                           \
    } while (0)
#define SAYS_NOTHING(format, channels) ck_assert_str_eq(look(format, channels), "")

static const shoal_format S16 = SHOAL_FORMAT_S16LE, F32 = SHOAL_FORMAT_F32LE;

/* ---- mistakes ---- */

START_TEST(floats_as_s16)
{
    for (int channels = 1; channels <= 2; channels++) {
        put_f32(0, 2 * RATE, channels, 1, false);
        SAYS(S16, channels, "format=f32le");
        put_zeros(RATE * 6); /* 1.5 s */
        put_f32(0, RATE, channels, 1, false);
        SAYS(S16, channels, "format=f32le");
        put_f32(0, RATE / 4, channels, 1, false); /* short */
        SAYS(S16, channels, "format=f32le");
        put_f32(0, RATE, channels, 32768, false); /* and on another scale besides */
        SAYS(S16, channels, "format=f32le");
    }
    for (int i = 0; i < RATE; i++) { /* made of 16-bit samples */
        float v = (float)sample(i) / 32768;
        put(&v, sizeof v, false);
    }
    SAYS(S16, 1, "format=f32le");
}
END_TEST

START_TEST(floats_on_another_scale)
{
    static const double scales[] = { 32768, 8388608, 2147483648.0 };
    for (int i = 0; i < 3; i++) {
        put_f32(0, 2 * RATE, 1, scales[i], false);
        SAYS(F32, 1, "-1..1");
        put_f32(0, RATE * 9 / 10, 1, scales[i], false); /* less than a second */
        SAYS(F32, 1, "-1..1");
        put_zeros(RATE * 6);
        put_f32(0, RATE, 2, scales[i], false);
        SAYS(F32, 2, "-1..1");
    }
}
END_TEST

START_TEST(samples_in_the_other_order)
{
    for (int channels = 1; channels <= 2; channels++) {
        put_s16(0, 2 * RATE, channels, true);
        SAYS(S16, channels, "big-endian");
        put_zeros(RATE * 6);
        put_s16(0, RATE / 2, channels, true);
        SAYS(S16, channels, "s16be");
        put_f32(0, 40, channels, 1, true); /* soon one is no number */
        SAYS(F32, channels, "f32be");
    }
}
END_TEST

/* base64 of silence is one letter again and again. */
START_TEST(text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const shoal_format formats[] = { S16, F32, SHOAL_FORMAT_MULAW, SHOAL_FORMAT_ALAW,
                                            SHOAL_FORMAT_OPUS };
    for (int f = 0; f < 5; f++)
        for (int silent = 0; silent < 2; silent++) {
            for (int i = 0; i < silent * 4 * RATE; i++)
                put("A", 1, false);
            for (int i = 0; i < 1200; i++)
                put(&letters[(int)(32 + 31.9 * noise())], 1, false);
            SAYS(formats[f], 1, "base64");
        }
}
END_TEST

/* As JSON, Python and programs that print bytes write a sample. */
static int in_words(char *to, size_t size, int way, int i)
{
    int byte = sample(i) & 0xff;

    switch (way) {
    case 0: return snprintf(to, size, "%02x", (unsigned)byte);
    case 1: return snprintf(to, size, "%02X ", (unsigned)byte);
    case 2: return snprintf(to, size, "%d, ", byte);
    case 3: return snprintf(to, size, "%d\n", sample(i));
    case 4: return snprintf(to, size, "%s%.6f", i ? "," : "[", sound(i));
    default: return snprintf(to, size, "%.9g, ", sound(i));
    }
}

START_TEST(numbers_as_text)
{
    static const shoal_format formats[] = { S16, F32, SHOAL_FORMAT_MULAW, SHOAL_FORMAT_ALAW };
    char word[40];
    for (int f = 0; f < 4; f++) {
        for (int i = 0; i < 1200; i++)
            put(word, (size_t)in_words(word, sizeof word, _i, i), false);
        SAYS(formats[f], 1, "hex, a list of numbers");
    }
}
END_TEST

/* ---- another width ---- */

static void put_s24(int channels, bool of_16)
{
    for (int i = 0; i < 2 * RATE; i++)
        for (int k = 0; k < channels; k++) {
            int32_t v =
                of_16 ? sample(i + 37 * k) * 256 : (int32_t)lrint(8388607 * sound(i + 37 * k));
            put(&v, 3, false);
        }
}

START_TEST(samples_of_24_bits)
{
    for (int channels = 1; channels <= 2; channels++)
        for (int of_16 = 0; of_16 < 2; of_16++) {
            put_s24(channels, of_16);
            SAYS(S16, channels, "24 bits");
            put_s24(channels, of_16);
            SAYS(S16, 1, "24 bits");
        }
}
END_TEST

START_TEST(samples_of_8_bits)
{
    for (int i = 0; i < 4 * RATE; i++) {
        unsigned char v = (unsigned char)lrint(128 + 127 * sound(i));
        put(&v, 1, false);
    }
    SAYS(S16, 1, "8 bits");
}
END_TEST

START_TEST(floats_of_64_bits)
{
    for (int channels = 1; channels <= 2; channels++)
        for (int f = 0; f < 2; f++)
            for (int of_16 = 0; of_16 < 2; of_16++) {
                for (int i = 0; i < RATE; i++) {
                    double v = of_16 ? sample(i) / 32768.0 : sound(i);
                    put(&v, sizeof v, false);
                }
                const char *said = look(f ? F32 : S16, channels);
                ck_assert_msg(strstr(said, "64 bits") != NULL, "%d, %d, %d: \"%s\"", channels, f,
                              of_16, said);
            }
}
END_TEST

/* Three channels, or four, of which some are noise and some are not. */
START_TEST(many_strange_channels_pass)
{
    for (int channels = 3; channels <= 8; channels++) {
        for (int i = 0; i < RATE; i++)
            for (int k = 0; k < channels; k++) {
                int16_t v = k % 3 ? (int16_t)(32767 * noise()) : (int16_t)(0x3800 + 90 * noise());
                put(&v, 2, false);
            }
        SAYS_NOTHING(S16, channels);
    }
    for (int i = 0; i < RATE; i++) { /* a square wave beside a voice */
        float v = (float)sound(i), w = (i / 20) % 2 ? 0.5f : -0.5f;
        put(&v, 4, false);
        put(&w, 4, false);
    }
    SAYS_NOTHING(F32, 2);
}
END_TEST

START_TEST(channels_that_cancel)
{
    for (int i = 0; i < RATE; i++) {
        int16_t v = sample(i), w = (int16_t)-v;
        put(&v, 2, false);
        put(&w, 2, false);
    }
    SAYS(S16, 2, "cancel");
    for (int i = 0; i < RATE / 2; i++) {
        float v = (float)sound(i), w = -0.98f * v;
        put(&v, 4, false);
        put(&w, 4, false);
    }
    SAYS(F32, 2, "cancel");
}
END_TEST

/* ---- what is no mistake ---- */

START_TEST(sound_passes)
{
    for (int channels = 1; channels <= 8; channels *= 2) {
        put_s16(0, RATE, channels, false);
        SAYS_NOTHING(S16, channels);
        put_f32(0, RATE, channels, 1, false);
        SAYS_NOTHING(F32, channels);
        put_f32(0, RATE, channels, 3, false); /* over full scale */
        SAYS_NOTHING(F32, channels);
        put_zeros(4 * RATE);
        SAYS_NOTHING(S16, channels);
        put_zeros(4 * RATE);
        SAYS_NOTHING(F32, channels);
    }
}
END_TEST

static int16_t clipped(double x)
{
    return (int16_t)fmax(-32768, fmin(32767, x));
}

static int16_t strange(int kind, int i)
{
    switch (kind) {
    case 0: return (int16_t)(32767 * noise());            /* full-scale noise */
    case 1: return (i / 20) % 2 ? 0x4000 : -0x4000;       /* a square wave */
    case 2: return (int16_t)((i % 4 - 1) % 2 * 0x3800);   /* a quarter of the rate */
    case 3: return (int16_t)(0x3800 + 100 * noise());     /* an offset */
    case 4: return (int16_t)((int)(127 * noise()) * 256); /* loud, of 8 bits */
    case 5: return clipped(200000 * sound(i));
    case 6: return i % 2 ? 0x3fff : (int16_t)(100 * noise()); /* half the rate */
    case 7: return (i / 20) % 2 ? 32767 : -32768;             /* at full scale */
    case 8: return (i / 20) % 2 ? 32767 : -32767;
    case 9: return (i / 20) % 2 ? 20000 : -20000;
    case 10: return i % 2 ? 20000 : -20000;
    case 11: return noise() < 0 ? -32768 : 32767;
    case 12: return clipped(32768.0 * 32767 * sound(i)); /* of 16 bits, and taken for 1 */
    case 13: return clipped(32768.0 * 4 * noise());
    case 14: return clipped(32768.0 * 400 * sound(i)); /* now and then between */
    default: return (int16_t)(4 * noise());            /* nearly nothing */
    }
}

START_TEST(strange_sound_passes)
{
    for (int kind = 0; kind < 16; kind++)
        for (int seconds = 1; seconds <= 3; seconds += 2) {
            for (int i = 0; i < seconds * RATE; i++) {
                int16_t v = strange(kind, i);
                put(&v, 2, false);
            }
            const char *said = look(S16, 1);
            ck_assert_msg(!*said, "kind %d: %s", kind, said);
        }
}
END_TEST

/* A right channel with an absurd offset beside a voice. */
START_TEST(strange_stereo_passes)
{
    for (int i = 0; i < 2 * RATE; i++) {
        int16_t v = sample(i), w = (int16_t)(0x3800 + 100 * noise());
        put(&v, 2, false);
        put(&w, 2, false);
    }
    SAYS_NOTHING(S16, 2);
    for (int i = 0; i < 2 * RATE; i++) { /* one of two is silent */
        int16_t v = sample(i), w = 0;
        put(&v, 2, false);
        put(&w, 2, false);
    }
    SAYS_NOTHING(S16, 2);
}
END_TEST

/* Companded silence is one byte, which may be a letter. */
START_TEST(companded_sound_passes)
{
    static const shoal_format formats[] = { SHOAL_FORMAT_MULAW, SHOAL_FORMAT_ALAW };
    for (int f = 0; f < 2; f++) {
        for (int i = 0; i < RATE; i++)
            put("U", 1, false);
        SAYS_NOTHING(formats[f], 1);
        for (int i = 0; i < RATE; i++) {
            unsigned char v = (unsigned char)(0x55 ^ (sound(i) < 0 ? 0 : 0x80) ^
                                              (int)fmin(127, fabs(600 * sound(i))));
            put(&v, 1, false);
        }
        SAYS_NOTHING(formats[f], 1);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("probe");
    TCase *mistakes = tcase_create("mistakes"), *none = tcase_create("none");

    tcase_add_test(mistakes, floats_as_s16);
    tcase_add_loop_test(mistakes, numbers_as_text, 0, 6);
    tcase_add_test(mistakes, samples_of_24_bits);
    tcase_add_test(mistakes, samples_of_8_bits);
    tcase_add_test(mistakes, floats_of_64_bits);
    tcase_add_test(none, many_strange_channels_pass);
    tcase_add_test(mistakes, floats_on_another_scale);
    tcase_add_test(mistakes, samples_in_the_other_order);
    tcase_add_test(mistakes, text);
    tcase_add_test(mistakes, channels_that_cancel);
    suite_add_tcase(s, mistakes);
    tcase_add_test(none, sound_passes);
    tcase_add_test(none, strange_sound_passes);
    tcase_add_test(none, strange_stereo_passes);
    tcase_add_test(none, companded_sound_passes);
    suite_add_tcase(s, none);
    return suite_run(s);
}

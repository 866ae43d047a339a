/* check_pcm.c - audio formats to float mono at 16 kHz
 *
 * G.711 is checked against the standards' own words: the decision tables rebuilt from segments,
 * not the bit tricks of the engine. Any slicing of the bytes must give the same floats.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_OPUS
#include <opus/opus.h>
#endif

#include "engine_util.h"

enum { MOST = 64000 };

static float out[MOST], other[MOST];

static shoal_pcm *open_pcm(shoal_pcm_format format, int rate, int channels)
{
    shoal_pcm *c;
    ck_assert_int_eq(shoal_pcm_new(&c, format, rate, channels), 0);
    return c;
}

/* All bytes in slices of 1 + random % most (0: at once), at most `room` floats a call; then
 * drained. Returns the floats written to to[MOST]. */
static size_t convert(shoal_pcm_format format, int rate, int channels, const void *bytes,
                      size_t size, uint32_t most, size_t room, float *to)
{
    shoal_pcm *c = open_pcm(format, rate, channels);
    const unsigned char *from = bytes;
    uint32_t rng = most;
    size_t n = 0;
    ptrdiff_t got = 0;
    for (size_t at = 0; at < size;) {
        size_t part = most ? 1 + util_rand(&rng) % most : size, used = 0;
        part = part < size - at ? part : size - at;
        do {
            size_t fits = room < MOST - n ? room : MOST - n, took = 0;
            got = shoal_pcm_convert(c, from + at + used, part - used, &took, to + n, fits);
            ck_assert_msg(got >= 0, "%s", shoal_strerror((int)got));
            ck_assert_uint_le((size_t)got, fits);
            used += took;
            n += (size_t)got;
        } while (used < part || (size_t)got == room);
        at += part;
    }
    while ((got = shoal_pcm_drain(c, to + n, room < MOST - n ? room : MOST - n)) > 0)
        n += (size_t)got;
    ck_assert_int_eq(got, 0);
    shoal_pcm_free(c);
    return n;
}

/* ---- formats ----------------------------------------------------------------------------- */

START_TEST(s16_golden_values)
{
    static const unsigned char bytes[] = { 0x00, 0x00, 0x01, 0x00, 0xff, 0xff,
                                           0xff, 0x7f, 0x00, 0x80, 0x34, 0x12 };
    static const float want[] = { 0,     1 / 32768.0f,     -1 / 32768.0f, 32767 / 32768.0f,
                                  -1.0f, 0x1234 / 32768.0f };
    ck_assert_uint_eq(convert(SHOAL_PCM_S16LE, 16000, 1, bytes, sizeof bytes, 0, MOST, out), 6);
    util_close("s16", out, want, 6, 1, 0.0);
}
END_TEST

START_TEST(f32_golden_values)
{
    static const unsigned char bytes[] = { 0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xbf,
                                           0xdb, 0x0f, 0x49, 0x40, 0x00, 0x00, 0x00, 0x80 };
    static const float want[] = { 1.0f, -0.5f, 3.14159274f, -0.0f };
    ck_assert_uint_eq(convert(SHOAL_PCM_F32LE, 16000, 1, bytes, sizeof bytes, 0, MOST, out), 4);
    util_close("f32", out, want, 4, 1, 0.0);
}
END_TEST

/* G.711 table 2a, in 16-bit units: segment s has 16 steps of 8 * 2^s; a value lies in the middle
 * of its interval, so from segment to segment it moves half a step of either; codes count down
 * from 0xff (zero) for positive values. */
static int mulaw(int byte)
{
    int code = 255 - (byte | 0x80), segment = code / 16, start = 0;
    for (int s = 0; s < segment; s++)
        start += (15 * 8 << s) + (4 << s) + (8 << s);
    int value = start + code % 16 * (8 << segment);
    return byte & 0x80 ? value : -value;
}

/* G.711 table 1a: 32 steps of 16, then 16 each of 32, 64 ..; the value lies in the middle. Even
 * bits are inverted on the line; bit 7 set is positive. */
static int alaw(int byte)
{
    int code = (byte ^ 0x55) & 0x7f, start = 0, step = 16;
    for (int segment = 0; segment < code / 16; segment++) {
        start += 16 * step;
        step = segment ? 2 * step : step;
    }
    int value = start + code % 16 * step + step / 2;
    return byte & 0x80 ? value : -value;
}

START_TEST(g711_equals_the_standard)
{
    unsigned char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    ck_assert_uint_eq(convert(SHOAL_PCM_MULAW, 16000, 1, bytes, 256, 0, MOST, out), 256);
    for (int i = 0; i < 256; i++)
        ck_assert_msg(out[i] == (float)mulaw(i) / 32768.0f, "mu-law %02x: %g, not %d", i,
                      (double)out[i] * 32768.0, mulaw(i));
    ck_assert(out[0x80] == 32124 / 32768.0f && out[0x00] == -32124 / 32768.0f);
    ck_assert(out[0xff] == 0.0f && out[0xfe] == 8 / 32768.0f);
    ck_assert_uint_eq(convert(SHOAL_PCM_ALAW, 16000, 1, bytes, 256, 0, MOST, out), 256);
    for (int i = 0; i < 256; i++)
        ck_assert_msg(out[i] == (float)alaw(i) / 32768.0f, "A-law %02x: %g, not %d", i,
                      (double)out[i] * 32768.0, alaw(i));
    ck_assert(out[0xd5] == 8 / 32768.0f && out[0xaa] == 32256 / 32768.0f);
}
END_TEST

START_TEST(channels_are_averaged)
{
    int16_t x[8 * 50];
    uint32_t rng = 3;
    for (int channels = 1; channels <= 8; channels++) {
        for (int i = 0; i < channels * 50; i++)
            x[i] = (int16_t)util_rand(&rng);
        size_t n = convert(SHOAL_PCM_S16LE, 16000, channels, x, (size_t)channels * 100, 5, 7, out);
        ck_assert_uint_eq(n, 50);
        for (int i = 0; i < 50; i++) {
            double sum = 0.0;
            for (int k = 0; k < channels; k++)
                sum += x[i * channels + k] / 32768.0;
            ck_assert_double_eq_tol((double)out[i], sum / channels, 1e-6);
        }
    }
}
END_TEST

START_TEST(nan_is_an_error)
{
    static const float poison[] = { NAN, INFINITY, -INFINITY, 3e38f, -2e15f };
    for (int i = 0; i < 10; i++) {
        float x[4] = { 0.1f, 0.2f, 0.3f, poison[i % 5] };
        size_t used;
        shoal_pcm *c = open_pcm(SHOAL_PCM_F32LE, i < 5 ? 16000 : 44100, 1);
        ck_assert_int_eq(shoal_pcm_convert(c, x, sizeof x, &used, out, MOST), SHOAL_EAUDIO);
        shoal_pcm_free(c);
    }
}
END_TEST

START_TEST(arguments_out_of_range_are_refused)
{
    shoal_pcm *c = NULL;
    ck_assert_int_eq(shoal_pcm_new(&c, SHOAL_PCM_S16LE, 7999, 1), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_pcm_new(&c, SHOAL_PCM_S16LE, 48001, 1), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_pcm_new(&c, SHOAL_PCM_S16LE, 16000, 0), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_pcm_new(&c, SHOAL_PCM_S16LE, 16000, 9), SHOAL_EINVAL);
    ck_assert_int_eq(shoal_pcm_new(&c, (shoal_pcm_format)99, 16000, 1), SHOAL_EINVAL);
    ck_assert_ptr_null(c);
    shoal_pcm_free(NULL);
}
END_TEST

/* ---- slicing ----------------------------------------------------------------------------- */

static const struct {
    shoal_pcm_format format;
    int rate, channels;
} streams[] = {
    { SHOAL_PCM_S16LE, 16000, 1 }, { SHOAL_PCM_S16LE, 16000, 3 }, { SHOAL_PCM_F32LE, 16000, 2 },
    { SHOAL_PCM_MULAW, 8000, 1 },  { SHOAL_PCM_ALAW, 8000, 2 },   { SHOAL_PCM_S16LE, 44100, 2 },
    { SHOAL_PCM_F32LE, 48000, 1 }, { SHOAL_PCM_S16LE, 11025, 1 },
};

START_TEST(any_slicing_gives_the_same_bytes)
{
    enum { BYTES = 9000 };
    static unsigned char bytes[BYTES];
    static const uint32_t most[] = { 1, 3, 50, 5000 };
    static const size_t rooms[] = { MOST, 1, 7, 320, 1500 };
    uint32_t rng = 9;
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)util_rand(&rng);
    for (int i = 3; i < BYTES && streams[_i].format == SHOAL_PCM_F32LE; i += 4)
        bytes[i] = 0x3e; /* an exponent that is finite and small */
    size_t n = convert(streams[_i].format, streams[_i].rate, streams[_i].channels, bytes, BYTES, 0,
                       MOST, out);
    for (int k = 0; k < 20; k++) {
        size_t m = convert(streams[_i].format, streams[_i].rate, streams[_i].channels, bytes, BYTES,
                           most[k % 4], rooms[k / 4], other);
        ck_assert_msg(m == n, "%zu floats, not %zu, in slices of %u and room for %zu", m, n,
                      (unsigned)most[k % 4], rooms[k / 4]);
        util_close("slices", other, out, n, 1, 0.0);
    }
}
END_TEST

/* ---- resampling -------------------------------------------------------------------------- */

static const int rates[] = { 8000, 11025, 22050, 32000, 44100, 48000, 16001, 47999 };

/* Amplitude of x [n] at hz, and what is left of its power beside that tone. */
static double tone_level(const float *x, size_t n, double hz, double *rest)
{
    double re = 0.0, im = 0.0, power = 0.0;
    for (size_t i = 0; i < n; i++) {
        double a = 2.0 * M_PI * hz * (double)i / 16000.0;
        re += (double)x[i] * cos(a);
        im += (double)x[i] * sin(a);
        power += (double)x[i] * (double)x[i];
    }
    double level = 2.0 * hypot(re, im) / (double)n;
    *rest = power / (double)n - level * level / 2.0;
    return level;
}

START_TEST(a_sine_stays_a_sine)
{
    int rate = rates[_i], n = rate; /* one second */
    float *x = malloc((size_t)n * sizeof *x);
    for (int i = 0; i < n; i++)
        x[i] = (float)(0.5 * sin(2.0 * M_PI * 1000.0 * i / rate));
    size_t made = convert(SHOAL_PCM_F32LE, rate, 1, x, (size_t)n * sizeof *x, 4000, 512, out);
    ck_assert_msg(made >= 15998 && made <= 16002, "%d Hz: %zu samples", rate, made);
    double rest, level = tone_level(out + 1600, 12800, 1000.0, &rest); /* away from the ends */
    ck_assert_msg(fabs(level - 0.5) < 1e-3, "%d Hz: level %g", rate, level);
    ck_assert_msg(rest < 1e-7, "%d Hz: power beside the tone %g", rate, rest);
    /* no delay: where the input crosses zero, the output does */
    for (int i = 160; i < 15000; i += 160)
        ck_assert_double_eq_tol((double)out[i], 0.0, 2e-3);
    free(x);
}
END_TEST

/* What 16 kHz cannot hold must vanish, not fold back. */
START_TEST(no_aliasing)
{
    int rate = 48000;
    float *x = malloc((size_t)rate * sizeof *x);
    for (int i = 0; i < rate; i++)
        x[i] = (float)(0.5 * sin(2.0 * M_PI * 11000.0 * i / rate));
    size_t n = convert(SHOAL_PCM_F32LE, rate, 1, x, (size_t)rate * sizeof *x, 0, MOST, out);
    for (size_t i = 1600; i < n - 1600; i++)
        ck_assert_double_le(fabs((double)out[i]), 1e-4);
    free(x);
}
END_TEST

START_TEST(short_inputs_drain_completely)
{
    static const float x[600];
    for (size_t n = 0; n < 600; n += 13) {
        size_t made = convert(SHOAL_PCM_F32LE, 48000, 1, x, n * sizeof *x, 0, 100, out);
        ck_assert_msg(made + 2 >= n / 3 && made <= n / 3 + 2, "%zu samples in, %zu out", n, made);
    }
}
END_TEST

/* ---- Opus -------------------------------------------------------------------------------- */

#ifdef HAVE_OPUS
/* Encode a 440 Hz tone in packets of 20 ms and decode them in small rooms. */
START_TEST(opus_round_trip)
{
    int error, room = _i ? 100 : MOST;
    size_t n = 0;
    OpusEncoder *e = opus_encoder_create(16000, 1, OPUS_APPLICATION_AUDIO, &error);
    shoal_pcm *c = open_pcm(SHOAL_PCM_OPUS, _i ? 48000 : 16000, 1);
    ck_assert_int_eq(error, OPUS_OK);
    for (int p = 0; p < 50; p++) {
        float x[320];
        unsigned char packet[1500];
        for (int i = 0; i < 320; i++)
            x[i] = (float)(0.5 * sin(2.0 * M_PI * 440.0 * (p * 320 + i) / 16000.0));
        opus_int32 size = opus_encode_float(e, x, 320, packet, sizeof packet);
        ck_assert_int_gt(size, 0);
        ptrdiff_t got;
        size_t at = 0;
        do {
            size_t used;
            got = shoal_pcm_convert(c, packet + at, (size_t)size - at, &used, out + n,
                                    (size_t)room < MOST - n ? (size_t)room : MOST - n);
            ck_assert_int_ge(got, 0);
            at += used;
            n += (size_t)got;
        } while (at < (size_t)size || got == room);
    }
    ck_assert_uint_eq(n, 16000);
    double rest, level = tone_level(out + 3200, 9600, 440.0, &rest);
    ck_assert_msg(fabs(level - 0.5) < 0.05 && rest < 0.002, "level %g, rest %g", level, rest);
    ck_assert_int_eq(shoal_pcm_drain(c, out, MOST), 0);
    opus_encoder_destroy(e);
    shoal_pcm_free(c);
}
END_TEST

START_TEST(bad_opus_packets_are_errors)
{
    static const unsigned char bad[] = { 0xff, 0xff, 0xff };
    size_t used;
    shoal_pcm *c = open_pcm(SHOAL_PCM_OPUS, 48000, 2);
    ck_assert_int_eq(shoal_pcm_convert(c, bad, sizeof bad, &used, out, MOST), SHOAL_EAUDIO);
    ck_assert_int_eq(shoal_pcm_convert(c, bad, 0, &used, out, MOST), 0);
    shoal_pcm_free(c);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("pcm");
    TCase *c = tcase_create("pcm");
    tcase_add_test(c, s16_golden_values);
    tcase_add_test(c, f32_golden_values);
    tcase_add_test(c, g711_equals_the_standard);
    tcase_add_test(c, channels_are_averaged);
    tcase_add_test(c, nan_is_an_error);
    tcase_add_test(c, arguments_out_of_range_are_refused);
    tcase_add_loop_test(c, any_slicing_gives_the_same_bytes, 0, sizeof streams / sizeof *streams);
    tcase_add_loop_test(c, a_sine_stays_a_sine, 0, sizeof rates / sizeof *rates);
    tcase_add_test(c, no_aliasing);
    tcase_add_test(c, short_inputs_drain_completely);
#ifdef HAVE_OPUS
    tcase_add_loop_test(c, opus_round_trip, 0, 2);
    tcase_add_test(c, bad_opus_packets_are_errors);
#endif
    suite_add_tcase(suite, c);
    return suite_run(suite);
}

/* check_packet.c - feature packets in bytes, half precision, and files among raw audio
 *
 * The golden packet is decoded in the comment above it; docs/protocol.md shows the same one.
 */
#include "shoal-protocol.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

/* ---- packets ------------------------------------------------------------------------------ */

/* One f16 packet: posteriors, depth 6, NEW_DEPTH, seq 7, frames 40 and 41 of dim 3, beginning
 * with sample 12800 = 40 * 320; 16000 samples received, 13440 processed; queued 1000 us,
 * computed 258 us; values 1, -2, 0.5 / 65504, -inf, 2^-24. */
static const unsigned char golden[] = {
    'S',  'H',  'O',  'L',                       /*  0 magic */
    1,    1,    2,    6,                         /*  4 version, kind, encoding, depth */
    0x40, 0,    1,    0,                         /*  8 header size 64, flags */
    7,    0,    0,    0,                         /* 12 seq */
    40,   0,    0,    0,    0,    0,    0,    0, /* 16 first_frame */
    0x00, 0x32, 0,    0,    0,    0,    0,    0, /* 24 start_sample 12800 */
    0x80, 0x3e, 0,    0,    0,    0,    0,    0, /* 32 received 16000 */
    0x80, 0x34, 0,    0,    0,    0,    0,    0, /* 40 processed 13440 */
    2,    0,    3,    0,                         /* 48 frames, dim */
    0xe8, 0x03, 0,    0,                         /* 52 queued_us */
    0x02, 0x01, 0,    0,                         /* 56 computed_us */
    0,    0,    0,    0,                         /* 60 zero */
    0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0xff, 0x7b, 0x00, 0xfc, 0x01, 0x00,
};

static const float golden_values[6] = { 1, -2, 0.5f, 65504, -INFINITY, 0x1p-24f };

static shoal_packet golden_packet(void)
{
    return (shoal_packet){
        .kind = SHOAL_KIND_POSTERIORS,
        .encoding = SHOAL_ENCODING_F16,
        .depth = 6,
        .flags = SHOAL_PACKET_NEW_DEPTH,
        .seq = 7,
        .first_frame = 40,
        .start_sample = 12800,
        .received = 16000,
        .processed = 13440,
        .frames = 2,
        .dim = 3,
        .queued_us = 1000,
        .computed_us = 258,
    };
}

START_TEST(packet_golden)
{
    unsigned char memory[sizeof golden];
    shoal_buf b;
    shoal_packet p = golden_packet(), q;
    shoal_error err;
    float values[6];

    shoal_buf_wrap(&b, memory, sizeof memory);
    ck_assert_int_eq(shoal_packet_encode(&b, &p, golden_values), 0);
    ck_assert_uint_eq(b.size, sizeof golden);
    ck_assert_mem_eq(memory, golden, sizeof golden);
    ck_assert_int_eq(shoal_packet_encode(&b, &p, golden_values), -1); /* full */

    ck_assert_int_eq(shoal_packet_decode(&q, golden, sizeof golden, &err), 0);
    ck_assert_ptr_eq(q.payload, golden + 64);
    q.payload = NULL;
    b.size = 0;
    ck_assert_int_eq(shoal_packet_encode(&b, &q, golden_values), 0);
    ck_assert_mem_eq(memory, golden, sizeof golden);
    ck_assert_int_eq(shoal_packet_decode(&q, golden, sizeof golden, &err), 0);
    shoal_packet_values(&q, values);
    ck_assert_mem_eq(values, golden_values, sizeof values);
}
END_TEST

START_TEST(packet_f32)
{
    shoal_buf b = { 0 };
    shoal_packet p = golden_packet(), q;
    shoal_error err;
    float values[6];

    p.encoding = SHOAL_ENCODING_F32;
    ck_assert_int_eq(shoal_packet_encode(&b, &p, golden_values), 0);
    ck_assert_uint_eq(b.size, 64 + 24);
    ck_assert_int_eq(shoal_packet_decode(&q, b.data, b.size, &err), 0);
    shoal_packet_values(&q, values);
    ck_assert_mem_eq(values, golden_values, sizeof values);
    p.dim = SHOAL_MAX_DIM + 1;
    ck_assert_uint_eq(shoal_packet_size(&p), 0);
    p.dim = 3;
    p.encoding = SHOAL_ENCODING_JSON;
    ck_assert_uint_eq(shoal_packet_size(&p), 0);
    shoal_buf_free(&b);
}
END_TEST

/* The depth asked for with @ is byte 60; what follows it is for later. */
START_TEST(packet_tap)
{
    unsigned char bytes[sizeof golden];
    shoal_buf b;
    shoal_packet p = golden_packet(), q;
    shoal_error err;

    p.tap = 12;
    shoal_buf_wrap(&b, bytes, sizeof bytes);
    ck_assert_int_eq(shoal_packet_encode(&b, &p, golden_values), 0);
    ck_assert_int_eq(bytes[60], 12);
    bytes[61] = bytes[62] = bytes[63] = 0xff;
    ck_assert_int_eq(shoal_packet_decode(&q, bytes, sizeof bytes, &err), 0);
    ck_assert_int_eq(q.tap, 12);
    p.tap = 256;
    ck_assert_uint_eq(shoal_packet_size(&p), 0);
}
END_TEST

START_TEST(packet_json_stays_in_its_bound)
{
    static char memory[SHOAL_PACKET_JSON_BYTES(64, 40)];
    static float values[64 * 40];
    shoal_packet p = golden_packet();
    shoal_buf b;

    p.received = p.processed = p.start_sample = p.first_frame = SHOAL_MAX_COUNT;
    p.seq = p.queued_us = p.computed_us = UINT32_MAX;
    p.tap = 255;
    for (int i = 0; i < 64 * 40; i++)
        values[i] = -1.17549435e-38f;
    p.frames = 64;
    p.dim = 40;
    shoal_buf_wrap(&b, memory, sizeof memory);
    ck_assert_int_eq(shoal_packet_encode_json(&b, &p, values), 0);
}
END_TEST

/* offset, new byte, what the error must say */
static const struct {
    int at, byte;
    const char *says;
} bad_packets[] = {
    { 0, 'R', "SHOL" },     { 4, 2, "version" },
    { 5, 0, "kind" },       { 5, 5, "kind" },
    { 6, 0, "encoding" },   { 6, 3, "encoding" },
    { 7, 0, "range" },      { 8, 63, "header size" },
    { 8, 72, "length" },    { 9, 0xff, "shorter than its header" },
    { 22, 0x20, "range" },  { 23, 0x80, "range" },
    { 46, 0xff, "range" },  { 48, 3, "length" },
    { 49, 0xff, "range" },  { 50, 4, "length" },
    { 51, 0xff, "range" },  { 50, 0, "range" },
    { 51, 0x1f, "length" }, { 49, 0x0f, "length" },
};

/* A row of another length than a frame: eight bytes more of header, and nothing else moves. */
START_TEST(rows_that_are_no_frames)
{
    static const uint32_t lengths[] = { 10, 100, 4000000000u, 20, 0 };
    const float values[2] = { 1, 2 };
    shoal_packet p = { .kind = SHOAL_KIND_MEL,
                       .encoding = SHOAL_ENCODING_F32,
                       .row_ms = lengths[_i],
                       .frames = 2,
                       .dim = 1 };
    size_t header = lengths[_i] == 20 || lengths[_i] == 0 ? 64 : 72;
    shoal_buf b = { 0 };
    shoal_error err;
    shoal_packet got;

    ck_assert_int_eq(shoal_packet_encode(&b, &p, values), 0);
    ck_assert_uint_eq(b.size, header + 8);
    ck_assert_uint_eq(b.size, shoal_packet_size(&p));
    ck_assert_int_eq((unsigned char)b.data[8], (int)header);
    ck_assert_int_eq(shoal_packet_decode(&got, b.data, b.size, &err), 0);
    ck_assert_uint_eq(got.row_ms, header == 64 ? 20 : lengths[_i]);
    ck_assert_int_eq(got.depth, 0);
    ck_assert_int_eq((int)((const char *)got.payload - b.data), (int)header);
    ck_assert_int_eq(shoal_packet_decode(&got, b.data, b.size - 1, &err), -1);
    p.kind = SHOAL_KIND_EMBEDDING; /* has a depth always */
    ck_assert_uint_eq(shoal_packet_size(&p), 0);
    shoal_buf_free(&b);
}
END_TEST

START_TEST(packet_hostile)
{
    unsigned char bytes[sizeof golden];
    shoal_packet p;
    shoal_error err;

    memcpy(bytes, golden, sizeof golden);
    bytes[bad_packets[_i].at] = (unsigned char)bad_packets[_i].byte;
    ck_assert_int_eq(shoal_packet_decode(&p, bytes, sizeof bytes, &err), -1);
    ck_assert_int_eq(err.code, SHOAL_CODE_BAD_MESSAGE);
    ck_assert_msg(strstr(err.message, bad_packets[_i].says) != NULL, "byte %d: %s",
                  bad_packets[_i].at, err.message);
}
END_TEST

START_TEST(packet_truncated)
{
    shoal_packet p;
    shoal_error err;

    for (size_t n = 0; n < sizeof golden; n++) {
        unsigned char *exact = malloc(n ? n : 1); /* where a byte too many is seen */
        memcpy(exact, golden, n);
        ck_assert_int_eq(shoal_packet_decode(&p, exact, n, &err), -1);
        if (n > 8)
            exact[8] = 72; /* the longer header, cut off */
        ck_assert_int_eq(shoal_packet_decode(&p, exact, n, &err), -1);
        free(exact);
    }
}
END_TEST

START_TEST(packet_later_header)
{
    unsigned char bytes[sizeof golden + 8];
    shoal_packet p;
    shoal_error err;

    memcpy(bytes, golden, 64);
    memset(bytes + 64, 0xee, 8);
    memcpy(bytes + 72, golden + 64, sizeof golden - 64);
    bytes[8] = 72;
    ck_assert_int_eq(shoal_packet_decode(&p, bytes, sizeof bytes, &err), 0);
    ck_assert_ptr_eq(p.payload, bytes + 72);
}
END_TEST

START_TEST(half_precision)
{
    for (unsigned h = 0; h <= 0xffff; h++) {
        float x = shoal_f16_to_f32((uint16_t)h);
        if (!isnan(x))
            ck_assert_uint_eq(shoal_f16_from_f32(x), h);
        else
            ck_assert_uint_eq(shoal_f16_from_f32(x) & 0x7fff, 0x7e00);
        if ((h & 0x7fff) >= 0x7bff)
            continue;
        /* Half way to the next: to the even one; a hair beside: to the nearest. */
        float y = shoal_f16_to_f32((uint16_t)(h + 1)), mid = (x + y) / 2;
        ck_assert_uint_eq(shoal_f16_from_f32(mid), h & 1 ? h + 1 : h);
        ck_assert_uint_eq(shoal_f16_from_f32(nextafterf(mid, x)), h);
        ck_assert_uint_eq(shoal_f16_from_f32(nextafterf(mid, y)), h + 1);
    }
    ck_assert_uint_eq(shoal_f16_from_f32(65519.99f), 0x7bff);
    ck_assert_uint_eq(shoal_f16_from_f32(-65520), 0xfc00);
    ck_assert_uint_eq(shoal_f16_from_f32(0x1p-149f), 0);
}
END_TEST

/* ---- containers ----------------------------------------------------------------------------- */

/* WAVE, PCM, 2 channels, 44100 Hz, 16 bits, data at 44. */
static const char wav_header[] =
    "RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\1\0\2\0\x44\xac\0\0\x10\xb1\2\0\4\0\x10\0"
    "data\0\x10\0\0";

static shoal_sniff sniff(const void *bytes, size_t n, const shoal_options *o, size_t *need,
                         shoal_error *err)
{
    char *exact = malloc(n + 1);
    memcpy(exact, bytes, n);
    shoal_sniff r = shoal_sniff_container(exact, n, o, need, err);
    if (r == SHOAL_SNIFF_MORE)
        ck_assert(*need > n && *need <= SHOAL_SNIFF_BYTES);
    free(exact);
    return r;
}

START_TEST(sniff_wav_header)
{
    char bytes[128] = { 0 };
    shoal_options o = shoal_options_default();
    shoal_error err;
    size_t need;

    memcpy(bytes, wav_header, 44);
    for (size_t n = 0; n < 70; n++)
        ck_assert_int_eq(sniff(bytes, n, &o, &need, &err), SHOAL_SNIFF_MORE);
    ck_assert_int_eq(sniff(bytes, 70, &o, &need, &err), SHOAL_SNIFF_YES);
    ck_assert_int_eq(err.code, SHOAL_CODE_RATE_MISMATCH);
    ck_assert_ptr_nonnull(strstr(err.message,
                                 "44100 Hz, 2 channels, 16 bits, but the session says "
                                 "16000 Hz): send the samples only (skip 44 bytes) with rate=44100"
                                 "&channels=2&format=s16le, or use shoal-file"));
    o.rate = 44100;
    ck_assert_int_eq(sniff(bytes, 128, &o, &need, &err), SHOAL_SNIFF_YES);
    ck_assert_int_eq(err.code, SHOAL_CODE_BAD_AUDIO_FORMAT);
    bytes[34] = 24;
    ck_assert_int_eq(sniff(bytes, 128, NULL, &need, &err), SHOAL_SNIFF_YES);
    ck_assert_ptr_nonnull(strstr(err.message, "24 bits): convert it"));
    memcpy(bytes + 12, "JUNK\xff\xff\xff\xff", 8);
    ck_assert_int_eq(sniff(bytes, 128, &o, &need, &err), SHOAL_SNIFF_YES);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
    const char *says;
} files[] = {
    { "OggS\0\2\0\0\0\0\0\0", 12, "Ogg" },
    { "\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\xf7\x81", 12, "WebM" },
    { "fLaC\0\0\0\x22\0\0\0\0", 12, "FLAC" },
    { "\0\0\0\x20"
      "ftypM4A ",
      12, "MP4" },
    { "FORM\0\0\0\0AIFF", 12, "AIFF" },
    { ".snd\0\0\0\x18\0\0\0\0", 12, "AU" },
    { "ID3\4\0\0\0\0\0\0\0\0", 12, "MP3" },
    { "caff\0\1\0\0desc", 12, "CAF" },
    { "RF64\xff\xff\xff\xffWAVE", 12, "RF64" },
    { "riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", 12, "Wave64" },
    { "#!AMR\n\x3c\x91\x17\x16\xbe\x66", 12, "AMR" },
    { "\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa", 12, "WMA" },
    { "wvpk\x56\0\0\0\x10\4\0\0", 12, "WavPack" },
};

START_TEST(sniff_files)
{
    shoal_error err;
    size_t need;

    ck_assert_int_eq(sniff(files[_i].bytes, files[_i].n, NULL, &need, &err), SHOAL_SNIFF_YES);
    ck_assert_ptr_nonnull(strstr(err.message, files[_i].says));
    ck_assert_ptr_nonnull(strstr(err.message, "shoal-file"));
    ck_assert_int_eq(sniff(files[_i].bytes, 1, NULL, &need, &err), SHOAL_SNIFF_MORE);
}
END_TEST

START_TEST(sniff_mp3_frames)
{
    static unsigned char bytes[1024];
    shoal_options opus = shoal_options_default();
    shoal_error err;
    size_t need;

    opus.format = SHOAL_FORMAT_OPUS;
    memcpy(bytes, "\xff\xfb\x90\x44", 4); /* MPEG-1 Layer III, 128 kbit/s, 44100 Hz: 417 bytes */
    ck_assert_int_eq(sniff(bytes, 100, NULL, &need, &err), SHOAL_SNIFF_MORE);
    ck_assert_uint_eq(need, 421);
    ck_assert_int_eq(sniff(bytes, 100, &opus, &need, &err), SHOAL_SNIFF_NO);
    ck_assert_int_eq(sniff(bytes, 421, NULL, &need, &err), SHOAL_SNIFF_NO);
    memcpy(bytes + 417, "\xff\xfb\x92\x44", 4);
    ck_assert_int_eq(sniff(bytes, 421, NULL, &need, &err), SHOAL_SNIFF_YES);
    ck_assert_ptr_nonnull(strstr(err.message, "MP3"));
}
END_TEST

/* MPEG-4 AAC LC, 16 kHz, mono, frames of 100 and of 90 bytes; with a CRC the length counts on. */
START_TEST(sniff_adts_frames)
{
    static unsigned char bytes[1024];
    shoal_error err;
    size_t need;

    memcpy(bytes, _i ? "\xff\xf0\x60\x40\x0c\x9f\xfc" : "\xff\xf1\x60\x40\x0c\x9f\xfc", 7);
    ck_assert_int_eq(sniff(bytes, 50, NULL, &need, &err), SHOAL_SNIFF_MORE);
    ck_assert_uint_eq(need, 106);
    ck_assert_int_eq(sniff(bytes, 106, NULL, &need, &err), SHOAL_SNIFF_NO);
    memcpy(bytes + 100, _i ? "\xff\xf0\x60\x40\x0b\x5f\xfc" : "\xff\xf1\x60\x40\x0b\x5f\xfc", 7);
    ck_assert_int_eq(sniff(bytes, 106, NULL, &need, &err), SHOAL_SNIFF_YES);
    ck_assert_ptr_nonnull(strstr(err.message, "AAC"));
    ck_assert_ptr_nonnull(strstr(err.message, "ffmpeg"));
    bytes[102] = 0x50; /* another rate */
    ck_assert_int_eq(sniff(bytes, 106, NULL, &need, &err), SHOAL_SNIFF_NO);
}
END_TEST

/* Silence in every format, small noise: raw audio is never refused, and soon decided. */
START_TEST(sniff_raw)
{
    static unsigned char bytes[SHOAL_SNIFF_BYTES];
    shoal_error err;
    size_t need;
    unsigned seed = 1;

    for (int fill = 0; fill < 256; fill++) {
        memset(bytes, fill, sizeof bytes);
        ck_assert_int_eq(sniff(bytes, 16, NULL, &need, &err), SHOAL_SNIFF_NO);
    }
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < SHOAL_SNIFF_BYTES; i += 2) {
            int sample = (int)((seed = seed * 1664525 + 1013904223) >> 28) - 8;
            bytes[i] = (unsigned char)sample;
            bytes[i + 1] = sample < 0 ? 0xff : 0;
        }
        ck_assert_int_eq(sniff(bytes, sizeof bytes, NULL, &need, &err), SHOAL_SNIFF_NO);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packet");
    TCase *t = tcase_create("packet");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, packet_golden);
    tcase_add_test(t, packet_f32);
    tcase_add_test(t, packet_tap);
    tcase_add_test(t, packet_json_stays_in_its_bound);
    tcase_add_loop_test(t, rows_that_are_no_frames, 0, 5);
    tcase_add_loop_test(t, packet_hostile, 0, COUNT(bad_packets));
    tcase_add_test(t, packet_truncated);
    tcase_add_test(t, packet_later_header);
    tcase_add_test(t, half_precision);
    tcase_add_test(t, sniff_wav_header);
    tcase_add_loop_test(t, sniff_files, 0, COUNT(files));
    tcase_add_test(t, sniff_mp3_frames);
    tcase_add_loop_test(t, sniff_adts_frames, 0, 2);
    tcase_add_test(t, sniff_raw);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

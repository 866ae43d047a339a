/* file_check.c - see file_check.h
 *
 *     WAV    the size of its data chunk against what follows it (libsndfile takes the smaller)
 *     Ogg    the last page of a whole stream has the end mark, and is there in full
 *     MP3    the Xing or Info frame in front counts the frames
 *     AIFF   the size of its form against the file's
 *     others libsndfile's own number of frames is from the header (FLAC, ...)
 */
#include "file/file_check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    TAIL_BYTES = 70 << 10, /* more than an Ogg page can have */
    HEAD_BYTES = 4096,
    OGG_HEADER = 27,
    OGG_END_MARK = 4
};

/* Decoders leave out their delay, encoders round up to frames: less is no loss. */
static const double tolerance_s = 0.15;

/* ---- kinds ---- */

static const struct {
    size_t at, size;
    const char *bytes, *name;
} kinds[] = {
    { 4, 4, "ftyp", "MP4, M4A or 3GP (AAC or ALAC)" },
    { 0, 4, "\x1a\x45\xdf\xa3", "WebM or Matroska" },
    { 0, 4, "\x30\x26\xb2\x75", "WMA (ASF)" },
    { 0, 5, "#!AMR", "AMR" },
    { 0, 4, "caff", "CAF with a codec that libsndfile does not have" },
    { 0, 4, "MAC ", "Monkey's Audio" },
    { 0, 4, "wvpk", "WavPack" },
    { 0, 4, "DSD ", "DSD" },
    { 0, 4, "FRM8", "DSD" },
    { 0, 2, "\x0b\x77", "AC-3" },
    { 0, 4, "ADIF", "AAC (ADIF)" },
    { 0, 4, "#EXT", "a playlist" },
    { 0, 3, "FLV", "Flash video" },
};

const char *file_check_kind(const uint8_t *head, size_t n)
{
    /* ADTS: twelve bits of sync word, layer 0; MP3 has another layer. */
    if (n >= 2 && head[0] == 0xff && (head[1] & 0xf6) == 0xf0)
        return "AAC (ADTS)";
    if (n > 188 && head[0] == 0x47 && head[188] == 0x47)
        return "an MPEG transport stream";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].at + kinds[i].size &&
            !memcmp(head + kinds[i].at, kinds[i].bytes, kinds[i].size))
            return kinds[i].name;
    return NULL;
}

/* Regular files only: reading takes nothing away from somebody else. NULL: it is none. */
static FILE *open_regular(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode) ? fopen(path, "rb") : NULL;
}

const char *file_check_kind_of(const char *path)
{
    uint8_t head[HEAD_BYTES];
    FILE *f = open_regular(path);
    size_t n;

    if (!f)
        return NULL;
    n = fread(head, 1, sizeof head, f);
    fclose(f);
    return file_check_kind(head, n);
}

/* ---- is it whole? ---- */

static uint32_t little(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* Bytes of the Ogg page at p, of which n bytes are there; more than n if it is cut off. */
static size_t page_size(const uint8_t *p, size_t n)
{
    size_t segments = n >= OGG_HEADER ? p[26] : 0, size = OGG_HEADER + segments;

    for (size_t i = 0; i < segments && OGG_HEADER + i < n; i++)
        size += p[OGG_HEADER + i];
    return size;
}

static int ogg_is_whole(FILE *f)
{
    uint8_t tail[TAIL_BYTES];
    size_t n;

    if (fseek(f, -TAIL_BYTES, SEEK_END) < 0)
        rewind(f);
    n = fread(tail, 1, sizeof tail, f);
    for (size_t at = n < 4 ? 0 : n - 3; at-- > 0;)
        if (!memcmp(tail + at, "OggS", 4))
            return n - at >= OGG_HEADER && (tail[at + 5] & OGG_END_MARK) &&
                   page_size(tail + at, n - at) <= n - at;
    return 0;
}

/* Seconds by the Xing or Info frame; 0 if there is none. */
static double mp3_seconds(const uint8_t *p, size_t n)
{
    static const int rates[] = { 44100, 48000, 32000 };

    for (size_t i = 0; i + 48 < n; i++) {
        int mpeg1 = (p[i + 1] & 0x18) == 0x18, mpeg25 = !(p[i + 1] & 0x10), rate;
        size_t side = (p[i + 3] & 0xc0) == 0xc0 ? (mpeg1 ? 17 : 9) : (mpeg1 ? 32 : 17);
        const uint8_t *tag = p + i + 4 + side;

        if (p[i] != 0xff || (p[i + 1] & 0xe6) != 0xe2 || (p[i + 2] & 0x0c) == 0x0c)
            continue;
        if ((memcmp(tag, "Xing", 4) && memcmp(tag, "Info", 4)) || !(tag[7] & 1))
            return 0;
        rate = rates[p[i + 2] >> 2 & 3] >> (mpeg1 ? 0 : mpeg25 ? 2 : 1);
        return (double)big(tag + 8) * (mpeg1 ? 1152 : 576) / rate;
    }
    return 0;
}

/* Past the ID3v2 tag, whose size has 7 bits a byte. */
static double mp3_promise(FILE *f)
{
    uint8_t head[HEAD_BYTES];
    long skip = 0;

    rewind(f);
    if (fread(head, 1, 10, f) == 10 && !memcmp(head, "ID3", 3))
        skip = 10 + ((long)head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]);
    if (fseek(f, skip, SEEK_SET) < 0)
        return 0;
    return mp3_seconds(head, fread(head, 1, sizeof head, f));
}

/* Seconds by the data chunk, which writers to pipes leave at 0 or at its most. */
static double wav_promise(FILE *f)
{
    uint8_t c[24];
    uint32_t bytes_a_second = 0;

    for (long at = 12; fseek(f, at, SEEK_SET) == 0 && fread(c, 1, 8, f) == 8;) {
        uint32_t size = little(c + 4);

        if (!memcmp(c, "data", 4))
            return bytes_a_second && size < 0x7fff0000 ? (double)size / bytes_a_second : 0;
        if (!memcmp(c, "fmt ", 4) && fread(c + 8, 1, 16, f) == 16)
            bytes_a_second = little(c + 16);
        at += 8 + (long)size + (size & 1);
    }
    return 0;
}

static int aiff_is_whole(FILE *f, uint32_t form_bytes)
{
    return fseek(f, 0, SEEK_END) < 0 || ftell(f) >= 8 + (long)form_bytes;
}

file_promise file_check_whole(const char *path, double decoded, double by_header)
{
    file_promise p = { .seconds = by_header };
    uint8_t head[12] = { 0 };
    FILE *f = open_regular(path);

    if (f && fread(head, 1, sizeof head, f) == sizeof head) {
        if (!memcmp(head, "OggS", 4))
            p = (file_promise){ .cut = !ogg_is_whole(f) }; /* the header has no length */
        else if (!memcmp(head, "RIFF", 4) && !memcmp(head + 8, "WAVE", 4))
            p.seconds = wav_promise(f);
        else if (!memcmp(head, "FORM", 4) && !memcmp(head + 8, "AIF", 3))
            p.cut = !aiff_is_whole(f, big(head + 4));
        else if (!memcmp(head, "ID3", 3) || (head[0] == 0xff && (head[1] & 0xe0) == 0xe0))
            p.seconds = mp3_promise(f);
    }
    if (f)
        fclose(f);
    p.cut |= p.seconds > decoded + tolerance_s;
    if (p.cut && p.seconds <= decoded + tolerance_s)
        p.seconds = 0; /* libsndfile has made what there is of what was promised */
    return p;
}

/* sniff.c - recognise a file where raw samples were promised
 *
 * The commonest mistake with streaming speech servers is to send a file as it is: its header
 * becomes a click, and a wrong rate becomes garbage features without any error. So the first
 * bytes of a session are compared with what files begin with. A false alarm would refuse real
 * audio, therefore every signature is at least 32 bits long, and MP3 and AAC (11 and 12 bits of
 * sync, which quiet s16le or mu-law audio may well show) need two frame headers that agree, one
 * where the other ends.
 *
 * A WAV header is read further, for the remedy: how many bytes to skip and what to declare.
 */
#include "protocol-internal.h"

#include <stdio.h>
#include <string.h>

typedef struct input {
    const unsigned char *p;
    size_t n;
    const shoal_options *declared; /* may be NULL */
    size_t *need;
    shoal_error *err;
} input;

static uint32_t le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static unsigned le16(const unsigned char *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* Of several that want more, the one that is content first decides when to ask again. */
static shoal_sniff more(const input *in, size_t need)
{
    if (need < *in->need)
        *in->need = need;
    return SHOAL_SNIFF_MORE;
}

/* NO if the bytes at offset differ, MORE if there are too few, YES if they are there. */
static shoal_sniff match(const input *in, size_t offset, const char *magic, size_t len)
{
    size_t have = in->n > offset ? in->n - offset : 0;
    size_t same = have < len ? have : len;

    if (same && memcmp(in->p + offset, magic, same) != 0)
        return SHOAL_SNIFF_NO;
    return have < len ? more(in, offset + len) : SHOAL_SNIFF_YES;
}

/* ---- WAV ---- */

typedef struct wav {
    unsigned tag, channels, bits;
    uint32_t rate;
    size_t data; /* offset of the samples, 0: unknown */
} wav;

#define FMT_BYTES 34 /* of a fmt chunk, up to the format tag inside WAVE_FORMAT_EXTENSIBLE */

static void wav_read_fmt(wav *w, const unsigned char *chunk, uint32_t size)
{
    w->tag = le16(chunk + 8);
    w->channels = le16(chunk + 10);
    w->rate = le32(chunk + 12);
    w->bits = le16(chunk + 22);
    if (w->tag == 0xfffe && size >= 26)
        w->tag = le16(chunk + 32);
}

/* Walk the chunks as far as the samples. Returns MORE, or YES with what was found. */
static shoal_sniff wav_read(wav *w, const input *in)
{
    size_t at = 12;

    while (at + FMT_BYTES <= in->n) {
        const unsigned char *chunk = in->p + at;
        uint32_t size = le32(chunk + 4);

        if (memcmp(chunk, "data", 4) == 0) {
            w->data = at + 8;
            return SHOAL_SNIFF_YES;
        }
        if (memcmp(chunk, "fmt ", 4) == 0)
            wav_read_fmt(w, chunk, size);
        if (size > SHOAL_SNIFF_BYTES)
            return SHOAL_SNIFF_YES; /* a long comment before the samples: stop here */
        at += 8 + size + (size & 1);
    }
    return at + FMT_BYTES <= SHOAL_SNIFF_BYTES ? more(in, at + FMT_BYTES) : SHOAL_SNIFF_YES;
}

/* The name of this protocol for the samples, or NULL. */
static const char *wav_format(const wav *w)
{
    if (w->rate < SHOAL_MIN_RATE || w->rate > SHOAL_MAX_RATE || w->channels < 1 ||
        w->channels > SHOAL_MAX_CHANNELS)
        return NULL;
    switch (w->tag) {
    case 1: return w->bits == 16 ? "s16le" : NULL;
    case 3: return w->bits == 32 ? "f32le" : NULL;
    case 6: return "alaw";
    case 7: return "mulaw";
    default: return NULL;
    }
}

static void wav_fail(const input *in, const wav *w)
{
    int other_rate = in->declared && w->rate != (uint32_t)in->declared->rate;
    const char *format = wav_format(w);
    char skip[48] = "its header", declared[48] = "";

    if (w->data)
        snprintf(skip, sizeof skip, "%zu bytes", w->data);
    if (other_rate)
        snprintf(declared, sizeof declared, ", but the session says %d Hz", in->declared->rate);
    shoal_code code = other_rate ? SHOAL_CODE_RATE_MISMATCH : SHOAL_CODE_BAD_AUDIO_FORMAT;
    if (format)
        shoal_error_set(in->err, code, "rate",
                        "this is a WAV header (%u Hz, %u channel%s, %u bits%s): send the samples "
                        "only (skip %s) with rate=%u&channels=%u&format=%s, or use shoal-file",
                        w->rate, w->channels, w->channels == 1 ? "" : "s", w->bits, declared, skip,
                        w->rate, w->channels, format);
    else
        shoal_error_set(in->err, SHOAL_CODE_BAD_AUDIO_FORMAT, "format",
                        "this is a WAV file of a kind the protocol does not have (%u Hz, %u "
                        "channels, %u bits): convert it to s16le at 8000..48000 Hz, or use "
                        "shoal-file",
                        w->rate, w->channels, w->bits);
}

static shoal_sniff sniff_wav(const input *in)
{
    wav w = { 0 };
    shoal_sniff riff = match(in, 0, "RIFF", 4);
    shoal_sniff wave = riff == SHOAL_SNIFF_YES ? match(in, 8, "WAVE", 4) : riff;

    if (wave != SHOAL_SNIFF_YES)
        return wave;
    if (wav_read(&w, in) == SHOAL_SNIFF_MORE)
        return SHOAL_SNIFF_MORE;
    wav_fail(in, &w);
    return SHOAL_SNIFF_YES;
}

/* ---- MP3 ---- */

/* Length of the Layer III frame that begins at h, 0 if none does. */
static size_t mp3_frame(const unsigned char *h)
{
    static const int rates[3] = { 44100, 48000, 32000 };
    static const int kbits[2][15] = {
        { 0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320 },
        { 0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160 },
    };
    int version = h[1] >> 3 & 3, bitrate = h[2] >> 4, rate = h[2] >> 2 & 3;

    if (h[0] != 0xff || (h[1] & 0xe6) != 0xe2 || version == 1 || bitrate == 0 || bitrate == 15 ||
        rate == 3)
        return 0;
    int hz = rates[rate] >> (version == 3 ? 0 : version == 2 ? 1 : 2);
    int half = version != 3;
    return (size_t)((half ? 72 : 144) * kbits[half][bitrate] * 1000 / hz + (h[2] >> 1 & 1));
}

/* ---- AAC in ADTS ---- */

/* Length of the frame that begins at h (6 bytes), 0 if none does. */
static size_t adts_frame(const unsigned char *h)
{
    int rate = h[2] >> 2 & 15;
    size_t len = (size_t)(h[3] & 3) << 11 | (size_t)h[4] << 3 | h[5] >> 5;

    return h[0] == 0xff && (h[1] & 0xf6) == 0xf0 && rate < 13 && len > 7 ? len : 0;
}

/* ---- either ---- */

typedef struct framing {
    const char *name;
    size_t (*frame)(const unsigned char *h);
    size_t header;                 /* bytes */
    unsigned char sync_mask, sync; /* of the second byte; the first is 0xff */
    unsigned char same;            /* bits of the third byte that two frames share */
} framing;

static const framing framings[] = {
    { "MP3 (MPEG audio)", mp3_frame, 4, 0xe6, 0xe2, 0x0c },
    { "AAC (in ADTS)", adts_frame, 6, 0xf6, 0xf0, 0xfc },
};

static shoal_sniff sniff_frames(const input *in, const framing *f)
{
    if (in->n && in->p[0] != 0xff)
        return SHOAL_SNIFF_NO;
    if (in->n >= 2 && (in->p[1] & f->sync_mask) != f->sync)
        return SHOAL_SNIFF_NO;
    if (in->n < f->header)
        return more(in, f->header);
    size_t len = f->frame(in->p);
    if (len == 0 || len + f->header > SHOAL_SNIFF_BYTES)
        return SHOAL_SNIFF_NO;
    if (in->n < len + f->header)
        return more(in, len + f->header);
    const unsigned char *next = in->p + len;
    if (f->frame(next) == 0 || next[1] != in->p[1] || (next[2] & f->same) != (in->p[2] & f->same))
        return SHOAL_SNIFF_NO;
    shoal_error_set(in->err, SHOAL_CODE_BAD_AUDIO_FORMAT, "format",
                    "this is %s, not raw samples: decode it first (ffmpeg -i X Y.wav), or use "
                    "shoal-file",
                    f->name);
    return SHOAL_SNIFF_YES;
}

/* An Opus packet may begin so, and is whole: there is nothing to wait for. */
static shoal_sniff sniff_framings(const input *in)
{
    shoal_sniff found = SHOAL_SNIFF_NO, r;

    for (size_t i = 0; i < sizeof framings / sizeof *framings && found != SHOAL_SNIFF_YES; i++)
        if ((r = sniff_frames(in, &framings[i])) != SHOAL_SNIFF_NO)
            found = r;
    return found;
}

/* ---- all ---- */

static const struct signature {
    const char *name, *prefix, *magic;
    size_t prefix_len, offset, len; /* prefix at 0, magic at offset */
} signatures[] = {
    { "an Ogg file", "", "OggS\0", 0, 0, 5 },
    { "a WebM or Matroska file (as MediaRecorder makes)", "", "\x1a\x45\xdf\xa3", 0, 0, 4 },
    { "a FLAC file", "", "fLaC", 0, 0, 4 },
    { "an MP4 file", "\0\0\0", "ftyp", 3, 4, 4 },
    { "an AIFF file", "FORM", "AIF", 4, 8, 3 },
    { "an AU file", "", ".snd", 0, 0, 4 },
    { "a CAF file", "", "caff\0\1\0\0", 0, 0, 8 },
    { "an RF64 (large WAV) file", "RF64", "WAVE", 4, 8, 4 },
    { "a Wave64 file", "", "riff\x2e\x91\xcf\x11", 0, 0, 8 },
    { "an AMR file", "", "#!AMR", 0, 0, 5 },
    { "a WMA (ASF) file", "", "\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, 0, 8 },
    { "a WavPack file", "", "wvpk", 0, 0, 4 },
    { "an MP3 file with ID3 tags", "", "ID3\2", 0, 0, 4 },
    { "an MP3 file with ID3 tags", "", "ID3\3", 0, 0, 4 },
    { "an MP3 file with ID3 tags", "", "ID3\4", 0, 0, 4 },
};

static int declared_opus(const input *in)
{
    return in->declared && in->declared->format == SHOAL_FORMAT_OPUS;
}

static shoal_sniff sniff_signature(const input *in, const struct signature *s)
{
    shoal_sniff r = match(in, 0, s->prefix, s->prefix_len);

    if (r == SHOAL_SNIFF_YES)
        r = match(in, s->offset, s->magic, s->len);
    if (r != SHOAL_SNIFF_YES)
        return r;
    int opus = declared_opus(in);
    shoal_error_set(in->err, SHOAL_CODE_BAD_AUDIO_FORMAT, "format",
                    "this is %s, not %s: %s, or use shoal-file", s->name,
                    opus ? "bare Opus packets" : "raw samples",
                    opus ? "take the packets out and send each as one message"
                         : "decode it (ffmpeg -i X Y.wav) and send the samples only");
    return SHOAL_SNIFF_YES;
}

shoal_sniff shoal_sniff_container(const void *bytes, size_t n, const shoal_options *declared,
                                  size_t *need, shoal_error *err)
{
    input in = { bytes, n < SHOAL_SNIFF_BYTES ? n : SHOAL_SNIFF_BYTES, declared, need, err };
    shoal_sniff found, r;

    *need = SIZE_MAX;
    found = sniff_wav(&in);
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures && found != SHOAL_SNIFF_YES; i++)
        if ((r = sniff_signature(&in, &signatures[i])) != SHOAL_SNIFF_NO)
            found = r;
    if (declared_opus(&in))
        found = found == SHOAL_SNIFF_MORE ? SHOAL_SNIFF_NO : found;
    else if (found != SHOAL_SNIFF_YES && (r = sniff_framings(&in)) != SHOAL_SNIFF_NO)
        found = r;
    if (found != SHOAL_SNIFF_MORE)
        *need = 0;
    return found;
}

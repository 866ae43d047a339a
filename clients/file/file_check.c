/* file_check.c - see file_check.h
 *
 *     WAV    the size of its data chunk against what follows it (libsndfile takes the smaller)
 *     FLAC   its header counts the samples; libsndfile leaves out, silently, what is damaged
 *     Ogg    the last page of a whole stream has the end mark, and is there in full
 *     MP3    the Xing or Info frame in front counts the frames
 *     AIFF   the size of its form against the file's
 *     AU, W64, RF64   sizes in their headers (shoal_file_promise)
 *     others libsndfile's own number of frames is from the header
 *
 * And is there more than that, which libsndfile leaves out: another recording behind the first of
 * an Ogg, FLAC or MP3 file, sound behind the data chunk of a WAV whose size is out of date?
 */
#include "file/file_check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shoal-protocol.h"

enum { HEAD_BYTES = 4096, BLOCK = 64 << 10, MORE_THAN_TAGS = 8192 };

/* Decoders leave out their delay, encoders round up to frames: less is no loss. Where samples are
 * counted each one is. */
static const double tolerance_s = 0.15, exact_s = 1e-6;

/* Regular files only: reading takes nothing away from somebody else. NULL: it is none. */
static FILE *open_regular(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode) ? fopen(path, "rb") : NULL;
}

static size_t read_head(const char *path, uint8_t *head, size_t size)
{
    FILE *f = open_regular(path);
    size_t n = f ? fread(head, 1, size, f) : 0;

    if (f)
        fclose(f);
    return n;
}

const char *file_check_kind_of(const char *path)
{
    uint8_t head[HEAD_BYTES];
    size_t n = read_head(path, head, sizeof head);

    return n ? shoal_file_kind(head, n) : NULL;
}

/* "this is a FLAC file, not raw samples: ...": the rest is for who has no shoal-file. */
int file_check_is_container(const void *head, size_t n, char *why, size_t why_size)
{
    size_t need, kind;
    shoal_error err;

    if (shoal_sniff_container(head, n, NULL, &need, &err) != SHOAL_SNIFF_YES)
        return 0;
    kind = strcspn(err.message, ",:(");
    while (kind && err.message[kind - 1] == ' ')
        kind--;
    snprintf(why, why_size, "%.*s, which says itself what its samples are: leave --raw out",
             (int)kind, err.message);
    return 1;
}

int file_check_has_header(const char *path, char *why, size_t why_size)
{
    uint8_t head[HEAD_BYTES];

    return file_check_is_container(head, read_head(path, head, sizeof head), why, why_size);
}

const char *file_check_quote(char *to, size_t size, const char *name)
{
    size_t n = 0;

    to[n++] = '\'';
    for (; *name && n + 6 < size; name++) {
        if (*name == '\'') {
            memcpy(to + n, "'\\''", 4);
            n += 4;
        } else {
            to[n++] = *name;
        }
    }
    to[n++] = '\'';
    to[n] = 0;
    return to;
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

/* Page by page. */
static file_promise ogg_pages(FILE *f)
{
    shoal_ogg_pages pages = { 0 };
    uint8_t bytes[BLOCK];
    size_t n;

    rewind(f);
    while (!pages.later && (n = fread(bytes, 1, sizeof bytes, f)) > 0)
        shoal_ogg_look(&pages, bytes, n);
    return (file_promise){ .damaged = pages.lost, .more = pages.later };
}

/* Is there a second one, behind the head of the first? */
static int has_second_flac(FILE *f)
{
    enum { HEAD = SHOAL_FLAC_HEAD_BYTES };
    uint8_t bytes[BLOCK + HEAD];
    size_t kept = 0, n;

    if (fseek(f, HEAD, SEEK_SET) < 0)
        return 0;
    while ((n = fread(bytes + kept, 1, BLOCK, f)) > 0) {
        if (shoal_has_flac_head(bytes, kept + n, 0))
            return 1;
        n += kept;
        kept = n < HEAD - 1 ? n : HEAD - 1;
        memmove(bytes, bytes + n - kept, kept);
    }
    return 0;
}

static int ogg_is_whole(FILE *f)
{
    uint8_t tail[SHOAL_OGG_TAIL_BYTES];

    if (fseek(f, -SHOAL_OGG_TAIL_BYTES, SEEK_END) < 0)
        rewind(f);
    return shoal_ogg_is_whole(tail, fread(tail, 1, sizeof tail, f));
}

static int is_mp3(FILE *f, long at)
{
    uint8_t h[SHOAL_MP3_FOLLOWS_BYTES];

    return fseek(f, at, SEEK_SET) == 0 && shoal_mp3_follows(h, fread(h, 1, sizeof h, f));
}

/* The tag may be larger than what is read of the file at once. */
static file_promise mp3_promise(FILE *f)
{
    uint8_t head[HEAD_BYTES];
    shoal_mp3 says;
    long tag;

    rewind(f);
    tag = (long)shoal_mp3_tag(head, fread(head, 1, 10, f));
    if (fseek(f, tag, SEEK_SET) < 0)
        return (file_promise){ 0 };
    says = shoal_mp3_promise(head, fread(head, 1, sizeof head, f));
    return (file_promise){ .seconds = says.seconds,
                           .more = says.bytes && is_mp3(f, tag + (long)says.bytes) };
}

typedef struct wav {
    long data, size; /* where its samples begin, and how many bytes they are by the header */
    uint32_t bytes_a_second, rate, frame_bytes;
    int exact; /* samples are that, not packed in blocks */
} wav;

static long length(FILE *f)
{
    return fseek(f, 0, SEEK_END) < 0 ? 0 : ftell(f);
}

/* From chunk to chunk, beginning at `at`, until visit says that it has seen enough. */
static int walk_chunks(FILE *f, long at, int (*visit)(wav *, const uint8_t *chunk, long at), wav *w)
{
    uint8_t c[24];
    size_t n;

    while (fseek(f, at, SEEK_SET) == 0 && (n = fread(c, 1, sizeof c, f)) >= 8) {
        memset(c + n, 0, sizeof c - n);
        if (visit(w, c, at))
            return 1;
        at += 8 + (long)little(c + 4) + (little(c + 4) & 1);
    }
    return 0;
}

static int is_exact(unsigned tag)
{
    return tag == 1 || tag == 3 || tag == 6 || tag == 7 || tag == 0xfffe;
}

static int take_chunk(wav *w, const uint8_t *c, long at)
{
    if (!memcmp(c, "fmt ", 4)) {
        w->rate = little(c + 12);
        w->bytes_a_second = little(c + 16);
        w->frame_bytes = (uint32_t)(c[20] | c[21] << 8);
        w->exact = is_exact((unsigned)(c[8] | c[9] << 8));
    }
    if (memcmp(c, "data", 4))
        return 0;
    w->data = at + 8;
    w->size = (long)little(c + 4);
    return 1;
}

/* Names of chunks are letters. */
static int is_sound(wav *w, const uint8_t *c, long at)
{
    (void)w, (void)at;
    for (int i = 0; i < 4; i++)
        if (c[i] < ' ' || c[i] > '~')
            return 1;
    return 0;
}

static size_t read_at(FILE *f, long at, uint8_t *bytes, size_t n)
{
    return fseek(f, at, SEEK_SET) == 0 ? fread(bytes, 1, n, f) : 0;
}

/* It may begin with a pause. */
static int has_more_sound(FILE *f, long at)
{
    uint8_t bytes[HEAD_BYTES];
    size_t n = read_at(f, at, bytes, sizeof bytes);

    if (n == sizeof bytes && bytes[0] == 0 && !memcmp(bytes, bytes + 1, n - 1))
        n = read_at(f, at + (length(f) - at) / 2, bytes, sizeof bytes);
    return shoal_is_more_sound(bytes, n);
}

/* By the data chunk, which writers to pipes leave at its most; one that never came to its end has
 * 0 there, and sound behind it. */
static file_promise wav_promise(FILE *f, double decoded)
{
    file_promise p = { 0 };
    wav w = { 0 };

    if (!walk_chunks(f, 12, take_chunk, &w) || !w.bytes_a_second || w.size >= 0x7fff0000)
        return p;
    long there = length(f) - w.data;
    if (w.size == 0 && walk_chunks(f, w.data, is_sound, &w))
        p = (file_promise){ .seconds = (double)there / w.bytes_a_second, .unended = 1 };
    else if (w.exact && w.rate && w.frame_bytes)
        p = (file_promise){ .seconds = (double)(w.size / w.frame_bytes) / w.rate,
                            .exact = 1,
                            .more = w.size > 0 && has_more_sound(f, w.data + w.size) };
    else if (there > 0 && there < w.size)
        p.seconds = decoded * (double)w.size / (double)there;
    return p;
}

static int aiff_is_whole(FILE *f, uint32_t form_bytes)
{
    return fseek(f, 0, SEEK_END) < 0 || ftell(f) >= 8 + (long)form_bytes;
}

/* What the header says of bytes. */
static file_promise promise_of_head(FILE *f, double decoded, double by_header)
{
    file_promise p = { .seconds = by_header };
    uint8_t head[BLOCK];
    uint64_t said, there;

    rewind(f);
    said = shoal_file_promise(head, fread(head, 1, sizeof head, f));
    there = (uint64_t)length(f);
    if (decoded <= 0 && there > MORE_THAN_TAGS)
        p = (file_promise){ .cut = 1, .unended = 1 };
    else if (said > there)
        p = (file_promise){ .cut = 1, .seconds = decoded * (double)said / (double)there };
    return p;
}

/* An Ogg file has no length in front. */
static file_promise ogg_promise(FILE *f)
{
    file_promise p = ogg_pages(f);

    p.cut = !p.more && !ogg_is_whole(f);
    return p;
}

file_promise file_check_whole(const char *path, double decoded, double by_header)
{
    file_promise p = { .seconds = by_header };
    uint8_t head[12] = { 0 };
    FILE *f = open_regular(path);
    double least = decoded;

    if (f && fread(head, 1, sizeof head, f) == sizeof head) {
        if (!memcmp(head, "OggS", 4))
            p = ogg_promise(f);
        else if (!memcmp(head, "RIFF", 4) && !memcmp(head + 8, "WAVE", 4))
            p = wav_promise(f, decoded);
        else if (!memcmp(head, "fLaC", 4))
            p.exact = 1, p.more = has_second_flac(f);
        else if (!memcmp(head, "FORM", 4) && !memcmp(head + 8, "AIF", 3))
            p.cut = !aiff_is_whole(f, big(head + 4));
        else if (!memcmp(head, "ID3", 3) || (head[0] == 0xff && (head[1] & 0xe0) == 0xe0))
            p = mp3_promise(f);
        else
            p = promise_of_head(f, decoded, by_header);
    }
    if (f)
        fclose(f);
    least += p.exact ? exact_s : tolerance_s;
    p.cut |= p.seconds > least || p.damaged || p.more;
    if (p.cut && p.seconds <= least && !p.unended)
        p.seconds = 0; /* libsndfile has made what there is of what was promised */
    return p;
}

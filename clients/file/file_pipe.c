/* file_pipe.c - see file_pipe.h
 *
 *     descriptor -> head (kept) -> libsndfile, by functions of ours
 *                -> tail (what came last), for the end mark of Ogg
 *
 * Before libsndfile begins, all that stands before the sound is in the head: it may seek there as
 * it likes. What a WAV header says of its length is then put into the words by which libsndfile
 * takes all that there is: 8 bytes of RIFF, 0 of data.
 */
#include "file/file_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shoal-protocol.h"

enum {
    HEAD_BYTES = 4 << 20, /* pictures stand before the sound; memory is used as far as they do */
    PIECE = 4096,
    MOST_IDLE_READS = 1000,
};

/* Writers leave a round number below 2 GiB, or less what the header has. */
static const uint32_t wav_unknown = 0x7fff0000;
static const double sound_unknown = 0x7f000000, longest_s = 1 << 20;
/* Decoders leave out their delay; AIFF, Ogg and others may have something behind their sound. */
static const double tolerance_s = 0.15;
static const sf_count_t more_than_tags = 4096;
static const sf_count_t endless = (sf_count_t)1 << 40; /* longer than any */

const char file_pipe_remedy[] = "ffmpeg -i FILE -f wav - | shoal-file -";

struct file_pipe {
    int fd, error, ended;
    int is_path;        /* it has a name, and is to be closed */
    sf_count_t got, at; /* bytes that have come; where it is read */
    int opening;        /* libsndfile is reading the header */
    int idle_reads;     /* in a row that found nothing */
    uint64_t promised;  /* bytes of the file up to the end of its sound; 0: it does not say */
    uint8_t *head;      /* [HEAD_BYTES] */
    shoal_tail tail;
    int is_ogg;
    shoal_ogg_pages pages;
};

int file_pipe_is(const char *path)
{
    struct stat s;

    if (strcmp(path, "-") != 0)
        return stat(path, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
    return fstat(STDIN_FILENO, &s) < 0 || !S_ISREG(s.st_mode) ||
           lseek(STDIN_FILENO, 0, SEEK_CUR) != 0;
}

file_pipe *file_pipe_open(const char *path)
{
    file_pipe *p = calloc(1, sizeof *p);

    if (!p || !(p->head = malloc(HEAD_BYTES))) {
        free(p);
        errno = ENOMEM;
        return NULL;
    }
    p->is_path = strcmp(path, "-") != 0;
    p->fd = p->is_path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (p->fd >= 0)
        return p;
    free(p->head);
    free(p);
    return NULL;
}

void file_pipe_close(file_pipe *p)
{
    if (!p)
        return;
    if (p->is_path)
        close(p->fd);
    free(p->head);
    free(p);
}

int file_pipe_error(const file_pipe *p)
{
    return p->error;
}

/* ---- bytes ---- */

/* Up to n new bytes; 0: there are no more. */
static sf_count_t receive(file_pipe *p, uint8_t *to, sf_count_t n)
{
    ssize_t got = 0;

    if (!p->ended)
        do
            got = read(p->fd, to, (size_t)n);
        while (got < 0 && errno == EINTR);
    if (got < 0)
        p->error = errno;
    p->ended |= got <= 0;
    if (got <= 0)
        return 0;
    if (p->got < HEAD_BYTES && to != p->head + p->got) {
        sf_count_t room = HEAD_BYTES - p->got;
        memcpy(p->head + p->got, to, (size_t)(got < room ? got : room));
    }
    shoal_tail_keep(&p->tail, to, (size_t)got);
    if (p->is_ogg)
        shoal_ogg_look(&p->pages, to, (size_t)got);
    p->got += got;
    return got;
}

/* 1: the head has its first n bytes. */
static int have(file_pipe *p, uint64_t n)
{
    while (n <= HEAD_BYTES && (uint64_t)p->got < n)
        if (!receive(p, p->head + p->got, (sf_count_t)n - p->got))
            return 0;
    return n <= HEAD_BYTES;
}

static sf_count_t read_back(const file_pipe *p, uint8_t *to, sf_count_t n)
{
    sf_count_t end = p->got < HEAD_BYTES ? p->got : HEAD_BYTES;
    sf_count_t k = p->at < end ? end - p->at : 0;

    k = k < n ? k : n;
    memcpy(to, p->head + (k ? p->at : 0), (size_t)k);
    return k;
}

/* All of it, unless the pipe ends: libsndfile takes less for the end. In a header some of its
 * readers (SDS) look at what they had before where nothing comes, and for ever: zeros end that. */
static sf_count_t on_read(void *to, sf_count_t n, void *user)
{
    file_pipe *p = user;
    sf_count_t done = 0, k = 1;

    while (done < n && k > 0 && p->at <= p->got) {
        uint8_t *rest = (uint8_t *)to + done;

        k = p->at < p->got ? read_back(p, rest, n - done) : receive(p, rest, n - done);
        p->at += k;
        done += k;
    }
    if (p->opening && done < n)
        memset((uint8_t *)to + done, 0, (size_t)(n - done));
    p->idle_reads = done ? 0 : p->idle_reads + 1;
    return done;
}

static sf_count_t on_length(void *user)
{
    (void)user;
    return endless;
}

/* The end is nowhere. */
static sf_count_t on_seek(sf_count_t offset, int whence, void *user)
{
    file_pipe *p = user;
    sf_count_t from = whence == SEEK_CUR ? p->at : 0;

    if (whence == SEEK_END || from + offset < 0)
        return -1;
    return p->at = from + offset;
}

/* Some readers (8SVX) would look for their next chunk for ever where there is nothing. */
static sf_count_t on_tell(void *user)
{
    const file_pipe *p = user;

    return p->idle_reads < MOST_IDLE_READS ? p->at : endless;
}

static sf_count_t on_write(const void *from, sf_count_t n, void *user)
{
    (void)from, (void)n, (void)user;
    return 0;
}

/* ---- the header ---- */

static uint32_t number(const uint8_t *p, int big_endian)
{
    uint32_t x = 0;

    for (int i = 0; i < 4; i++)
        x = x << 8 | p[big_endian ? i : 3 - i];
    return x;
}

/* Where the chunk of that name stands, with the 8 bytes of its own head; 0: nowhere near. */
static uint64_t find_chunk(file_pipe *p, const char *name, int big_endian)
{
    uint64_t at = 12;

    while (have(p, at + 8) && memcmp(p->head + at, name, 4) != 0) {
        uint64_t n = number(p->head + at + 4, big_endian);
        at += 8 + n + (n & 1);
    }
    return have(p, at + 8) ? at : 0;
}

/* Sound that begins like one of these would have to be loud and strange. */
static int is_chunk(const uint8_t *name)
{
    static const char names[][5] = {
        "LIST", "id3 ", "ID3 ", "JUNK", "bext", "iXML", "cue ", "smpl"
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!memcmp(name, names[i], 4))
            return 1;
    return 0;
}

static void mend_wav(file_pipe *p)
{
    uint64_t data = find_chunk(p, "data", 0);
    uint32_t n = data ? number(p->head + data + 4, 0) : 1;

    if (n >= wav_unknown || (n == 0 && have(p, data + 12) && !is_chunk(p->head + data + 8))) {
        memcpy(p->head + 4, "\10\0\0\0", 4);
        memset(p->head + data + 4, 0, 4);
    } else if (data) {
        p->promised = data + 8 + n;
    }
}

/* A length of -1 is allowed there, and unknown to libsndfile. */
static void mend_caf(file_pipe *p)
{
    static const uint8_t unknown[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    uint64_t at = 8, n;

    while (have(p, at + 12) && memcmp(p->head + at, "data", 4) != 0) {
        n = (uint64_t)number(p->head + at + 4, 1) << 32 | number(p->head + at + 8, 1);
        at = n < HEAD_BYTES ? at + 12 + n : HEAD_BYTES;
    }
    if (have(p, at + 12) && !memcmp(p->head + at + 4, unknown, sizeof unknown))
        memset(p->head + at + 4, 0, 3); /* 2^40 and less: all that there is */
}

static void fetch_tag(file_pipe *p)
{
    have(p, PIECE + shoal_mp3_tag(p->head, 10));
}

static void begin_ogg(file_pipe *p)
{
    p->is_ogg = 1;
    shoal_ogg_look(&p->pages, p->head, (size_t)p->got);
}

static int type_of(const SF_INFO *info)
{
    return info->format & SF_FORMAT_TYPEMASK;
}

static int reads_ahead(const SF_INFO *info)
{
    return type_of(info) == SF_FORMAT_FLAC || type_of(info) == SF_FORMAT_OGG ||
           type_of(info) == SF_FORMAT_MPEG;
}

SNDFILE *file_pipe_sound(file_pipe *p, SF_INFO *info)
{
    SF_VIRTUAL_IO io = { on_length, on_seek, on_read, on_write, on_tell };
    const uint8_t *h = p->head;
    SNDFILE *file;

    if (!(info->format & SF_FORMAT_TYPEMASK) && have(p, 12)) {
        if (!memcmp(h, "RIFF", 4) && !memcmp(h + 8, "WAVE", 4))
            mend_wav(p);
        else if (!memcmp(h, "FORM", 4) && !memcmp(h + 8, "AIF", 3))
            find_chunk(p, "SSND", 1);
        else if (!memcmp(h, "OggS", 4))
            begin_ogg(p);
        else if (!memcmp(h, "caff", 4))
            mend_caf(p);
        else if (!memcmp(h, "ID3", 3))
            fetch_tag(p);
    }
    p->opening = 1;
    file = sf_open_virtual(&io, SFM_READ, info, p);
    p->opening = 0;
    return file;
}

int file_pipe_is_dry(const file_pipe *p, const SF_INFO *info)
{
    return p->ended && p->at >= p->got && p->idle_reads > 0 && !reads_ahead(info);
}

/* Live samples are not waited for any longer than those of a header. */
int file_pipe_has_header(file_pipe *p, char *why, size_t why_size)
{
    have(p, SHOAL_SNIFF_BYTES);
    return file_check_is_container(
        p->head, (size_t)(p->got < SHOAL_SNIFF_BYTES ? p->got : SHOAL_SNIFF_BYTES), why, why_size);
}

void file_pipe_explain(const file_pipe *p, const char *words, char *why, size_t why_size)
{
    sf_count_t kept = p->got < HEAD_BYTES ? p->got : HEAD_BYTES;
    const char *kind = shoal_file_kind(p->head, (size_t)kept);

    if (p->error)
        snprintf(why, why_size, "cannot read it: %s", strerror(p->error));
    else if (p->got == 0)
        snprintf(why, why_size, "%s is empty", p->is_path ? "it" : "standard input");
    else if (kind)
        snprintf(why, why_size, "this is %s, which libsndfile cannot read; convert it first: %s",
                 kind, file_pipe_remedy);
    else
        snprintf(why, why_size,
                 "cannot read it as audio: %s; if it is audio, convert it first: %s; if it is "
                 "samples without a header, say which: --raw s16le --rate 16000",
                 words, file_pipe_remedy);
}

/* ---- the end ---- */

static double sample_bytes(const SF_INFO *info)
{
    switch (info->format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_16: return 2;
    case SF_FORMAT_PCM_24: return 3;
    case SF_FORMAT_PCM_32:
    case SF_FORMAT_FLOAT: return 4;
    case SF_FORMAT_DOUBLE: return 8;
    default: return 1;
    }
}

double file_pipe_seconds(const SF_INFO *info)
{
    double seconds = (double)info->frames / info->samplerate;
    double bytes = (double)info->frames * info->channels * sample_bytes(info);

    if (info->frames <= 0 || seconds > longest_s || (!reads_ahead(info) && bytes >= sound_unknown))
        return 0;
    return seconds;
}

/* Until so many bytes of the file have come, its end or another recording; how many came. */
static sf_count_t read_on(file_pipe *p, sf_count_t most)
{
    uint8_t bytes[PIECE];
    sf_count_t before = p->got;

    while (!p->pages.later && p->got < most && receive(p, bytes, sizeof bytes) > 0)
        ;
    return p->got - before;
}

/* libsndfile has come to the end of the first recording; is it the file's? */
static file_promise ogg_promise(file_pipe *p)
{
    read_on(p, p->got + SHOAL_OGG_TAIL_BYTES);
    return (file_promise){ .damaged = p->pages.lost,
                           .more = p->pages.later,
                           .cut = !p->pages.later && !shoal_tail_is_whole_ogg(&p->tail) };
}

/* Another one, behind the first. */
static int has_second_flac(file_pipe *p)
{
    read_on(p, p->got + PIECE);
    return shoal_tail_has_flac_head(&p->tail, (uint64_t)p->got);
}

static size_t head_size(const file_pipe *p)
{
    return (size_t)(p->got < HEAD_BYTES ? p->got : HEAD_BYTES);
}

static int has_second_mp3(file_pipe *p)
{
    read_on(p, p->got + PIECE);
    return shoal_tail_has_mp3(&p->tail, (uint64_t)p->got, p->head, head_size(p));
}

/* Behind the data chunk of a WAV file. */
static int has_more_sound(file_pipe *p)
{
    read_on(p, (sf_count_t)p->promised + PIECE);
    return shoal_tail_is_more_sound(&p->tail, (uint64_t)p->got, p->promised);
}

file_promise file_pipe_check_whole(file_pipe *p, const SF_INFO *info, double decoded)
{
    file_promise promise = { .seconds = file_pipe_seconds(info) };

    if (!p->promised)
        p->promised = shoal_file_promise(p->head, head_size(p));
    if (type_of(info) == SF_FORMAT_OGG)
        promise = ogg_promise(p);
    else if (decoded <= 0 && promise.seconds <= 0 && read_on(p, endless) > more_than_tags)
        promise = (file_promise){ .cut = 1, .unended = 1 };
    else
        promise.cut = promise.seconds > decoded + tolerance_s;
    if (!promise.cut && (uint64_t)p->got < p->promised)
        promise = (file_promise){ .cut = 1 }; /* readers of packed sound go on with silence */
    if (!promise.cut && type_of(info) == SF_FORMAT_WAV && p->promised)
        promise.more = has_more_sound(p);
    if (!promise.cut && type_of(info) == SF_FORMAT_FLAC)
        promise.more = has_second_flac(p);
    if (!promise.cut && type_of(info) == SF_FORMAT_MPEG)
        promise.more = has_second_mp3(p);
    promise.cut |= promise.damaged || promise.more;
    return promise;
}

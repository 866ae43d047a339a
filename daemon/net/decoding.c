/* decoding.c - the decoder's process: libsndfile between two ends of a socket; see decode.h
 *
 * Descriptor 0 is the socket, 3 where the last words go; there is no other, and none can be opened
 * (confine.h). What happens to this process happens to one file. It ends when the socket does. */
#include "net/decode.h"

#include "net/confine.h"
#include "net/leap.h"
#include "net/seen.h"

#include <errno.h>
#include <signal.h>
#include <sndfile.h>
#include <soxr.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUT_BYTES = 16 << 10,
    BLOCKS_A_SECOND = 50, /* read at a time, so that live audio need not wait */
    MOST_BLOCK = 8 << 10, /* frames */
    MOST_FILE_CHANNELS = 64,
    LOWEST_FILE_RATE = 1000, /* lest a few bytes become hours; as shoal-file has it */
    HIGHEST_FILE_RATE = 384000,
    CONVERTED_RATE = 16000,
    MOST_IDLE_READS = 1000,
    OPENING_CPU_S = 3,
    NICE = 5,
    MOST_MEMORY = 1 << 30
};

enum { SOCKET, REPORT = 3 };

typedef struct decoding {
    char why[400];
    shoald_seen seen;
    sf_count_t at; /* where it is read */
    sf_count_t leapt_from, leapt_to;
    SNDFILE *file;
    SF_INFO info;
    soxr_t soxr; /* NULL: samples go out as they are */
    sf_count_t frames;
    float *block, *mono; /* [block_frames, channels], [block_frames] */
    sf_count_t block_frames;
    unsigned char out[OUT_BYTES];
    size_t out_size;
    bool gone;      /* nobody wants the samples any more */
    bool ended;     /* all was read */
    int idle_reads; /* in a row, that found nothing */
} decoding;

static const char endless[] =
    "the body is no audio file that can be read (it leads nowhere): convert "
    "it first, ffmpeg -i FILE -f wav -";

/* Closing a socket with unread bytes would be an error at the other end, before it has read its
 * own. */
static void drain(void)
{
    char bytes[4096];
    ssize_t n;
    shutdown(SOCKET, SHUT_WR);
    do
        n = recv(SOCKET, bytes, sizeof bytes, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
}

/* What a library has lost in the process goes with it. */
static _Noreturn void finish(const char *why)
{
    (void)!write(REPORT, why, strlen(why) + 1);
    drain();
    _exit(0);
}

/* ---- samples out --------------------------------------------------------------------- */

static void flush(decoding *d)
{
    size_t sent = 0;
    while (sent < d->out_size && !d->gone) {
        ssize_t n = send(SOCKET, d->out + sent, d->out_size - sent, MSG_NOSIGNAL);
        d->gone = n < 0 && errno != EINTR;
        sent += n > 0 ? (size_t)n : 0;
    }
    d->out_size = 0;
}

static void put(decoding *d, const void *bytes, size_t n)
{
    for (const unsigned char *from = bytes; n && !d->gone;) {
        size_t k = n < OUT_BYTES - d->out_size ? n : OUT_BYTES - d->out_size;
        memcpy(d->out + d->out_size, from, k);
        d->out_size += k;
        from += k;
        n -= k;
        if (d->out_size == OUT_BYTES)
            flush(d);
    }
}

/* What is decoded goes out before it waits for more. */
static void flush_if_dry(decoding *d)
{
    char byte;
    if (d->out_size && recv(SOCKET, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
        flush(d);
}

/* ---- the file's bytes in ------------------------------------------------------------- */

/* At the frontier: waits for up to n bytes; 0: there are no more. */
static sf_count_t receive(decoding *d, unsigned char *to, sf_count_t n)
{
    ssize_t got;
    flush_if_dry(d);
    do
        got = d->gone ? 0 : recv(SOCKET, to, (size_t)n, 0);
    while (got < 0 && errno == EINTR);
    d->ended |= got <= 0;
    if (got <= 0)
        return 0;
    shoald_seen_keep(&d->seen, to, (size_t)got);
    return got;
}

static sf_count_t copy_part(unsigned char *to, const unsigned char *from, sf_count_t size,
                            sf_count_t n)
{
    sf_count_t k = size < n ? size : n;
    if (from)
        memcpy(to, from, (size_t)k);
    else
        memset(to, 0, (size_t)k);
    return k;
}

/* From the beginning, or from what came last. What was leapt over is read again by some, to pass
 * it: as zeros. */
static sf_count_t read_back(decoding *d, unsigned char *to, sf_count_t n)
{
    sf_count_t head = (sf_count_t)shoald_seen_head(&d->seen);
    sf_count_t tail = d->seen.got - (sf_count_t)d->seen.tail.size;
    if (d->at < head)
        return copy_part(to, d->seen.head + d->at, head - d->at, n);
    if (d->at >= tail)
        return copy_part(to, d->seen.tail.bytes + (d->at - tail), d->seen.got - d->at, n);
    bool blank = d->at >= d->leapt_from && d->at < d->leapt_to;
    return blank ? copy_part(to, NULL, (d->leapt_to < tail ? d->leapt_to : tail) - d->at, n) : 0;
}

/* While the header is read. */
static bool is_beside_sound(const decoding *d)
{
    return !d->file && shoald_leap_is_beside_sound(&(shoald_leap){ .head = d->seen.head,
                                                                   .last = d->seen.tail.bytes,
                                                                   .last_size = d->seen.tail.size,
                                                                   .from = d->seen.got,
                                                                   .to = d->at });
}

/* Up to where it is read. false: the file ends before that. */
static bool leap(decoding *d)
{
    unsigned char bytes[4096];
    d->leapt_from = d->seen.got;
    d->leapt_to = d->at;
    while (d->seen.got < d->at) {
        sf_count_t n = d->at - d->seen.got < (sf_count_t)sizeof bytes ? d->at - d->seen.got
                                                                      : (sf_count_t)sizeof bytes;
        if (receive(d, bytes, n) == 0)
            return false;
    }
    return true;
}

/* All of it, unless the file ends: libsndfile takes less for the end. Ahead of what has come there
 * is nothing, so that it does not look for what lies behind the samples. */
static sf_count_t read_at(decoding *d, void *to, sf_count_t n)
{
    sf_count_t done = 0;
    if (d->at > d->seen.got && is_beside_sound(d) && !leap(d))
        return 0;
    while (done < n && d->at <= d->seen.got) {
        unsigned char *rest = (unsigned char *)to + done;
        sf_count_t k =
            d->at < d->seen.got ? read_back(d, rest, n - done) : receive(d, rest, n - done);
        if (k == 0)
            break;
        d->at += k;
        done += k;
    }
    return done;
}

/* Some formats' readers look for their next chunk for ever where there is nothing to read. */
static sf_count_t on_read(void *to, sf_count_t n, void *user)
{
    decoding *d = user;
    sf_count_t got = read_at(d, to, n);
    d->idle_reads = got ? 0 : d->idle_reads + 1;
    if (d->idle_reads == MOST_IDLE_READS)
        finish(endless);
    return got;
}

/* Nobody knows; longer than any. */
static sf_count_t on_length(void *user)
{
    (void)user;
    return (sf_count_t)1 << 40;
}

/* The end is nowhere: then MPEG is not searched for tags there. */
static sf_count_t on_seek(sf_count_t offset, int whence, void *user)
{
    decoding *d = user;
    sf_count_t from = whence == SEEK_CUR ? d->at : 0;
    if (whence == SEEK_END || from + offset < 0)
        return -1;
    return d->at = from + offset;
}

static sf_count_t on_tell(void *user)
{
    return ((decoding *)user)->at;
}

static sf_count_t on_write(const void *from, sf_count_t n, void *user)
{
    (void)from, (void)n, (void)user;
    return 0;
}

/* ---- conversion ---------------------------------------------------------------------- */

static bool fits_a_session(const SF_INFO *i)
{
    return i->samplerate >= SHOAL_MIN_RATE && i->samplerate <= SHOAL_MAX_RATE &&
           i->channels <= SHOAL_MAX_CHANNELS;
}

static bool is_s16(const SF_INFO *i)
{
    return (i->format & SF_FORMAT_SUBMASK) == SF_FORMAT_PCM_16;
}

static void mix(const decoding *d, sf_count_t frames)
{
    int channels = d->info.channels;
    for (sf_count_t i = 0; i < frames; i++) {
        float sum = 0;
        for (int k = 0; k < channels; k++)
            sum += d->block[i * channels + k];
        d->mono[i] = sum / (float)channels;
    }
}

/* frames of mono; 0: what the resampler still holds. */
static void put_converted(decoding *d, sf_count_t frames)
{
    float made[2048];
    size_t used = 0, taken, n;
    do {
        if (soxr_process(d->soxr, frames ? d->mono + used : NULL, (size_t)frames - used, &taken,
                         made, sizeof made / sizeof made[0], &n))
            return;
        used += taken;
        put(d, made, n * sizeof made[0]);
    } while ((used < (size_t)frames || n == sizeof made / sizeof made[0]) && !d->gone);
}

/* ---- the process --------------------------------------------------------------------- */

static int open_buffers(decoding *d)
{
    d->block_frames = d->info.samplerate / BLOCKS_A_SECOND + 1;
    if (d->block_frames > MOST_BLOCK)
        d->block_frames = MOST_BLOCK;
    d->block = calloc((size_t)(d->block_frames * d->info.channels), sizeof(float));
    d->mono = calloc((size_t)d->block_frames, sizeof(float));
    if (!fits_a_session(&d->info))
        d->soxr = soxr_create(d->info.samplerate, CONVERTED_RATE, 1, NULL, NULL, NULL, NULL);
    return d->block && d->mono && (fits_a_session(&d->info) || d->soxr) ? 0 : -1;
}

static void put_header(decoding *d)
{
    shoald_sound s = { d->info.samplerate, d->info.channels, is_s16(&d->info) };
    if (d->soxr)
        s = (shoald_sound){ CONVERTED_RATE, 1, false };
    put(d, &s, sizeof s);
    flush(d);
}

static int type_of(const decoding *d)
{
    return d->info.format & SF_FORMAT_TYPEMASK;
}

/* All was read, and more was asked for: of what is cut off some formats would make silence without
 * end. Those that read ahead end by themselves. */
static bool is_dry(const decoding *d)
{
    bool ahead =
        type_of(d) == SF_FORMAT_FLAC || type_of(d) == SF_FORMAT_OGG || type_of(d) == SF_FORMAT_MPEG;
    return d->ended && d->at >= d->seen.got && d->idle_reads > 0 && !ahead;
}

/* Native byte order, which is little-endian wherever we build. */
static sf_count_t pass_block(decoding *d)
{
    size_t samples = (size_t)d->info.channels;
    bool s16 = !d->soxr && is_s16(&d->info);
    flush_if_dry(d);
    if (is_dry(d))
        return 0;
    sf_count_t n = s16 ? sf_readf_short(d->file, (short *)(void *)d->block, d->block_frames)
                       : sf_readf_float(d->file, d->block, d->block_frames);
    if (n <= 0)
        return 0;
    d->frames += n;
    if (d->soxr) {
        mix(d, n);
        put_converted(d, n);
    } else {
        put(d, d->block, (size_t)n * samples * (s16 ? sizeof(short) : sizeof(float)));
    }
    return n;
}

/* Some write the most that fits where they do not know the length; MPEG counts what is decoded
 * before and behind the sound. Elsewhere any frame that is missing was damaged or cut off. */
static bool is_cut(const decoding *d)
{
    enum { LONGEST_S = 1 << 20, MPEG_PADDING = 2304 };
    bool padded = type_of(d) == SF_FORMAT_MPEG;
    bool unknown = d->info.frames >= INT32_MAX / d->info.channels / 4 ||
                   d->info.frames / d->info.samplerate > LONGEST_S;
    return !unknown && d->frames + (padded ? MPEG_PADDING : 0) < d->info.frames;
}

/* Some of what follows is looked at. */
static bool has_more(decoding *d)
{
    unsigned char bytes[4096];
    sf_count_t end = d->at, most = d->seen.got + SHOAL_OGG_TAIL_BYTES;
    while (d->seen.got < most && !d->seen.pages.later && receive(d, bytes, sizeof bytes) > 0)
        ;
    return shoald_seen_has_more(&d->seen, type_of(d), end);
}

/* What libsndfile had no use for; 0 where there was sound. */
static sf_count_t left_over(decoding *d)
{
    unsigned char bytes[4096];
    sf_count_t before = d->seen.got;
    while (d->frames == 0 && receive(d, bytes, sizeof bytes) > 0)
        ;
    return d->seen.got - before;
}

static void say_end(decoding *d)
{
    enum { TAGS = 4096 };
    double rate = d->info.samplerate;
    sf_count_t left = left_over(d);
    if (left > TAGS && !is_cut(d))
        snprintf(d->why, sizeof d->why,
                 "the file's header says that it has no sound, but %lld bytes follow: was the "
                 "recording not ended? ffmpeg -i FILE -f wav - makes it whole",
                 (long long)left);
    else if (d->frames && has_more(d))
        snprintf(d->why, sizeof d->why,
                 "more sound follows the %.2f s that could be read, which the header knows nothing "
                 "of: are these several recordings, one behind the other? Send each by itself",
                 (double)d->frames / rate);
    else if (type_of(d) == SF_FORMAT_OGG && d->seen.pages.lost)
        snprintf(d->why, sizeof d->why,
                 "the file is damaged: %.2f s could be read, and some is missing in the middle, so "
                 "times behind that are too early",
                 (double)d->frames / rate);
    else if (shoald_seen_has_no_end(&d->seen, type_of(d)))
        snprintf(d->why, sizeof d->why,
                 "the file has %.2f s of sound and ends without its end mark: was it cut off?",
                 (double)d->frames / rate);
    else if (is_cut(d))
        snprintf(d->why, sizeof d->why,
                 "the file has %.2f s of sound and says that it has %.2f s: is it damaged, or cut "
                 "off?",
                 (double)d->frames / rate, (double)d->info.frames / rate);
    else if (sf_error(d->file) != SF_ERR_NO_ERROR)
        snprintf(d->why, sizeof d->why, "the file cannot be read beyond %.2f s: %.200s",
                 (double)d->frames / rate, sf_strerror(d->file));
}

static void say_unreadable(decoding *d)
{
    size_t n = shoald_seen_head(&d->seen);
    const char *kind = shoal_file_kind(d->seen.head, n);
    if (kind)
        snprintf(d->why, sizeof d->why,
                 "the body is %s, which is not read here: convert it first, ffmpeg -i FILE -f wav "
                 "- | curl --data-binary @- URL",
                 kind);
    else
        snprintf(
            d->why, sizeof d->why,
            "%s (%.120s): send a whole file, converted where it is none of WAV, FLAC, Ogg, MP3 and "
            "the like: ffmpeg -i FILE -f wav -; or raw samples with format= and rate=",
            d->seen.got ? "the body is no audio file that can be read" : "the body cannot be read",
            sf_strerror(NULL));
}

static bool is_sound(const SF_INFO *i)
{
    return i->samplerate >= LOWEST_FILE_RATE && i->samplerate <= HIGHEST_FILE_RATE &&
           i->channels >= 1 && i->channels <= MOST_FILE_CHANNELS;
}

static void decode(decoding *d)
{
    SF_VIRTUAL_IO io = { on_length, on_seek, on_read, on_write, on_tell };
    d->file = sf_open_virtual(&io, SFM_READ, &d->info, d);
    if (!d->file) {
        say_unreadable(d);
    } else if (!is_sound(&d->info)) {
        snprintf(
            d->why, sizeof d->why,
            "the file has %d channels at %d Hz, up to %d at %d to %d are read: convert it first",
            d->info.channels, d->info.samplerate, MOST_FILE_CHANNELS, LOWEST_FILE_RATE,
            HIGHEST_FILE_RATE);
    } else if (open_buffers(d) < 0) {
        snprintf(d->why, sizeof d->why, "no memory to decode the file: try again later");
    } else {
        put_header(d);
        while (!d->gone && pass_block(d) > 0)
            ;
        if (d->soxr)
            put_converted(d, 0);
        flush(d);
        say_end(d);
    }
}

static void limit(int what, rlim_t most, rlim_t at_all)
{
    const struct rlimit both = { most, at_all };
    setrlimit(what, &both);
}

static decoding ours;

/* So much of a processor, and no header yet. Later it says nothing: a file may be long. */
static void on_processor_used(int number)
{
    (void)number;
    if (!ours.file)
        finish(endless);
}

/* It goes with its parent, and when that drains it has still to finish. Live audio goes first. A
 * sanitizer's shadow is larger than any limit. */
static void settle_in(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)!nice(NICE);
    signal(SIGXCPU, on_processor_used);
    limit(RLIMIT_CPU, OPENING_CPU_S, RLIM_INFINITY);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_FSIZE, 0, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    limit(RLIMIT_AS, MOST_MEMORY, MOST_MEMORY);
#endif
}

int shoald_decode_main(void)
{
    decoding *d = &ours;
    settle_in();
    d->seen.head = malloc(SHOALD_SEEN_HEAD_BYTES);
    if (shoald_confine() < 0)
        snprintf(d->why, sizeof d->why,
                 "no file is decoded here: the kernel refuses the filter of "
                 "system calls (seccomp) that has to be around that; send raw samples");
    else if (d->seen.head)
        decode(d);
    else
        snprintf(d->why, sizeof d->why, "no memory to decode the file: try again later");
    finish(d->why);
}

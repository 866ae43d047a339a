/* decode.c - see decode.h
 *
 * The decoder is freed by whoever lets go last. What the thread says at its end is written before
 * it shuts its side down, and read after that has been seen. */
#include "net/decode.h"

#include "shoal-wire.h"

#include <errno.h>
#include <pthread.h>
#include <sndfile.h>
#include <soxr.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 256 << 10, /* of the file, kept */
    OUT_BYTES = 16 << 10,
    BLOCKS_A_SECOND = 50, /* read at a time, so that live audio need not wait */
    MOST_BLOCK = 8 << 10, /* frames */
    MOST_FILE_CHANNELS = 64,
    STACK_BYTES = 1 << 20,
    CONVERTED_RATE = 16000
};

struct shoald_decoder {
    atomic_int holders; /* loop and thread */
    int mine, theirs;   /* ends of the pair: the loop's, the thread's */
    _Atomic bool over;  /* why is settled */
    char why[400];

    /* the thread's own */
    unsigned char *head; /* [HEAD_BYTES] the file's beginning */
    sf_count_t got, at;  /* bytes of the file that have come; where it is read */
    SNDFILE *file;
    SF_INFO info;
    soxr_t soxr; /* NULL: samples go out as they are */
    sf_count_t frames;
    float *block, *mono; /* [block_frames, channels], [block_frames] */
    sf_count_t block_frames;
    unsigned char out[OUT_BYTES];
    size_t out_size;
    bool gone; /* nobody wants the samples any more */
};

static void let_go(shoald_decoder *d)
{
    if (atomic_fetch_sub(&d->holders, 1) > 1)
        return;
    free(d->head);
    free(d);
}

/* ---- samples out --------------------------------------------------------------------- */

static void flush(shoald_decoder *d)
{
    size_t sent = 0;
    while (sent < d->out_size && !d->gone) {
        ssize_t n = send(d->theirs, d->out + sent, d->out_size - sent, MSG_NOSIGNAL);
        d->gone = n < 0 && errno != EINTR;
        sent += n > 0 ? (size_t)n : 0;
    }
    d->out_size = 0;
}

static void put(shoald_decoder *d, const void *bytes, size_t n)
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
static void flush_if_dry(shoald_decoder *d)
{
    char byte;
    if (d->out_size && recv(d->theirs, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
        flush(d);
}

/* ---- the file's bytes in ------------------------------------------------------------- */

/* At the frontier: waits for up to n bytes; 0: there are no more. */
static sf_count_t receive(shoald_decoder *d, unsigned char *to, sf_count_t n)
{
    ssize_t got;
    flush_if_dry(d);
    do
        got = d->gone ? 0 : recv(d->theirs, to, (size_t)n, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return 0;
    if (d->got < HEAD_BYTES) {
        sf_count_t room = HEAD_BYTES - d->got;
        memcpy(d->head + d->got, to, (size_t)(got < room ? got : room));
    }
    d->got += got;
    return got;
}

static sf_count_t read_back(shoald_decoder *d, unsigned char *to, sf_count_t n)
{
    sf_count_t end = d->got < HEAD_BYTES ? d->got : HEAD_BYTES;
    sf_count_t k = d->at < end ? end - d->at : 0;
    k = k < n ? k : n;
    memcpy(to, d->head + d->at, (size_t)k);
    return k;
}

/* All of it, unless the file ends: libsndfile takes less for the end. Ahead of what has come there
 * is nothing, so that it does not look for what lies behind the samples. */
static sf_count_t on_read(void *to, sf_count_t n, void *user)
{
    shoald_decoder *d = user;
    sf_count_t done = 0;
    while (done < n && d->at <= d->got) {
        unsigned char *rest = (unsigned char *)to + done;
        sf_count_t k = d->at < d->got ? read_back(d, rest, n - done) : receive(d, rest, n - done);
        if (k == 0)
            break;
        d->at += k;
        done += k;
    }
    return done;
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
    shoald_decoder *d = user;
    sf_count_t from = whence == SEEK_CUR ? d->at : 0;
    if (whence == SEEK_END || from + offset < 0)
        return -1;
    return d->at = from + offset;
}

static sf_count_t on_tell(void *user)
{
    return ((shoald_decoder *)user)->at;
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

static void mix(const shoald_decoder *d, sf_count_t frames)
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
static void put_converted(shoald_decoder *d, sf_count_t frames)
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

/* ---- the thread ---------------------------------------------------------------------- */

static int open_buffers(shoald_decoder *d)
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

static void put_header(shoald_decoder *d)
{
    shoald_sound s = { d->info.samplerate, d->info.channels, is_s16(&d->info) };
    if (d->soxr)
        s = (shoald_sound){ CONVERTED_RATE, 1, false };
    put(d, &s, sizeof s);
    flush(d);
}

/* Native byte order, which is little-endian wherever we build. */
static sf_count_t pass_block(shoald_decoder *d)
{
    size_t samples = (size_t)d->info.channels;
    bool s16 = !d->soxr && is_s16(&d->info);
    flush_if_dry(d);
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

/* Some write the most that fits where they do not know the length. */
static bool is_cut(const shoald_decoder *d)
{
    enum { LONGEST_S = 1 << 20, MPEG_PADDING = 2304 };
    bool unknown = d->info.frames >= INT32_MAX / d->info.channels / 4 ||
                   d->info.frames / d->info.samplerate > LONGEST_S;
    return !unknown && d->frames + MPEG_PADDING < d->info.frames;
}

static void say_end(shoald_decoder *d)
{
    double rate = d->info.samplerate;
    if (is_cut(d))
        snprintf(d->why, sizeof d->why,
                 "the file has %.2f s of sound and says that it has %.2f s: was it cut off?",
                 (double)d->frames / rate, (double)d->info.frames / rate);
    else if (sf_error(d->file) != SF_ERR_NO_ERROR)
        snprintf(d->why, sizeof d->why, "the file cannot be read beyond %.2f s: %.200s",
                 (double)d->frames / rate, sf_strerror(d->file));
}

static void say_unreadable(shoald_decoder *d)
{
    snprintf(
        d->why, sizeof d->why,
        "%s (%.120s): send a whole file, converted where it is none of WAV, FLAC, Ogg, MP3 and "
        "the like: ffmpeg -i FILE -f wav -; or raw samples with format= and rate=",
        d->got ? "the body is no audio file that can be read" : "the body cannot be read",
        sf_strerror(NULL));
}

static void decode(shoald_decoder *d)
{
    SF_VIRTUAL_IO io = { on_length, on_seek, on_read, on_write, on_tell };
    d->file = sf_open_virtual(&io, SFM_READ, &d->info, d);
    if (!d->file) {
        say_unreadable(d);
    } else if (d->info.samplerate < 1 || d->info.channels < 1 ||
               d->info.channels > MOST_FILE_CHANNELS) {
        snprintf(d->why, sizeof d->why, "the file has %d channels at %d Hz: convert it first",
                 d->info.channels, d->info.samplerate);
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

/* Closing a socket with unread bytes would be an error at the other end, before it has read its
 * own. */
static void drain(shoald_decoder *d)
{
    ssize_t n;
    shutdown(d->theirs, SHUT_WR);
    do
        n = recv(d->theirs, d->out, sizeof d->out, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    close(d->theirs);
}

static void *run(void *arg)
{
    shoald_decoder *d = arg;
    decode(d);
    if (d->file)
        sf_close(d->file);
    if (d->soxr)
        soxr_delete(d->soxr);
    free(d->block);
    free(d->mono);
    atomic_store(&d->over, true);
    drain(d);
    let_go(d);
    return NULL;
}

/* ---- the loop's side ----------------------------------------------------------------- */

static int start_thread(shoald_decoder *d)
{
    pthread_attr_t how;
    pthread_t thread;
    if (pthread_attr_init(&how) != 0)
        return -1;
    pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&how, STACK_BYTES);
    int result = pthread_create(&thread, &how, run, d);
    pthread_attr_destroy(&how);
    return result == 0 ? 0 : -1;
}

shoald_decoder *shoald_decoder_start(void)
{
    int pair[2];
    shoald_decoder *d = calloc(1, sizeof *d);
    if (!d || !(d->head = malloc(HEAD_BYTES)) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        free(d ? d->head : NULL);
        free(d);
        return NULL;
    }
    d->mine = pair[0];
    d->theirs = pair[1];
    atomic_store(&d->holders, 2);
    if (start_thread(d) == 0)
        return d;
    close(pair[0]);
    close(pair[1]);
    free(d->head);
    free(d);
    return NULL;
}

int shoald_decoder_fd(const shoald_decoder *d)
{
    return d->mine;
}

const char *shoald_decoder_why(const shoald_decoder *d)
{
    return atomic_load(&d->over) ? d->why : "the decoder broke off";
}

void shoald_decoder_end(shoald_decoder *d)
{
    close(d->mine);
    let_go(d);
}

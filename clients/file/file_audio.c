/* file_audio.c - see file_audio.h
 *
 * Two readers: `direct` copies samples, `converted` goes
 * read block -> mean of channels -> soxr, and drains soxr at the end of the file. Samples are
 * sent little-endian; on a big-endian machine they are swapped after reading. Where one channel is
 * picked both read all of them into a block first.
 */
#include "file/file_audio.h"

#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <soxr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/file_check.h"
#include "file/file_pipe.h"

enum { BLOCK_FRAMES = 4096 };

/* Standard input by a name: for a file there, which can be looked at more than once. */
static const char from_stdin[] = "/dev/stdin";

/* Channels cancel when the mean has less than a thousandth (-30 dB) of what each has, and that is
 * no mere noise (-60 dB of full scale). */
static const double cancel_share = 1e-3, least_power = 1e-6;

struct file_audio {
    SNDFILE *file;
    SF_INFO source;
    const char *path;
    file_pipe *pipe; /* NULL: path can be looked at more than once */
    file_audio_info info;
    file_audio_state state;
    double power, mean_power; /* sums over frames: of a channel, of the mean of the channels */
    /* conversion only: */
    soxr_t soxr;
    float *block;                /* [BLOCK_FRAMES, source.channels] */
    float *mono;                 /* [BLOCK_FRAMES] */
    size_t mono_used, mono_size; /* the part of mono that soxr has not taken yet */
    int at_end;
    int channel;       /* the one that is taken, from 1; 0: all */
    void *interleaved; /* [BLOCK_FRAMES, source.channels] s16 or f32, to pick from */
};

static void to_little_endian(void *bytes, size_t n, size_t width)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++, p += width)
        for (size_t k = 0; k < width / 2; k++) {
            uint8_t t = p[k];
            p[k] = p[width - 1 - k];
            p[width - 1 - k] = t;
        }
#else
    (void)bytes, (void)n, (void)width;
#endif
}

static int is_s16(const SF_INFO *source)
{
    return (source->format & SF_FORMAT_SUBMASK) == SF_FORMAT_PCM_16;
}

static int needs_conversion(const file_audio *a, const file_audio_limits *limits)
{
    return a->source.samplerate < limits->min_rate || a->source.samplerate > limits->max_rate ||
           (!a->channel && a->source.channels > limits->max_channels);
}

static int open_converter(file_audio *a, int rate, char *why, size_t why_size)
{
    soxr_error_t error = NULL;

    a->soxr = soxr_create(a->source.samplerate, rate, 1, &error, NULL, NULL, NULL);
    a->block = malloc(sizeof(float) * BLOCK_FRAMES * (size_t)a->source.channels);
    a->mono = malloc(sizeof(float) * BLOCK_FRAMES);
    if (!a->soxr || !a->block || !a->mono) {
        snprintf(why, why_size, "cannot resample from %d to %d Hz: %s", a->source.samplerate, rate,
                 error ? soxr_strerror(error) : "out of memory");
        return -1;
    }
    return 0;
}

static void describe(file_audio *a, int converted, int rate)
{
    file_audio_info *info = &a->info;
    int channels = a->channel ? 1 : a->source.channels;

    info->s16 = !converted && is_s16(&a->source);
    info->rate = converted ? rate : a->source.samplerate;
    info->channels = converted ? 1 : channels;
    info->file_rate = a->source.samplerate;
    info->frame_bytes = (info->s16 ? 2 : 4) * (size_t)info->channels;
    if (a->pipe)
        info->duration = file_pipe_seconds(&a->source);
    else if (a->source.frames > 0 && a->source.frames < (sf_count_t)1 << 48)
        info->duration = (double)a->source.frames / a->source.samplerate;
}

/* The library's own words, without "Error : " in front and the full stop. */
static void take_words(char *words, size_t size)
{
    static const char error[] = "Error : ";
    const char *said = sf_strerror(NULL);
    size_t n;

    snprintf(words, size, "%s", strncmp(said, error, strlen(error)) ? said : said + strlen(error));
    n = strlen(words);
    if (n && words[n - 1] == '.')
        words[n - 1] = '\0';
}

static int is_stdin(const char *path)
{
    return !strcmp(path, from_stdin);
}

/* They say little to somebody who has an m4a. */
static void explain(const char *path, const char *words, char *why, size_t why_size)
{
    const char *kind = file_check_kind_of(path);
    char name[256], remedy[600];

    file_check_quote(name, sizeof name, path);
    if (is_stdin(path))
        snprintf(remedy, sizeof remedy, "%s", file_pipe_remedy);
    else
        snprintf(remedy, sizeof remedy, "ffmpeg -i %s %s.wav", name, name);
    if (kind)
        snprintf(why, why_size, "this is %s, which libsndfile cannot read; convert it first: %s",
                 kind, remedy);
    else
        snprintf(why, why_size, "cannot read it as audio: %s; if it is audio, convert it first: %s",
                 words, remedy);
}

static const struct {
    const char *name;
    int format;
} raw_formats[] = {
    { "s16le", SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE },
    { "f32le", SF_FORMAT_FLOAT | SF_ENDIAN_LITTLE },
    { "mulaw", SF_FORMAT_ULAW },
    { "alaw", SF_FORMAT_ALAW },
};

static int raw_format(const char *name)
{
    for (size_t i = 0; i < sizeof raw_formats / sizeof *raw_formats; i++)
        if (!strcmp(raw_formats[i].name, name))
            return SF_FORMAT_RAW | raw_formats[i].format;
    return 0;
}

int file_audio_is_raw_format(const char *name)
{
    return raw_format(name) != 0;
}

/* What no conversion helps. */
static int is_no_file(const char *path, char *why, size_t why_size)
{
    struct stat s = { 0 };

    if (access(path, R_OK) < 0 || stat(path, &s) < 0)
        snprintf(why, why_size, "cannot read it: %s", strerror(errno));
    else if (S_ISDIR(s.st_mode))
        snprintf(why, why_size, "it is a folder: name the files in it, '%s'/*.wav", path);
    else if (S_ISREG(s.st_mode) && s.st_size == 0)
        snprintf(why, why_size, "%s is empty", is_stdin(path) ? "standard input" : "the file");
    else
        return 0;
    return 1;
}

static SNDFILE *open_pipe(file_pipe **pipe, const char *path, SF_INFO *info, char *why,
                          size_t why_size)
{
    char words[200];
    SNDFILE *f;

    *pipe = file_pipe_open(path);
    if (!*pipe) {
        snprintf(why, why_size, "cannot read it: %s", strerror(errno));
        return NULL;
    }
    if (info->format && file_pipe_has_header(*pipe, why, why_size))
        return NULL;
    f = file_pipe_sound(*pipe, info);
    if (f)
        return f;
    take_words(words, sizeof words);
    file_pipe_explain(*pipe, words, why, why_size);
    return NULL;
}

static SNDFILE *open_file(const char *path, SF_INFO *info, char *why, size_t why_size)
{
    char words[200];
    SNDFILE *f;

    if (is_no_file(path, why, why_size) ||
        (info->format && file_check_has_header(path, why, why_size)))
        return NULL;
    f = sf_open(path, SFM_READ, info);
    if (f)
        return f;
    take_words(words, sizeof words);
    explain(path, words, why, why_size);
    return NULL;
}

/* One that was cut off libsndfile refuses, where it can see its length. */
static int is_read_as_pipe(const char *path)
{
    char head[4];
    FILE *f = file_pipe_is(path) ? NULL : fopen(path, "rb");
    int is = f && fread(head, 1, sizeof head, f) == sizeof head && !memcmp(head, "caff", 4);

    if (f)
        fclose(f);
    return is;
}

int file_audio_count_channels(const char *path, char *why, size_t why_size)
{
    SF_INFO info = { 0 };
    SNDFILE *f = open_file(path, &info, why, why_size);

    if (!f)
        return -1;
    sf_close(f);
    return info.channels;
}

static int open_source(file_audio *a, const file_audio_limits *limits, char *why, size_t why_size)
{
    if (limits->raw)
        a->source = (SF_INFO){ .samplerate = limits->raw_rate,
                               .channels = limits->raw_channels,
                               .format = raw_format(limits->raw) };
    a->file = file_pipe_is(a->path) ? open_pipe(&a->pipe, a->path, &a->source, why, why_size)
                                    : open_file(a->path, &a->source, why, why_size);
    if (!a->file && !a->pipe && !limits->raw && is_read_as_pipe(a->path)) {
        char words[200]; /* what was said of the file is what helps */

        a->file = open_pipe(&a->pipe, a->path, &a->source, words, sizeof words);
    }
    if (!a->file)
        return -1;
    if (a->channel > a->source.channels) {
        snprintf(why, why_size, "it has no channel %d, only %d of them", a->channel,
                 a->source.channels);
        return -1;
    }
    return 0;
}

/* All that reading needs. */
static int prepare(file_audio *a, const file_audio_limits *limits, char *why, size_t why_size)
{
    int convert = needs_conversion(a, limits);

    if (convert && open_converter(a, limits->convert_rate, why, why_size) < 0)
        return -1;
    if (a->channel && !convert &&
        !(a->interleaved = malloc(sizeof(float) * BLOCK_FRAMES * (size_t)a->source.channels))) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    describe(a, convert, limits->convert_rate);
    return 0;
}

int file_audio_open(file_audio **out, const char *path, const file_audio_limits *limits, char *why,
                    size_t why_size)
{
    file_audio *a = calloc(1, sizeof *a);

    if (!a) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    a->path = strcmp(path, "-") != 0 || file_pipe_is(path) ? path : from_stdin;
    a->channel = limits->channel;
    if (open_source(a, limits, why, why_size) == 0 && prepare(a, limits, why, why_size) == 0) {
        *out = a;
        return 0;
    }
    file_audio_close(a);
    return -1;
}

void file_audio_close(file_audio *a)
{
    if (!a)
        return;
    if (a->file)
        sf_close(a->file);
    file_pipe_close(a->pipe);
    if (a->soxr)
        soxr_delete(a->soxr);
    free(a->block);
    free(a->mono);
    free(a->interleaved);
    free(a);
}

const file_audio_info *file_audio_get_info(const file_audio *a)
{
    return &a->info;
}

/* ---- what the samples are ---- */

/* Full scale is 1. */
static double value_at(const void *samples, size_t i, int s16)
{
    return s16 ? ((const int16_t *)samples)[i] / 32768.0 : (double)((const float *)samples)[i];
}

/* What is heard: all channels of the file, or the one that was picked. */
static void look_at(file_audio *a, const void *samples, size_t frames, int channels, int s16)
{
    double n = channels;
    size_t at = 0;

    for (size_t i = 0; i < frames; i++) {
        double sum = 0, squares = 0;

        for (int k = 0; k < channels; k++, at++) {
            double x = value_at(samples, at, s16);

            sum += x;
            squares += x * x;
            a->state.peak = fmax(a->state.peak, fabs(x));
        }
        a->power += squares / n;
        a->mean_power += sum * sum / (n * n);
    }
}

file_audio_state file_audio_get_state(const file_audio *a)
{
    file_audio_state state = a->state;

    state.cancels = a->power > least_power * (double)state.frames_read &&
                    a->mean_power < cancel_share * a->power;
    return state;
}

/* ---- reading ---- */

static void note_end(file_audio *a)
{
    double decoded = (double)a->state.frames_read / a->source.samplerate;
    file_promise p = a->pipe ? file_pipe_check_whole(a->pipe, &a->source, decoded)
                             : file_check_whole(a->path, decoded, a->info.duration);

    a->state.cut = p.cut;
    a->state.promised = p.seconds;
    a->state.unended = p.unended;
    a->state.damaged = p.damaged;
    a->state.more = p.more;
}

/* Up to so many frames, 0 at the end. */
static sf_count_t decode(file_audio *a, void *to, sf_count_t frames, int s16)
{
    if (a->pipe && file_pipe_is_dry(a->pipe, &a->source))
        return 0;
    return s16 ? sf_readf_short(a->file, to, frames) : sf_readf_float(a->file, to, frames);
}

static ptrdiff_t check_read(file_audio *a, sf_count_t got, char *why, size_t why_size)
{
    if (got <= 0)
        note_end(a);
    if (got <= 0 && a->pipe && file_pipe_error(a->pipe)) {
        snprintf(why, why_size, "reading stopped after %.2f s: %s",
                 (double)a->state.frames_read / a->source.samplerate,
                 strerror(file_pipe_error(a->pipe)));
        return -1;
    }
    if (got <= 0 && sf_error(a->file) != SF_ERR_NO_ERROR && !a->state.cut) {
        snprintf(why, why_size, "reading stopped after %.2f s: %s",
                 (double)a->state.frames_read / a->source.samplerate, sf_strerror(a->file));
        return -1;
    }
    a->state.frames_read += got > 0 ? got : 0;
    return got > 0 ? got : 0;
}

static void pick(const file_audio *a, void *to, size_t frames)
{
    size_t width = a->info.s16 ? 2 : 4, all = width * (size_t)a->source.channels;
    const uint8_t *from = (const uint8_t *)a->interleaved + width * (size_t)(a->channel - 1);
    uint8_t *p = to;

    for (size_t i = 0; i < frames; i++)
        memcpy(p + i * width, from + i * all, width);
}

static ptrdiff_t read_picked(file_audio *a, void *bytes, size_t frames, char *why, size_t why_size)
{
    sf_count_t most = (sf_count_t)(frames < BLOCK_FRAMES ? frames : BLOCK_FRAMES);
    sf_count_t got = decode(a, a->interleaved, most, a->info.s16);

    if (got > 0) {
        pick(a, bytes, (size_t)got);
        look_at(a, bytes, (size_t)got, 1, a->info.s16);
        to_little_endian(bytes, (size_t)got, a->info.s16 ? 2 : 4);
    }
    return check_read(a, got, why, why_size);
}

static ptrdiff_t read_direct(file_audio *a, void *bytes, size_t frames, char *why, size_t why_size)
{
    sf_count_t got = decode(a, bytes, (sf_count_t)frames, a->info.s16);

    if (got > 0) {
        look_at(a, bytes, (size_t)got, a->info.channels, a->info.s16);
        to_little_endian(bytes, (size_t)got * (size_t)a->info.channels, a->info.s16 ? 2 : 4);
    }
    return check_read(a, got, why, why_size);
}

/* Refill mono with the mean of the file's channels. Returns as check_read. */
static ptrdiff_t read_mono(file_audio *a, char *why, size_t why_size)
{
    size_t channels = (size_t)a->source.channels;
    ptrdiff_t got = check_read(a, decode(a, a->block, BLOCK_FRAMES, 0), why, why_size);

    for (ptrdiff_t i = 0; i < got; i++) {
        const float *frame = a->block + (size_t)i * channels;
        float sum = 0;

        for (size_t k = 0; k < channels; k++)
            sum += frame[k];
        a->mono[i] = a->channel ? frame[a->channel - 1] : sum / (float)channels;
    }
    a->mono_used = 0;
    a->mono_size = got > 0 ? (size_t)got : 0;
    if (a->channel)
        look_at(a, a->mono, a->mono_size, 1, 0);
    else
        look_at(a, a->block, a->mono_size, a->source.channels, 0);
    return got;
}

static ptrdiff_t read_converted(file_audio *a, float *out, size_t frames, char *why,
                                size_t why_size)
{
    size_t used = 0, made = 0;

    while (!made) {
        if (!a->at_end && a->mono_used == a->mono_size) {
            ptrdiff_t got = read_mono(a, why, why_size);
            if (got < 0)
                return -1;
            a->at_end = got == 0;
        }
        soxr_error_t error = soxr_process(a->soxr, a->at_end ? NULL : a->mono + a->mono_used,
                                          a->mono_size - a->mono_used, &used, out, frames, &made);
        if (error) {
            snprintf(why, why_size, "resampling failed: %s", soxr_strerror(error));
            return -1;
        }
        if (a->at_end)
            break;
        a->mono_used += used;
    }
    to_little_endian(out, made, 4);
    return (ptrdiff_t)made;
}

ptrdiff_t file_audio_read(file_audio *a, void *bytes, size_t frames, char *why, size_t why_size)
{
    if (a->soxr)
        return read_converted(a, bytes, frames, why, why_size);
    return a->interleaved ? read_picked(a, bytes, frames, why, why_size)
                          : read_direct(a, bytes, frames, why, why_size);
}

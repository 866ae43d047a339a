/* file_audio.h - an audio file as bytes that a shoal server takes
 *
 *     file (anything libsndfile reads)
 *       -> as it is: s16 files as s16le, others as f32le, at the file's own rate
 *       -> or, where the server would refuse the rate or the channels: mean of the channels,
 *          libsoxr to 16000 Hz, f32le mono
 *     of all channels, or of one that is picked; "-" is standard input; raw samples, if asked
 *
 * One thread. Memory does not grow with the file.
 */
#ifndef SHOAL_FILE_AUDIO_H
#define SHOAL_FILE_AUDIO_H

#include <stddef.h>
#include <stdint.h>

typedef struct file_audio file_audio;

typedef struct file_audio_info {
    int s16;            /* bytes are s16le; else f32le */
    int rate;           /* Hz, of the bytes given out */
    int channels;       /* of the bytes given out */
    int file_rate;      /* Hz, of the file */
    size_t frame_bytes; /* one sample of all channels */
    double duration;    /* seconds by the file's header; 0 when it does not say */
} file_audio_info;

/* What the server takes; outside of this the file is converted. And what is known of the file. */
typedef struct file_audio_limits {
    int min_rate, max_rate, max_channels;
    int convert_rate; /* Hz to convert to */
    int channel;      /* the one to take, from 1; 0: all */
    const char *raw;  /* "s16le", "f32le", "mulaw", "alaw": it has no header; NULL: it has */
    int raw_rate, raw_channels; /* then */
} file_audio_limits;

/* 1: that is a name for file_audio_limits.raw. */
int file_audio_is_raw_format(const char *name);
/* Channels of a file by its header; -1 with the cause in why. */
int file_audio_count_channels(const char *path, char *why, size_t why_size);

/* Returns 0, or -1 with cause and remedy in why. */
int file_audio_open(file_audio **out, const char *path, const file_audio_limits *limits, char *why,
                    size_t why_size);
void file_audio_close(file_audio *a); /* NULL is fine */
const file_audio_info *file_audio_get_info(const file_audio *a);

/* Up to frames sample frames. Returns how many, 0 at the end, -1 with cause in why. */
ptrdiff_t file_audio_read(file_audio *a, void *bytes, size_t frames, char *why, size_t why_size);

/* What is known of it by reading. */
typedef struct file_audio_state {
    int64_t frames_read; /* of the file, at its own rate: its true length once read returned 0 */
    double peak;         /* its largest sample, full scale is 1; 0: nothing but zeros so far */
    int cancels;         /* its channels are each other's inverse: the mean of them is silence */
    int cut;             /* once read returned 0: not all of the file is there, or can be read */
    double promised;     /* seconds that it says it has; 0: it does not say */
    int unended;         /* cut: it says that it has none, `promised` is what is there */
    int damaged;         /* some is missing in the middle */
    int more;            /* more sound follows, which its header knows nothing of */
} file_audio_state;

file_audio_state file_audio_get_state(const file_audio *a);

#endif

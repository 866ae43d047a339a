/* decode.h - the bytes of an audio file in, samples out, by a thread of its own
 *
 *        loop thread                          decoder's thread
 *     file's bytes --> [ socket pair ] --> libsndfile (--> soxr)
 *     header, samples <--      "       <-- as it has them
 *
 * libsndfile waits for what it reads, so it has a thread; both directions are one socket pair,
 * whose buffers are all that waits in between, so each side is held up by the other and nothing
 * grows. The loop never waits: its end does not block. A file is read from its beginning to its
 * end; libsndfile may look back into the first 256 KiB and jump ahead (where it finds nothing),
 * which is enough for all formats that it can be given in a stream.
 *
 * Samples are what a session takes: s16le of a file that has 16 bits, else f32le, at the file's
 * rate and with its channels; outside of a session's limits the mean of the channels at 16 kHz.
 */
#ifndef SHOALD_DECODE_H
#define SHOALD_DECODE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct shoald_decoder shoald_decoder;

/* What comes before the samples. */
typedef struct shoald_sound {
    int32_t rate, channels, is_s16;
} shoald_sound;

/* NULL: no memory, descriptors or threads. */
shoald_decoder *shoald_decoder_start(void);
/* A socket that blocks unless told otherwise. Write the file's bytes, then shutdown(SHUT_WR); read
 * a shoald_sound and samples until the end. What it wants no more it takes all the same. */
int shoald_decoder_fd(const shoald_decoder *d);
/* After its end: what is wrong with the file, for people; "" if nothing is. With no shoald_sound
 * before it nothing could be read; else it broke off. */
const char *shoald_decoder_why(const shoald_decoder *d);
/* Let it go, also before its end. */
void shoald_decoder_end(shoald_decoder *d);

#endif

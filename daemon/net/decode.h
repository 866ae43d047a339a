/* decode.h - the bytes of an audio file in, samples out, by a process of its own
 *
 *        loop thread                        shoald --decode-stdin
 *     file's bytes --> [ socket pair ] --> libsndfile (--> soxr)
 *     header, samples <--      "       <-- as it has them
 *     last words <------- [ pipe ] <------ at its end
 *
 * libsndfile waits for what it reads; on files that are wrong it and its libraries print, leak and
 * may do worse, and here anybody's files come in. So each has a process: the same program again,
 * with no descriptor but these. What waits in between is what the socket pair holds, so each side
 * is held up by the other and nothing grows. The loop never waits: its end does not block.
 *
 * A file is read from its beginning to its end; libsndfile may look back into the first 256 KiB and
 * leap over what stands before the sound (pictures, notes), up to 64 MiB; beyond the sound it finds
 * nothing. That is enough for all formats that it can be given in a stream. Samples are what a
 * session takes: s16le of a file that has 16 bits, else f32le, at the file's rate and with its
 * channels; outside of a session's limits the mean of the channels at 16 kHz.
 */
#ifndef SHOALD_DECODE_H
#define SHOALD_DECODE_H

#include <stdint.h>

#define SHOALD_DECODE_ARGUMENT "--decode-stdin"

typedef struct shoald_decoder shoald_decoder;

/* What comes before the samples. */
typedef struct shoald_sound {
    int32_t rate, channels, is_s16;
} shoald_sound;

/* NULL: no memory, descriptors or processes. */
shoald_decoder *shoald_decoder_start(void);
/* A socket that does not block. Write the file's bytes, then shutdown(SHUT_WR); read a shoald_sound
 * and samples until the end. What it wants no more it takes all the same. */
int shoald_decoder_fd(const shoald_decoder *d);
/* After its end: what is wrong with the file, for people; "" if nothing is. With no shoald_sound
 * before it nothing could be read; else it broke off. */
const char *shoald_decoder_why(shoald_decoder *d);
/* Let it go; it is killed if it has not ended. */
void shoald_decoder_end(shoald_decoder *d);

/* The process itself; does not return. */
int shoald_decode_main(void);

#endif

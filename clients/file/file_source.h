/* file_source.h - an audio file read by a thread of its own
 *
 *     file_audio -> thread -> ring of a second -> the program
 *
 * A source may pause (a pipe, a FIFO, a slow disk), also before its header is there. Then read says
 * "later", and the program goes on with its socket, its output and its signals.
 *
 * All calls are the program's thread's. The thread takes no signals.
 */
#ifndef FILE_SOURCE_H
#define FILE_SOURCE_H

#include "file/file_audio.h"

typedef struct file_source file_source;

enum { FILE_SOURCE_FAILED = -1, FILE_SOURCE_LATER = -2 };

/* Begin to open path, which must outlive close. NULL: out of memory. */
file_source *file_source_open(const char *path, const file_audio_limits *limits);
/* The thread may sit in a read that ends when it likes: it is left to that. NULL is fine. */
void file_source_close(file_source *s);

/* Wait at most ms for the header. 1: info is known; 0: not yet; FILE_SOURCE_FAILED: cause in why.
 */
int file_source_wait(file_source *s, int ms, char *why, size_t why_size);
/* Once wait has said 1. */
file_audio_info file_source_get_info(file_source *s);

/* Up to frames sample frames. Returns how many; 0 at the end; FILE_SOURCE_LATER; or
 * FILE_SOURCE_FAILED with the cause in why. */
ptrdiff_t file_source_read(file_source *s, void *bytes, size_t frames, char *why, size_t why_size);
/* Called by the thread when there is something to read after LATER; NULL: nobody is to be called,
 * and it will not be when this has returned. */
void file_source_on_news(file_source *s, void (*news)(void *user), void *user);

/* How the audio is, as far as it has been read. */
file_audio_state file_source_get_state(file_source *s);

#endif

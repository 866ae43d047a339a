/* file_pipe.h - sound from what gives its bytes only once: standard input, a FIFO, a socket
 *
 * libsndfile looks at the beginning of a file more than once, and past its sound for what stands
 * there. So the beginning is kept, and behind what has come there is nothing.
 *
 * Who writes WAV to a pipe cannot come back to say how long it was: a length of 0, or of next to
 * 2 GiB or more, means that it ends when the pipe does.
 */
#ifndef FILE_PIPE_H
#define FILE_PIPE_H

#include <sndfile.h>

#include "file/file_check.h"

typedef struct file_pipe file_pipe;

/* 1: that path, or standard input for "-", can be read only once. */
int file_pipe_is(const char *path);

/* NULL: it cannot be opened, errno says why. */
file_pipe *file_pipe_open(const char *path);
void file_pipe_close(file_pipe *p); /* NULL is fine */

/* As file_check_is_container. */
int file_pipe_has_header(file_pipe *p, char *why, size_t why_size);
/* Waits until the header is there. NULL: it is no sound that libsndfile reads. */
SNDFILE *file_pipe_sound(file_pipe *p, SF_INFO *info);
/* 1: all was read, and libsndfile has asked for more: of what is cut off it would make silence
 * without end. Formats that read ahead (FLAC, Ogg, MPEG) end by themselves: 0. */
int file_pipe_is_dry(const file_pipe *p, const SF_INFO *info);
/* What makes audio of a file that is to come through a pipe. */
extern const char file_pipe_remedy[];
/* Why there is none, with a remedy; words: libsndfile's. */
void file_pipe_explain(const file_pipe *p, const char *words, char *why, size_t why_size);
/* errno of what ended it too early; 0: nothing did. */
int file_pipe_error(const file_pipe *p);

/* How long it is by its header; 0: that does not say. */
double file_pipe_seconds(const SF_INFO *info);
/* As file_check_whole, once sound has come to its end. */
file_promise file_pipe_check_whole(file_pipe *p, const SF_INFO *info, double decoded);

#endif

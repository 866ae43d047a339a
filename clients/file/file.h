/* file.h - what the files of shoal-file share
 *
 *     shoal-file.c          main: the files one after the other, signals, exit code
 *     file_options.c  command line -> file_options; the manual
 *     file_session.c        one file: audio -> server, the loop
 *     file_results.c        its results -> writers; totals checked
 *     file_report.c         what a person sees of it
 *     file_source.c         the file, read by a thread of its own
 *     file_audio.c          file -> bytes that the server takes
 *     file_check.c          what a file is, and whether all of it is there
 *     ../out/               writers; what they print is written by a thread of its own
 *
 * Three threads, so that neither the source nor the reader of stdout can hold up the session: the
 * one that reads audio, the program's, which has the socket, and the one that writes stdout.
 */
#ifndef SHOAL_FILE_H
#define SHOAL_FILE_H

#include <signal.h>
#include <stdatomic.h>

#include "out/out.h"
#include "shoal-client.h"

enum { FILE_MAX_WRITERS = 8 };

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* What the signal handler tells, and whom it wakes. */
typedef struct file_signals {
    volatile sig_atomic_t interrupts;
    _Atomic(shoal_client *) client; /* the session that is waiting; NULL: none */
} file_signals;

typedef struct file_options {
    const char *url;
    const char *proxy;     /* NULL: none */
    shoal_options session; /* what was said on the command line; outputs always */
    int realtime;          /* send no faster than the audio was spoken */
    int reconnect_s;       /* how long a connection that breaks is tried to be made again */
    int quiet;             /* no progress */
    const char *out_dir;
    out_open *writers[FILE_MAX_WRITERS];
    int writer_count;
    char **files;
    int file_count;
} file_options;

/* Returns -1 to go on, or the exit code (after --help, --version or a complaint on stderr). */
int file_options_parse(file_options *o, int argc, char **argv);

/* Stream one file. Returns 0, or EXIT_FAILED or EXIT_INTERRUPTED after a line on stderr. path must
 * live as long as the process. One Ctrl-C ends the audio early, two give up. *stop is set when
 * going on with other files makes no sense (the output cannot be written). */
int file_session_run(const file_options *o, out_run *run, const char *path, file_signals *signals,
                     int *stop);

#endif

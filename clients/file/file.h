/* file.h - what the files of shoal-file share
 *
 *     shoal-file.c          main: the files one after the other, signals, exit code
 *     file_options.c  command line -> file_options; the manual
 *     file_session.c  one file: audio -> server -> writers, totals checked
 *     file_audio.c    file -> bytes that the server takes
 *     out*.c                writers
 */
#ifndef SHOAL_FILE_H
#define SHOAL_FILE_H

#include <signal.h>

#include "out/out.h"
#include "shoal-client.h"

enum { FILE_MAX_WRITERS = 4 };

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

typedef struct file_options {
    const char *url;
    shoal_options session; /* what was said on the command line; outputs always */
    int realtime;          /* send no faster than the audio was spoken */
    int quiet;             /* no progress */
    const char *out_dir;
    out_open *writers[FILE_MAX_WRITERS];
    int writer_count;
    char **files;
    int file_count;
} file_options;

/* Returns -1 to go on, or the exit code (after --help, --version or a complaint on stderr). */
int file_options_parse(file_options *o, int argc, char **argv);

/* Stream one file. Returns 0, or EXIT_FAILED or EXIT_INTERRUPTED after a line on stderr.
 * interrupts: counts Ctrl-C; one ends the audio early, two give up. *stop is set when going on
 * with other files makes no sense (the output cannot be written). */
int file_session_run(const file_options *o, out_run *run, const char *path,
                     const volatile sig_atomic_t *interrupts, int *stop);

#endif

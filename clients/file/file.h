/* file.h - what the files of shoal-file share
 *
 *     shoal-file.c          main: signals, exit code
 *     file_jobs.c           the files one after the other, or several at a time
 *     file_options.c        command line -> file_options
 *     file_manual.c         what --help prints
 *     file_session.c        one file: audio -> server, the loop
 *     file_results.c        its results -> writers; totals checked
 *     file_report.c         what a person sees of it
 *     file_latency.c        how late they are
 *     file_priors.c         how often each class is
 *     file_source.c         the file, read by a thread of its own
 *     file_audio.c          file -> bytes that the server takes
 *     file_check.c          what a file is, and whether all of it is there
 *     file_pipe.c           the same of what can be read only once
 *     ../out/               writers; what they print is written by a thread of its own
 *
 * Three threads a session, so that neither the source nor the reader of stdout can hold up the
 * session: the one that reads audio, the program's, which has the socket, and the one that writes
 * stdout.
 */
#ifndef SHOAL_FILE_H
#define SHOAL_FILE_H

#include <signal.h>
#include <stdatomic.h>

#include "file/file_latency.h"
#include "out/out.h"
#include "lib/client_get.h"
#include "shoal-client.h"
#include "tool/tool_options.h"

enum { FILE_MAX_WRITERS = 8, FILE_MAX_JOBS = 64 };

enum { EXIT_FAILED = 1, EXIT_LATER = 3, EXIT_INTERRUPTED = 130 };

/* What the signal handler tells, and whom it wakes. */
typedef struct file_signals {
    atomic_int interrupts;
    _Atomic(shoal_client *) clients[FILE_MAX_JOBS]; /* sessions that are waiting; NULL: none */
} file_signals;

typedef struct file_options {
    tool_server server;
    const char *proxy;      /* NULL: none */
    shoal_options session;  /* what was said on the command line; outputs always */
    int realtime;           /* send no faster than the audio was spoken */
    int reconnect_s;        /* how long a connection that breaks is tried to be made again */
    int quiet;              /* no progress */
    int live;               /* text on a terminal: what is not settled stands in its last line */
    const char *out_dir;    /* NULL: beside each input */
    int beside;             /* that was asked for */
    int channel;            /* the one to take, from 1; 0: all, the server takes the mean */
    const char *utterances; /* folder for them as WAV; NULL: they are not cut */
    int each_channel;       /* a session a channel */
    const char *raw;        /* what samples without a header are; NULL: files have headers */
    int raw_rate, raw_channels;
    const char *priors; /* "server" or a file: Kaldi gets log-likelihoods; NULL: posteriors */
    int latency;        /* say at the end how late results were */
    int jobs;           /* sessions at a time */
    int batch_progress; /* of several at a time, on stderr */
    out_open *writers[FILE_MAX_WRITERS];
    int writer_count;
    char **files;
    int file_count;
} file_options;

/* View into o: for what is asked of the server beside sessions. */
static inline shoal__server file_server(const file_options *o)
{
    const tool_server *s = &o->server;
    return (shoal__server){ s->url, *s->token ? s->token : NULL, &o->session, s->tls };
}
extern const char file_manual[], file_manual_all[];

/* Returns -1 to go on, or the exit code (after --help, --version or a complaint on stderr). */
int file_options_parse(file_options *o, int argc, char **argv);

typedef struct file_job {
    const char *path;     /* "-": standard input */
    const char *name;     /* for people and results */
    int channel;          /* to take; 0: all */
    int part;             /* the same where each channel has its own results; 0: the file has */
    double bytes;         /* of the file; 0: nobody knows */
    _Atomic double share; /* of it that has results */
    file_latency latency; /* if o->latency; whoever has the job frees what is in it */
} file_job;

typedef struct file_done {
    int code; /* 0, EXIT_FAILED, EXIT_LATER: a server that is full or away, EXIT_INTERRUPTED */
    double seconds; /* of audio that have results */
    int stop;       /* going on with other files makes no sense: the output cannot be written */
} file_done;

/* Stream one file; what failed has a line on stderr. The job must live as long as the process. One
 * Ctrl-C ends the audio early, two give up. slot: the place in signals->clients. */
file_done file_session_run(const file_options *o, out_run *run, file_job *job,
                           file_signals *signals, int slot);

#endif

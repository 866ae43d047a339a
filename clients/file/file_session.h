/* file_session.h - one file through one session: what its parts share
 *
 *     file_session.c   audio -> server, the loop, signals
 *     file_results.c   events -> writers; totals that must agree
 *     file_report.c    what a person sees; below the other two
 */
#ifndef FILE_SESSION_H
#define FILE_SESSION_H

#include "file/file.h"
#include "file/file_source.h"
#include "out/out_cut.h"

typedef struct file_session {
    const file_options *o;
    file_job *job;
    file_latency_watch watch; /* if o->latency */
    file_signals *signals;
    int slot; /* in signals->clients */
    out_run *run;
    file_source *source;
    file_audio_info info;
    shoal_client *client;
    out *outs[FILE_MAX_WRITERS];
    int out_count;
    out_cut *cut;                  /* utterances; NULL: none are wanted */
    int cut_tap;                   /* of the activity that cuts them */
    uint8_t *block;                /* [BLOCK_FRAMES, info.frame_bytes] */
    size_t block_used, block_size; /* bytes; the part that the client has not taken */
    int full;                      /* the client's queue is: wait for ROOM */
    int starved;                   /* the source has nothing now */
    int64_t started_ms;            /* at READY; 0 before */
    int64_t stop_ms;               /* after Ctrl-C: when to give up; 0 before */
    int later;                     /* the server was full or away */
    int at_end, ended, done, failed, closed, output_failed;
    int told_cancelled;
    int away; /* the connection is, and it was told */
    int show_progress, progress_shown;
    int64_t next_progress_ms;
} file_session;

int64_t file_session_now_ms(void);
/* A line on stderr, with the file's name. */
void file_session_say(file_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void file_session_fail(file_session *s, const char *why); /* the same, and the file has failed */
void file_session_hide_progress(file_session *s);
void file_session_show_progress(file_session *s); /* if it is time */
int64_t file_session_frames_sent(const file_session *s);
/* Seconds of audio that were sent; of the whole file once that is known. */
double file_session_seconds_sent(const file_session *s);

/* Open all writers; -1 after a line on stderr. */
int file_results_open(file_session *s);
void file_results_take(file_session *s, const shoal_client_event *e);
/* Complete the files with what was received, even if that is not all. */
void file_results_finish(file_session *s);
/* Say what the audio itself shows: channels that cancel, as soon as that is sure; an end that is
 * missing, once at the end. */
void file_results_judge_channels(file_session *s);
void file_results_judge_end(file_session *s);

#endif

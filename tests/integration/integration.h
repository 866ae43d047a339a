/* integration.h - the real shoald, the real client library, real sockets
 *
 *     check_integration.c   main; the suites
 *     test_streams.c        features and phones: slicing, pace, depth, flush, many at once
 *     test_taps.c           outputs of several depths from one pass
 *     test_activity.c       where speech begins and ends
 *     test_decoder.c        phones with and without language model and durations
 *     test_smooth.c         posteriors weighed together along the frames
 *     test_wire.c           what a wrong client gets: raw frames, bad paths, bad audio
 *     test_robust.c         disconnects, slow readers, SIGTERM, start-up failures
 *     test_overload.c       elastic depth; a worker that is late
 *     test_admission.c      who is refused
 *     test_migration.c      moving between workers
 *     test_prices.c         the price list
 *     test_mimic.c          small layers in place of the stack
 *     test_post.c           files by POST
 *     test_post_options.c   means and utterances by POST
 *     test_post_wrong.c     bodies that are wrong
 *     test_start.c          what a supervisor may do: closed descriptors, an unread stderr
 *     test_resume.c         a session goes on when its server is killed
 *     test_shoal_file.c     the program shoal-file
 *     test_shoal_file_slow.c  the same with sources and readers that pause
 *     test_shoal_file_out.c   what it writes for other programs
 *     shoal_file.c          running it
 *     slow_shoald.c         shoald, slow on request: a program of its own
 *     daemon.c              starting and stopping shoald; its metrics
 *     stream.c              one session from start to end; audio to send
 *     raw_ws.c              a WebSocket client that may be wrong
 *     http.c, post.c        the same for HTTP; for POST
 *
 * Nothing is judged by time: the only clocks are time limits of PATIENCE_MS, wide enough for a
 * loaded machine and a sanitizer build. Daemons listen on port 0 of 127.0.0.1.
 */
#ifndef INTEGRATION_H
#define INTEGRATION_H

#include <check.h>
#include <sys/types.h>

#include "raw_ws.h"
#include "shoal-client.h"

enum { PATIENCE_MS = 60000 };

/* ---- shoald ---- */

typedef struct daemon_process {
    pid_t pid;
    int port;
    char dir[64]; /* its folder under /tmp: log and ready file; removed at the end */
} daemon_process;

/* Settings under which nobody is refused, served shallower or sent away, however slow this machine
 * is: no load is measured, and being late is not looked at. */
#define ANY_SPEED                                                                                  \
    "--set", "capacity=100000", "--set", "elastic=off", "--set", "admission=off", "--set",         \
        "late_limit_ms=600000"
/* Start shoald with the small test model and these extra arguments (NULL-terminated, may be
 * NULL). Aborts with the daemon's log if it does not come up. */
void daemon_start(daemon_process *d, const char *const *args);
/* The same with another program than shoald. */
void daemon_start_program(daemon_process *d, const char *program, const char *const *args);
/* Start it and expect it to fail: returns its exit code, its log goes to log. */
int daemon_fail(const char *const *args, char *log, size_t room);
/* Send signal (0: it is stopping already), wait. Returns the exit code, 128 + signal if one
 * killed it, -1 when it had to be killed. On anything but 0 the log goes to stderr. Only the
 * process that started it may. */
int daemon_stop(daemon_process *d, int signal);
/* Value of a metric without labels, or -1 if there is none. */
double daemon_metric(const daemon_process *d, const char *name);
/* Wait until nobody is connected any more; fails the test otherwise. */
void daemon_wait_empty(const daemon_process *d);
long daemon_rss_kb(const daemon_process *d);

/* The daemon that the tests of a case share: unchecked fixtures. Stopping it counts into
 * shared_failures if it does not end well (which is also where leaks are found). */
extern daemon_process shared;
extern int shared_failures;
void shared_setup(void);
void shared_teardown(void);

/* Run a program, its stdout and stderr into buffers (cut to room, NUL-terminated). Returns the
 * exit code, 128 + signal if one killed it. */
int run_program(const char *const *argv, char *out, size_t out_room, char *err, size_t err_room);
const char *shoald_path(void);
const char *slow_shoald_path(void);
const char *shoal_file_path(void);
const char *test_model_path(void);

/* ---- audio ---- */

/* Speech-like noise, the same bytes for the same seed: s16le mono. Caller frees. */
int16_t *make_audio(size_t samples, unsigned seed);

/* ---- one session by hand ---- */

/* The message that comes next is `ready`. All but the session's id, which is zeroed. Caller frees.
 */
shoal_ready *read_ready(raw_ws *w);

/* ---- one session through libshoal-client ---- */

enum { STREAM_MAX_EVENTS = 64 };

typedef struct stream_plan {
    const char *query; /* "depth=2&output=posteriors"; audio is s16le mono 16 kHz
                        * unless it says otherwise */
    const void *audio;
    size_t size;              /* bytes */
    const size_t *slices;     /* message sizes, used in turn, ended by 0; NULL: 64 KiB */
    int realtime;             /* pace the audio, 32 bytes a millisecond */
    size_t control_at;        /* byte after which the following is sent: */
    const shoal_options *set; /* NULL: none */
    int flushes;              /* this many, with ids "0", "1", ... */
    int reconnect_ms;         /* as in shoal_client_params, as keep_bytes and allow_gaps are */
    size_t keep_bytes;
    int allow_gaps;
    void (*each)(void *user,
                 const shoal_client_event *e); /* told of every event; NULL: nobody is */
    size_t (*limit)(const void *user);         /* bytes that may have been sent by now; NULL: all */
    void *user;
} stream_plan;

typedef struct stream_rows {
    float *rows;           /* [frames, dim] */
    unsigned char *depths; /* [frames] layers used */
    size_t frames;
    int dim;
} stream_rows;

/* of outputs with an @ */
typedef struct stream_tap {
    int depth; /* asked for */
    stream_rows posteriors, embedding, hidden;
    shoal_wire_phone *phones;
    size_t phone_count;
    int phones_depth; /* of the last phones message */
} stream_tap;

typedef struct stream_result {
    shoal_ready ready;
    stream_rows posteriors, embedding, hidden, front, mel; /* front: hidden@0 */
    shoal_wire_phone *phones;
    size_t phone_count;
    shoal_wire_tentative tentative[SHOAL_MAX_TENTATIVE]; /* of the last message without a tap */
    int tentative_count;
    int shown_count;     /* messages that had any */
    size_t shown_before; /* settled phones that the message before had shown */
    stream_tap taps[SHOAL_MAX_TAPS];
    int tap_count;
    shoal_wire_activity activity[STREAM_MAX_EVENTS];
    int activity_count;
    uint64_t packets;
    shoal_changed changed[STREAM_MAX_EVENTS];
    int changed_count;
    shoal_flushed flushed[STREAM_MAX_EVENTS];
    size_t flushed_frames[STREAM_MAX_EVENTS]; /* posterior frames that had come before it */
    int flushed_count;
    shoal_done done;
    int has_done;
    shoal_error error; /* the last one; name "" if none */
    int close_code;
    int away_count, resumed_count;
    shoal_client_gap gap; /* of the last RESUMED */
    shoal_client_stats stats;
} stream_result;

/* Whatever happens is in the result; fails the test only if nothing happens any more. */
void stream_run(stream_result *r, int port, const stream_plan *plan);
void stream_free(stream_result *r);
/* The results of outputs with that depth after the @; made if there are none yet. */
stream_tap *stream_get_tap(stream_result *r, int depth);
/* Fails the test unless the session ended with done and all totals agree. */
void stream_check_complete(const stream_result *r, size_t samples, int rate);
/* Fails the test with frame, values and largest difference unless all bytes are the same. */
void stream_check_same(const stream_rows *a, const stream_rows *b);
/* 1: the default backend gives a row the same bytes in any company (shoal_model_info). */
int features_are_invariant(void);
/* Of runs in different company: the same bytes where that is promised, else within 1e-4. */
void stream_check_company(const stream_rows *a, const stream_rows *b);
void stream_check_close(const stream_rows *a, const stream_rows *b, float tolerance);

TCase *streams_case(void);
TCase *taps_case(void);
TCase *detector_case(void);
TCase *activity_case(void);
TCase *decoder_case(void);
TCase *smooth_case(void);
TCase *wire_case(void);
TCase *robust_case(void);
TCase *lifecycle_case(void);
TCase *overload_case(void);
TCase *admission_case(void);
TCase *migration_case(void);
TCase *prices_case(void);
TCase *mimic_case(void);
TCase *program_case(void);
TCase *post_case(void);
TCase *post_options_case(void);
TCase *post_wrong_case(void);
TCase *start_case(void);
TCase *shoal_file_case(void);
TCase *shoal_file_slow_case(void);
TCase *shoal_file_out_case(void);
TCase *resume_case(void);

#endif

/* load.h - what the files of shoal-load share
 *
 *     shoal-load.c           main: one run, or the search for the knee; exit code
 *     load_options.c         command line -> load_options; the manual
 *     load_mix.c             "3:0.5,12:0.5" -> which session gets what
 *     load_rush.c            "100@20+10": sessions that come and go in mid-run
 *     load_schedule.c        when every packet of every session is due, fixed in advance
 *     load_run.c             the loop: epoll and a timer drive all sessions, one thread
 *     load_session.c         one session: connect, send what is due, end
 *     load_link.c            one session: its bytes, as they are or through TLS
 *     load_end.c             one session: how it ended
 *     load_receive.c         one session: bytes from the server -> stats
 *     load_ws.c              WebSocket handshake and frames, as pure functions
 *     load_audio.c           what is sent: a file, or made-up speech
 *     load_hist.c            histogram with log buckets
 *     load_stats.c           counters and histograms -> one row a second
 *     load_proc.c            CPU and memory of the daemon, from /proc
 *     load_knee.c            doubling, then bisecting, over any measuring function
 *     load_report.c          table, CSV, JSON
 *     load_plot.c            SVG
 *
 * Open loop: due times are absolute and do not depend on what the server does. A packet that
 * is handed to the socket late (the server throttles, or this program has no CPU) is still
 * measured from its due time, so a stalled server cannot make its own numbers look better
 * by holding up those who ask (coordinated omission).
 *
 * Why not all of libshoal-client: it has one libwebsockets context for each session, with its own
 * poll and 64 KiB buffers; here one epoll serves all, and audio goes from one shared read-only
 * buffer into the socket with one system call a packet and no copy. What it makes of messages and
 * failures (client_events, client_failure, client_url) is shared.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC since the run's beginning unless named otherwise.
 * Memory: a few KB a session, 20 KB a histogram, about 150 bytes a second of the run.
 */
#ifndef SHOAL_LOAD_H
#define SHOAL_LOAD_H

#include <netdb.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/client_events.h"
#include "lib/client_tls.h"
#include "tool/tool_options.h"
#include "shoal-protocol.h"

#define LOAD_MS    INT64_C(1000000)
#define LOAD_S     INT64_C(1000000000)
#define LOAD_NEVER INT64_MAX

enum {
    LOAD_RATE = 16000, /* Hz of the audio that is sent, mono */
    LOAD_MAX_SESSIONS = 20000,
    LOAD_MAX_PACKET_MS = 1000,
    LOAD_MAX_SECONDS = 24 * 3600,
    LOAD_LEAD_MS = 500, /* a session connects so long before its audio begins */
    LOAD_ANSWER_S = 10, /* a server that says nothing for so long has failed */
    LOAD_GRACE_S = 2,   /* a search waits so long for the last results, more than any chunk */
    LOAD_PING_S = 20,   /* how often idle sessions show that they are there */
    LOAD_DEPTHS = SHOAL_MAX_DEPTH + 1
};

enum { EXIT_LOAD_FAILED = 1, EXIT_LOAD_INTERRUPTED = 130 };

/* ---- mix ------------------------------------------------------------------------------ */

enum { LOAD_MIX_MAX = 16 };

typedef struct load_mix {
    struct {
        int min, max;
        double weight;
    } item[LOAD_MIX_MAX]; /* weights sum to 1 */
    int count;            /* 0: not given */
} load_mix;

/* "3:0.5,6-12:0.5"; a missing weight is 1. Returns 0, or -1 with cause and remedy in why. */
int load_mix_parse(load_mix *m, const char *text, char *why, size_t why_size);
/* chosen[i] = item of session i. Any first n sessions are as near to the weights as whole
 * numbers allow, so a ramp is mixed from its start. */
void load_mix_assign(const load_mix *m, int *chosen, int n);
/* One deterministic random number; *state is any seed. */
uint64_t load_random(uint64_t *state);
void load_shuffle(int *a, int n, uint64_t *state);

/* ---- rush ----------------------------------------------------------------------------- */

typedef struct load_rush {
    int sessions;    /* 0: none */
    int at_s, for_s; /* they speak from at_s, for for_s seconds; all have come after 1 s */
} load_rush;

/* "N@T+D". Returns 0, or -1 with cause and remedy in why. */
int load_rush_parse(load_rush *r, const char *text, char *why, size_t why_size);

/* ---- options ---------------------------------------------------------------------------- */

typedef struct load_options {
    char host[256], path[512];
    tool_server server;
    int port;
    int wss;
    shoal_options session; /* what all sessions ask for */
    int sessions, idle;    /* idle: started, but never speak */
    load_rush rush;
    load_mix depths, chunks, packets;
    int ramp_s, duration_s;
    int fast;                      /* as fast as the server takes it; no latency */
    const char *audio_file;        /* NULL: made-up speech */
    const char *csv, *plot, *json; /* file names or NULL */
    int find_knee, knee_start, knee_max, knee_tries;
    int pid; /* of the daemon, 0: unknown */
    uint64_t seed;
    int quiet;
} load_options;

/* Returns -1 to go on, or the exit code (after --help, --version or a complaint on stderr). */
int load_options_parse(load_options *o, int argc, char **argv);
/* Sessions of all kinds. */
int load_total(const load_options *o);

/* ---- schedule ----------------------------------------------------------------------------- */

/* of one session; constant during a run */
typedef struct load_plan {
    int depth_min, depth_max; /* 0, 0: the server's choice */
    int chunk_ms, packet_ms;
    int64_t connect_ns;
    int64_t start_ns;  /* when its first sample was "spoken" */
    int64_t packets;   /* cut short by Ctrl-C, else constant */
    int64_t stay_ns;   /* not ended before that although there is no audio left */
    uint64_t audio_ms; /* where in the shared audio it begins */
} load_plan;

/* what the summary covers: whole seconds after the ramp */
typedef struct load_window_ns {
    int64_t from, to;
} load_window_ns;

/* plans[load_total(o)]: first o->sessions, then the rush, then those that are idle. Deterministic
 * in o->seed. */
load_window_ns load_schedule_make(const load_options *o, load_plan *plans);
/* Packet k is complete, so due, when its last sample was spoken. */
int64_t load_due_ns(const load_plan *p, int64_t k);
/* The packet that holds the last sample of the session's first ms milliseconds, ms >= 1. */
int64_t load_packet_holding(const load_plan *p, int64_t ms);

/* Which session acts next: a binary heap. */
typedef struct load_calendar {
    struct {
        int64_t at;
        int session;
    } * entry; /* [cap] */
    int count, cap;
} load_calendar;

int load_calendar_init(load_calendar *c, int cap); /* 0, or -1: out of memory */
void load_calendar_free(load_calendar *c);
void load_calendar_put(load_calendar *c, int64_t at, int session);
int64_t load_calendar_next(const load_calendar *c); /* LOAD_NEVER when empty */
int load_calendar_take(load_calendar *c);           /* the session of the earliest entry */

/* ---- histogram ---------------------------------------------------------------------------- */

/* Microseconds. Exact below 128, then 64 buckets an octave: at most 1.6 % too high. */
enum {
    LOAD_HIST_SUB = 64,
    LOAD_HIST_MAX_BITS = 36,
    LOAD_HIST_BUCKETS = (LOAD_HIST_MAX_BITS - 5) * LOAD_HIST_SUB
};

typedef struct load_hist {
    uint64_t bucket[LOAD_HIST_BUCKETS];
    uint64_t count, max;
} load_hist;

void load_hist_add(load_hist *h, int64_t us); /* negative counts as 0 */
/* The least value that at least the share p (0..1) of all does not exceed. 0 when empty. */
double load_hist_percentile_ms(const load_hist *h, double p);
double load_hist_max_ms(const load_hist *h);

/* ---- processes ---------------------------------------------------------------------------- */

typedef struct load_proc {
    double cpu_s; /* user and system, all threads, since its start */
    double rss_mb;
} load_proc;

int load_proc_read(int pid, load_proc *p); /* 0, or -1: there is no such process */
double load_proc_own_cpu_s(void);

/* ---- stats -------------------------------------------------------------------------------- */

/* what is counted both for a second and for the summary */
typedef struct load_window {
    load_hist latency;          /* due time of the last needed packet -> result at the client */
    load_hist queued, computed; /* the server's own clocks */
    load_hist server;           /* their sum: last sample received -> result */
    load_hist late;             /* due -> the whole packet was handed to the socket */
    uint64_t frames, results, throttled;
    uint64_t depth_frames;    /* sum of depth over frames */
    int depth_min, depth_max; /* used; 0: no result */
    double lag;               /* latency of the worst chunk, in chunks */
} load_window;

/* one second */
typedef struct load_row {
    int t_s, steady;
    int offered, active, refused, failed;
    uint64_t results, frames, throttled;
    double latency[5]; /* p50, p95, p99, p99.9, max; ms */
    double queued_p99, computed_p99, late_p99, late_max;
    double depth; /* mean over frames; 0: no result */
    int depth_min, depth_max;
    double lag;           /* worst, in chunks, also of results that are still owed */
    double cpu_s, rss_mb; /* of the daemon in this second; 0 without --pid */
    double own_cpu_s;
} load_row;

enum { LOAD_REASONS = 6, LOAD_REASON_BYTES = 320 };

typedef struct load_stats {
    load_window second, steady;
    load_hist own_late; /* due -> the first attempt to send: this program's own fault */
    load_hist ready;    /* connect -> ready */
    uint64_t frames_at[LOAD_DEPTHS];
    int offered, admitted, refused, failed, finished, active, most_active;
    uint64_t expected, received; /* frames of 20 ms, of admitted sessions */
    uint64_t missing;            /* summed a session: one's surplus hides no other's loss */
    uint64_t seq_gaps;           /* results lost by their sequence numbers */
    int64_t fast_end_ns;         /* when the last result came, with --fast only */
    load_row *rows;
    int row_count, row_cap;
    load_proc proc;       /* at the last tick */
    double rss_before_mb; /* of the daemon, before the first session */
    double own_cpu_s;
    struct {
        char text[LOAD_REASON_BYTES];
        int count;
    } reason[LOAD_REASONS];
    int reasons;
} load_stats;

/* over the steady rows */
typedef struct load_summary {
    double latency[5], server[5], queued[5], computed[5], late[5], own_late[5], ready[5];
    double seconds, audio_s, cpu_s, rss_mb, own_cpu_s;
    double depth;         /* mean over frames */
    double lag;           /* worst, in chunks */
    double audio_per_cpu; /* seconds of audio a CPU second of the daemon; 0: unknown */
    uint64_t missing;
} load_summary;

#define LOAD_PERCENTILES                                                                           \
    {                                                                                              \
        0.50, 0.95, 0.99, 0.999, 1.0                                                               \
    }
#define LOAD_PERCENTILE_NAMES                                                                      \
    {                                                                                              \
        "p50", "p95", "p99", "p99.9", "max"                                                        \
    }

load_stats *load_stats_new(const load_options *o); /* NULL: out of memory */
void load_stats_free(load_stats *st);
void load_percentiles(const load_hist *h, double out[5]);
/* A result of frames at depth arrived in this second; steady: within the summary's window. */
void load_stats_frames(load_stats *st, int frames, int depth, int steady);
/* Why a session failed or was refused; equal reasons are counted. */
void load_stats_reason(load_stats *st, const char *text);
/* Close the second; NULL when there is no memory for a row. View. */
const load_row *load_stats_tick(load_stats *st, const load_options *o, int t_s, int steady);
load_summary load_stats_summarise(const load_stats *st);

/* some seconds of a run */
typedef struct load_phase {
    double depth;       /* mean over frames; 0: no result */
    double p99_ms, lag; /* of the worst second */
    int active;         /* most sessions */
} load_phase;

typedef struct load_rush_effect {
    load_phase before, during, after; /* seconds after the ramp that lie wholly in each */
    int back_s; /* after the rush until a second was as deep as before; -1: never */
} load_rush_effect;

load_rush_effect load_rush_measure(const load_rush *r, const load_stats *st);

/* ---- audio -------------------------------------------------------------------------------- */

typedef struct load_audio {
    uint8_t *bytes; /* samples, then a copy of the beginning so that no packet wraps */
    uint64_t samples;
    size_t sample_bytes;
} load_audio;

/* Returns 0, or -1 with cause and remedy in why. */
int load_audio_open(load_audio *a, const load_options *o, char *why, size_t why_size);
void load_audio_free(load_audio *a);
/* Packet k of a session, as it goes over the wire. View. */
const uint8_t *load_audio_view(const load_audio *a, const load_plan *p, int64_t k);

/* ---- WebSocket ---------------------------------------------------------------------------- */

enum {
    LOAD_WS_TEXT = 1,
    LOAD_WS_BINARY = 2,
    LOAD_WS_CLOSE = 8,
    LOAD_WS_PING = 9,
    LOAD_WS_PONG = 10,
    LOAD_WS_HEADER = 14
};

typedef struct load_frame {
    int opcode;
    const uint8_t *data; /* view */
    size_t size;
} load_frame;

/* Append the upgrade request. 0, or -1: out of memory. */
int load_ws_request(shoal_buf *out, const load_options *o, const shoal_options *session);
/* Status of the answer and the bytes of its head; 0: more is needed; -1: not HTTP. */
int load_ws_answer(const shoal_buf *in, size_t *head);
/* Header of a masked frame with n < 65536 bytes. Returns its bytes. */
size_t load_ws_header(uint8_t header[LOAD_WS_HEADER], int opcode, size_t n);
int load_ws_frame(shoal_buf *out, int opcode, const void *bytes, size_t n);
/* First frame in n bytes. Returns the bytes it takes, 0: more is needed, -1: it breaks the
 * rules, or is one of those that shoald never sends (fragments). */
ptrdiff_t load_ws_parse(load_frame *f, const uint8_t *bytes, size_t n);

/* ---- sessions and runs -------------------------------------------------------------------- */

typedef enum load_state {
    LOAD_WAITING, /* for its time to connect */
    LOAD_CONNECTING,
    LOAD_UPGRADING, /* the request is on its way, or sent */
    LOAD_OPEN,
    LOAD_CLOSED
} load_state;

typedef struct load_run load_run;

typedef struct load_session {
    load_run *run;
    load_plan *plan;
    load_state state;
    int fd;
    struct ssl_st *tls; /* NULL: ws:// */
    int begun;          /* TLS may hold the beginning of packet `sent` */
    int wants_out;      /* epoll watches for room */
    int ready, ended;   /* the server granted it; end was queued */
    int64_t due;        /* packets due so far */
    int64_t sent;       /* packets handed over */
    size_t part;        /* bytes of packet `sent` already handed over, header included */
    size_t packet_bytes, header_bytes;
    uint8_t header[LOAD_WS_HEADER];
    shoal_buf out; /* request, pongs, end; goes before the next packet */
    size_t out_sent;
    shoal_buf in;
    int64_t heard_ns;
    int64_t wake_ns;   /* when one without audio must do something */
    int look_ahead_ms; /* audio needed beyond a chunk's last frame */
    uint64_t frames;
    shoal__progress progress;
    const struct addrinfo *address; /* that it connects to */
} load_session;

struct load_run {
    const load_options *o;
    const load_audio *audio;
    load_stats *st;
    int total;
    load_plan *plans;       /* [total] */
    load_session *sessions; /* [total] */
    load_calendar calendar;
    load_window_ns window;
    struct addrinfo *addresses;     /* of the host */
    const struct addrinfo *address; /* the one to try first: the last that answered */
    shoal_kind kind;                /* of the packets that are measured */
    shoal__scratch scratch;         /* what an event of any session points to */
    int64_t origin_ns;              /* CLOCK_MONOTONIC at the run's beginning */
    int epoll_fd, timer_fd;
    shoal__tls *tls; /* NULL: ws:// */
    uint8_t *record; /* one packet on its way into TLS */
    int open;        /* sessions not closed */
    FILE *csv;       /* NULL: none */
    const volatile sig_atomic_t *interrupts;
};

static inline int64_t load_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * LOAD_S + t.tv_nsec;
}

static inline int64_t load_now(const load_run *run)
{
    return load_clock_ns() - run->origin_ns;
}

/* Its time has come: connect, or send what is due. */
void load_session_act(load_session *s);
/* When it must act next; LOAD_NEVER: only the server can move it. */
int64_t load_session_next(const load_session *s);
void load_session_event(load_session *s, uint32_t events);
/* How long the first result that it is owed is overdue, in chunks; 0: none is. */
double load_session_lag(const load_session *s);
/* Send what may be sent until the socket is full. */
void load_session_pump(load_session *s);
/* Parse what has arrived in s->in. */
void load_session_receive(load_session *s);
void load_session_hung_up(load_session *s); /* the server will say no more */
/* Close. failed and refused count it so; a reason is for people. */
typedef enum load_end { LOAD_FINISHED, LOAD_REFUSED, LOAD_FAILED, LOAD_CANCELLED } load_end;
void load_session_close(load_session *s, load_end end, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Run everything in o once. Returns 0, or -1 with cause and remedy in why. csv may be NULL. */
int load_run_all(const load_options *o, const load_audio *audio, load_stats *st, FILE *csv,
                 const volatile sig_atomic_t *interrupts, char *why, size_t why_size);

/* ---- knee --------------------------------------------------------------------------------- */

/* 1: n sessions hold, 0: they do not, -1: stop the search. */
typedef int load_measure(void *user, int sessions);

typedef struct load_knee {
    int holds;  /* most sessions seen to hold, 0: none */
    int breaks; /* fewest seen to break above that, 0: none up to the maximum */
    int steps;
} load_knee;

/* Double from start, then bisect to 5 %. Returns 0, or -1 when measure said stop. */
int load_knee_find(load_knee *k, int start, int max, load_measure *measure, void *user);

/* ---- reports ------------------------------------------------------------------------------ */

/* one measurement of the search */
typedef struct load_step {
    int sessions, holds;
    load_summary summary;
    int refused, failed;
} load_step;

enum { LOAD_MAX_STEPS = 128 };

typedef struct load_search {
    load_step step[LOAD_MAX_STEPS];
    int count;
    load_knee knee;
} load_search;

void load_report_table(const load_options *o, const load_stats *st);
void load_report_step(const load_step *s, int first);
void load_report_knee(const load_search *search, double limit_ms);
void load_csv_header(FILE *f);
void load_csv_row(FILE *f, const load_row *r);
/* search is NULL for a plain run. Return 0, or -1 after a line on stderr. */
int load_json_write(const char *path, const load_options *o, const load_stats *st,
                    const load_search *search);
int load_plot_run(const char *path, const load_options *o, const load_stats *st);
int load_plot_search(const char *path, const load_search *search, double limit_ms);
/* What p99 may reach before a run counts as too much: the shortest chunk. */
double load_limit_ms(const load_options *o);

#endif

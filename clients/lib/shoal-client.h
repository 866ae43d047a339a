/* shoal-client.h - send audio to a shoal server, get phones and speech features back
 *
 * A whole program (clients/lib/example.c, which the tests compile and run; build it with
 * cc example.c $(pkg-config --cflags --libs libshoal-client)):
 *
 *     #include <stdio.h>
 *
 *     #include <shoal-client.h>
 *
 *     // Phones of raw audio (s16le, mono, 16 kHz) on stdin: example ws://HOST:PORT < audio
 *     int main(int argc, char **argv)
 *     {
 *         shoal_client_params params = shoal_client_default_params();
 *         shoal_client *c;
 *         shoal_client_event e;
 *         char why[512], audio[3200]; // 100 ms
 *         size_t have = 0, sent = 0;
 *         int ended = 0, failed = 0, r;
 *
 *         params.options.rate = 16000;
 *         params.options.given |= SHOAL_OPT_RATE;
 *         if (shoal_client_open(&c, argc > 1 ? argv[1] : "", &params, why, sizeof why) < 0) {
 *             fprintf(stderr, "%s\n", why);
 *             return 1;
 *         }
 *         // < 0: closed, nothing more comes. It waits only when nothing can be sent.
 *         while ((r = shoal_client_poll(c, ended || sent < have ? -1 : 0, &e)) >= 0) {
 *             if (r == 1 && e.type == SHOAL_CLIENT_PHONES)
 *                 for (int i = 0; i < e.phones->count; i++)
 *                     printf("%.2f %.2f %s\n", e.phones->phones[i].start, e.phones->phones[i].end,
 *                            e.phones->phones[i].phone);
 *             if (r == 1 && e.type == SHOAL_CLIENT_ERROR)
 *                 fprintf(stderr, "%s\n", e.error->message); // cause and remedy
 *             if (r == 1 && e.type == SHOAL_CLIENT_CLOSED)
 *                 failed = e.failure != NULL;
 *             if (sent == have && !ended) {
 *                 sent = 0;
 *                 have = fread(audio, 1, sizeof audio, stdin);
 *                 ended = have == 0 && shoal_client_end(c) == 0; // DONE follows all results
 *             }
 *             sent += shoal_client_send(c, audio + sent, have - sent); // takes what fits
 *         }
 *         shoal_client_free(c);
 *         return failed;
 *     }
 *
 * Threads. One object is one session. Nothing happens outside of shoal_client_poll (and the name
 * look-up in shoal_client_open): no threads, and no callbacks unless a libuv loop shall poll
 * (shoal_client_watch). A process may hold any number of
 * clients; each belongs to one thread at a time, only shoal_client_wake may be called from
 * anywhere, signal handlers too. Poll while you have nothing to send: polling reads results,
 * answers the server's pings and holds off its idle timeout.
 *
 * Ownership. What is given in is copied, strings too. What an event points to is a view, good until
 * the next poll or free. A client that could be opened must be freed; if open failed there is
 * nothing to free.
 *
 * Memory is bounded: audio waits in a queue of fixed size (a full one takes less, it never
 * grows), and results that the program does not poll for stay with the server.
 *
 * Order: everything that is sent (audio, set, flush, ping, end) arrives in the order of the calls,
 * also before READY came.
 *
 * Errors. Calls return 0 or a count, or a negative SHOAL_CLIENT_E*; one whose result must be looked
 * at warns if it is not. Whatever ends a session early (a refusal, a lost connection, a dead
 * server, an answer that makes no sense) is one ERROR event with cause and remedy and a
 * shoal_client_failure that tells a program what to do, then CLOSED, then SHOAL_CLIENT_ECLOSED for
 * ever. Sending to a client that has failed is harmless: the next poll says what happened.
 *
 * The library ignores SIGPIPE for the process (libwebsockets does), never offers compression, and
 * takes nothing from the environment: no proxy unless params.proxy says so, and SHOAL_URL and
 * SHOAL_TOKEN only where shoal_client_default_url and shoal_client_read_token are asked for them.
 */
#ifndef SHOAL_CLIENT_H
#define SHOAL_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "shoal-protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHOAL_CLIENT_API   __attribute__((visibility("default")))
#define SHOAL_CLIENT_CHECK __attribute__((warn_unused_result))

/* Of this header; shoal_client_version() tells that of the library in use. */
#define SHOAL_CLIENT_VERSION_MAJOR 0
#define SHOAL_CLIENT_VERSION_MINOR 1
#define SHOAL_CLIENT_VERSION_PATCH 0
#define SHOAL_CLIENT_VERSION       "0.1.0"
SHOAL_CLIENT_API const char *shoal_client_version(void); /* static */

/* code, name, message */
#define SHOAL_CLIENT_ERRORS(X)                                                                     \
    X(-1, SHOAL_CLIENT_EINVAL, "an argument is out of range")                                      \
    X(-2, SHOAL_CLIENT_ENOMEM, "out of memory")                                                    \
    X(-3, SHOAL_CLIENT_EURL, "the URL cannot be used")                                             \
    X(-4, SHOAL_CLIENT_EFULL, "the send queue is full: poll, then try again")                      \
    X(-5, SHOAL_CLIENT_ESTATE, "nothing may be sent after end")                                    \
    X(-6, SHOAL_CLIENT_ECLOSED, "the session is closed and all its events were given out")         \
    X(-7, SHOAL_CLIENT_EFAILED, "the session failed: see its failure")

enum {
    SHOAL_CLIENT_OK = 0,
#define SHOAL_X(code, name, text) name = code,
    SHOAL_CLIENT_ERRORS(SHOAL_X)
#undef SHOAL_X
};

SHOAL_CLIENT_API const char *shoal_client_strerror(int code); /* static */

/* ---- opening --------------------------------------------------------------------------- */

typedef struct shoal_client shoal_client;

/* Later fields go to the end: always start from shoal_client_default_params(). */
typedef struct shoal_client_params {
    shoal_options options;  /* those in options.given win over the URL's query */
    size_t queue_bytes;     /* audio waiting to be sent: 4 KiB .. 1 GiB; 256 KiB */
    size_t message_bytes;   /* larger sends are cut into messages of this: 1 .. 1 MiB; 64 KiB.
                             * Never more than the server takes, and 1 KiB before READY */
    int connect_timeout_ms; /* until READY; 10000 */
    int ping_s;             /* a silent server is asked for a sign of life after this many
                             * seconds and given up after twice as many; 20; 0: never */
    const char *token;      /* sent as Authorization: Bearer, visible ASCII, at most 4096
                             * bytes; NULL. Copied */
    const char *ca_file;    /* wss: certificates to trust besides the system's; NULL. Copied */
    const char *proxy;      /* http://HOST:PORT or HOST:PORT to connect through; NULL: none,
                             * whatever the environment says. Copied */
    int keep_alive;         /* while the program polls, the library pings before the server's
                             * idle timeout; 1 */
    size_t keep_bytes;      /* audio kept after it was sent, see shoal_client_get_kept: 0 .. 1 GiB;
                             * 0: none. 20 s at 16 kHz, s16le: 640 KB */
    int reconnect_ms;       /* a session whose connection breaks is gone on with for so long, see
                             * "when a connection breaks"; 0: it fails. Sets keep_bytes to 64 MiB
                             * if that is 0 */
    int allow_gaps;         /* go on even if results do not join without a gap; 0 */
    const char *cert_file;  /* wss: this program's certificate, in PEM, for a server that asks for
                             * one; its chain may follow. NULL: none. Copied */
    const char *key_file;   /* its private key, in PEM, without a password; NULL: in cert_file.
                             * Copied. All three files are read by shoal_client_open, and
                             * refused beside ws:// */
} shoal_client_params;

SHOAL_CLIENT_API shoal_client_params shoal_client_default_params(void);

/* Where our own programs connect to if nobody says: SHOAL_URL of the environment, or
 * ws://127.0.0.1:7350. View of the environment or static. */
SHOAL_CLIENT_API const char *shoal_client_default_url(void);

enum { SHOAL_CLIENT_TOKEN_SIZE = 4097 }; /* room for any params.token, with its NUL */

/* What our own programs send as a token: the first line of the file at path; where path is NULL
 * what SHOAL_TOKEN of the environment says. "" where neither says anything: then params.token is to
 * be NULL. 0, or SHOAL_CLIENT_EINVAL with cause and remedy in why (may be NULL). */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_read_token(char *token, size_t size,
                                                                const char *path, char *why,
                                                                size_t why_size);

/* Begin to connect; READY (or ERROR) tells the outcome.
 * url: ws://HOST[:PORT][/path][?query] or wss://; the path is /v1/stream where it is not given, the
 *   port 7350 (wss: 443), the query is as in docs/protocol.md: "?depth=6&output=phones".
 * params: NULL for the defaults.
 * Returns 0, or SHOAL_CLIENT_EURL, _EINVAL, _ENOMEM with cause and remedy in why (may be NULL). */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_open(shoal_client **out, const char *url,
                                                          const shoal_client_params *params,
                                                          char *why, size_t why_size);
/* Hangs up if need be (the server forgets the session). NULL is fine. */
SHOAL_CLIENT_API void shoal_client_free(shoal_client *c);

/* ---- sending: copies, queues, returns at once -------------------------------------------- */

/* Audio in options.format, cut anywhere, inside a sample too (OPUS: exactly one packet a call,
 * taken whole or not at all). Returns how many bytes were taken, 0..n; less than n means that the
 * queue is full, and a ROOM event will tell when it is half empty. Takes everything, to no
 * effect, once the connection has failed. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK size_t shoal_client_send(shoal_client *c, const void *bytes,
                                                             size_t n);
/* Change depth, outputs and the length of chunks from the next chunk on, as o->given says
 * (SHOAL_OPT_DEPTH, SHOAL_OPT_OUTPUT, SHOAL_OPT_CHUNK_MS). CHANGED tells from which frame. All five
 * return 0, SHOAL_CLIENT_EFULL, _ESTATE, _EINVAL (a value out of range, an id above SHOAL_MAX_ID
 * bytes). */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_set(shoal_client *c, const shoal_options *o);
/* Compute everything sent so far now; FLUSHED with the same id follows its results. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_flush(shoal_client *c, const char *id);
/* So many samples of a channel are left out here, 20 ms at least: your own gate found nothing in
 * them. All before them is finished as at the end, times and frames go on as if they had been sent,
 * and what follows is heard as by a new session. No answer follows. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_skip(shoal_client *c, uint64_t samples);
/* PONG with the same id follows. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_ping(shoal_client *c, const char *id);
/* No more audio. All results, then DONE with totals, then CLOSED follow. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_end(shoal_client *c);

/* ---- receiving --------------------------------------------------------------------------- */

typedef enum shoal_client_event_type {
    SHOAL_CLIENT_READY,    /* ready: what was granted */
    SHOAL_CLIENT_FEATURES, /* packet, rows; packet->tap tells outputs at several depths apart,
                            * as it does in phones and activity */
    SHOAL_CLIENT_PHONES,   /* phones; count may be 0: it reports progress */
    SHOAL_CLIENT_CHANGED,  /* changed */
    SHOAL_CLIENT_FLUSHED,  /* flushed */
    SHOAL_CLIENT_DONE,     /* done */
    SHOAL_CLIENT_PONG,     /* id */
    SHOAL_CLIENT_ERROR,    /* error; CLOSED follows if error->fatal */
    SHOAL_CLIENT_ROOM,     /* the queue takes audio again after a send that it cut short */
    SHOAL_CLIENT_CLOSED,   /* close_code, close_reason; the last event */
    SHOAL_CLIENT_ACTIVITY, /* activity: speech begins or has ended */
    SHOAL_CLIENT_AWAY,   /* failure: no connection now; the next attempt is in failure->retry_ms */
    SHOAL_CLIENT_RESUMED /* gap, ready: there is one again, and results go on */
} shoal_client_event_type;

enum { SHOAL_CLIENT_HUNG_UP = 1006 }; /* the close code of a connection that ended without one */

/* Why a session ended before it was done, whatever the road that told it: an error message, the
 * status of a refused upgrade (HTTP 503 and 429 are FULL), a close code (1013 FULL, 1012 and 1001
 * RESTARTING, 1006 LOST), a socket. */
typedef enum shoal_client_cause {
    SHOAL_CLIENT_UNREACHABLE = 1, /* nobody answers: is it running, are host and port right? */
    SHOAL_CLIENT_FULL,            /* no room for this session now: later, or ask for less */
    SHOAL_CLIENT_RESTARTING,      /* the server stops or restarts: connect again, or elsewhere */
    SHOAL_CLIENT_LOST,            /* the connection broke, or one side waited too long */
    SHOAL_CLIENT_REJECTED,        /* the request is wrong: correct what the message names */
    SHOAL_CLIENT_BROKEN           /* one side has a fault: report it */
} shoal_client_cause;

typedef struct shoal_client_failure {
    shoal_client_cause cause;
    int retry_ms;      /* the same session may be tried again after so many; -1: it will not help */
    int http_status;   /* of the refused upgrade; 0: there was none */
    int close_code;    /* of the WebSocket, known with CLOSED; 0: there was none */
    shoal_error error; /* the server's, or the library's own: then code is SHOAL_CODE_UNKNOWN
                        * and name one of connection_refused, connection_failed,
                        * connection_lost, connect_timeout, upgrade_refused, bad_answer,
                        * certificate_refused (yours, or that there is none), closed_early,
                        * other_model, other_precision, other_kernels, audio_forgotten. message:
                        * cause and remedy, for people */
} shoal_client_failure;

/* What a connection that was made again has cost. */
typedef struct shoal_client_gap {
    uint64_t samples;     /* of a channel that have no results and never will; 0 with replay */
    uint64_t from_sample; /* the first of them */
    uint64_t frames, from_frame; /* the same in feature frames */
    uint64_t replayed;           /* samples that were sent a second time */
    char name[32]; /* "" if results join; else why they do not, as in failure.error.name:
                    * other_model, other_precision, other_kernels, audio_forgotten */
    int parked;    /* 1: the server had kept the session, and goes on with it: no byte differs */
} shoal_client_gap;

/* Pointers that do not belong to the type are NULL; all are valid until the next poll or free. */
typedef struct shoal_client_event {
    shoal_client_event_type type;
    const shoal_ready *ready;
    const shoal_packet *packet; /* what the rows are */
    const float *rows;          /* [packet->frames, packet->dim], whatever the encoding */
    const shoal_phones *phones;
    const shoal_changed *changed;
    const shoal_flushed *flushed;
    const shoal_done *done;
    const char *id;
    const shoal_error *error; /* of the server, or of the library if failure says so */
    int close_code;           /* WebSocket close code, or SHOAL_CLIENT_HUNG_UP */
    const char *close_reason; /* "" if none */
    const shoal_wire_activity *activity;
    const shoal_client_failure *failure; /* with a fatal ERROR, and with the CLOSED after it; NULL
                                          * with the CLOSED of a session that was done */
    const shoal_client_gap *gap;
} shoal_client_event;

/* Do the I/O that is due and give out one event.
 * timeout_ms: how long to wait for one; 0 does not wait, -1 waits for ever.
 * Returns 1: *event is filled in; 0: none in time, or shoal_client_wake; SHOAL_CLIENT_ECLOSED. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_poll(shoal_client *c, int timeout_ms,
                                                          shoal_client_event *event);

/* Make a waiting poll (or else the next one) return 0. Any thread, signal handlers too. */
SHOAL_CLIENT_API void shoal_client_wake(shoal_client *c);

/* ---- on a libuv loop ---------------------------------------------------------------------- */

struct uv_loop_s;
/* What e points to is good until the callback returns. The callback may send and may free c; it
 * must not poll. */
typedef void shoal_client_on_event(shoal_client *c, const shoal_client_event *e, void *user);

/* Let a running loop poll from now on, on its thread, which is then the client's: each event is
 * given to on_event. CLOSED is the last; the client keeps the loop alive until then, or until it is
 * freed (before the loop is closed: run the loop once more, so that the handles go).
 * loop: uv_loop_t *; both loop and user must outlive c.
 * Returns 0, SHOAL_CLIENT_ESTATE (it is watched already), _ENOMEM. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_watch(shoal_client *c, struct uv_loop_s *loop,
                                                           shoal_client_on_event *on_event,
                                                           void *user);

/* ---- when a connection breaks ------------------------------------------------------------- */

/* With params.reconnect_ms a session outlives its connection, also a server that restarts (kill -9
 * included) or another one behind the same address. A server that lives has kept the session for a
 * while (ready.park_ms): then it goes on where it was, nothing is computed again, no byte differs
 * from a session that was never cut, and gap->parked says so. Otherwise the library replays, see
 * below. AWAY tells that it is lost and when it is tried again: after a wait that doubles, spread
 * by chance. The program may go on sending while the queue has room. RESUMED tells that a server
 * has taken the session again. Attempts end when for reconnect_ms nothing has gone on (results that
 * were not there at the break, or the answer to a ping; that a server takes the session is not
 * enough, since it may break at the same place each time), or at once where the server asks for a
 * longer wait than is left: then ERROR, the last cause, and CLOSED.
 * Before the first READY nothing is tried again.
 *
 * What the program sees does not begin anew: frames, samples, times, sequence numbers, ids and
 * totals count on. The library sends again the audio on which the next results depend (about 20 s
 * at depth 12 and 160 ms, from a chunk's boundary), drops the results that the program has, and the
 * rest joins: each frame, phone and turn of speech once. Features are equal within 1e-4 in fp32 to
 * those of a connection that never broke, and the same bytes where all audio since the beginning
 * was sent again. That needs the same model, precision and kernels, and keep_bytes for that audio;
 * otherwise the session fails with the name of what differs, or, with params.allow_gaps, goes on
 * and RESUMED has that name and what was lost. A change of depth within the audio that is sent
 * again is not repeated in it. Sessions of OPUS packets, with every, pool or activity_max_ms, after
 * a set of chunk_ms or after a skip cannot be replayed: they cannot be cut where a chunk begins.
 * Where the server has not kept them they fail with its cannot_resume. */

/* ---- a recording in one call ---------------------------------------------------------------- */

/* Rows of one output. */
typedef struct shoal_client_rows {
    shoal_kind kind;
    int tap; /* N of an output with @N; 0: at the session's depth */
    int dim;
    size_t frames;
    float *values; /* [frames, dim], a row each 20 ms; NULL if there are none */
} shoal_client_rows;

typedef struct shoal_client_phone {
    shoal_wire_phone phone;
    int tap, depth; /* as in shoal_phones */
} shoal_client_phone;

/* All that a session gave. */
typedef struct shoal_client_result {
    shoal_ready ready;
    shoal_done done;
    shoal_client_rows *rows; /* one for each output that has rows */
    int rows_count;
    shoal_client_phone *phones;
    size_t phone_count;
    shoal_wire_activity *activity;
    size_t activity_count;
    shoal_client_failure failure; /* cause 0: all is well */
} shoal_client_result;

/* Send all of it, wait for all results: as fast as the server takes it.
 * audio: bytes of it as params->options says (format, rate, channels), no header.
 * Returns 0; SHOAL_CLIENT_EFAILED: out->failure says why, and the rest of *out is what came until
 * then; both are given back with shoal_client_result_free. Or what shoal_client_open returns. */
SHOAL_CLIENT_API SHOAL_CLIENT_CHECK int shoal_client_run(shoal_client_result *out, const char *url,
                                                         const shoal_client_params *params,
                                                         const void *audio, size_t bytes, char *why,
                                                         size_t why_size);
SHOAL_CLIENT_API void shoal_client_result_free(shoal_client_result *r);

/* ---- looking ------------------------------------------------------------------------------ */

typedef struct shoal_client_stats {
    uint64_t audio_taken;         /* bytes accepted by send */
    uint64_t audio_sent;          /* of which these have been handed to the socket */
    size_t queued_bytes;          /* audio and control waiting, with 8 bytes for each message */
    uint64_t packets;             /* FEATURES given out */
    uint64_t phones;              /* phones given out */
    uint64_t seq_gaps;            /* results that are missing by their sequence numbers: 0 */
    uint64_t received, processed; /* samples, as the server last said */
    uint64_t frames;              /* one past the last feature frame given out, of any kind */
    uint64_t kept_from;           /* byte of the audio at which shoal_client_get_kept begins */
} shoal_client_stats;

SHOAL_CLIENT_API shoal_client_stats shoal_client_get_stats(const shoal_client *c);
/* NULL before READY. View, valid as long as the client. */
SHOAL_CLIENT_API const shoal_ready *shoal_client_get_ready(const shoal_client *c);
/* What was asked for: URL and params merged, defaults filled in. View. */
SHOAL_CLIENT_API const shoal_options *shoal_client_get_options(const shoal_client *c);
/* Audio that was sent or waits, and that a new session would need to go on where this one is, if
 * keep_bytes is not 0: what has no results yet, and before it as much as the layers look back.
 * Message by message: begin with *at = 0; returns 0 at the end. Views, good until the next send
 * or poll; after CLOSED until free. */
SHOAL_CLIENT_API int shoal_client_get_kept(const shoal_client *c, size_t *at, const void **bytes,
                                           size_t *n);

#ifdef __cplusplus
}
#endif
#endif

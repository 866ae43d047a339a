/* shoal-client.h - send audio to a shoal server, get phones and speech features back
 *
 *     shoal_client *c;
 *     char why[512];
 *     shoal_client_params p = shoal_client_default_params();
 *     p.options.depth_min = p.options.depth_max = 6;
 *     p.options.given |= SHOAL_OPT_DEPTH;
 *     if (shoal_client_open(&c, "ws://127.0.0.1:7350", &p, why, sizeof why) < 0)
 *         errx(1, "%s", why);
 *     shoal_client_event e;
 *     while (shoal_client_poll(c, timeout_ms, &e) >= 0) {     // < 0: closed, nothing more comes
 *         size_t n = audio_to_send(&bytes);                   // any amount, any slicing
 *         audio_sent(shoal_client_send(c, bytes, n));         // takes what fits in its queue
 *         if (end_of_audio)
 *             shoal_client_end(c);                            // DONE follows all results
 *         if (e.type == SHOAL_CLIENT_PHONES)
 *             use(e.phones);                                  // valid until the next poll
 *         else if (e.type == SHOAL_CLIENT_ERROR)
 *             warnx("%s", e.error->message);                  // cause and remedy
 *     }
 *     shoal_client_free(c);
 *
 * One object is one session. Nothing happens outside of shoal_client_poll (and the name look-up
 * in shoal_client_open): no threads, no callbacks. A process may hold any number of clients; each
 * belongs to one thread at a time, only shoal_client_wake may be called from anywhere.
 *
 * Memory is bounded: audio waits in a queue of fixed size (a full one takes less, it never
 * grows), and results that the program does not poll for stay with the server.
 *
 * Order: everything that is sent (audio, set, flush, ping, end) arrives in the order of the calls,
 * also before READY came. Sending to a client that has failed is harmless: the next poll says
 * what happened. A lost connection, a dead server, an answer that makes no sense: one ERROR
 * event with cause and remedy, then CLOSED, then SHOAL_CLIENT_ECLOSED for ever.
 *
 * The library ignores SIGPIPE for the process (libwebsockets does), and never offers compression.
 */
#ifndef SHOAL_CLIENT_H
#define SHOAL_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "shoal-protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHOAL_CLIENT_API __attribute__((visibility("default")))

/* code, name, message */
#define SHOAL_CLIENT_ERRORS(X)                                                                     \
    X(-1, SHOAL_CLIENT_EINVAL, "an argument is out of range")                                      \
    X(-2, SHOAL_CLIENT_ENOMEM, "out of memory")                                                    \
    X(-3, SHOAL_CLIENT_EURL, "the URL cannot be used")                                             \
    X(-4, SHOAL_CLIENT_EFULL, "the send queue is full: poll, then try again")                      \
    X(-5, SHOAL_CLIENT_ESTATE, "nothing may be sent after end")                                    \
    X(-6, SHOAL_CLIENT_ECLOSED, "the session is closed and all its events were given out")

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
    size_t message_bytes;   /* larger sends are cut into messages of this: 1 .. 1 MiB; 64 KiB */
    int connect_timeout_ms; /* until READY; 10000 */
    int ping_s;             /* a silent server is asked for a sign of life after this many
                             * seconds and given up after twice as many; 20; 0: never */
    const char *token;      /* sent as Authorization: Bearer; NULL. Copied */
    const char *ca_file;    /* wss: certificates to trust besides the system's; NULL. Copied */
} shoal_client_params;

SHOAL_CLIENT_API shoal_client_params shoal_client_default_params(void);

/* Begin to connect; READY (or ERROR) tells the outcome.
 * url: ws://HOST[:PORT][/path][?query] or wss://; the path is /v1/stream where it is not given, the
 *   port 7350 (wss: 443), the query is as in docs/protocol.md: "?depth=6&output=phones".
 * params: NULL for the defaults.
 * Returns 0, or SHOAL_CLIENT_EURL, _EINVAL, _ENOMEM with cause and remedy in why (may be NULL). */
SHOAL_CLIENT_API int shoal_client_open(shoal_client **out, const char *url,
                                       const shoal_client_params *params, char *why,
                                       size_t why_size);
/* Hangs up if need be (the server forgets the session). NULL is fine. */
SHOAL_CLIENT_API void shoal_client_free(shoal_client *c);

/* ---- sending: copies, queues, returns at once -------------------------------------------- */

/* Audio in options.format, cut anywhere, inside a sample too (OPUS: exactly one packet a call,
 * taken whole or not at all). Returns how many bytes were taken, 0..n; less than n means that the
 * queue is full, and a ROOM event will tell when it is half empty. Takes everything, to no
 * effect, once the connection has failed. */
SHOAL_CLIENT_API size_t shoal_client_send(shoal_client *c, const void *bytes, size_t n);
/* Change depth and outputs from the next chunk on, as o->given says (SHOAL_OPT_DEPTH,
 * SHOAL_OPT_OUTPUT). CHANGED tells from which frame. All four return 0, SHOAL_CLIENT_EFULL,
 * _ESTATE, _EINVAL (a value out of range, an id above SHOAL_MAX_ID bytes). */
SHOAL_CLIENT_API int shoal_client_set(shoal_client *c, const shoal_options *o);
/* Compute everything sent so far now; FLUSHED with the same id follows its results. */
SHOAL_CLIENT_API int shoal_client_flush(shoal_client *c, const char *id);
/* PONG with the same id follows. */
SHOAL_CLIENT_API int shoal_client_ping(shoal_client *c, const char *id);
/* No more audio. All results, then DONE with totals, then CLOSED follow. */
SHOAL_CLIENT_API int shoal_client_end(shoal_client *c);

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
    SHOAL_CLIENT_ACTIVITY  /* activity: speech begins or has ended */
} shoal_client_event_type;

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
    const shoal_error *error; /* the server's, or the library's own: then code is
                               * SHOAL_CODE_UNKNOWN and name one of connection_refused,
                               * connection_failed, connection_lost, connect_timeout,
                               * upgrade_refused, bad_answer, closed_early */
    int close_code;           /* WebSocket close code; 1006: hung up without one */
    const char *close_reason; /* "" if none */
    const shoal_wire_activity *activity;
} shoal_client_event;

/* Do the I/O that is due and give out one event.
 * timeout_ms: how long to wait for one; 0 does not wait, -1 waits for ever.
 * Returns 1: *event is filled in; 0: none in time, or shoal_client_wake; SHOAL_CLIENT_ECLOSED. */
SHOAL_CLIENT_API int shoal_client_poll(shoal_client *c, int timeout_ms, shoal_client_event *event);

/* Make a waiting poll (or else the next one) return 0. Any thread, signal handlers too. */
SHOAL_CLIENT_API void shoal_client_wake(shoal_client *c);

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
} shoal_client_stats;

SHOAL_CLIENT_API shoal_client_stats shoal_client_get_stats(const shoal_client *c);
/* NULL before READY. View, valid as long as the client. */
SHOAL_CLIENT_API const shoal_ready *shoal_client_get_ready(const shoal_client *c);
/* What was asked for: URL and params merged, defaults filled in. View. */
SHOAL_CLIENT_API const shoal_options *shoal_client_get_options(const shoal_client *c);

#ifdef __cplusplus
}
#endif
#endif

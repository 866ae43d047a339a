/* client_session.h - one session as messages and events; it knows no socket and no clock
 *
 *     program -> send, set, flush, ping, end -> tx -> front, sent      -> wire
 *                                                 \-> kept until no replay can need it
 *     wire    -> receive, close, gone, fail  -> rx -> next_event       -> program
 *
 * Who has a wire (client_ws.c, a test, a fuzzer) pushes what came and takes what is to go. All
 * memory is bounded: tx by queue_bytes, rx by one message and one read as long as the owner reads
 * no more while rx holds an event, kept by keep_bytes. One thread.
 */
#ifndef SHOAL_CLIENT_SESSION_H
#define SHOAL_CLIENT_SESSION_H

#include "lib/client_events.h"
#include "lib/client_keep.h"
#include "lib/client_queue.h"
#include "shoal-client.h"

enum {
    SHOAL__MIN_QUEUE_BYTES = 4 << 10,
    SHOAL__MAX_QUEUE_BYTES = 1 << 30,
    SHOAL__CONTROL_BYTES = 16 << 10, /* of tx that audio leaves to set, flush, ping and end */
    SHOAL__SAFE_MESSAGE_BYTES = 1024 /* every server takes so much: before ready, no more is sent */
};

typedef struct shoal__session_params {
    shoal_options options; /* of the start message; checked */
    size_t queue_bytes, message_bytes, keep_bytes;
    int keep_alive;
    const char *peer; /* "host:port", for people; lives as long as the session */
} shoal__session_params;

typedef struct shoal__session {
    shoal__session_params params; /* set at init, then constant */
    shoal__queue tx, rx;
    shoal__keep kept;
    shoal__progress progress;
    shoal__scratch scratch;
    shoal_ready ready;    /* once progress.ready */
    uint64_t audio_taken; /* bytes; those sent are kept.to */
    int ended;            /* end was queued */
    int want_room;        /* a send was cut short and ROOM is owed */
    int front_given;      /* the oldest message of rx is the last event's */
    int over;             /* nothing more comes from the wire */
    int close_code;       /* of the server's Close; 0: none came */
    char close_reason[128];
    int has_failure; /* failure says why the session is over; the first reason stands */
    int told_error, told_closed;
    shoal_client_failure failure;
    uint64_t sent_messages, seen_messages; /* handed to the wire; at the last tick */
    int64_t quiet_since_ms;                /* nothing was sent since; 0: not known yet */
} shoal__session;

/* 0 or SHOAL_CLIENT_ENOMEM (nothing to free then). The start message is queued. */
int shoal__session_init(shoal__session *s, const shoal__session_params *params)
    __attribute__((warn_unused_result));
void shoal__session_free(shoal__session *s);

/* ---- from the program: as in shoal-client.h ---- */

size_t shoal__session_send(shoal__session *s, const void *bytes, size_t n);
int shoal__session_set(shoal__session *s, const shoal_options *o);
int shoal__session_flush(shoal__session *s, const char *id);
int shoal__session_ping(shoal__session *s, const char *id);
int shoal__session_end(shoal__session *s);

/* Call it now and then: holds off the server's idle timeout. Returns when it is due again, on the
 * clock of now_ms (any that only grows, above 0); INT64_MAX: never. */
int64_t shoal__session_tick(shoal__session *s, int64_t now_ms);

/* ---- to the wire ---- */

/* The next message to send; 0: none. View until sent. */
int shoal__session_front(const shoal__session *s, int *kind, const uint8_t **bytes, size_t *n);
void shoal__session_sent(shoal__session *s);

/* ---- from the wire ---- */

/* A piece of a message, the last one or not. After a failure it takes nothing more. -1: too large
 * or out of memory; the session has failed. */
int shoal__session_receive(shoal__session *s, int kind, const void *bytes, size_t n, int last);
/* The server's Close. */
void shoal__session_close(shoal__session *s, int code, const char *reason, size_t n);
/* The connection is gone; what came before is still given out. */
void shoal__session_gone(shoal__session *s);
/* The connection cannot go on because ... */
void shoal__session_fail(shoal__session *s, shoal_client_cause cause, const char *name,
                         const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void shoal__session_fail_with(shoal__session *s, const shoal_client_failure *f);

/* ---- to the program ---- */

/* Fill in *e. Returns 1, 0: nothing has happened. What e points to is good until the next call. */
int shoal__session_next_event(shoal__session *s, shoal_client_event *e);
shoal_client_stats shoal__session_stats(const shoal__session *s);
/* Audio that a replay would need, message by message: start with *at = 0; 0 at the end. It begins
 * at byte kept.from of the audio: first what was sent and is kept, then what waits in tx. */
int shoal__session_replay(const shoal__session *s, size_t *at, const uint8_t **bytes, size_t *n);

#endif

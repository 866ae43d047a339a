/* client_session.h - one session as messages and events; it knows no socket and no clock
 *
 *     program -> send, set, flush, ping, end -> out -> front, sent           -> wire
 *     wire    -> receive, close, gone, fail  -> rx  -> events -> join -> next_event -> program
 *
 * Who has a wire (client_ws.c, a test, a fuzzer) pushes what came and takes what is to go. All
 * memory is bounded: out.tx by queue_bytes, rx by one message and one read as long as the owner
 * reads no more while rx holds an event, out.kept by keep_bytes. One thread.
 *
 * A wire that breaks need not be the end, if params.again: next_event gives AWAY, is_away is true,
 * and whoever has the clock begins anew when it is time (client_resume.c), or gives up:
 *
 *     READY ... AWAY (again) AWAY (again) RESUMED ... DONE CLOSED
 *                                 \-> give_up -> ERROR CLOSED
 *
 * A new connection first asks for the session itself, which the server may have parked, and goes on
 * where it was. If it has not, the next one starts a session of the same options, replays what is
 * kept from far enough back (client_again.c), and drops what was given before (client_join.c).
 */
#ifndef SHOAL_CLIENT_SESSION_H
#define SHOAL_CLIENT_SESSION_H

#include "lib/client_events.h"
#include "lib/client_join.h"
#include "lib/client_out.h"
#include "lib/client_queue.h"
#include "shoal-client.h"

enum {
    SHOAL__MIN_QUEUE_BYTES = 4 << 10,
    SHOAL__MAX_QUEUE_BYTES = 1 << 30,
    SHOAL__CONTROL_BYTES = 16 << 10, /* of tx that audio leaves to set, flush, ping and end */
    SHOAL__GRIDS = 16,               /* flushes whose places are remembered */
    SHOAL__SAFE_MESSAGE_BYTES = 1024 /* every server takes so much: before ready, no more is sent */
};

typedef struct shoal__session_params {
    shoal_options options; /* of the start message; checked */
    size_t queue_bytes, message_bytes, keep_bytes;
    int keep_alive;
    int again;        /* a connection that breaks is no end */
    int gaps;         /* not even if audio is lost by it */
    const char *peer; /* "host:port", for people; lives as long as the session */
} shoal__session_params;

typedef struct shoal__session {
    shoal__session_params params; /* set at init, then constant */
    shoal__out out;
    shoal__queue rx;
    shoal__progress progress; /* of this connection */
    shoal__join join;         /* of all */
    shoal__scratch scratch;
    shoal_ready ready;            /* once links > 0 */
    shoal_options granted;        /* of ready, with what was changed since */
    int links;                    /* connections on which ready came */
    uint64_t grids[SHOAL__GRIDS]; /* frames from which chunks count, after flushes; the latest, */
    int grid_count;               /* at its number modulo SHOAL__GRIDS */
    shoal_client_gap gap;         /* of the connection that was made again last */
    char gap_text[160];
    int gave_up;          /* the last failure stands */
    uint64_t audio_taken; /* bytes; those sent are out.kept.to */
    int ended;            /* end was queued */
    int other_places;     /* set changed chunk_ms, or skip: bytes and chunks do not tell times */
    uint64_t skipped;     /* samples, by skip */
    uint64_t got;         /* messages of the server on all connections, but for ready */
    int coming_back;      /* this connection is for the session that the server has parked */
    int want_room;        /* a send was cut short and ROOM is owed */
    int front_given;      /* the oldest message of rx is the last event's */
    int over;             /* nothing more comes from the wire */
    int close_code;       /* of the server's Close; 0: none came */
    char close_reason[128];
    int advanced;    /* results, or a ping behind them was answered, since that was last cleared */
    int has_failure; /* failure says why the session is over; the first reason stands */
    int told_error, told_closed, told_away;
    uint64_t seq_gaps; /* of connections before this one */
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
int shoal__session_skip(shoal__session *s, uint64_t samples);
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

/* ---- a new wire (client_resume.h says what goes over it) ---- */

/* The wire is gone, AWAY was given out, and another one may be given. */
int shoal__session_is_away(const shoal__session *s);
/* What the wire before has left is forgotten, but for what is the session's own: all of its results
 * too, if it begins anew. */
void shoal__session_renew(shoal__session *s, int anew);
/* No more attempts: ERROR and CLOSED follow. */
void shoal__session_give_up(shoal__session *s);
/* Nothing of this wire is wanted any more. */
void shoal__session_stop(shoal__session *s);

#endif

/* client_internal.h - what the files of libshoal-client share
 *
 *     client.c        the public calls
 *     client_events.c messages and failures -> events
 *     client_ws.c     one libwebsockets context and its callback; fills rx, drains tx
 *     client_queue.c  first-in first-out of whole messages in one block of memory
 *     client_url.c    URL -> host, port, path, options
 *
 * Everything is touched by the thread that polls, except `woken`.
 */
#ifndef SHOAL_CLIENT_INTERNAL_H
#define SHOAL_CLIENT_INTERNAL_H

#include <stdatomic.h>

#include "shoal-client.h"

/* ---- queue of messages ---- */

enum { SHOAL__TEXT = 1, SHOAL__BINARY = 2 };
enum { SHOAL__RECORD_BYTES = 8 }; /* size and kind in front of each message */

typedef struct shoal__queue {
    uint8_t *data;
    size_t head, tail; /* whole messages lie in [head, tail) */
    size_t open;       /* bytes after tail of a message still being built, with its record */
    size_t cap, max;   /* allocated; the most that may ever be */
} shoal__queue;

/* All of these return 0, or -1 when max would be exceeded or memory is out (nothing changed). */
int shoal__queue_init(shoal__queue *q, size_t initial, size_t max);
void shoal__queue_free(shoal__queue *q);
int shoal__queue_push(shoal__queue *q, int kind, const void *bytes, size_t n);
/* A message in pieces: append any number of times, then commit. */
int shoal__queue_append(shoal__queue *q, const void *bytes, size_t n);
int shoal__queue_commit(shoal__queue *q, int kind);
/* The oldest whole message; 0 when there is none. View until the next call that changes q. */
int shoal__queue_front(const shoal__queue *q, int *kind, const uint8_t **bytes, size_t *n);
void shoal__queue_pop(shoal__queue *q);
size_t shoal__queue_used(const shoal__queue *q);

/* ---- URL ---- */

typedef struct shoal__url {
    int tls;
    char host[256]; /* without brackets */
    int port;
    char path[512];
    shoal_options options; /* of the query */
} shoal__url;

/* Returns 0 or SHOAL_CLIENT_EURL with cause and remedy in why. */
int shoal__url_parse(shoal__url *u, const char *url, char *why, size_t why_size);
/* Fields of over->given on top of u->options; checked. SHOAL_CLIENT_EINVAL: cause in why. */
int shoal__options_merge(shoal_options *o, const shoal_options *over, char *why, size_t why_size);

/* ---- client ---- */

typedef enum shoal__state {
    SHOAL__CONNECTING, /* until the upgrade */
    SHOAL__OPEN,
    SHOAL__CLOSED /* the socket is gone; events may be left in rx */
} shoal__state;

struct lws;
struct lws_context;
typedef struct shoal__ws shoal__ws;

struct shoal_client {
    shoal__url url;             /* set at open, then constant */
    shoal_client_params params; /* the same; token and ca_file owned */
    shoal__state state;
    shoal__ws *ws;
    shoal__queue tx, rx;
    uint8_t *frame;   /* [LWS_PRE + message_bytes] a message on its way out */
    atomic_int woken; /* any thread */
    int64_t connect_deadline_ms;
    int close_code;
    char close_reason[128];
    /* what the program has been told */
    shoal_error failure;         /* why the connection ended */
    int has_failure;             /* failure is set and not yet given out */
    shoal_code server_code;      /* of the server's last ERROR */
    int told_error, told_closed; /* a fatal ERROR, CLOSED were given out */
    int ended, done;             /* end was sent, DONE was given out */
    int want_room;               /* a send was cut short and ROOM is owed */
    int has_ready;
    shoal_ready ready;
    shoal_server_msg msg;   /* of the last event */
    int has_msg, has_front; /* to release at the next poll */
    shoal_packet packet;
    float *rows;
    size_t rows_cap; /* floats */
    uint32_t next_seq;
    int has_seq;
    shoal_client_stats stats;
};

/* Note why the connection cannot go on; the first reason stands. */
void shoal__fail(shoal_client *c, const char *name, int retry, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

int64_t shoal__now_ms(void);

/* Fill in *e (zeroed first). Returns 1, or 0 when nothing has happened. */
int shoal__next_event(shoal_client *c, shoal_client_event *e);
/* Give back what the last event pointed to. */
void shoal__release_event(shoal_client *c);

/* ---- socket ---- */

/* Returns 0 or SHOAL_CLIENT_ENOMEM; a connection that fails is told later by shoal__fail. */
int shoal__ws_open(shoal_client *c);
void shoal__ws_free(shoal_client *c);
/* Wait at most timeout_ms (0: not at all) for something to happen and handle it. */
void shoal__ws_service(shoal_client *c, int timeout_ms);
void shoal__ws_want_write(shoal_client *c);
void shoal__ws_wake(shoal_client *c);
/* Drop the connection at once. Outside of callbacks. */
void shoal__ws_hang_up(shoal_client *c);

#endif

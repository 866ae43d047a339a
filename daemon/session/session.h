/* session.h - one stream of one client: what the loop thread and its worker share
 *
 *      loop thread (session.c)                       worker thread (track.c, emit.c)
 *      RECEIVE -> [in: audio|set|flush|end|...] ->   convert, feed, batched run
 *      lws_write <- [out: text|binary]           <-  encode
 *
 * The input queue is ordered, so a control message takes effect exactly at its place in the
 * audio, and errors that the client's own messages cause are answered at their place too
 * (SHOALD_IN_REPLY). Memory: one block here and the two rings, all made at the start of the
 * session from its options; the engine's objects are made and freed by the worker.
 *
 * Life: made by the loop before the upgrade (it holds a slot from then on), given to a worker
 * at the start, freed by the loop. When the connection is gone the loop posts the session a
 * last time, marked (SHOALD_MARK); the worker answers with a marked one after its own last
 * touch, and only that lets the loop free it. Both go through first-in first-out mailboxes, so
 * no pointer to a freed session can lie in one. A move to another worker goes the same way: posted
 * marked to the old one, which answers after its last touch; until then the loop posts nothing,
 * and then posts to the new one, which looks at whatever has come meanwhile.
 *
 * Waking up. Each flag below is "set mine, then look at yours" on both sides:
 *   in_inbox   set by the loop that posts; cleared by the worker before it looks at the input
 *   in_outbox  the same, the other way round
 *   blocked    set by the worker that lacks room in out, which then looks once more; the loop
 *              that makes room clears it and posts
 *   rx_paused  set by the loop that stops reading the socket, which then looks once more; the
 *              worker that drains the input below in_low notifies the loop
 */
#ifndef SHOALD_SESSION_H
#define SHOALD_SESSION_H

#include "plan/load.h"
#include "queue.h"
#include "work/track.h"
#include "shoal-protocol.h"

struct lws;
struct shoald_conn;
struct shoald_server;
struct shoald_worker;

#define SHOALD_SESSION_ID  16 /* hex digits */
#define SHOALD_PEER_LENGTH 96

/* kinds of input records */
enum {
    SHOALD_IN_AUDIO, /* payload: bytes in the session's format; opus: one packet */
    SHOALD_IN_SET,   /* payload: shoal_options, effective */
    SHOALD_IN_FLUSH, /* payload: id with its NUL */
    SHOALD_IN_END,
    SHOALD_IN_DRAIN, /* finish what was received, then error `draining` */
    SHOALD_IN_REPLY  /* payload: text to send at this place; code: then close */
};

enum { SHOALD_OUT_TEXT, SHOALD_OUT_BINARY }; /* kinds of output records */

/* the loop's view */
typedef enum shoald_phase {
    SHOALD_WAITING, /* upgraded or about to be; no options yet */
    SHOALD_STREAMING,
    SHOALD_ENDING, /* end, drain or a fatal error lies in the input queue */
    SHOALD_CLOSING /* the last text and the close code are settled */
} shoald_phase;

typedef struct shoald_session {
    /* set at init or start, then constant */
    struct shoald_server *server;
    char id[SHOALD_SESSION_ID + 1];
    char peer[SHOALD_PEER_LENGTH];
    shoal_options options;      /* effective at the start */
    size_t in_high, in_low;     /* bytes of input: stop, go on reading the socket */
    uint64_t max_message_bytes; /* told in `ready`, as are the next two */
    int backlog_ms, idle_timeout_s;

    shoald_queue in, out;
    _Atomic size_t out_step; /* room in out that one step of the worker may need; a `set`
                              * (worker) changes it */
    _Atomic bool in_inbox, in_outbox, blocked, rx_paused;
    _Atomic uint64_t received_bytes; /* of audio, by the loop */

    shoald_track track; /* worker only; the loop reads totals after the release */

    /* loop only */
    struct shoald_worker *worker;        /* NULL until the start */
    struct shoald_worker *move_to;       /* its next one, while the old one has not let go */
    shoald_demand demand;                /* what it counts in the projected load (govern.h) */
    uint64_t looked_bytes;               /* received_bytes as of the last look */
    struct shoald_conn *conn;            /* NULL once the connection is gone */
    struct shoald_session *next, **link; /* list in shoald_server */
    shoald_phase phase;
    shoal_options asked;    /* what the client said, every `set` included */
    bool has_url_options;   /* then it starts when the upgrade is done */
    shoal_error *url_error; /* told then; NULL: none */
    bool in_review;         /* in the list that the next uv_check looks at */
    struct shoald_session *next_review;
    uint64_t opened_ns;
    uint64_t heard_ns;   /* last byte of any kind */
    uint64_t spoken_ns;  /* last message, not mere pongs */
    uint64_t written_ns; /* last write that lws took, or when writing became needed */
    uint64_t pinged_ns;
    bool ping_due;
    uint64_t message_bytes; /* of the message being received */
    char *part;             /* text or opus packet being put together */
    size_t part_size;
    shoald_queue replies; /* pongs: do not wait for the worker */
    char last_text[640];  /* fatal error told at once, past the queues */
    size_t last_size;
    int close_code;      /* 0: not yet */
    bool close_due;      /* all is written; the next review closes */
    bool close_sent;     /* the Close frame is lws's affair now; write no more */
    uint64_t closing_ns; /* since when phase is CLOSING */
    bool after_end_told;
    shoal_code error; /* why the loop closed it */
} shoald_session;

/* Pointers in mailboxes: marked means "this is the last of it", for ever or for this worker. */
#define SHOALD_MARK(s)      ((void *)((uintptr_t)(s) | 1))
#define SHOALD_MARK_MOVE(s) ((void *)((uintptr_t)(s) | 2))
#define SHOALD_MARKED(p)    ((uintptr_t)(p)&1)
#define SHOALD_MOVED(p)     ((uintptr_t)(p)&2)
#define SHOALD_UNMARK(p)    ((shoald_session *)((uintptr_t)(p) & ~(uintptr_t)3))

/* ---- session.c: the loop's side. conn.c calls these for the events of a connection --------- */

shoald_session *shoald_session_new(struct shoald_server *server, struct shoald_conn *conn);
/* Options of the URL (the session has been admitted), or (not NULL) what is wrong with them. That
 * is told after the upgrade, because browsers show nothing of an upgrade that is refused. */
void shoald_session_set_url(shoald_session *s, const shoal_options *o, const shoal_error *err);
void shoald_session_on_open(shoald_session *s);
/* A piece of a message, as lws cuts it. Returns 0, or -1 to close with close_code. */
int shoald_session_on_receive(shoald_session *s, const void *bytes, size_t n);
int shoald_session_on_writable(shoald_session *s);
void shoald_session_on_pong(shoald_session *s);
/* The connection is gone. The session frees itself once its worker has let go. */
void shoald_session_on_gone(shoald_session *s);
/* The worker has results, has made room, or (marked) is through with it. */
void shoald_session_on_mail(void *mail);
/* From uv_check only, outside of lws: stop reading, go on reading, close. */
void shoald_session_review(shoald_session *s);
void shoald_session_on_second(shoald_session *s, uint64_t now_ns);
/* Finish what was received, then say `draining`. */
void shoald_session_drain(shoald_session *s);
/* Tell and close at once; what lies in the queues is not sent any more. */
void shoald_session_fail(shoald_session *s, shoal_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

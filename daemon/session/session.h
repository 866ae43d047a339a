/* session.h - one stream of one client, as the loop thread sees it
 *
 * What it shares with its worker is its lane (lane.h says who may touch what, and when it may be
 * freed). The session is made before the upgrade (it holds a slot from then on), is given to a
 * worker's port at the start, and frees itself when the connection is gone and the worker has let
 * go of the lane. Memory: one block here and the two rings, all made at the start of the session
 * from its options.
 */
#ifndef SHOALD_SESSION_H
#define SHOALD_SESSION_H

#include "base/peer.h"
#include "lane.h"
#include "plan/load.h"
#include "session/entry.h"
#include "session/house.h"
#include "shoal-protocol.h"

struct lws;

/* the loop's view */
typedef enum shoald_phase {
    SHOALD_WAITING, /* upgraded or about to be; no options yet */
    SHOALD_STREAMING,
    SHOALD_ENDING, /* end, drain or a fatal error lies in the input queue */
    SHOALD_CLOSING /* the last text and the close code are settled */
} shoald_phase;

typedef struct shoald_session {
    /* set at init, then constant */
    shoald_house *house;
    shoald_peer peer;
    bool refused; /* it holds no slot, and is there until it has been told why */

    shoald_lane lane; /* set at the start, but for its id */

    /* loop only */
    shoald_port *port;                   /* its worker's; NULL until the start */
    shoald_port *move_to;                /* its next one, while the old one has not let go */
    shoald_demand demand;                /* what it counts in the projected load (load.h) */
    uint64_t looked_bytes;               /* received_bytes as of the last look */
    struct lws *wsi;                     /* NULL before the upgrade and once that is gone */
    struct shoald_session *next, **link; /* list in the house */
    shoald_phase phase;
    shoal_options asked; /* what the client said, every `set` included */
    bool in_review;      /* in the list that the next uv_check looks at */
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

/* ---- session.c: the loop's side. link.c calls these for the events of a connection --------- */

/* Its connection is about to be upgraded. With an error in its entry it counts for nothing and is
 * there to tell it. NULL: no memory. */
shoald_session *shoald_session_new(shoald_house *house, const shoald_peer *peer,
                                   const shoald_entry *entry);
/* The upgrade is done: it starts with the options of its entry, tells its error, or waits for a
 * start message. */
void shoald_session_on_open(shoald_session *s, const shoald_entry *entry);
/* It holds a slot, and its client is there. */
static inline bool shoald_session_is_open(const shoald_session *s)
{
    return s->wsi && !s->refused;
}
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

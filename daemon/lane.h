/* lane.h - what the loop thread and a worker share, and nothing else
 *
 *      loop thread (session/)                         worker thread (work/)
 *      RECEIVE -> [in: audio|set|flush|end|...] ->   convert, feed, batched run
 *      lws_write <- [out: text|binary]           <-  encode
 *
 * A shoald_lane is one session's: two rings and the flags around them. A shoald_port is one
 * worker's: its mailboxes, its wake-up call and one atomic for each thing that the two tell each
 * other. The session knows no worker and the worker no session: each sees lane and port.
 *
 * The input ring is ordered, so a control message takes effect exactly at its place in the
 * audio, and errors that the client's own messages cause are answered at their place too
 * (SHOALD_IN_REPLY). Both rings are made by the loop at the start of the session from its options;
 * what the worker needs beside them hangs at track and is made and freed by the worker.
 *
 * Life: given to a port at the start, freed by the loop. When the connection is gone the loop
 * posts the lane a last time, marked (SHOALD_MARK); the worker answers with a marked one after its
 * own last touch, and only that lets the loop free it. Both go through first-in first-out
 * mailboxes, so no pointer to a freed lane can lie in one. A move to another worker goes the same
 * way: posted marked to the old one, which answers after its last touch; until then the loop posts
 * nothing, and then posts to the new one, which looks at whatever has come meanwhile.
 *
 * Waking up. Each flag below is "set mine, then look at yours" on both sides:
 *   in_inbox   set by the loop that posts; cleared by the worker before it looks at the input
 *   in_outbox  the same, the other way round
 *   blocked    set by the worker that lacks room in out, which then looks once more; the loop
 *              that makes room clears it and posts
 *   rx_paused  set by the loop that stops reading the socket, which then looks once more; the
 *              worker that drains the input below in_low notifies the loop
 */
#ifndef SHOALD_LANE_H
#define SHOALD_LANE_H

#include "base/service.h"
#include "base/stats.h"
#include "plan/cost.h"
#include "queue.h"
#include "shoal-protocol.h"

#include <semaphore.h>
#include <uv.h>

#define SHOALD_SESSION_ID 16 /* hex digits */

/* kinds of input records */
enum {
    SHOALD_IN_AUDIO, /* payload: bytes in the session's format; opus: one packet */
    SHOALD_IN_SET,   /* payload: shoald_change */
    SHOALD_IN_FLUSH, /* payload: id with its NUL */
    SHOALD_IN_SKIP,  /* payload: uint64_t samples that were left out here */
    SHOALD_IN_END,
    SHOALD_IN_DRAIN, /* finish what was received, then error `draining` */
    SHOALD_IN_REPLY  /* payload: text to send at this place; code: then close */
};

enum { SHOALD_OUT_TEXT, SHOALD_OUT_BINARY, SHOALD_OUT_READY }; /* kinds of output records */

/* ---- a worker, as the loop sees it --------------------------------------------------------- */

typedef struct shoald_port {
    /* set at init, then constant */
    int index;
    uv_async_t *notify; /* wakes the loop; shared by all ports */

    shoald_mailbox inbox;  /* loop -> worker */
    shoald_mailbox outbox; /* worker -> loop */
    sem_t wake;
    _Atomic bool woken;
    bool mail_sent;            /* worker only: since the last notify */
    _Atomic uint64_t ticks;    /* progress, for the watchdog */
    shoald_worker_stats stats; /* written by the worker, read by anyone */

    /* loop -> worker */
    _Atomic bool elastic;    /* else everybody runs as deep as allowed */
    _Atomic int ceiling;     /* no stream that may go lower runs deeper */
    _Atomic uint64_t run_ns; /* how long a run should be at most */
    /* worker -> loop */
    _Atomic int pressed;         /* ceiling at which chunks would be in time; 0: they are */
    _Atomic uint64_t late_ns;    /* most that a chunk was late since the loop last looked */
    _Atomic uint64_t run_due_ns; /* earliest deadline in the run that goes on; 0: none does */
    shoald_cost_shape shape;     /* as calibrated; constant once the worker is ready */
    _Atomic double speed;        /* of its cost, as of the last run */

    int lanes; /* loop only: how many it carries */
} shoald_port;

/* lanes: most it will ever carry. 0 or -1 (no memory, nothing to free). */
int shoald_port_init(shoald_port *p, int index, int depth, uv_async_t *notify, int lanes);
void shoald_port_free(shoald_port *p);
/* Loop: make the worker tick even if it has nothing to do, to see that it lives. */
void shoald_port_poke(shoald_port *p);
/* Worker: until it is poked or posted to, or this time (uv_hrtime()) has come. */
void shoald_port_wait(shoald_port *p, uint64_t until_ns);
/* Loop: its costs as last measured. */
shoald_cost shoald_port_cost(const shoald_port *p);
/* Worker: wake the loop if there is something new in the outbox. */
void shoald_port_notify(shoald_port *p);

/* ---- a session, as its worker sees it ------------------------------------------------------ */

/* Written by the worker, read by anyone. */
typedef struct shoald_totals {
    shoald_counter frames, phones, packets;
    shoald_counter samples;   /* of 16 kHz, done */
    shoald_counter beside_ns; /* time that its worker spent on it, engine runs left out */
    _Atomic int depth;        /* of its last run */
    _Atomic int error;        /* shoal_code: why it is over; 0: no error */
    _Atomic bool done;        /* it has ended as it should */
} shoald_totals;

typedef struct shoald_lane {
    /* set at init, then constant */
    void *session;           /* the loop's; no affair of the worker's */
    shoald_service *service; /* its model; no other is in its way from here on */
    char id[SHOALD_SESSION_ID + 1];
    shoal_options options;      /* effective at the start */
    size_t in_high, in_low;     /* bytes of input: stop, go on reading the socket */
    uint64_t max_message_bytes; /* told in `ready`, as is what follows */
    int backlog_ms, idle_timeout_s, park_ms;
    char ticket[SHOAL_TICKET_DIGITS + 1]; /* the worker tells the first; the loop, later ones */

    shoald_queue in, out;
    _Atomic size_t out_step; /* room in out that one step of the worker may need; a `set`
                              * (worker) changes it */
    _Atomic bool in_inbox, in_outbox, blocked, rx_paused;
    _Atomic uint64_t received_bytes; /* of audio, by the loop; before a skip whole samples */
    _Atomic bool overflow; /* worker: a result found no room, a bug; the loop fails the session */
    shoald_totals totals;

    struct shoald_track *track; /* worker only; NULL before its first look */
} shoald_lane;

/* What one may cost in memory at most is settled here. options are set. backlog_ms: audio that may
 * wait; output_bytes: results that may, unless two steps need more. 0 or -1 (no memory). */
int shoald_lane_init(shoald_lane *l, int backlog_ms, size_t output_bytes);
void shoald_lane_free(shoald_lane *l); /* a zeroed one is fine */

/* Loop: have a look at l. */
void shoald_lane_post(shoald_lane *l, shoald_port *p);
/* Loop: the last time; l comes back marked. */
void shoald_lane_post_last(shoald_lane *l, shoald_port *p);
/* Loop: let go of l, which goes to another port; l comes back marked so. */
void shoald_lane_post_move(shoald_lane *l, shoald_port *p);
/* Worker: tell the loop to have a look at l. */
void shoald_lane_report(shoald_lane *l, shoald_port *p);
/* Worker: after its last touch of a lane; mail: the lane, marked as it was posted. */
void shoald_lane_give_back(void *mail, shoald_port *p);

/* Pointers in mailboxes: marked means "this is the last of it", for ever or for this worker. */
#define SHOALD_MARK(l)      ((void *)((uintptr_t)(l) | 1))
#define SHOALD_MARK_MOVE(l) ((void *)((uintptr_t)(l) | 2))
#define SHOALD_MARKED(p)    ((uintptr_t)(p)&1)
#define SHOALD_MOVED(p)     ((uintptr_t)(p)&2)
#define SHOALD_UNMARK(p)    ((shoald_lane *)((uintptr_t)(p) & ~(uintptr_t)3))

/* ---- set ------------------------------------------------------------------------------------ */

/* What `set` may change, as it is to be: the payload of SHOALD_IN_SET. As short as it can be, for
 * many may come before the socket is no longer read. */
typedef struct shoald_change {
    unsigned given, outputs;
    int depth_min, depth_max, chunk_ms, tap_count;
    shoal_tap taps[SHOAL_MAX_TAPS]; /* as many of them lie in the record */
} shoald_change;

/* Returns its bytes. */
size_t shoald_change_of(shoald_change *c, const shoal_options *effective);
void shoald_change_apply(const shoald_change *c, shoal_options *o);

/* ---- ready --------------------------------------------------------------------------------- */

/* All of it but what is told of a client that comes back. o: in force now, as depth is. */
void shoald_lane_tell(const shoald_lane *l, const shoal_options *o, int depth, shoal_ready *m);

/* ---- sizes that options imply -------------------------------------------------------------- */

/* Of one sample of all channels; 1 for opus. */
int shoald_lane_frame_bytes(const shoal_options *o);
/* Bytes that the results of a second take, about: what most sessions stay below. */
size_t shoald_lane_second_bytes(const shoal_model_info *m, const shoal_options *o);
/* Bytes that the results of one step may take in the output queue at most. */
size_t shoald_lane_step_bytes(const shoal_model_info *m, const shoal_options *o);
/* No message of any session of this model is larger, whatever its outputs are. */
size_t shoald_lane_largest_bytes(const shoal_model_info *m);

#endif

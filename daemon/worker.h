/* worker.h - a thread that runs the engine for its sessions
 *
 * The loop posts sessions that have something new; the worker advances them, runs every ready
 * chunk (oldest first, sorted by depth within a run) and reports back. Workers share nothing
 * with each other but the model, which is immutable.
 */
#ifndef SHOALD_WORKER_H
#define SHOALD_WORKER_H

#include "metrics.h"
#include "queue.h"
#include "session.h"
#include "shoal.h"

#include <uv.h>

typedef struct shoald_worker {
    /* set at init, then constant */
    int index;
    const shoal_model *model;
    const shoal_model_info *info;
    uv_async_t *notify;             /* wakes the loop; shared by all workers */
    int max_sessions, batch_frames;

    shoald_mailbox inbox;           /* loop -> worker */
    shoald_mailbox outbox;          /* worker -> loop */
    uv_thread_t thread;
    uv_sem_t wake;
    _Atomic bool woken, stop;
    _Atomic uint64_t ticks;         /* progress, for the watchdog */
    shoald_worker_stats stats;      /* written here, read by anyone */

    /* loop only */
    int sessions;

    /* worker only */
    shoal_batch *batch;
    bool has_taps;                  /* it has room for every tap that a run may have */
    shoald_session **active;        /* [max_sessions] sessions with something to do */
    int active_count;
    shoald_session **ready;         /* [max_sessions] of them, a chunk is ready */
    shoal_stream **streams;         /* [max_sessions] of the run */
    shoal_result *results;          /* [max_sessions] */
    char *scratch;                  /* a message being encoded */
    size_t scratch_size;
    shoal_phones phones;
    shoal_phone decoded[SHOAL_MAX_PHONES];
    bool mail_sent;                 /* since the last notify */
} shoald_worker;

/* Starts the thread. 0 or a negative SHOAL_E* code (nothing to free). */
int shoald_worker_start(shoald_worker *w, int index, const shoal_model *model,
                        uv_async_t *notify, int max_sessions, int batch_frames);
/* Releases what was posted, ends the thread. The outbox stays readable until free. */
void shoald_worker_stop(shoald_worker *w);
void shoald_worker_free(shoald_worker *w);

/* Loop: have a look at s. */
void shoald_worker_post(shoald_worker *w, shoald_session *s);
/* Loop: the last time; s comes back marked. */
void shoald_worker_post_last(shoald_worker *w, shoald_session *s);
/* Loop: make the worker tick even if it has nothing to do, to see that it lives. */
void shoald_worker_poke(shoald_worker *w);
/* Worker, between runs: room for outputs of several depths, made when the first session wants
 * some, so that the others cost nothing. 0 or a negative SHOAL_E*. */
int shoald_worker_reserve_taps(shoald_worker *w);
/* Worker: tell the loop to have a look at s. */
void shoald_worker_report(shoald_worker *w, shoald_session *s);

#endif

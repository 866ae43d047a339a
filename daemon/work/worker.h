/* worker.h - a thread that runs the engine for its sessions
 *
 * The loop posts sessions that have something new; the worker advances them, runs ready chunks
 * (earliest deadline first, edf.h) and reports back. Workers share nothing with each other but
 * the model, which is immutable; what the loop and a worker tell each other beside the mail is
 * one atomic each.
 */
#ifndef SHOALD_WORKER_H
#define SHOALD_WORKER_H

#include "plan/cost.h"
#include "plan/edf.h"
#include "base/metrics.h"
#include "queue.h"
#include "plan/recent.h"
#include "session/session.h"
#include "shoal.h"

#include <uv.h>

#define SHOALD_LONGEST_RUN_NS  40000000u /* unless much is due at once */
#define SHOALD_SHORTEST_RUN_NS 10000000u /* however short the chunks are */

typedef struct shoald_worker {
    /* set at init, then constant */
    int index;
    const shoal_model *model;
    const shoal_model_info *info;
    uv_async_t *notify; /* wakes the loop; shared by all workers */
    int max_sessions, batch_frames;

    shoald_mailbox inbox;  /* loop -> worker */
    shoald_mailbox outbox; /* worker -> loop */
    uv_thread_t thread;
    uv_sem_t wake;
    uv_sem_t ready; /* it has been calibrated */
    _Atomic bool woken, stop;
    _Atomic uint64_t ticks;    /* progress, for the watchdog */
    shoald_worker_stats stats; /* written here, read by anyone */
    shoald_recent recent;      /* the same: arrival of a live chunk -> result, by depth */

    /* loop -> worker */
    _Atomic bool elastic;    /* else everybody runs as deep as allowed */
    _Atomic int ceiling;     /* no stream that may go lower runs deeper */
    _Atomic uint64_t run_ns; /* how long a run should be at most */
    /* worker -> loop */
    _Atomic int pressed;         /* ceiling at which chunks would be in time; 0: they are */
    _Atomic uint64_t late_ns;    /* most that a chunk was late since the loop last looked */
    _Atomic uint64_t run_due_ns; /* earliest deadline in the run that goes on; 0: none does */
    _Atomic double speed, other; /* of its cost, as of the last run; the shape is constant */
    int calibrated;              /* result of the calibration; the loop may read it and
                                  * cost.shape after shoald_worker_wait */

    /* loop only */
    int sessions;

    /* worker only */
    shoal_batch *batch;
    bool has_taps;           /* it has room for every tap that a run may have */
    shoald_session **active; /* [max_sessions] sessions with something to do */
    int active_count;
    shoald_due *due;        /* [max_sessions] of them, a chunk is ready */
    shoal_stream **streams; /* [max_sessions] of the run */
    shoal_result *results;  /* [max_sessions] */
    shoald_cost cost;
    int local_ceiling; /* until the loop has taken notice of `pressed` */
    uint64_t local_until_ns;
    char *scratch; /* a message being encoded */
    size_t scratch_size;
    shoal_phones phones;
    shoal_phone decoded[SHOAL_MAX_PHONES];
    bool mail_sent; /* since the last notify */
} shoald_worker;

/* Starts the thread. 0 or a negative SHOAL_E* code (nothing to free). */
int shoald_worker_start(shoald_worker *w, int index, const shoal_model *model, uv_async_t *notify,
                        int max_sessions, int batch_frames);
/* Until it has measured its costs. 0 or a negative SHOAL_E* code; then stop it all the same. */
int shoald_worker_wait(shoald_worker *w);
/* Releases what was posted, ends the thread. The outbox stays readable until free. */
void shoald_worker_stop(shoald_worker *w);
void shoald_worker_free(shoald_worker *w);

/* Loop: have a look at s. */
void shoald_worker_post(shoald_worker *w, shoald_session *s);
/* Loop: the last time; s comes back marked. */
void shoald_worker_post_last(shoald_worker *w, shoald_session *s);
/* Loop: let go of s, which goes to s->move_to; s comes back marked so. */
void shoald_worker_post_move(shoald_worker *w, shoald_session *s);
/* Loop: make the worker tick even if it has nothing to do, to see that it lives. */
void shoald_worker_poke(shoald_worker *w);
/* Loop, after shoald_worker_wait: its costs as last measured. */
shoald_cost shoald_worker_cost(const shoald_worker *w);
/* Worker: the depth now for a stream that allows these. */
int shoald_worker_depth(const shoald_worker *w, int depth_min, int depth_max);
/* Worker, between runs: room for outputs of several depths, made when the first session wants
 * some, so that the others cost nothing. 0 or a negative SHOAL_E*. */
int shoald_worker_reserve_taps(shoald_worker *w);
/* Worker: tell the loop to have a look at s. */
void shoald_worker_report(shoald_worker *w, shoald_session *s);

#endif

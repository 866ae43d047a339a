/* worker.h - a thread that runs the engine for its lanes
 *
 * The loop posts lanes that have something new; the worker advances them, runs ready chunks
 * (earliest deadline first, edf.h) and reports back. Workers share nothing with each other but
 * the models (base/service.h), which are constant for them; what the loop and a worker tell each
 * other is all in the port (lane.h). A lane brings its model with it; the worker has a bench for
 * each model that its lanes have.
 */
#ifndef SHOALD_WORKER_H
#define SHOALD_WORKER_H

#include "lane.h"
#include "plan/cost.h"
#include "plan/turn.h"
#include "work/roster.h"

typedef struct shoald_worker {
    shoald_port port; /* what it shares with the loop */

    /* set at init, then constant */
    int batch_frames;
    uv_thread_t thread;
    uv_sem_t ready;    /* it has been calibrated */
    _Atomic bool stop; /* loop -> worker */
    int calibrated; /* result of the calibration; the loop may read it after shoald_worker_wait */

    /* worker only */
    shoald_roster roster;   /* its lanes; what has room for them has it for max_lanes */
    shoald_due *due;        /* [active] of those of which a chunk is ready */
    uint64_t *expected_ns;  /* [paced] when their next chunks are, as of this turn */
    uint64_t wait_until_ns; /* all that is ready waits for a gap till then; 0: it does not */
    shoald_cost cost;
    uint64_t ran_ns;   /* when the last run ended, or resting was last counted */
    int local_ceiling; /* until the loop has taken notice of `pressed` */
    uint64_t local_until_ns;
} shoald_worker;

/* All but the thread. service: the default model. 0 or a negative SHOAL_E* code (nothing to free).
 */
int shoald_worker_init(shoald_worker *w, int index, shoald_service *service, uv_async_t *notify,
                       int max_lanes, int batch_frames);
/* What the thread does each time it wakes: mail, one step of each lane, one run. */
void shoald_worker_turn(shoald_worker *w);
/* Init, and the thread. 0 or a negative SHOAL_E* code (nothing to free). */
int shoald_worker_start(shoald_worker *w, int index, shoald_service *service, uv_async_t *notify,
                        int max_lanes, int batch_frames);
/* Until it has measured its costs. 0 or a negative SHOAL_E* code; then stop it all the same. */
int shoald_worker_wait(shoald_worker *w);
/* Releases what was posted, ends the thread. The outbox stays readable until free. */
void shoald_worker_stop(shoald_worker *w);
void shoald_worker_free(shoald_worker *w);

#endif

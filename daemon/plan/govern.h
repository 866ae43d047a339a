/* govern.h - policy: who is let in, at which ceiling of depth, on which worker
 *
 * Puts together what was measured (cost.h), projected (load.h) and decided (elastic.h, late.h) for
 * all workers. It sees numbers and answers with decisions; session/admit.c gathers the numbers and
 * does what is decided. Pure: no clock, no threads, no sessions.
 *
 * Load counts in workers: 1 is what one worker can do. Sessions count from their first sound,
 * before a chunk of it is there, so a rush lowers the ceiling in time. Two looks at the same
 * thing: whoever comes must fit as if it spoke, but is promised its place only when it does.
 * Otherwise a thousand that come to be idle would keep each other out.
 */
#ifndef SHOALD_GOVERN_H
#define SHOALD_GOVERN_H

#include "plan/elastic.h"
#include "plan/late.h"
#include "plan/load.h"

#include <stdbool.h>

/* What the administrator has set. */
typedef struct shoald_policy {
    bool elastic;           /* else everybody runs as deep as asked */
    bool admission;         /* else everybody is let in */
    double admission_share; /* of a worker, that those who are in may need at least */
    shoald_marks marks;
    uint64_t late_limit_ns; /* 0: none */
} shoald_policy;

typedef struct shoald_governor {
    int workers, depths;
    shoald_load total;       /* all sessions, those between upgrade and start included */
    shoald_load *loads;      /* [workers] those of each */
    shoald_elastic *elastic; /* [workers] */
    shoald_late *late;       /* [workers] */
} shoald_governor;

/* 0 or -1 (no memory, nothing to free). */
int shoald_govern_init(shoald_governor *g, int workers, int depths);
void shoald_govern_free(shoald_governor *g); /* a zeroed one is fine */

/* From now on there are sessions of so many depths; nobody counts until they are counted again. */
void shoald_govern_deepen(shoald_governor *g, int depths);

/* ---- counting: demands as of now ----------------------------------------------------------- */

void shoald_govern_clear(shoald_governor *g);
/* worker -1: it has none yet. sign 1: it counts from now on; -1: no longer, and nothing of demand,
 * price and policy has changed since. */
void shoald_govern_count(shoald_governor *g, const shoald_policy *policy, const shoald_price *price,
                         int worker, const shoald_demand *d, int sign);

/* ---- decisions ----------------------------------------------------------------------------- */

/* May a session that allows these depths speak, with everybody as low as allowed? now: the same of
 * what it already counts for; NULL: nothing. */
bool shoald_govern_fits(const shoald_governor *g, const shoald_policy *policy,
                        const shoald_price *price, const shoald_demand *d,
                        const shoald_demand *now);
/* The worker that has most room at full depth, but not the stalled one (-1: none is) if there is
 * another. */
int shoald_govern_place(const shoald_governor *g, int stalled);
/* The ceiling of a worker from now on. pressed: ceiling at which its chunks would be in time; 0:
 * they are. */
int shoald_govern_depth(shoald_governor *g, const shoald_policy *policy, int worker, int pressed,
                        uint64_t now_ns);
/* late_ns: most that a chunk of the worker was late since the last call. true: one must go. */
bool shoald_govern_late(shoald_governor *g, const shoald_policy *policy, int worker,
                        uint64_t late_ns, uint64_t now_ns);
/* What a session takes of its worker now, uploads as they come. */
double shoald_govern_cost(const shoald_governor *g, const shoald_policy *policy,
                          const shoald_price *price, int worker, const shoald_demand *d);

/* ---- what is told -------------------------------------------------------------------------- */

double shoald_govern_load(const shoald_governor *g);       /* mean of the workers */
double shoald_govern_least_load(const shoald_governor *g); /* with everybody as low as allowed */
int shoald_govern_ceiling(const shoald_governor *g);       /* lowest of the workers */
/* Streams of the first program at full depth that all workers carry. */
double shoald_govern_capacity(const shoald_governor *g, const shoald_price *price,
                              int chunk_frames);

#endif

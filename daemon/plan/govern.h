/* govern.h - the loop's policy: who is let in, at which ceiling of depth, on which worker
 *
 * Puts together what was measured (cost.h), projected (load.h) and decided (elastic.h, late.h), and
 * is the only file that applies it to sessions and workers. Loop thread only.
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

#include <stdbool.h>

struct shoald_server;
struct shoald_session;

typedef struct shoald_governor {
    shoald_price price;
    shoald_load total;       /* all sessions, those between upgrade and start included */
    shoald_load *loads;      /* [workers] those of each */
    shoald_elastic *elastic; /* [workers] */
    double *sums;            /* [workers] scratch: what their sessions cost now */
    uint64_t *run_ns;        /* [workers] scratch */
    shoald_late *late;       /* [workers] */
    bool refusing;           /* the last decision, for the log */
    bool moving;             /* a session is on its way from one worker to another */
    uint64_t balanced_ns;    /* when it was last looked at */
    uint64_t migrations;
} shoald_governor;

/* The workers have been calibrated. 0 or -1 (no memory). */
int shoald_govern_init(struct shoald_server *server);
void shoald_govern_free(struct shoald_server *server);
/* Every tick of the clock. */
void shoald_govern_step(struct shoald_server *server, uint64_t now_ns);

/* May a session with these effective options begin? If not *err says why and when to retry. */
bool shoald_govern_admits(struct shoald_server *server, const shoal_options *o, shoal_error *err);
/* Would one with default options? */
bool shoald_govern_has_room(struct shoald_server *server);
/* It is in, and counts as an idle one from now on. */
void shoald_govern_enter(struct shoald_session *s, const shoal_options *o);
/* Give it a worker. */
void shoald_govern_place(struct shoald_session *s);
/* May it change its depths? If so they count from now on. The error is not fatal. */
bool shoald_govern_set(struct shoald_session *s, int depth_min, int depth_max, shoal_error *err);
/* Its first sound is coming: may it speak? If not *err says why, and it must go. */
bool shoald_govern_hears(struct shoald_session *s, shoal_error *err);
void shoald_govern_leave(struct shoald_session *s);
/* Share of its worker that it takes now, uploads as they come. */
double shoald_govern_cost(const struct shoald_session *s);
/* Its old worker has let go of it. */
void shoald_govern_moved(struct shoald_session *s);

/* For /metrics and /v1/depths: mean load of the workers, streams at full depth that all of them
 * carry, lowest ceiling. */
double shoald_govern_load(const struct shoald_server *server);
double shoald_govern_capacity(const struct shoald_server *server);
int shoald_govern_ceiling(const struct shoald_server *server);

#endif

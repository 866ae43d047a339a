/* admit.h - the governor's decisions, put into effect on sessions and ports; loop thread only
 *
 * govern.h and balance.h decide; here the numbers are gathered and the decisions carried out.
 */
#ifndef SHOALD_ADMIT_H
#define SHOALD_ADMIT_H

#include "plan/grant.h"
#include "session/house.h"

struct shoald_session;

/* The workers have been calibrated. 0 or -1 (no memory). */
int shoald_admit_init(shoald_house *house);
void shoald_admit_free(shoald_house *house);
/* Every tick of the clock. */
void shoald_admit_step(shoald_house *house, uint64_t now_ns);

/* The model that it asks for, and what it gets of it: o without "server's choice". 0, or -1. */
int shoald_admit_grant(const shoald_house *house, const shoald_grant_limits *limits,
                       shoal_options *o, shoald_service **service, shoal_error *err);
/* May a session of this model with these effective options begin? If not *err says why and when to
 * retry. */
bool shoald_admit_may_begin(shoald_house *house, const shoald_service *service,
                            const shoal_options *o, shoal_error *err);
/* Would one with default options? */
bool shoald_admit_has_room(shoald_house *house);
/* It is in, and counts as an idle one from now on. */
void shoald_admit_enter(struct shoald_session *s, const shoal_options *o);
/* Give it a worker. */
void shoald_admit_place(struct shoald_session *s);
/* May it change its depths, and the length of its chunks? If so they count from now on. The error
 * is not fatal. */
bool shoald_admit_set(struct shoald_session *s, const shoal_options *o, shoal_error *err);
/* Its first sound is coming: may it speak? If not *err says why, and it must go. */
bool shoald_admit_hears(struct shoald_session *s, shoal_error *err);
/* Its client is away: it takes nothing until there is sound again. */
void shoald_admit_rest(struct shoald_session *s);
/* May its client come back? If not *err says why and when to try again. */
bool shoald_admit_may_return(struct shoald_session *s, shoal_error *err);
/* What to tell those who are refused now: they shall not come back together. */
int shoald_admit_retry_ms(shoald_house *house);
void shoald_admit_leave(struct shoald_session *s);
/* Its old worker has let go of it. */
void shoald_admit_moved(struct shoald_session *s);

/* After other models have come: sessions may cost as much as one of those. */
void shoald_admit_deepen(shoald_house *house);

/* How deep a program of so many layers runs under the lowest of the workers' ceilings. */
int shoald_admit_ceiling(const shoald_house *house, const shoald_service *s, int program,
                         int depth);
/* Streams of the default model at full depth that all workers carry. */
double shoald_admit_capacity(const shoald_house *house);

#endif

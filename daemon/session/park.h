/* park.h - sessions that wait for their clients, and how those come back; loop thread only
 *
 *     link breaks -> parked: the lane lives on, its worker computes what it has, then rests
 *                      |-> the client comes back over a new link, with its ticket -> streaming
 *                      '-> its time is over, or others need the room -> as if it were lost now
 *
 * A session is opened by its ticket (base/ticket.h). The next `ready` has another one, and the old
 * one is spent once anything has come over the new link: until then that `ready` may be lost with
 * its link. plan/parking.h decides, kept.h has what goes again, and session.c carries out what is
 * decided here.
 */
#ifndef SHOALD_PARK_H
#define SHOALD_PARK_H

#include "session/state.h"

/* At its start: its first ticket, and room for what is kept. 0 or -1 (no memory). */
int shoald_park_prepare(shoald_session *s);

/* Its link has just gone: shall it be parked? */
bool shoald_park_wants(const shoald_session *s);
void shoald_park_enter(shoald_session *s);
void shoald_park_leave(shoald_session *s);
static inline bool shoald_park_has(const shoald_session *s)
{
    return s->parked_ns != 0;
}
/* The one that has to go now, because the bounds or those who come demand it; NULL: none. */
shoald_session *shoald_park_surplus(const shoald_house *house);
/* The same for those of s's address, or of its token; *why says which. */
shoald_session *shoald_park_surplus_beside(const shoald_session *s, const char **why);
/* It has waited long enough. */
bool shoald_park_is_over_for(const shoald_session *s, uint64_t now_ns);

/* The session that r's ticket opens, if it was begun with the same bearer token (its name), and
 * what the client lacks is there; NULL: *err says why not. */
shoald_session *shoald_park_find(shoald_house *house, const shoal_resume *r, const char *token,
                                 shoal_error *err);
/* Its client is back over s->link, with r: no longer parked. 0 or -1 (no memory to tell it so). */
int shoald_park_return(shoald_session *s, const shoal_resume *r);
/* Something has come over the link: its client knows the last ticket. */
void shoald_park_confirm(shoald_session *s);

#endif

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

#include "session/entry.h"
#include "session/state.h"

/* ---- session.c: the loop's side. a link calls these for its events ----------------------- */

/* Its connection is about to be upgraded. With an error in its entry it counts for nothing and is
 * there to tell it. NULL: no memory. */
shoald_session *shoald_session_new(shoald_house *house, const shoald_peer *peer,
                                   const shoald_entry *entry);
/* The upgrade is done, and s has its link: it starts with the options of its entry, tells its
 * error, or waits for a start message. */
void shoald_session_on_open(shoald_session *s, const shoald_entry *entry);
/* It holds a slot, and its client is there. */
static inline bool shoald_session_is_open(const shoald_session *s)
{
    return s->link && !s->refused;
}
/* For people: whose token it has, "-": none. */
static inline const char *shoald_session_token(const shoald_session *s)
{
    return *s->token ? s->token : "-";
}
/* How many have this model. */
int shoald_session_count(const shoald_house *house, const shoald_service *service);
/* Its client is about to come back over another link: the one that it has, if any, goes. Not in an
 * event. If nothing comes of the new one, that is gone as any other. */
void shoald_session_take_over(shoald_session *s);
/* Bytes that a message may have. */
uint64_t shoald_session_message_limit(const shoald_session *s);
void shoald_session_on_receive(shoald_session *s, const shoald_piece *piece);
/* One message may be written now. 0, or -1: the link is broken. */
int shoald_session_on_writable(shoald_session *s);
void shoald_session_on_pong(shoald_session *s);
/* The connection is gone. The session is parked, or frees itself once its worker has let go. */
void shoald_session_on_gone(shoald_session *s);
/* The worker has results, has made room, or (marked) is through with it. */
void shoald_session_on_mail(void *mail);
/* From uv_check only, outside of the link: stop reading, go on reading, close. */
void shoald_session_review(shoald_session *s);
/* Every tick of the clock: timeouts. s may be freed. */
void shoald_session_step(shoald_session *s, uint64_t now_ns);
/* Finish what was received, then say `draining`. */
void shoald_session_drain(shoald_session *s);
/* Tell and close at once; what lies in the queues is not sent any more. */
void shoald_session_fail(shoald_session *s, shoal_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

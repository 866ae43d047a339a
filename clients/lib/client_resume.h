/* client_resume.h - a session goes on over a new connection; pure
 *
 *     away -> begin: ask for the session itself, if there is a ticket
 *          -> (the server's `ready`) take: what it lacks goes -> RESUMED
 *     away -> begin: start again, with the options in force; from which byte audio goes again
 *          -> (the new server's `ready`) take: the same model? -> RESUMED, or why not
 */
#ifndef SHOAL_CLIENT_RESUME_H
#define SHOAL_CLIENT_RESUME_H

#include "lib/client_session.h"

/* The session is away, and has a new wire now. 0 or SHOAL_CLIENT_ENOMEM. */
int shoal__resume_begin(shoal__session *s) __attribute__((warn_unused_result));
/* What the new connection's URL has to ask for, "resume=..."; "": nothing. */
#define SHOAL__RESUME_QUERY 96
void shoal__resume_query(const shoal__session *s, char to[SHOAL__RESUME_QUERY]);
/* Look at an event that shoal__session_next_event has given: `ready` of a new connection becomes
 * RESUMED. 1: it is to be given; 0: ask for the next. */
int shoal__resume_take(shoal__session *s, shoal_client_event *e);

#endif

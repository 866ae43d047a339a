/* client_resume.h - a session goes on over a new connection; pure
 *
 *     away -> begin: start again, with the options in force; from which byte audio goes again
 *          -> (the new server's `ready`) take: is it the same model? -> RESUMED, or the reason why
 * not
 */
#ifndef SHOAL_CLIENT_RESUME_H
#define SHOAL_CLIENT_RESUME_H

#include "lib/client_session.h"

/* The session is away, and has a new wire now. 0 or SHOAL_CLIENT_ENOMEM. */
int shoal__resume_begin(shoal__session *s) __attribute__((warn_unused_result));
/* Look at an event that shoal__session_next_event has given: `ready` of a new connection becomes
 * RESUMED. 1: it is to be given; 0: ask for the next. */
int shoal__resume_take(shoal__session *s, shoal_client_event *e);

#endif

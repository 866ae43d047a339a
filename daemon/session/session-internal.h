/* session-internal.h - between session.c, session_in.c and session_out.c; loop thread only */
#ifndef SHOALD_SESSION_INTERNAL_H
#define SHOALD_SESSION_INTERNAL_H

#include "plan/grant.h"
#include "session/session.h"

enum { SHOALD_REPLY_BYTES = 4096 }; /* pongs and the like, per session */

/* session.c */
void shoald_session_review_later(shoald_session *s);
/* There is something new for its worker. */
void shoald_session_wake_worker(shoald_session *s);
void shoald_session_want_write(shoald_session *s);
void shoald_session_enter_closing(shoald_session *s, int close_code);
/* At once, past the queues. */
void shoald_session_fail_with(shoald_session *s, const shoal_error *err);
/* One input record. A full queue fails the session; flow control sees to it that it is not. */
void shoald_session_put(shoald_session *s, int kind, const void *payload, size_t n, int code);
/* Tell an error at its place among the results; fatal ones end the session there. */
void shoald_session_put_error(shoald_session *s, const shoal_error *err);
/* Not through the worker: pongs and errors before the start and after the end. */
void shoald_session_reply(shoald_session *s, const shoal_buf *b);
void shoald_session_count_error(shoald_session *s, shoal_code code);
void shoald_session_start(shoald_session *s, const shoal_options *asked);

/* What its options may ask for. */
static inline shoald_grant_limits shoald_session_limits(const shoald_session *s)
{
    return (shoald_grant_limits){ s->house->settings.default_depth, s->most_depth };
}

/* It waits for its client no longer. */
void shoald_session_end_parked(shoald_session *s, const char *why);

/* session_out.c */
bool shoald_session_has_output(const shoald_session *s);
/* Something came after the last word. */
void shoald_session_ignore(shoald_session *s, size_t n);

#endif

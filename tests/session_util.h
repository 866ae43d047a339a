/* session_util.h - a session of libshoal-client without a socket and without a clock
 *
 * Messages of a server in, events out, as tests of sessions over several connections need them: the
 * server is a `ready` that they may change before it is heard.
 */
#ifndef SESSION_UTIL_H
#define SESSION_UTIL_H

#include "lib/client_resume.h"

extern shoal__session s;
extern uint8_t audio[640000]; /* 20 s at 16 kHz */
extern shoal_ready server;    /* what the next `ready` says */

/* A session that asks for o, and a server of depth 1 that grants it, with posteriors. */
void open_session_of(shoal_options o);
void close_session(void);

/* What the server says. */
void hear(const char *text);
void hear_ready(void);
/* Rows [first, first + n) of this connection, one value each: its frame in the session. */
void hear_rows(uint32_t seq, uint64_t first, int n, uint64_t base);

/* What the program is given; the test fails if that is something else. */
shoal_client_event expect(shoal_client_event_type type);
void expect_nothing(void);

/* The connection is gone, and the session away. */
void break_connection(void);

#endif

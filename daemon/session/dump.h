/* dump.h - what the sessions are doing, for people; loop thread only */
#ifndef SHOALD_DUMP_H
#define SHOALD_DUMP_H

#include "session/house.h"
#include "shoal-protocol.h"

/* A log line a session; the log drops what it cannot take. */
void shoald_session_dump(const shoald_house *house);
/* The same as JSON, {"sessions":[...]}. 0 or -1 (no memory). */
SHOAL_CHECKED int shoald_session_dump_json(shoal_buf *out, const shoald_house *house);

#endif

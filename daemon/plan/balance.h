/* balance.h - moving sessions from a busy worker to an idle one; loop thread only
 *
 * One session at a time, between two of its chunks; session.h says how it changes hands.
 */
#ifndef SHOALD_BALANCE_H
#define SHOALD_BALANCE_H

#include <stdint.h>

struct shoald_server;

/* Every tick of the clock; looks once a second. */
void shoald_balance_step(struct shoald_server *server, uint64_t now_ns);

#endif

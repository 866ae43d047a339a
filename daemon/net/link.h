/* link.h - the WebSocket connection of a session: lws on one side, session.h on the other
 *
 * lws gets a socket whose request head has been read and found good, and makes the rest: the 101,
 * frames, pings, Close. The session sees it as session/link.h has it, until it is gone.
 */
#ifndef SHOALD_LINK_H
#define SHOALD_LINK_H

#include "base/peer.h"
#include "session/entry.h"
#include "session/house.h"

#include <stddef.h>

struct lws_protocols;

const struct lws_protocols *shoald_link_protocols(void); /* for the vhost; static */

/* Make a session and give lws the socket, which nobody else polls any more, with an upgrade that it
 * takes: n bytes that it reads before those of the socket. 0: fd is taken, even if it is closed by
 * now, and house->connection_count is counted down when it is. -1: no memory; fd is still yours. */
SHOAL_CHECKED int shoald_link_adopt(shoald_house *house, int fd, const shoald_peer *peer,
                                    const char *upgrade, size_t n, const shoald_entry *entry);

#endif

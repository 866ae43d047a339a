/* greet.h - a TCP connection until it has become a session, or has been answered and is gone
 *
 *  (PROXY header) -> ASKING ---- a good upgrade ----> link.c (lws) and session
 *                  |  ^ '---- a good POST --------> post.c and session, comes back with the end of
 *                  |  |                                  |  its answer
 *                  |  | '--- any other request --> ANSWERING --.
 *                  |  '------- keep-alive ---------------------+
 *                  |                                           v
 *                  '-- deadline, refused ---> ANSWERING -> LINGERING -> gone
 *
 * lws sees none of this: it gets a socket together with a request head that we wrote. Of what the
 * client sends only the head is taken from the socket; what follows it stays in the kernel for
 * whoever is next: lws, or ourselves when the answer has been taken. So one connection costs one
 * request a turn of the loop, and none while its answer waits. Whoever asks again and again, faster
 * than any page changes, rests until the clock's next tick: pages are for supervisors, the loop for
 * sessions.
 *
 * Every state has a deadline of its own, which no trickle of bytes extends. What a proxy
 * says before a request (proxy.h) is read in ASKING, within the same deadline; TLS would be a state
 * before it. Loop thread.
 */
#ifndef SHOALD_GREET_H
#define SHOALD_GREET_H

#include "net/greeting.h"

/* Take over an accepted socket; closes it if there is no memory. */
void shoald_greet_start(shoald_door *door, int fd, const shoald_peer *peer);
/* One comes back from post.c; owner is the door. */
void shoald_greet_take_back(void *owner, shoald_parting *p);
/* A tick of the clock: it need not rest any more, and its deadline may have passed. */
void shoald_greet_on_tick(shoald_member *m, uint64_t now_ns);
/* At once, without a word. */
void shoald_greet_end(shoald_member *m);

#endif

/* gates.h - may this request become a session? one gate after the other, a table in gates.c
 *
 * An upgrade to WebSocket passes one table, a POST with audio the other; what the house asks of
 * both is the same. A POST is told everything in HTTP.
 *
 * What is wrong with the request itself is told in HTTP. What a WebSocket client's program has to
 * read (full, overloaded, draining, a bad option) is told after the upgrade, because browsers show
 * nothing of an upgrade that is refused, and Python's libraries only the number. Loop thread.
 */
#ifndef SHOALD_GATES_H
#define SHOALD_GATES_H

#include "base/peer.h"
#include "net/head.h"
#include "session/entry.h"
#include "session/house.h"

typedef enum shoald_verdict {
    SHOALD_ADMITTED, /* entry says how it begins, or (entry->error) what it is told first and last
                      */
    SHOALD_REFUSED   /* by HTTP: entry->error, and status where it is not the error's own */
} shoald_verdict;

/* head: a whole one with ->upgrade; bytes: those that it was read from. */
shoald_verdict shoald_gates_check(shoald_house *house, const shoald_peer *peer,
                                  const shoald_head *head, const char *bytes, shoald_entry *entry,
                                  int *status);

/* The output that is asked for at this path, "phones@4" of /v1/phones@4: every name that `output`
 * takes has one. NULL: none is. */
const char *shoald_gates_output(const char *path);
/* head: a whole one of a POST to such a path. false: entry->error, and status if it is not the
 * error's own. taste: how it is answered. */
bool shoald_gates_check_post(shoald_house *house, const shoald_peer *peer, const shoald_head *head,
                             const char *bytes, shoald_entry *entry, shoald_taste *taste,
                             int *status);

#endif

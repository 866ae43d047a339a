/* pages.h - what is at which path for plain HTTP: GET, HEAD, OPTIONS
 *
 * A page is a row of the table in pages.c: a path and a function that writes a body. Nothing is
 * read from disk. Loop thread.
 */
#ifndef SHOALD_PAGES_H
#define SHOALD_PAGES_H

#include "base/peer.h"
#include "net/answer.h"
#include "net/head.h"
#include "session/house.h"

/* Answer a request that is no upgrade, whose head was read from bytes, in zeroed *a; for HEAD as if
 * it were GET, the caller sends no body then. 0, or -1: no memory. Whatever it returns, *a is to be
 * freed. */
SHOAL_CHECKED int shoald_pages_answer(shoald_house *house, const shoald_peer *peer,
                                      const shoald_head *head, const char *bytes, shoald_answer *a);

#endif

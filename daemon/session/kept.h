/* kept.h - what a link has been given, in case it did not arrive; loop thread only
 *
 *     number:  0 ............. from ............ next ......... sent
 *              forgotten      | kept            | go again      | not given yet
 *
 * A link takes messages and breaks; how many have reached its client only that knows, and says it
 * when it comes back. Until then the last ones are kept, as many as the ring holds. Messages of one
 * session are counted over all its links.
 */
#ifndef SHOALD_KEPT_H
#define SHOALD_KEPT_H

#include "queue.h"

typedef struct shoald_kept {
    shoald_queue ring; /* data NULL: they are only counted */
    uint64_t sent, from, next;
    size_t next_at; /* of next, in the ring */
} shoald_kept;

/* bytes 0: nothing is kept. 0 or -1 (no memory, nothing to free). */
int shoald_kept_init(shoald_kept *k, size_t bytes);
void shoald_kept_free(shoald_kept *k); /* a zeroed one is fine */
/* A message has been given. The oldest make room; not while some go again. */
void shoald_kept_add(shoald_kept *k, const shoald_record *r, const void *payload);
/* All from number got on go again; from <= got <= sent. */
void shoald_kept_rewind(shoald_kept *k, uint64_t got);
/* The next that goes again. payload: room for all of it. false: none does. */
bool shoald_kept_take(shoald_kept *k, shoald_record *r, void *payload);
static inline bool shoald_kept_goes_again(const shoald_kept *k)
{
    return k->next < k->sent;
}

#endif

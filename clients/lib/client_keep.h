/* client_keep.h - audio that was sent and may be needed again; pure
 *
 *     byte:   0 ........ from ............................ to
 *             forgotten  | kept, as the messages it was   | not sent yet
 *
 * When a connection breaks, another server can go on where this one was if it is given what the
 * newest result depends on: everything that has no result yet and, before it, as much as the
 * layers look back. Bounded: the oldest goes when there is no room.
 */
#ifndef SHOAL_CLIENT_KEEP_H
#define SHOAL_CLIENT_KEEP_H

#include "lib/client_queue.h"

typedef struct shoal__keep {
    shoal__queue messages;
    uint64_t from, to; /* bytes of audio since the beginning of the session */
} shoal__keep;

/* max: bytes, with SHOAL__RECORD_BYTES for each message; 0: nothing is kept, only counted. */
void shoal__keep_init(shoal__keep *k, size_t max);
void shoal__keep_free(shoal__keep *k);
void shoal__keep_push(shoal__keep *k, const void *bytes, size_t n);
/* Messages that end at or before this byte are no longer needed. */
void shoal__keep_forget(shoal__keep *k, uint64_t before);

#endif

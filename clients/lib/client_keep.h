/* client_keep.h - what was sent and may be needed again; pure
 *
 *     byte:   0 ........ from ............................ to
 *             forgotten  | kept, as the messages it was   | not sent yet
 *
 * When a connection breaks, another server can go on where this one was if it is given what the
 * newest result depends on: everything that has no result yet and, before it, as much as the
 * layers look back. Bounded: the oldest goes when there is no room. Requests lie between the audio
 * where they were sent.
 */
#ifndef SHOAL_CLIENT_KEEP_H
#define SHOAL_CLIENT_KEEP_H

#include "lib/client_queue.h"

/* Sorts of requests that are kept. */
enum {
    SHOAL__ASK_FLUSH,
    SHOAL__ASK_SET,
    SHOAL__ASK_PING,
    SHOAL__ASK_ALIVE, /* a ping of our own */
    SHOAL__ASK_SKIP,
    SHOAL__ASKED,
    SHOAL__ASK_END = SHOAL__ASKED
};

/* The kind of a message in a queue: SHOAL__TEXT or _BINARY, of a request also its sort, and of one
 * that is kept, which it was that went to the server's session: 1.., 0: it has not gone, or none of
 * them. */
enum { SHOAL__KIND_MASK = 3, SHOAL__ASK_SHIFT = 2, SHOAL__ASK_MASK = 63, SHOAL__NUMBER_SHIFT = 8 };
enum { SHOAL__NO_NUMBER = 0x7fffff, SHOAL__UNNUMBERED = (1 << SHOAL__NUMBER_SHIFT) - 1 };
#define SHOAL__REQUEST(ask) (SHOAL__TEXT | ((ask) + 1) << SHOAL__ASK_SHIFT)

/* -1: it is no request. */
static inline int shoal__ask_of(int kind)
{
    return ((kind >> SHOAL__ASK_SHIFT) & SHOAL__ASK_MASK) - 1;
}

typedef struct shoal__keep {
    shoal__queue messages;
    uint64_t from, to;              /* bytes of audio since the beginning of the session */
    unsigned dropped[SHOAL__ASKED]; /* requests of each sort that are kept no more */
} shoal__keep;

/* max: bytes, with SHOAL__RECORD_BYTES for each message; 0: nothing is kept, only counted. */
void shoal__keep_init(shoal__keep *k, size_t max);
void shoal__keep_free(shoal__keep *k);
/* Audio (SHOAL__BINARY) or a request (SHOAL__REQUEST); other messages are nobody's business. */
void shoal__keep_push(shoal__keep *k, int kind, const void *bytes, size_t n);
/* What lies before this byte is no longer needed. */
void shoal__keep_forget(shoal__keep *k, uint64_t before);

#endif

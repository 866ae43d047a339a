/* client_out.h - what goes to a server, and what of it goes again to the next one; pure
 *
 *     program -> tx -> wire -> kept, until no replay can need it
 *     a new connection: hello -> (ready) -> kept, from some byte of the audio on -> tx
 *
 * Kept are audio, and at their places in it the requests that a replay must repeat: a flush (it
 * cuts a chunk, so what follows depends on it), a set or a ping that was not answered yet, end.
 */
#ifndef SHOAL_CLIENT_OUT_H
#define SHOAL_CLIENT_OUT_H

#include "lib/client_keep.h"

typedef struct shoal__out {
    shoal__queue hello; /* the start message, until it is sent */
    shoal__queue tx;    /* what the program has sent and the wire has not taken */
    shoal__keep kept;
    int again;                  /* this connection is not the first */
    int open;                   /* its server may be told more than hello */
    int exact;                  /* it has the session still: what it lacks goes, and all of it */
    size_t at, skip;            /* the next to go again: at of kept, without skip bytes */
    unsigned nth[SHOAL__ASKED]; /* requests of each sort before it */
    unsigned answered[SHOAL__ASKED]; /* requests of each sort that the server has answered */
    unsigned owed;                   /* answers to flushes that will come a second time */
    uint64_t base;                   /* byte of the audio at which the server's session begins */
    unsigned asked;                  /* requests that it was sent */
    size_t most;                     /* bytes of a message that goes again */
} shoal__out;

/* 0 or -1: no memory, nothing to free. */
int shoal__out_init(shoal__out *o, size_t tx_bytes, size_t keep_bytes)
    __attribute__((warn_unused_result));
void shoal__out_free(shoal__out *o);

/* The next message; 0: none. View until sent. */
int shoal__out_front(const shoal__out *o, int *kind, const uint8_t **bytes, size_t *n);
void shoal__out_sent(shoal__out *o);

/* The server has answered a request of that sort (SHOAL__ASK_*). 1: the program shall be told; 0:
 * it was told when the answer came for the first time. */
int shoal__out_answered(shoal__out *o, int ask);

/* A new connection begins; what it says first is in hello. Until open nothing else goes; then the
 * audio from byte `from` on, kept.from <= from, in messages of `most` bytes at most. If not all of
 * it was sent by now, what lies before is taken as sent. */
void shoal__out_again(shoal__out *o, uint64_t from);
void shoal__out_open(shoal__out *o, size_t most);
/* The server has the session still, and of it so many bytes of audio and so many requests: what
 * follows goes again, and nothing else. 0, or -1: it is not kept, or never was. */
int shoal__out_continue(shoal__out *o, uint64_t bytes, uint64_t requests)
    __attribute__((warn_unused_result));
/* Until then: nothing goes. */
void shoal__out_wait(shoal__out *o);
/* What lies before this byte is no longer needed. */
void shoal__out_forget(shoal__out *o, uint64_t before);
/* Audio that a replay would need, message by message, from byte kept.from on: start with *at = 0;
 * 0 at the end. */
int shoal__out_walk(const shoal__out *o, size_t *at, const uint8_t **bytes, size_t *n);

#endif

/* reply.h - what a session says -> the answer to a POST; no socket
 *
 *     lines:    each text message and a line end
 *     packets:  the binary messages, one after the other; each says how long it is
 *     npy:      the values of the packets as one array, when all are there (64 MiB at most)
 *
 * The head waits until there is something behind `ready`: what goes wrong before that is a status.
 * Afterwards a fatal error is the last line, and the answer breaks off without its end, so that
 * no client takes it for whole.
 */
#ifndef SHOALD_REPLY_H
#define SHOALD_REPLY_H

#include "net/answer.h"
#include "net/head.h"

typedef struct shoald_reply {
    /* set at init, then constant */
    shoald_taste taste;             /* not SHOALD_ANY_FORM */
    int minor;                      /* HTTP/1.minor */
    bool closes;                    /* the connection ends with it */
    size_t *array_bytes;            /* of all replies' arrays */
    char origin[SHOALD_MAX_ORIGIN]; /* whose scripts may read it, "": none */

    shoal_buf out;     /* for the socket, all of it when it has gone is dropped */
    shoal_buf held;    /* ready, until the head is due */
    bool begun;        /* the head is in out */
    shoal_error error; /* code 0: none; instead of an answer */
    shoal_buf array;   /* npy: room for its header, then rows */
    uint64_t rows;
    int dim;
    shoal_encoding encoding;
    char warning[320]; /* packets, npy: what has no line there, until it is told in a header */
    bool is_large;     /* npy: it does not fit, and the session should end */
} shoald_reply;

void shoald_reply_free(shoald_reply *r);
/* A message of the session. 0 or -1 (no memory). */
SHOAL_CHECKED int shoald_reply_text(shoald_reply *r, const void *bytes, size_t n);
SHOAL_CHECKED int shoald_reply_packet(shoald_reply *r, const void *bytes, size_t n);
/* All was well, but for what is wrong with the file ("": nothing). 0: out has the end, or *a is
 * what is to be answered behind it; 1: it breaks off; -1: no memory. */
SHOAL_CHECKED int shoald_reply_end(shoald_reply *r, const char *wrong, shoald_answer *a);
/* The session has failed. As above. */
SHOAL_CHECKED int shoald_reply_break(shoald_reply *r, shoald_answer *a);

#endif

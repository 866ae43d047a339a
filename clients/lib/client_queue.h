/* client_queue.h - first-in first-out of whole messages in one block of memory; pure */
#ifndef SHOAL_CLIENT_QUEUE_H
#define SHOAL_CLIENT_QUEUE_H

#include <stddef.h>
#include <stdint.h>

enum { SHOAL__TEXT = 1, SHOAL__BINARY = 2 };
enum { SHOAL__RECORD_BYTES = 8 }; /* size and kind in front of each message */

typedef struct shoal__queue {
    uint8_t *data;
    size_t head, tail; /* whole messages lie in [head, tail) */
    size_t open;       /* bytes after tail of a message still being built, with its record */
    size_t cap, max;   /* allocated; the most that may ever be */
} shoal__queue;

/* Those that may fail return 0, or -1 when max would be exceeded or memory is out (nothing
 * changed). initial may be 0: memory comes with the first message. */
int shoal__queue_init(shoal__queue *q, size_t initial, size_t max)
    __attribute__((warn_unused_result));
void shoal__queue_free(shoal__queue *q);
int shoal__queue_push(shoal__queue *q, int kind, const void *bytes, size_t n)
    __attribute__((warn_unused_result));
/* A message in pieces: append any number of times, then commit. */
int shoal__queue_append(shoal__queue *q, const void *bytes, size_t n)
    __attribute__((warn_unused_result));
int shoal__queue_commit(shoal__queue *q, int kind) __attribute__((warn_unused_result));
/* The oldest whole message; 0 when there is none. View until the next call that changes q. */
int shoal__queue_front(const shoal__queue *q, int *kind, const uint8_t **bytes, size_t *n);
/* The message at *at (0: the oldest), and *at moves to the one after it; 0 when there is none. */
int shoal__queue_walk(const shoal__queue *q, size_t *at, int *kind, const uint8_t **bytes,
                      size_t *n);
/* The message at `at` is of another kind. */
void shoal__queue_mark(shoal__queue *q, size_t at, int kind);
void shoal__queue_pop(shoal__queue *q);
void shoal__queue_clear(shoal__queue *q);
size_t shoal__queue_used(const shoal__queue *q);

#endif

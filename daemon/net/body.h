/* body.h - the bytes that follow a request head -> what they carry; RFC 9112 sections 6 and 7
 *
 * Pure, and bounded: nothing is kept of what has been taken. The caller gives what lies there, is
 * told how many bytes of that are framing and how many behind them are payload, takes as much of
 * the payload as it has room for, and gives the rest again.
 *
 *     shoald_body b;
 *     shoald_body_init(&b, head.chunked, head.body_bytes);
 *     while ((state = shoald_body_next(&b, bytes, n, &framing, &payload)) == SHOALD_BODY_MORE) {
 *         size_t k = use(bytes + framing, payload);            // 0..payload
 *         shoald_body_take(&b, k);
 *         bytes += framing + k, n -= framing + k;              // n == 0: wait for more
 *     }
 */
#ifndef SHOALD_BODY_H
#define SHOALD_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHOALD_MAX_CHUNK_LINE = 1024,  /* size and extensions */
    SHOALD_MAX_TRAILERS = 8 << 10, /* all of them */
};

typedef enum shoald_body_state {
    SHOALD_BODY_MORE,  /* not at its end */
    SHOALD_BODY_WHOLE, /* framing bytes more, and what follows is no part of it */
    SHOALD_BODY_BROKEN /* why */
} shoald_body_state;

typedef struct shoald_body {
    const char *why; /* broken: cause; static */
    uint64_t taken;  /* payload so far */

    bool chunked;
    uint64_t left; /* payload until the end of the chunk, or of the body */
    int place;     /* body.c */
    size_t line;   /* bytes of the line, or of the trailers, so far */
    bool digits, cr;
} shoald_body;

void shoald_body_init(shoald_body *b, bool chunked, uint64_t bytes);
/* framing and payload: of the n bytes given; together n at most. */
shoald_body_state shoald_body_next(shoald_body *b, const char *bytes, size_t n, size_t *framing,
                                   size_t *payload);
/* n bytes of the payload are taken. */
void shoald_body_take(shoald_body *b, size_t n);

#endif

/* answer.h - an HTTP answer: made by pages and refusals, written as bytes; pure
 *
 * An answer is whole in memory before its first byte is sent, but for one that streams, as that of
 * a POST with results while they come: of that only the head is made here (post.c does the rest).
 */
#ifndef SHOALD_ANSWER_H
#define SHOALD_ANSWER_H

#include "shoal-protocol.h"

#include <stdbool.h>

typedef struct shoald_answer {
    int status;
    const char *type;  /* of the body, static; NULL: no body, as 204 has it */
    shoal_buf body;    /* owned */
    const char *fixed; /* static bytes instead of a body of its own */
    size_t fixed_size;
    bool streams;     /* the body comes chunked, or (to HTTP/1.0) until the end */
    char lines[1024]; /* further header lines, each with its CR LF */
} shoald_answer;

void shoald_answer_free(shoald_answer *a);
/* One more header line, without its end. What does not fit is left out. */
void shoald_answer_add_line(shoald_answer *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Scripts of pages of this origin may read it; "": of no other pages than the server's own. */
void shoald_answer_add_cors(shoald_answer *a, const char *origin);
/* Text of a static type, copied. 0 or -1 (no memory), as the others here. */
SHOAL_CHECKED int shoald_answer_text(shoald_answer *a, int status, const char *type,
                                     const char *text);
/* The error as JSON, with Retry-After where it has advice. status 0: the code's own. */
SHOAL_CHECKED int shoald_answer_error(shoald_answer *a, int status, const shoal_error *err);

typedef enum shoald_connection {
    SHOALD_KEEPS,     /* HTTP/1.1 says nothing then */
    SHOALD_KEEPS_1_0, /* HTTP/1.0 has to be told */
    SHOALD_CLOSES,
    SHOALD_CLOSES_1_0 /* a stream has no other end there */
} shoald_connection;

/* Status line and headers, with the length of the body, but not the body. */
SHOAL_CHECKED int shoald_answer_write_head(shoal_buf *out, const shoald_answer *a,
                                           shoald_connection connection);
const char *shoald_answer_body(const shoald_answer *a, size_t *size);

#endif

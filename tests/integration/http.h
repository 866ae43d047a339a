/* http.h - an HTTP client that is allowed to be wrong: requests as bytes, answers as they came
 *
 * Blocking, one thread, 127.0.0.1 only. A connection may be asked again and again.
 */
#ifndef HTTP_UTIL_H
#define HTTP_UTIL_H

#include <stddef.h>

typedef struct http {
    int fd;
    char *in; /* received and not yet consumed */
    size_t size, room;
} http;

typedef struct http_answer {
    int status;      /* 0: the connection ended without one */
    char head[2048]; /* with its empty line */
    char *body;      /* a NUL behind it; http_free */
    size_t size;
    int whole; /* 1: its end came; 0: it broke off */
} http_answer;

http http_open(int port);
void http_close(http *h);
void http_reset(http *h); /* RST */

/* -1: the server takes no more. */
int http_send(http *h, const void *bytes, size_t n);
/* "POST target HTTP/1.1" with these further lines ("" or "A: b\r\n"...), Content-Length and body.
 */
void http_post(http *h, const char *target, const char *lines, const void *body, size_t n);
/* The next answer, 100 Continue included. */
http_answer http_read(http *h);
void http_free(http_answer *a);

/* One POST on a connection of its own. */
http_answer http_post_once(int port, const char *target, const char *lines, const void *body,
                           size_t n);

#endif

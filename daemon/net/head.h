/* head.h - the bytes of an HTTP/1 request head -> what is asked for, or why not
 *
 * Pure: no socket, no memory of its own. Bytes are given as they come; each line is looked at once,
 * when it is complete, and what cannot become a request is refused as early as it shows. Strict
 * where requests are smuggled: lines end with CR LF, names are followed by their colon, nothing is
 * folded, nothing that has to be unique comes twice.
 *
 *     shoald_head h = { 0 };
 *     while (shoald_head_take(&h, bytes, n) == SHOALD_HEAD_PARTIAL)
 *         n += more(bytes + n);
 */
#ifndef SHOALD_HEAD_H
#define SHOALD_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHOALD_MAX_URL = 8 << 10,     /* longer: 414 */
    SHOALD_MAX_HEADERS = 8 << 10, /* all of them with names and line ends; more: 431 */
    SHOALD_MAX_HEAD = SHOALD_MAX_URL + SHOALD_MAX_HEADERS + 64,
    SHOALD_MAX_PATH = 128, /* decoded; no page has a longer one */
    SHOALD_MAX_HOST = 256,
    SHOALD_MAX_ORIGIN = 288,
    SHOALD_KEY_LENGTH = 24
};

typedef enum shoald_method {
    SHOALD_GET,
    SHOALD_HEAD,
    SHOALD_OPTIONS,
    SHOALD_POST,
    SHOALD_OTHER_METHOD /* none that has a meaning here */
} shoald_method;

/* What the client would rather have; the first media type that means something here. */
typedef enum shoald_taste {
    SHOALD_ANY_FORM,
    SHOALD_LINES,   /* application/x-ndjson, application/json */
    SHOALD_PACKETS, /* application/octet-stream */
    SHOALD_NPY      /* application/x-npy */
} shoald_taste;

typedef enum shoald_head_state {
    SHOALD_HEAD_PARTIAL, /* go on */
    SHOALD_HEAD_WHOLE,   /* size bytes are the head */
    SHOALD_HEAD_REFUSED  /* status and why */
} shoald_head_state;

typedef struct shoald_head {
    size_t size;     /* of the head, with its empty line; what follows is not part of it */
    int status;      /* refused: the HTTP status */
    const char *why; /* cause and remedy; static */

    shoald_method method;
    int minor;                     /* HTTP/1.minor */
    char path[SHOALD_MAX_PATH];    /* decoded; "" for what has none (CONNECT) or a longer one */
    size_t query_at, query_length; /* in the bytes given; still encoded, every escape is good */
    char host[SHOALD_MAX_HOST];
    char origin[SHOALD_MAX_ORIGIN]; /* "": none, so no page of a browser's is behind it */
    bool close;                     /* no further request on this connection */
    bool has_body;                  /* bytes follow that are no request */

    /* of the body */
    bool has_length; /* Content-Length: body_bytes */
    uint64_t body_bytes;
    bool chunked;    /* Transfer-Encoding: chunked, and nothing else */
    bool awaits_100; /* Expect: 100-continue */
    bool is_form;    /* Content-Type: multipart/form-data */
    bool is_packed;  /* Content-Encoding: gzip and the like */
    shoald_taste taste;

    bool upgrade;                    /* Upgrade: websocket and Connection: Upgrade */
    int websocket_version;           /* 0: none, -1: nothing that is one */
    char key[SHOALD_KEY_LENGTH + 1]; /* "" unless it is 16 bytes in base64 */
    bool offers_any, offers_ours;    /* subprotocols; ours: shoal.v1 */

    size_t token_at, token_length; /* in the bytes given; 0: none */
    bool token_encoded;            /* it came as a subprotocol, in base64url */

    /* while it is taken */
    size_t line_at, scanned;
    size_t headers_at; /* 0: the request line is not complete */
    const char *bytes;
    int hosts, keys, origins;
    bool skipped_line, to_websocket, to_upgrade, keep_alive, has_encoding;
} shoald_head;

/* bytes: all that came so far, n of them; the same ones in front as the last time. */
shoald_head_state shoald_head_take(shoald_head *h, const char *bytes, size_t n);

#endif

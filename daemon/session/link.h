/* link.h - the connection of a session, as the session sees it
 *
 * Session, link and lane have lifetimes of their own: a link ends with its socket, a lane when its
 * worker has let go of it, and the session outlives both. Who makes links (net/link.c) embeds a
 * shoald_link, calls the events of session.h, and says on_gone exactly once; from then on the
 * session holds no link. Loop thread only.
 */
#ifndef SHOALD_SESSION_LINK_H
#define SHOALD_SESSION_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct shoald_link shoald_link;

typedef enum shoald_link_kind {
    SHOALD_LINK_TEXT,
    SHOALD_LINK_BINARY,
    SHOALD_LINK_PING,
    SHOALD_LINK_LAST /* text, and nothing comes after it but a Close */
} shoald_link_kind;

/* What has come of a message: as much as lay there. */
typedef struct shoald_piece {
    const void *bytes;
    size_t n;
    uint64_t rest;    /* bytes of the same frame that are still to come */
    bool first, last; /* piece of the message */
    bool binary;
} shoald_piece;

typedef struct shoald_link_ops {
    /* One whole message, n bytes at house->tx. Only in on_writable, once. 0, or -1: it is broken.
     */
    int (*write)(shoald_link *l, shoald_link_kind kind, size_t n);
    /* Call on_writable when everything before has left. */
    void (*want_write)(shoald_link *l);
    /* Read the socket, or leave what comes where it is. Not in an event. */
    void (*read)(shoald_link *l, bool on);
    /* Send Close and wait for the peer's. Not in an event, and only when all is written. Nothing is
     * written after it, and no event comes but on_gone. */
    void (*close)(shoald_link *l, int code, const char *reason);
    /* At once, with no word to the peer. on_gone is called within. Not in an event. */
    void (*kill)(shoald_link *l);
    /* Bytes that the socket has heard but for pongs: it grows by the peer's pings too. */
    uint64_t (*heard)(const shoald_link *l);
} shoald_link_ops;

struct shoald_link {
    const shoald_link_ops *ops;
    uint64_t closing_ns; /* since when a Close is under way, from either side; 0: none is */
    bool returns;        /* constant: when it breaks, its client may come back over another */
    bool farewell;       /* the peer has sent its Close: it does not break, it ends */
};

#endif

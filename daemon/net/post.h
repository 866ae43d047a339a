/* post.h - POST /v1/phones with a file's bytes: an HTTP connection that drives a session
 *
 *     greet.c -- head, gates --> post -- body --> [decoder's process] --> session.h
 *                                 |  <---------- reply.h <-------------- session/link.h
 *     greet.c <-- keep-alive -----'
 *
 * A post is the link of a session as net/link.c is one; the session does not know which. The socket
 * is read only while the next one has room: the decoder's socket pair, or (raw samples) the
 * session's queue; the decoder's samples only while the session takes them. So what waits is in
 * kernel buffers and the session's own queues. What is written is one message at a time.
 *
 * Bytes of the body are taken from the socket when they have found their place, so that what
 * follows it, the next request, is still there when the answer is out and the connection goes back
 * to greet. Deadlines are the session's: start, idle, slow reader, closing. Loop thread.
 */
#ifndef SHOALD_POST_H
#define SHOALD_POST_H

#include "base/peer.h"
#include "net/answer.h"
#include "net/head.h"
#include "session/entry.h"
#include "session/house.h"

#include <uv.h>

/* Of a connection whose answer is made: what is still to be sent of it. */
typedef struct shoald_parting {
    int fd;
    shoald_peer peer;
    int minor;            /* HTTP/1.minor */
    bool closes;          /* the connection, behind it */
    shoal_buf bytes;      /* to be sent first; owned */
    size_t sent;          /* of them */
    shoald_answer answer; /* and then this, if it has a status; owned */
} shoald_parting;

typedef struct shoald_posts {
    /* set at init, then constant */
    shoald_house *house;
    uv_loop_t *loop;
    void (*take_back)(void *owner, shoald_parting *p);
    void *owner;

    struct post *first;
    size_t array_bytes; /* of all answers that are made in memory */
} shoald_posts;

/* Take over a connection whose head has passed the gates. 0, or -1: no memory; fd is still yours.
 */
SHOAL_CHECKED int shoald_post_adopt(shoald_posts *posts, int fd, const shoald_peer *peer,
                                    const shoald_head *head, shoald_taste taste,
                                    const shoald_entry *entry);
/* All of them, at once. */
void shoald_posts_close(shoald_posts *posts);

#endif

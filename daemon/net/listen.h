/* listen.h - listening sockets of our own, whose connections lws adopts
 *
 * lws 4.1.6 on a foreign loop hides that bind() failed (its context comes up listening on
 * nothing), so we bind. That also gives port 0 with the real port known, unix sockets and
 * systemd's socket activation.
 */
#ifndef SHOALD_LISTEN_H
#define SHOALD_LISTEN_H

#include <stddef.h>
#include <uv.h>

struct shoald_house;

typedef struct shoald_listener {
    struct shoald_house *house;
    uv_poll_t poll;
    int fd;
    int polled;          /* poll is an open handle */
    int resting;         /* out of descriptors: not polled until shoald_listen_wake */
    char name[160];      /* "127.0.0.1:7350", "[::1]:7350", "unix:/run/shoal/shoald.sock" */
    char unix_path[108]; /* to be removed at the end; "" for others and inherited ones */
} shoald_listener;

/* Bind one address, or take over an inherited descriptor. why: cause and remedy. 0 or -1. */
int shoald_listen_bind(shoald_listener *l, const char *address, char *why, size_t why_size);
int shoald_listen_inherit(shoald_listener *l, int fd, char *why, size_t why_size);
/* Accept from now on. 0 or a libuv error. */
int shoald_listen_start(shoald_listener *l, uv_loop_t *loop, struct shoald_house *house);
/* A few times a second: try again after a rest. */
void shoald_listen_wake(shoald_listener *l);
void shoald_listen_close(shoald_listener *l); /* twice is fine */

#endif

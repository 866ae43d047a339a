/* listen.h - listening sockets of our own, whose connections come through the door (door.h)
 *
 * lws 4.1.6 on a foreign loop hides that bind() failed (its context comes up listening on
 * nothing), so we bind. That also gives port 0 with the real port known, unix sockets and
 * systemd's socket activation. One listener is one socket: a setting may mean several.
 */
#ifndef SHOALD_LISTEN_H
#define SHOALD_LISTEN_H

#include "base/process.h"
#include "net/address.h"

#include <stddef.h>
#include <uv.h>

struct shoald_door;

typedef struct shoald_listener {
    struct shoald_door *door;
    uv_poll_t poll;
    int fd;
    int polled;                     /* poll is an open handle */
    int failing;                    /* accept fails, and that was logged */
    int resting;                    /* out of descriptors: not polled until shoald_listen_wake */
    char name[SHOALD_ADDRESS_NAME]; /* "127.0.0.1:7350", "unix:/run/shoal/shoald.sock" */
    char unix_path[108];            /* owns it; "" for others and inherited ones */
    shoald_owned_file unix_file;
} shoald_listener;

/* Bind every address that one `listen` means, into l[0..room). Port 0 takes one that is free on all
 * of them. An address of a family that this machine does not have is left out and logged, as long
 * as another is left. What is said there can be read on the way, so addresses that others can reach
 * are bound only if `anywhere`. Returns how many were bound, > 0, or -1 and why: cause and remedy.
 */
int shoald_listen_bind(shoald_listener *l, int room, const char *address, bool anywhere, char *why,
                       size_t why_size);
/* Would shoald_listen_bind succeed, if whoever listens there now did not? For --check: nothing is
 * left behind, and nothing of a running server is touched. 0 or -1 and why. */
int shoald_listen_check(const char *address, bool anywhere, char *why, size_t why_size);
/* Would one of two `listen` take what the other one needs? 0 or -1 and why. */
int shoald_listen_compare(const char *one, const char *other, char *why, size_t why_size);
/* Take over an inherited descriptor; the same holds for its address. 0 or -1 and why. */
int shoald_listen_inherit(shoald_listener *l, int fd, bool anywhere, char *why, size_t why_size);
/* Accept from now on. 0 or a libuv error. */
int shoald_listen_start(shoald_listener *l, uv_loop_t *loop, struct shoald_door *door);
/* A few times a second: try again after a rest. */
void shoald_listen_wake(shoald_listener *l);
void shoald_listen_close(shoald_listener *l); /* twice is fine */

#endif

/* listen.c - addresses -> bound sockets -> accepted connections; see listen.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "net/listen.h"

#include "base/log.h"
#include "net/door.h"

#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512, ACCEPTS_A_TURN = 16, PORT_TRIES = 16 };

/* ---- binding ------------------------------------------------------------------------- */

static int explain(const char *address, int error, char *why, size_t why_size)
{
    const char *remedy =
        error == EADDRINUSE      ? "another program (or another shoald) listens there; stop it, or "
                                   "choose another port with --listen"
        : error == EACCES        ? "ports below 1024 need a privilege: use socket activation "
                                   "(shoald.socket) or a higher port"
        : error == EADDRNOTAVAIL ? "this machine has no such address"
                                 : "choose another address with --listen";
    snprintf(why, why_size, "cannot listen on %s: %s: %s", address, strerror(error), remedy);
    return -1;
}

/* 0, or -1 and why: others can reach it, and it was not said that they may. */
static int check_reach(const shoald_address *a, bool anywhere, char *why, size_t why_size)
{
    char name[SHOALD_ADDRESS_NAME];
    if (anywhere || shoald_address_is_loopback(&a->at))
        return 0;
    snprintf(why, why_size,
             "will not listen on %s: others can reach it, and shoald has no TLS, so audio, results "
             "and tokens could be read on the way; listen on 127.0.0.1, ::1 or unix:/PATH behind a "
             "proxy that does TLS, or say that it is meant: insecure_listen = on "
             "(--insecure-listen)",
             shoald_address_name(name, sizeof name, a));
    return -1;
}

static int resolve(shoald_addresses *a, const char *address, bool anywhere, char *why,
                   size_t why_size)
{
    if (shoald_address_resolve(a, address, why, why_size) < 0)
        return -1;
    for (int i = 0; i < a->count; i++)
        if (check_reach(&a->list[i], anywhere, why, why_size) < 0)
            return -1;
    return 0;
}

/* A bound socket, or -1 with errno. */
static int bind_socket(const shoald_address *a)
{
    int on = 1, family = a->at.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6) /* 0.0.0.0 is a socket of its own */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&a->at, a->size) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* A socket file that nobody answers on was left behind by a crash; one in use is an error. */
static void remove_stale(const struct sockaddr_un *a)
{
    struct stat st;
    if (lstat(a->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) < 0 && errno == ECONNREFUSED)
        unlink(a->sun_path);
    if (fd >= 0)
        close(fd);
}

/* It is removed at the end, if it is still ours then. */
static void own_file(shoald_listener *l, const char *path)
{
    struct stat st;
    strcpy(l->unix_path, path);
    if (lstat(path, &st) == 0)
        l->unix_file = (shoald_owned_file){ l->unix_path, st.st_dev, st.st_ino };
}

static void name_from_socket(shoald_listener *l, shoald_address *a)
{
    memset(a, 0, sizeof *a);
    a->size = sizeof a->at;
    getsockname(l->fd, (struct sockaddr *)&a->at, &a->size);
    shoald_address_name(l->name, sizeof l->name, a);
}

/* 0 or -1 with errno. *a gets the port that was taken. */
static int bind_one(shoald_listener *l, shoald_address *a)
{
    const struct sockaddr_un *un = (const void *)&a->at;
    memset(l, 0, sizeof *l);
    if (a->at.ss_family == AF_UNIX)
        remove_stale(un);
    l->fd = bind_socket(a);
    if (l->fd >= 0 && a->at.ss_family == AF_UNIX)
        own_file(l, un->sun_path);
    if (l->fd >= 0 && listen(l->fd, BACKLOG) == 0) {
        name_from_socket(l, a);
        return 0;
    }
    int error = errno;
    shoald_listen_close(l);
    errno = error;
    return -1;
}

/* Of several addresses one may be of a family that is switched off here. */
static bool is_missing(int error)
{
    return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

static void log_left_out(const shoald_address *a, int error)
{
    char name[SHOALD_ADDRESS_NAME], words[128];
    shoald_log(SHOALD_LOG_NOTICE, "not_listening", "address=%s why=%s",
               shoald_address_name(name, sizeof name, a),
               shoald_log_quote(words, sizeof words, strerror(error)));
}

/* Where one was given, all get the same port. Returns how many are bound, or -1 with errno; then
 * none is. */
static int bind_all(shoald_listener *l, int room, shoald_addresses *a, int port)
{
    int count = 0, error = EADDRNOTAVAIL;
    for (int i = 0; i < a->count; i++) {
        shoald_address at = a->list[i];
        shoald_address_set_port(&at, port);
        if (count < room && bind_one(&l[count], &at) == 0) {
            count++;
            port = shoald_address_port(&at);
            continue;
        }
        error = count < room ? errno : ENOBUFS;
        if (is_missing(error)) {
            log_left_out(&at, error);
            continue;
        }
        while (count > 0)
            shoald_listen_close(&l[--count]);
        break;
    }
    errno = error;
    return count ? count : -1;
}

int shoald_listen_bind(shoald_listener *l, int room, const char *address, bool anywhere, char *why,
                       size_t why_size)
{
    shoald_addresses a;
    int count, tries = 0;
    if (resolve(&a, address, anywhere, why, why_size) < 0)
        return -1;
    int port = shoald_address_port(&a.list[0]);
    /* a port that is free on the first address may be taken on the second */
    while ((count = bind_all(l, room, &a, port)) < 0 && errno == EADDRINUSE && port == 0 &&
           ++tries < PORT_TRIES)
        ;
    return count < 0 ? explain(address, errno, why, why_size) : count;
}

/* ---- --check ------------------------------------------------------------------------- */

/* bind() would make the file; so its folder is asked. */
static int check_unix(const struct sockaddr_un *a)
{
    char folder[sizeof a->sun_path + 1];
    struct stat st;
    if (lstat(a->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    strcpy(folder, a->sun_path);
    return access(dirname(folder), W_OK | X_OK);
}

static int check_one(const shoald_address *a)
{
    if (a->at.ss_family == AF_UNIX)
        return check_unix((const void *)&a->at);
    int fd = bind_socket(a);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno == EADDRINUSE ? 0 : -1;
}

int shoald_listen_check(const char *address, bool anywhere, char *why, size_t why_size)
{
    shoald_addresses a;
    int good = 0, error = EADDRNOTAVAIL;
    if (resolve(&a, address, anywhere, why, why_size) < 0)
        return -1;
    for (int i = 0; i < a.count; i++) {
        if (check_one(&a.list[i]) == 0)
            good++;
        else if (!is_missing(error = errno))
            return explain(address, error, why, why_size);
    }
    return good ? 0 : explain(address, error, why, why_size);
}

int shoald_listen_compare(const char *one, const char *other, char *why, size_t why_size)
{
    shoald_addresses a, b;
    if (shoald_address_resolve(&a, one, why, why_size) < 0 ||
        shoald_address_resolve(&b, other, why, why_size) < 0)
        return -1;
    for (int i = 0; i < a.count * b.count; i++)
        if (shoald_address_excludes(&a.list[i / b.count], &b.list[i % b.count])) {
            snprintf(why, why_size,
                     "listen: %s and %s are at one port of one address: leave out one of them, or "
                     "give it another port",
                     one, other);
            return -1;
        }
    return 0;
}

/* ---- sockets of systemd -------------------------------------------------------------- */

int shoald_listen_inherit(shoald_listener *l, int fd, bool anywhere, char *why, size_t why_size)
{
    shoald_address at;
    int listening = 0;
    socklen_t size = sizeof listening;
    memset(l, 0, sizeof *l);
    l->fd = fd;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening) {
        snprintf(why, why_size,
                 "descriptor %d from systemd is not a listening stream socket: use ListenStream= "
                 "and Accept=no in shoald.socket",
                 fd);
        return -1;
    }
    name_from_socket(l, &at);
    return check_reach(&at, anywhere, why, why_size);
}

/* ---- accepting ----------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events);

/* Out of descriptors: the connection stays in the kernel's queue, where poll would report it
 * again at once and for ever. So the listener rests until the next tick of the clock; nobody
 * who is connected notices. Told once: it is over when the queue was emptied. */
static void on_accept_error(shoald_listener *l, int error)
{
    if (error == EAGAIN && l->failing)
        shoald_log(SHOALD_LOG_NOTICE, "accept_works", "listen=%s", l->name);
    if (error == EAGAIN)
        l->failing = 0;
    if (error == EAGAIN || error == ECONNABORTED || error == EINTR)
        return;
    if (!l->failing)
        shoald_log(SHOALD_LOG_WARNING, "accept_failed", "listen=%s error=%d hint=%s", l->name,
                   error, "\"raise LimitNOFILE or lower max_sessions\"");
    l->failing = 1;
    uv_poll_stop(&l->poll);
    l->resting = 1;
}

void shoald_listen_wake(shoald_listener *l)
{
    if (!l->resting)
        return;
    l->resting = 0;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    shoald_listener *l = poll->data;
    (void)events;
    for (int i = 0; status == 0 && i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage peer = { 0 };
        socklen_t size = sizeof peer;
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            on_accept_error(l, errno);
            return;
        }
        if (size <= sizeof(sa_family_t))
            peer.ss_family = AF_UNIX; /* unnamed */
        shoald_door_enter(l->door, fd, &peer);
    }
}

int shoald_listen_start(shoald_listener *l, uv_loop_t *loop, struct shoald_door *door)
{
    l->door = door;
    int result = uv_poll_init(loop, &l->poll, l->fd);
    if (result < 0)
        return result;
    l->poll.data = l;
    l->polled = 1;
    return uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

void shoald_listen_close(shoald_listener *l)
{
    if (l->polled) {
        uv_poll_stop(&l->poll);
        uv_close((uv_handle_t *)&l->poll, NULL);
        l->polled = l->resting = 0;
    }
    if (l->fd > 0)
        close(l->fd);
    shoald_process_remove_file(&l->unix_file);
    l->fd = 0;
}

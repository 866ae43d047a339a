/* listen.c - addresses -> bound sockets -> accepted connections; see listen.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "net/listen.h"

#include "net/conn.h"
#include "base/log.h"
#include "session/house.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512, ACCEPTS_A_TURN = 64 };

/* ---- names --------------------------------------------------------------------------- */

static void name_from_socket(shoald_listener *l)
{
    struct sockaddr_storage a = { 0 };
    socklen_t size = sizeof a;
    char host[INET6_ADDRSTRLEN] = "?";
    getsockname(l->fd, (struct sockaddr *)&a, &size);
    if (a.ss_family == AF_INET) {
        struct sockaddr_in *in = (void *)&a;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(l->name, sizeof l->name, "%s:%d", host, ntohs(in->sin_port));
    } else if (a.ss_family == AF_INET6) {
        struct sockaddr_in6 *in6 = (void *)&a;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(l->name, sizeof l->name, "[%s]:%d", host, ntohs(in6->sin6_port));
    } else {
        snprintf(l->name, sizeof l->name, "unix:%s", ((struct sockaddr_un *)&a)->sun_path);
    }
}

/* "host:port" or "[v6]:port" -> parts. 0 or -1. */
static int split_address(const char *address, char *host, size_t host_size, const char **port)
{
    const char *colon = strrchr(address, ':');
    const char *begin = address, *end = colon;
    if (!colon || !colon[1])
        return -1;
    if (*address == '[') {
        begin = address + 1;
        end = strchr(address, ']');
        if (!end || end + 1 != colon)
            return -1;
    } else if (memchr(address, ':', (size_t)(colon - address))) {
        return -1; /* an IPv6 address without brackets */
    }
    char *rest;
    long number = strtol(colon + 1, &rest, 10); /* getaddrinfo would take 99999 for 34463 */
    if ((size_t)(end - begin) >= host_size || *rest || number < 0 || number > 65535)
        return -1;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *port = colon + 1;
    return 0;
}

/* ---- binding ------------------------------------------------------------------------- */

static void explain_bind(const char *address, int error, char *why, size_t why_size)
{
    const char *remedy =
        error == EADDRINUSE      ? "another program (or another shoald) listens there; stop it, or "
                                   "choose another port with --listen"
        : error == EACCES        ? "ports below 1024 need a privilege: use socket activation "
                                   "(shoald.socket) or a higher port"
        : error == EADDRNOTAVAIL ? "this machine has no such address"
                                 : "choose another address with --listen";
    snprintf(why, why_size, "cannot listen on %s: %s: %s", address, strerror(error), remedy);
}

static int bind_socket(int family, const struct sockaddr *a, socklen_t size)
{
    int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, a, size) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int bind_inet(shoald_listener *l, const char *address, char *why, size_t why_size)
{
    char host[128];
    const char *port;
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM },
                    *found;
    if (split_address(address, host, sizeof host, &port) < 0) {
        snprintf(why, why_size, "listen: \"%s\" is not HOST:PORT, [IPv6]:PORT or unix:/PATH",
                 address);
        return -1;
    }
    int result = getaddrinfo(strcmp(host, "*") == 0 || !*host ? NULL : host, port, &hints, &found);
    if (result != 0) {
        snprintf(why, why_size, "listen: \"%s\": %s", address, gai_strerror(result));
        return -1;
    }
    l->fd = bind_socket(found->ai_family, found->ai_addr, found->ai_addrlen);
    int error = errno;
    freeaddrinfo(found);
    if (l->fd < 0)
        explain_bind(address, error, why, why_size);
    return l->fd < 0 ? -1 : 0;
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

static int bind_unix(shoald_listener *l, const char *path, char *why, size_t why_size)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof a.sun_path) {
        snprintf(why, why_size, "listen: the path of a unix socket may have %zu bytes",
                 sizeof a.sun_path - 1);
        return -1;
    }
    strcpy(a.sun_path, path);
    remove_stale(&a);
    l->fd = bind_socket(AF_UNIX, (struct sockaddr *)&a, sizeof a);
    if (l->fd < 0) {
        explain_bind(path, errno, why, why_size);
        return -1;
    }
    strcpy(l->unix_path, path);
    return 0;
}

int shoald_listen_bind(shoald_listener *l, const char *address, char *why, size_t why_size)
{
    memset(l, 0, sizeof *l);
    int result = strncmp(address, "unix:", 5) == 0 ? bind_unix(l, address + 5, why, why_size)
                                                   : bind_inet(l, address, why, why_size);
    if (result == 0)
        name_from_socket(l);
    return result;
}

int shoald_listen_inherit(shoald_listener *l, int fd, char *why, size_t why_size)
{
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
    name_from_socket(l);
    return 0;
}

/* ---- accepting ----------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events);

/* Out of descriptors: the connection stays in the kernel's queue, where poll would report it
 * again at once and for ever. So the listener rests until the next tick of the clock; nobody
 * who is connected notices. */
static void on_accept_error(shoald_listener *l, int error)
{
    if (error == EAGAIN || error == ECONNABORTED || error == EINTR)
        return;
    shoald_log(SHOALD_LOG_WARNING, "accept_failed", "error=%d hint=%s", error,
               "\"raise LimitNOFILE or lower max_sessions\"");
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
        shoald_conn_adopt(l->house, fd, &peer);
    }
}

int shoald_listen_start(shoald_listener *l, uv_loop_t *loop, struct shoald_house *house)
{
    l->house = house;
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
    if (l->unix_path[0])
        unlink(l->unix_path);
    l->fd = 0;
    l->unix_path[0] = '\0';
}

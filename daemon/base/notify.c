/* notify.c - a thin layer over sd-daemon; see notify.h */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/notify.h"

#ifdef HAVE_SYSTEMD

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* A state that found no room yet; "": none. */
static char owed[256];

int shoald_notify_inherited(void)
{
    int n = sd_listen_fds(1);
    return n > 0 ? n : 0;
}

uint64_t shoald_notify_watchdog_ns(void)
{
    uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 ? us * 1000 / 2 : 0;
}

/* libsystemd's sd_notify sends the same datagram, and waits where there is no room for it: a
 * manager that does not read would stop the loop. False: no room now. */
static bool send_now(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return true;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') /* an abstract name, which no file has */
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ssize_t sent =
        sendto(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    bool full = sent < 0 && (errno == EAGAIN || errno == ENOBUFS);
    if (fd >= 0)
        close(fd);
    return !full;
}

bool shoald_notify_again(void)
{
    if (owed[0] && !send_now(owed))
        return false;
    owed[0] = 0;
    return true;
}

void shoald_notify(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(owed, sizeof owed, format, args);
    va_end(args);
    shoald_notify_again();
}

void shoald_notify_alive(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (shoald_notify_again())
        send_now(text);
}

#else

int shoald_notify_inherited(void)
{
    return 0;
}

uint64_t shoald_notify_watchdog_ns(void)
{
    return 0;
}

bool shoald_notify_again(void)
{
    return true;
}

void shoald_notify(const char *format, ...)
{
    (void)format;
}

void shoald_notify_alive(const char *format, ...)
{
    (void)format;
}

#endif

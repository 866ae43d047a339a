/* notify.c - a thin layer over sd-daemon; see notify.h */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/notify.h"

#ifdef HAVE_SYSTEMD

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

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

void shoald_notify(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sd_notify(0, text);
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

void shoald_notify(const char *format, ...)
{
    (void)format;
}

#endif

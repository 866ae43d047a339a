/* notify.h - systemd: readiness, watchdog, inherited sockets; nothing without libsystemd */
#ifndef SHOALD_NOTIFY_H
#define SHOALD_NOTIFY_H

#include <stdint.h>

enum { SHOALD_FIRST_INHERITED = 3 }; /* descriptor number */

int shoald_notify_inherited(void);        /* how many listening sockets systemd has passed */
uint64_t shoald_notify_watchdog_ns(void); /* how often WATCHDOG=1 is due; 0: never */
void shoald_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

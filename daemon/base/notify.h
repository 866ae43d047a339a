/* notify.h - systemd: readiness, watchdog, inherited sockets; nothing without libsystemd */
#ifndef SHOALD_NOTIFY_H
#define SHOALD_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

enum { SHOALD_FIRST_INHERITED = 3 }; /* descriptor number */

int shoald_notify_inherited(void);        /* how many listening sockets systemd has passed */
uint64_t shoald_notify_watchdog_ns(void); /* how often WATCHDOG=1 is due; 0: never */

/* What the manager is told (sd_notify(3)), never waiting for it. A state that finds no room is
 * owed, and sent by shoald_notify_again (false: still no room) unless a newer one has taken its
 * place; a sign of life that finds none is dropped, the next one follows. Thread: the loop's. */
void shoald_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool shoald_notify_again(void);
void shoald_notify_alive(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

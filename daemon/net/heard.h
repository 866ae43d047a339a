/* heard.h - what a socket has received, as the kernel counts it */
#ifndef SHOALD_HEARD_H
#define SHOALD_HEARD_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes since the connection began; 0 where the kernel does not say (not TCP, before Linux 4.1). */
uint64_t shoald_heard_bytes(int fd);
/* The peer has closed its side in good order, which it cannot do while something lies unread there.
 */
bool shoald_heard_end(int fd);

#endif

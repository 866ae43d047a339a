/* heard.h - what a socket and its peer have received, as the kernel counts it */
#ifndef SHOALD_HEARD_H
#define SHOALD_HEARD_H

#include <stdint.h>

/* Bytes since the connection began, and one for its end if that came in good order; 0 where the
 * kernel does not say (not TCP, before Linux 4.1). */
uint64_t shoald_heard_bytes(int fd);
/* Bytes written that the peer's kernel has not got, and one for our end of the connection. */
int shoald_unheard_bytes(int fd);

#endif

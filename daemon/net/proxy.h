/* proxy.h - the PROXY protocol, version 2: the first bytes of a connection that a proxy passes on
 *
 * They say whose it is. Only what trusted addresses send is looked at (trust.h), and from those it
 * must come. Pure: no socket, no memory of its own.
 */
#ifndef SHOALD_PROXY_H
#define SHOALD_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
    SHOALD_PROXY_HEAD = 16,      /* bytes until the length is known */
    SHOALD_MAX_PROXY = 16 + 2048 /* with what proxies add behind the addresses */
};

typedef struct shoald_proxied {
    size_t size; /* of the header; what follows is the client's */
    bool known;  /* from is the client's address; else the proxy speaks for itself, or does not know
                  */
    struct sockaddr_storage from;
    const char *why; /* refused: cause and remedy; static */
} shoald_proxied;

/* bytes: all that came so far, n of them, none beyond the header. How many more belong to it at
 * least, 0: it is whole, -1: it is none. */
int shoald_proxy_take(shoald_proxied *p, const unsigned char *bytes, size_t n);

#endif

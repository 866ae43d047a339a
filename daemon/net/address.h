/* address.h - what `listen` says -> every socket address that it means
 *
 *     127.0.0.1:7350  [::1]:7350  HOST:7350   all addresses that the host has, of both families
 *     *:7350  :7350                           every address of this machine, of both families
 *     unix:/run/shoal/shoald.sock
 */
#ifndef SHOALD_ADDRESS_H
#define SHOALD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define SHOALD_MAX_ADDRESSES 16
#define SHOALD_ADDRESS_NAME  160

typedef struct shoald_address {
    struct sockaddr_storage at;
    socklen_t size;
} shoald_address;

typedef struct shoald_addresses {
    shoald_address list[SHOALD_MAX_ADDRESSES];
    int count; /* > 0, none of them twice */
} shoald_addresses;

/* May ask the resolver, and wait for it. why: cause and remedy. 0 or -1. */
int shoald_address_resolve(shoald_addresses *a, const char *text, char *why, size_t why_size);
/* "127.0.0.1:7350", "[::1]:7350", "unix:/run/shoal/shoald.sock". Returns to. */
const char *shoald_address_name(char *to, size_t size, const shoald_address *a);
/* Nobody beyond this machine can reach it: 127.x, ::1, a unix socket. */
bool shoald_address_is_loopback(const struct sockaddr_storage *at);
int shoald_address_port(const shoald_address *a); /* 0: any, or a unix socket */
void shoald_address_set_port(shoald_address *a, int port);
/* While somebody listens on the one, nobody can on the other. */
bool shoald_address_excludes(const shoald_address *a, const shoald_address *b);

#endif

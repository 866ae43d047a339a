/* peer.h - who is at the other end: a name for people, an address to count by */
#ifndef SHOALD_PEER_H
#define SHOALD_PEER_H

#include <stdbool.h>
#include <sys/socket.h>

#define SHOALD_PEER_LENGTH 96

typedef struct shoald_peer {
    char name[SHOALD_PEER_LENGTH]; /* "127.0.0.1:40112", "[::1]:40112", "unix" */
    unsigned char ip[16];          /* IPv6, or IPv4 mapped; zero for unix */
    bool by_loopback; /* it came to an address that only this machine has, and no proxy of ours
                       * says more: perhaps a browser, led here by a name of somebody else's */
} shoald_peer;

/* As accept() tells it; AF_UNIX for one without a name. */
void shoald_peer_set(shoald_peer *p, const struct sockaddr_storage *from);
bool shoald_peer_is_same(const shoald_peer *a, const shoald_peer *b); /* address, not port */
/* The same, or in one IPv6 /64, which is what one subscriber has. */
bool shoald_peer_is_near(const shoald_peer *a, const shoald_peer *b);
/* A unix socket, 127.0.0.1 or ::1: perhaps a proxy, with many clients behind it. */
bool shoald_peer_is_local(const shoald_peer *p);

#endif

/* peer.c - see peer.h */
#include "base/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

void shoald_peer_set(shoald_peer *p, const struct sockaddr_storage *from)
{
    char host[INET6_ADDRSTRLEN] = "?";
    memset(p, 0, sizeof *p);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)from;
        inet_ntop(AF_INET, &a->sin_addr, host, sizeof host);
        snprintf(p->name, sizeof p->name, "%s:%d", host, ntohs(a->sin_port));
        memcpy(p->ip, mapped, 12);
        memcpy(p->ip + 12, &a->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)from;
        inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof host);
        snprintf(p->name, sizeof p->name, "[%s]:%d", host, ntohs(a->sin6_port));
        memcpy(p->ip, &a->sin6_addr, 16);
    } else {
        snprintf(p->name, sizeof p->name, "unix");
    }
}

bool shoald_peer_is_same(const shoald_peer *a, const shoald_peer *b)
{
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool shoald_peer_is_near(const shoald_peer *a, const shoald_peer *b)
{
    if (memcmp(a->ip, mapped, sizeof mapped) == 0)
        return shoald_peer_is_same(a, b);
    return memcmp(a->ip, b->ip, 8) == 0;
}

bool shoald_peer_is_local(const shoald_peer *p)
{
    static const unsigned char four[4] = { 127, 0, 0, 1 }, nobody[16] = { 0 },
                               six[16] = { [15] = 1 };
    if (memcmp(p->ip, mapped, sizeof mapped) == 0)
        return memcmp(p->ip + 12, four, 4) == 0;
    return memcmp(p->ip, six, 16) == 0 || memcmp(p->ip, nobody, 16) == 0;
}

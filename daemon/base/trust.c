/* trust.c - see trust.h; IPv4 addresses are compared as IPv6 has them */
#include "base/trust.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct range {
    unsigned char ip[16];
    int bits; /* of ip that count */
    bool is_unix;
} range;

/* ADDRESS or ADDRESS/BITS. 0 or -1. */
static int read_range(range *r, const char *text)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    char host[64], *slash, *end = NULL;
    memset(r, 0, sizeof *r);
    snprintf(host, sizeof host, "%s", text);
    if ((r->is_unix = strcmp(host, "unix") == 0))
        return 0;
    if ((slash = strchr(host, '/')))
        *slash = '\0';
    bool four = inet_pton(AF_INET, host, r->ip + 12) == 1;
    int most = four ? 32 : 128;
    if (four)
        memcpy(r->ip, mapped, sizeof mapped);
    else if (inet_pton(AF_INET6, host, r->ip) != 1)
        return -1;
    long bits = slash ? strtol(slash + 1, &end, 10) : most;
    if ((end && *end) || (slash && !slash[1]) || bits < 0 || bits > most)
        return -1;
    r->bits = (int)bits + (four ? 96 : 0);
    return 0;
}

static bool is_in(const range *r, const shoald_peer *peer)
{
    int whole = r->bits / 8, rest = r->bits % 8;
    if (r->is_unix || strcmp(peer->name, "unix") == 0)
        return r->is_unix && strcmp(peer->name, "unix") == 0;
    return memcmp(r->ip, peer->ip, (size_t)whole) == 0 &&
           (rest == 0 || (r->ip[whole] ^ peer->ip[whole]) >> (8 - rest) == 0);
}

/* The next of "a, b c"; false: there is none. */
static bool next(const char **list, char *one, size_t size)
{
    *list += strspn(*list, ", \t");
    size_t n = strcspn(*list, ", \t");
    snprintf(one, size, "%.*s", (int)n, *list);
    *list += n;
    return n > 0;
}

int shoald_trust_check(const char *list, char *why, size_t why_size)
{
    char one[64];
    range r;
    while (next(&list, one, sizeof one))
        if (read_range(&r, one) < 0) {
            snprintf(why, why_size,
                     "\"%s\" is neither an address, nor ADDRESS/BITS, nor the word unix", one);
            return -1;
        }
    return 0;
}

bool shoald_trust_has(const char *list, const shoald_peer *peer)
{
    char one[64];
    range r;
    while (next(&list, one, sizeof one))
        if (read_range(&r, one) == 0 && is_in(&r, peer))
            return true;
    return false;
}

/* address.c - see address.h */
#include "net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* "host:port" or "[v6]:port" -> parts. 0 or -1. */
static int split(const char *text, char *host, size_t host_size, const char **port)
{
    const char *colon = strrchr(text, ':');
    const char *begin = text, *end = colon;
    if (!colon || !colon[1])
        return -1;
    if (*text == '[') {
        begin = text + 1;
        end = strchr(text, ']');
        if (!end || end + 1 != colon)
            return -1;
    } else if (memchr(text, ':', (size_t)(colon - text))) {
        return -1; /* an IPv6 address without brackets */
    }
    /* getaddrinfo would take 99999 for 34463 */
    size_t digits = strspn(colon + 1, "0123456789");
    if ((size_t)(end - begin) >= host_size || colon[1 + digits] || digits > 5 ||
        atoi(colon + 1) > 65535)
        return -1;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *port = colon + 1;
    return 0;
}

static bool is_among(const shoald_addresses *a, const struct sockaddr *at, socklen_t size)
{
    for (int i = 0; i < a->count; i++)
        if (a->list[i].size == size && memcmp(&a->list[i].at, at, size) == 0)
            return true;
    return false;
}

/* A hosts file may name an address twice. 0 or -1 (there are more than fit). */
static int add_all(shoald_addresses *a, const struct addrinfo *found)
{
    for (; found; found = found->ai_next) {
        if (is_among(a, found->ai_addr, found->ai_addrlen))
            continue;
        if (a->count == SHOALD_MAX_ADDRESSES || found->ai_addrlen > sizeof a->list[0].at)
            return -1;
        memcpy(&a->list[a->count].at, found->ai_addr, found->ai_addrlen);
        a->list[a->count++].size = found->ai_addrlen;
    }
    return 0;
}

static int resolve_inet(shoald_addresses *a, const char *text, char *why, size_t why_size)
{
    char host[128];
    const char *port;
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM },
                    *found;
    if (split(text, host, sizeof host, &port) < 0) {
        snprintf(why, why_size, "listen: \"%s\" is not HOST:PORT, [IPv6]:PORT or unix:/PATH", text);
        return -1;
    }
    int result = getaddrinfo(strcmp(host, "*") == 0 || !*host ? NULL : host, port, &hints, &found);
    if (result != 0) {
        snprintf(why, why_size, "listen: \"%s\": %s", text, gai_strerror(result));
        return -1;
    }
    result = add_all(a, found);
    freeaddrinfo(found);
    if (result < 0)
        snprintf(why, why_size, "listen: \"%s\" has more than %d addresses: name those wanted",
                 text, SHOALD_MAX_ADDRESSES);
    return result;
}

static int resolve_unix(shoald_addresses *a, const char *path, char *why, size_t why_size)
{
    struct sockaddr_un *un = (void *)&a->list[0].at;
    if (!*path || strlen(path) >= sizeof un->sun_path) {
        snprintf(why, why_size, "listen: the path of a unix socket may have 1 to %zu bytes",
                 sizeof un->sun_path - 1);
        return -1;
    }
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    a->list[0].size = sizeof *un;
    a->count = 1;
    return 0;
}

int shoald_address_resolve(shoald_addresses *a, const char *text, char *why, size_t why_size)
{
    memset(a, 0, sizeof *a);
    return strncmp(text, "unix:", 5) == 0 ? resolve_unix(a, text + 5, why, why_size)
                                          : resolve_inet(a, text, why, why_size);
}

const char *shoald_address_name(char *to, size_t size, const shoald_address *a)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (a->at.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&a->at)->sin_addr, host, sizeof host);
        snprintf(to, size, "%s:%d", host, shoald_address_port(a));
    } else if (a->at.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&a->at)->sin6_addr, host, sizeof host);
        snprintf(to, size, "[%s]:%d", host, shoald_address_port(a));
    } else {
        snprintf(to, size, "unix:%s", ((const struct sockaddr_un *)&a->at)->sun_path);
    }
    return to;
}

bool shoald_address_is_loopback(const struct sockaddr_storage *at)
{
    const struct sockaddr_in *four = (const void *)at;
    const struct sockaddr_in6 *six = (const void *)at;
    if (at->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127);
    return at->ss_family == AF_UNIX || ntohl(four->sin_addr.s_addr) >> 24 == 127;
}

int shoald_address_port(const shoald_address *a)
{
    switch (a->at.ss_family) {
    case AF_INET: return ntohs(((const struct sockaddr_in *)&a->at)->sin_port);
    case AF_INET6: return ntohs(((const struct sockaddr_in6 *)&a->at)->sin6_port);
    default: return 0;
    }
}

static bool excludes_four(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_addr.s_addr == b->sin_addr.s_addr || a->sin_addr.s_addr == INADDR_ANY ||
           b->sin_addr.s_addr == INADDR_ANY;
}

static bool excludes_six(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
    bool same = IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &b->sin6_addr);
    return (same && a->sin6_scope_id == b->sin6_scope_id) ||
           IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&b->sin6_addr);
}

bool shoald_address_excludes(const shoald_address *a, const shoald_address *b)
{
    int port = shoald_address_port(a);
    if (a->at.ss_family != b->at.ss_family)
        return false;
    if (a->at.ss_family == AF_UNIX)
        return memcmp(&a->at, &b->at, sizeof(struct sockaddr_un)) == 0;
    if (port == 0 || port != shoald_address_port(b)) /* 0 takes one that is free */
        return false;
    return a->at.ss_family == AF_INET ? excludes_four((const void *)&a->at, (const void *)&b->at)
                                      : excludes_six((const void *)&a->at, (const void *)&b->at);
}

void shoald_address_set_port(shoald_address *a, int port)
{
    if (a->at.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->at)->sin_port = htons((uint16_t)port);
    else if (a->at.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->at)->sin6_port = htons((uint16_t)port);
}

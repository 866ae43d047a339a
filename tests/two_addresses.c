/* two_addresses.c - a getaddrinfo that knows a name of two addresses: two.test
 *
 * Only the second of them, 127.0.0.1, is where tests listen. Linked into a test it takes the place
 * of the C library's for everybody in the program, libwebsockets too.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

__attribute__((visibility("default"))) int getaddrinfo(const char *host, const char *port,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
            RTLD_NEXT, "getaddrinfo");
    struct addrinfo *second, *last;
    int r;

    if (!host || strcmp(host, "two.test"))
        return real(host, port, hints, list);
    r = real("127.0.0.2", port, hints, list);
    if (r || (r = real("127.0.0.1", port, hints, &second)))
        return r;
    for (last = *list; last->ai_next; last = last->ai_next)
        ;
    last->ai_next = second;
    return 0;
}

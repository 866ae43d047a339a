/* proxy.c - see proxy.h; https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt section 2.2 */
#include "net/proxy.h"

#include <netinet/in.h>
#include <string.h>

static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum { LOCAL, PROXY }; /* lower half of byte 12 */
enum { UNSPECIFIED = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX_STREAM = 0x31 }; /* byte 13 */
enum { TCP4_BYTES = 12, TCP6_BYTES = 36 };                                 /* addresses and ports */

static int refuse(shoald_proxied *p, const char *why)
{
    p->why = why;
    return -1;
}

static int take_address(shoald_proxied *p, int family, const unsigned char *at, size_t n)
{
    struct sockaddr_in *four = (void *)&p->from;
    struct sockaddr_in6 *six = (void *)&p->from;
    if (family == TCP4 && n >= TCP4_BYTES) { /* source, destination, their ports */
        four->sin_family = AF_INET;
        memcpy(&four->sin_addr, at, 4);
        memcpy(&four->sin_port, at + 8, 2);
    } else if (family == TCP6 && n >= TCP6_BYTES) {
        six->sin6_family = AF_INET6;
        memcpy(&six->sin6_addr, at, 16);
        memcpy(&six->sin6_port, at + 32, 2);
    } else if (family == TCP4 || family == TCP6) {
        return refuse(p, "the PROXY header is shorter than its addresses");
    } else if (family != UNIX_STREAM && family != UNSPECIFIED) {
        return refuse(p, "the PROXY header is not of a TCP connection");
    }
    p->known = family == TCP4 || family == TCP6;
    return 0;
}

int shoald_proxy_take(shoald_proxied *p, const unsigned char *bytes, size_t n)
{
    memset(p, 0, sizeof *p);
    if (memcmp(bytes, signature, n < sizeof signature ? n : sizeof signature) != 0)
        return refuse(p, "there is no PROXY header of version 2: the proxy must send one "
                         "(send-proxy-v2), or its address must not be in proxy_from");
    if (n < SHOALD_PROXY_HEAD)
        return (int)(SHOALD_PROXY_HEAD - n);
    size_t length = (size_t)bytes[14] << 8 | bytes[15];
    int command = bytes[12] & 15;
    if (bytes[12] >> 4 != 2 || command > PROXY)
        return refuse(p, "the PROXY header has another version than 2");
    p->size = SHOALD_PROXY_HEAD + length;
    if (p->size > SHOALD_MAX_PROXY)
        return refuse(p, "the PROXY header has more than 2064 bytes");
    if (n < p->size)
        return (int)(p->size - n);
    return command == LOCAL ? 0 : take_address(p, bytes[13], bytes + SHOALD_PROXY_HEAD, length);
}

/* heard.c - a file of its own because linux/tcp.h, whose tcp_info has the count, and netinet/tcp.h,
 * which uv.h brings, exclude each other */
#include "net/heard.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

bool shoald_heard_end(int fd)
{
    enum {
        CLOSE_WAIT = 8,
        LAST_ACK = 9,
        CLOSING = 11,
        TIME_WAIT = 6
    }; /* of the kernel's tcp_states */
    struct tcp_info info;
    socklen_t n = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        return false;
    return info.tcpi_state == CLOSE_WAIT || info.tcpi_state == LAST_ACK ||
           info.tcpi_state == CLOSING || info.tcpi_state == TIME_WAIT;
}

uint64_t shoald_heard_bytes(int fd)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    memset(&info, 0, sizeof info); /* an older kernel fills in less */
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 ? 0 : info.tcpi_bytes_received;
}

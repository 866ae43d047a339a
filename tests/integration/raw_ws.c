/* raw_ws.c - see raw_ws.h
 *
 * One growing input buffer holds what the kernel gave; a frame is returned as a view into it and
 * dropped by the next call (in_used). The masking key is fixed: a server cannot tell, and a
 * failing test repeats exactly.
 */
#include "raw_ws.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_MS = 10000 };

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int raw_tcp_connect(int port, int receive_buffer)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- input buffer ---- */

static void drop_used(raw_ws *w)
{
    if (!w->in_used)
        return;
    w->in_size -= w->in_used;
    memmove(w->in, w->in + w->in_used, w->in_size);
    w->in_used = 0;
}

/* Wait for more bytes. 1: some came, 0: end or error, -1: the deadline passed. */
static int fill(raw_ws *w, int64_t deadline)
{
    struct pollfd p = { .fd = w->fd, .events = POLLIN };
    int64_t left = deadline - now_ms();
    ssize_t got;

    if (w->fd < 0)
        return 0;
    if (left < 0 || poll(&p, 1, (int)left) == 0)
        return -1;
    if (w->in_room - w->in_size < 65536) {
        w->in_room = w->in_room * 2 + 131072;
        w->in = realloc(w->in, w->in_room);
        if (!w->in)
            abort();
    }
    got = recv(w->fd, w->in + w->in_size, w->in_room - w->in_size, 0);
    if (got <= 0)
        return 0;
    w->in_size += (size_t)got;
    return 1;
}

/* ---- handshake ---- */

/* Size of the answer's head with its empty line, or 0 while that has not come. */
static size_t head_size(const raw_ws *w)
{
    for (size_t i = 4; i <= w->in_size; i++)
        if (!memcmp(w->in + i - 4, "\r\n\r\n", 4))
            return i;
    return 0;
}

static int read_head(raw_ws *w)
{
    int64_t deadline = now_ms() + CONNECT_TIMEOUT_MS;

    for (;;) {
        size_t n = head_size(w);

        if (n) {
            size_t keep = n < sizeof w->head ? n : sizeof w->head - 1;

            memcpy(w->head, w->in, keep);
            w->head[keep] = 0;
            w->in_used = n;
            drop_used(w);
            return strncmp(w->head, "HTTP/1.1 ", 9) ? -1 : atoi(w->head + 9);
        }
        int r = fill(w, deadline);
        if (r <= 0)
            return r;
    }
}

int raw_ws_open_request(raw_ws *w, int fd, int port, const char *request)
{
    memset(w, 0, sizeof *w);
    w->fd = fd >= 0 ? fd : raw_tcp_connect(port, 0);
    if (w->fd < 0 || raw_ws_send_bytes(w, request, strlen(request)) < 0)
        return -1;
    return read_head(w);
}

int raw_ws_open(raw_ws *w, int port, const char *path, const char *subprotocol)
{
    char request[2048], protocol_header[256] = "";

    if (subprotocol)
        snprintf(protocol_header, sizeof protocol_header, "Sec-WebSocket-Protocol: %s\r\n",
                 subprotocol);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Version: 13\r\n%s\r\n",
             path, port, protocol_header);
    return raw_ws_open_request(w, -1, port, request);
}

/* ---- sending ---- */

int raw_ws_send_bytes(raw_ws *w, const void *data, size_t size)
{
    const uint8_t *p = data;

    if (w->fd < 0)
        return -1;
    while (size > 0) {
        ssize_t n = send(w->fd, p, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

static size_t put_header(uint8_t *h, int first_byte, int masked, uint64_t claimed)
{
    size_t n = 2;

    h[0] = (uint8_t)first_byte;
    if (claimed < 126) {
        h[1] = (uint8_t)claimed;
    } else if (claimed < 65536) {
        h[1] = 126;
        for (int i = 0; i < 2; i++)
            h[n++] = (uint8_t)(claimed >> (8 - 8 * i));
    } else {
        h[1] = 127;
        for (int i = 0; i < 8; i++)
            h[n++] = (uint8_t)(claimed >> (56 - 8 * i));
    }
    if (masked)
        h[1] |= 0x80;
    return n;
}

int raw_ws_send_frame(raw_ws *w, int first_byte, int masked, const void *data, size_t size,
                      uint64_t claimed)
{
    static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };
    uint8_t *frame = malloc(size + 14);
    size_t n;
    int r;

    if (!frame)
        return -1;
    n = put_header(frame, first_byte, masked, claimed);
    if (masked) {
        memcpy(frame + n, key, 4);
        n += 4;
    }
    for (size_t i = 0; i < size; i++)
        frame[n + i] = ((const uint8_t *)data)[i] ^ (masked ? key[i % 4] : 0);
    r = raw_ws_send_bytes(w, frame, n + size);
    free(frame);
    return r;
}

int raw_ws_send(raw_ws *w, int opcode, const void *data, size_t size)
{
    return raw_ws_send_frame(w, RAW_FIN | opcode, 1, data, size, size);
}

/* ---- receiving ---- */

/* The frame at the start of the buffer; its total size, or 0 while it is incomplete. */
static size_t parse_frame(const raw_ws *w, raw_frame *f)
{
    const uint8_t *p = w->in;
    uint64_t size;
    size_t head = 2, extra;

    if (w->in_size < 2)
        return 0;
    size = p[1] & 0x7f;
    extra = size == 127 ? 8 : size == 126 ? 2 : 0;
    if (w->in_size < head + extra)
        return 0;
    if (extra)
        size = 0;
    for (size_t i = 0; i < extra; i++)
        size = size << 8 | p[head + i];
    head += extra + (p[1] & 0x80 ? 4 : 0);
    if (w->in_size < head || w->in_size - head < size)
        return 0;
    *f = (raw_frame){ .opcode = p[0] & 15,
                      .flags = p[0] & 0xf0,
                      .masked = p[1] >> 7,
                      .data = p + head,
                      .size = (size_t)size };
    return head + (size_t)size;
}

int raw_ws_recv(raw_ws *w, raw_frame *f, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;

    drop_used(w);
    while (!(w->in_used = parse_frame(w, f))) {
        int r = fill(w, deadline);
        if (r <= 0)
            return r;
    }
    return 1;
}

int raw_ws_recv_opcode(raw_ws *w, raw_frame *f, int opcode, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;
    int r;

    do {
        int64_t left = deadline - now_ms();

        r = raw_ws_recv(w, f, left > 0 ? (int)left : 0);
    } while (r == 1 && f->opcode != opcode);
    return r;
}

int raw_frame_close_code(const raw_frame *f)
{
    return f->size >= 2 ? f->data[0] << 8 | f->data[1] : 1005;
}

/* ---- ending ---- */

void raw_ws_close(raw_ws *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    free(w->in);
    w->in = NULL;
    w->in_size = w->in_room = w->in_used = 0;
}

void raw_ws_reset(raw_ws *w)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    if (w->fd >= 0)
        setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    raw_ws_close(w);
}

int raw_http_get(int port, const char *path, char *body, size_t room)
{
    char request[1024];
    raw_ws w;
    int status;

    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", path, port);
    status = raw_ws_open_request(&w, -1, port, request);
    while (status > 0 && w.in_size < room - 1 && fill(&w, now_ms() + CONNECT_TIMEOUT_MS) == 1)
        ;
    size_t n = w.in_size < room - 1 ? w.in_size : room - 1;
    if (n)
        memcpy(body, w.in, n);
    body[n] = 0;
    raw_ws_close(&w);
    return status;
}

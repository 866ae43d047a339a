/* http.c - see http.h */
#include "http.h"

#include "integration.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

http http_open(int port)
{
    http h = { .fd = raw_tcp_connect(port, 0) };

    ck_assert_int_ge(h.fd, 0);
    return h;
}

void http_close(http *h)
{
    close(h->fd);
    free(h->in);
    memset(h, 0, sizeof *h);
}

void http_reset(http *h)
{
    struct linger now = { .l_onoff = 1 };

    setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    http_close(h);
}

int http_send(http *h, const void *bytes, size_t n)
{
    for (size_t sent = 0; sent < n;) {
        ssize_t k = send(h->fd, (const char *)bytes + sent, n - sent, MSG_NOSIGNAL);

        if (k < 0)
            return -1;
        sent += (size_t)k;
    }
    return 0;
}

void http_post(http *h, const char *target, const char *lines, const void *body, size_t n)
{
    char head[2048];

    snprintf(head, sizeof head,
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n%s\r\n", target, n,
             lines);
    http_send(h, head, strlen(head));
    http_send(h, body, n);
}

/* ---- answers ---- */

/* 0 at the end of the connection. */
static int more(http *h)
{
    struct pollfd p = { .fd = h->fd, .events = POLLIN };

    if (h->room - h->size < 65536) {
        h->room = 2 * h->room + 65536;
        h->in = realloc(h->in, h->room + 1);
    }
    ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1, "no answer from the server");
    ssize_t n = recv(h->fd, h->in + h->size, h->room - h->size, 0);
    h->size += n > 0 ? (size_t)n : 0;
    h->in[h->size] = 0;
    return n > 0;
}

static void consume(http *h, size_t n)
{
    memmove(h->in, h->in + n, h->size - n + 1);
    h->size -= n;
}

/* Bytes up to and with end; 0: the connection ended before. */
static size_t find(http *h, const char *end)
{
    for (;;) {
        char *at = h->size ? memmem(h->in, h->size, end, strlen(end)) : NULL;

        if (at)
            return (size_t)(at - h->in) + strlen(end);
        if (!more(h))
            return 0;
    }
}

static int have(http *h, size_t n)
{
    while (h->size < n)
        if (!more(h))
            return 0;
    return 1;
}

static void add(http_answer *a, const char *bytes, size_t n)
{
    a->body = realloc(a->body, a->size + n + 1);
    memcpy(a->body + a->size, bytes, n);
    a->size += n;
    a->body[a->size] = 0;
}

static void read_chunks(http *h, http_answer *a)
{
    for (;;) {
        size_t line = find(h, "\r\n");
        size_t n = line ? strtoul(h->in, NULL, 16) : 0;

        if (!line || !have(h, line + n + 2))
            return;
        add(a, h->in + line, n);
        ck_assert_mem_eq(h->in + line + n, "\r\n", 2);
        consume(h, line + n + 2);
        if (n == 0) {
            a->whole = 1;
            return;
        }
    }
}

static void read_body(http *h, http_answer *a)
{
    const char *length = strcasestr(a->head, "\r\nContent-Length:");
    size_t n = length ? strtoul(length + 17, NULL, 10) : 0;

    if (strcasestr(a->head, "\r\nTransfer-Encoding: chunked")) {
        read_chunks(h, a);
    } else if (length) {
        a->whole = have(h, n);
        n = a->whole ? n : h->size;
        add(a, h->in, n);
        consume(h, n);
    } else if (a->status >= 200) {
        while (more(h))
            ;
        add(a, h->in, h->size);
        consume(h, h->size);
        a->whole = 1;
    }
}

http_answer http_read(http *h)
{
    http_answer a = { 0 };
    size_t n = find(h, "\r\n\r\n");

    add(&a, "", 0);
    if (!n)
        return a;
    ck_assert_uint_lt(n, sizeof a.head);
    memcpy(a.head, h->in, n);
    consume(h, n);
    ck_assert_int_eq(sscanf(a.head, "HTTP/1.1 %d", &a.status), 1);
    read_body(h, &a);
    return a;
}

void http_free(http_answer *a)
{
    free(a->body);
    memset(a, 0, sizeof *a);
}

http_answer http_post_once(int port, const char *target, const char *lines, const void *body,
                           size_t n)
{
    http h = http_open(port);

    http_post(&h, target, lines, body, n);
    http_answer a = http_read(&h);
    http_close(&h);
    return a;
}

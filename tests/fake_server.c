/* fake_server.c - see fake_server.h */
#include "fake_server.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    pthread_t thread;
    int listener;
    int raw, again, connections;
    fake_script *script;
} server;

/* ---- SHA-1 and base64, for Sec-WebSocket-Accept ---- */

static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    uint32_t w[80], s[5];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20   ? (s[1] & s[2]) | (~s[1] & s[3])
                     : i < 40 ? s[1] ^ s[2] ^ s[3]
                     : i < 60 ? (s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3])
                              : s[1] ^ s[2] ^ s[3];
        uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
        uint32_t t = rotate(s[0], 5) + f + s[4] + k + w[i];

        s[4] = s[3], s[3] = s[2], s[2] = rotate(s[1], 30), s[1] = s[0], s[0] = t;
    }
    for (int i = 0; i < 5; i++)
        h[i] += s[i];
}

/* Of a text shorter than 119 bytes. */
static void sha1(const char *text, uint8_t out[20])
{
    uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
    uint8_t block[128] = { 0 };
    size_t n = strlen(text), blocks = n < 56 ? 1 : 2;

    memcpy(block, text, n);
    block[n] = 0x80;
    block[blocks * 64 - 2] = (uint8_t)(n * 8 >> 8);
    block[blocks * 64 - 1] = (uint8_t)(n * 8);
    for (size_t i = 0; i < blocks; i++)
        sha1_block(h, block + 64 * i);
    for (int i = 0; i < 20; i++)
        out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *in, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) |
                     (i + 2 < n ? in[i + 2] : 0);

        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digits[v & 63] : '=';
    }
    *out = 0;
}

/* ---- connection ---- */

static int read_exactly(int fd, void *bytes, size_t n)
{
    return n == 0 || recv(fd, bytes, n, MSG_WAITALL) == (ssize_t)n;
}

static void write_all(int fd, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        p += sent;
        n -= (size_t)sent;
    }
}

static int shake_hands(int fd)
{
    char head[4096], key[128], text[256], accept_key[40];
    uint8_t digest[20];
    size_t n = 0;
    const char *p;

    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4))
        if (n == sizeof head - 1 || recv(fd, head + n++, 1, 0) != 1)
            return 0;
    head[n] = 0;
    p = strcasestr(head, "Sec-WebSocket-Key:");
    if (!p || sscanf(p + 18, " %60s", key) != 1)
        return 0;
    snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, digest);
    base64(digest, sizeof digest, accept_key);
    n = (size_t)snprintf(head, sizeof head,
                         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                         "Sec-WebSocket-Protocol: shoal.v1\r\n\r\n",
                         accept_key);
    write_all(fd, head, n);
    return 1;
}

static void *serve(void *unused)
{
    fake_peer *p = calloc(1, sizeof *p);

    (void)unused;
    do {
        p->fd = accept(server.listener, NULL, NULL);
        server.connections += p->fd >= 0;
        if (p->fd >= 0 && (server.raw || shake_hands(p->fd)))
            server.script(p);
        if (p->fd >= 0)
            close(p->fd);
    } while (server.again && p->fd >= 0);
    free(p);
    return NULL;
}

static int start(fake_script *script, int raw, int again)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;

    server.script = script;
    server.raw = raw;
    server.again = again;
    server.connections = 0;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server.listener, (struct sockaddr *)&a, n) || listen(server.listener, 1) ||
        getsockname(server.listener, (struct sockaddr *)&a, &n) ||
        pthread_create(&server.thread, NULL, serve, NULL))
        abort();
    return ntohs(a.sin_port);
}

int fake_server_start(fake_script *script, int raw)
{
    return start(script, raw, 0);
}

int fake_server_start_again(fake_script *script, int raw)
{
    return start(script, raw, 1);
}

int fake_server_join(void)
{
    if (server.again)
        shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    return server.connections;
}

/* ---- messages ---- */

int fake_read(fake_peer *p)
{
    uint8_t head[2], longer[8], key[4];
    uint64_t n;

    if (!read_exactly(p->fd, head, 2))
        return 0;
    n = head[1] & 0x7f;
    if (n >= 126) {
        int bytes = n == 126 ? 2 : 8;

        if (!read_exactly(p->fd, longer, (size_t)bytes))
            return 0;
        n = 0;
        for (int i = 0; i < bytes; i++)
            n = n << 8 | longer[i];
    }
    if (!(head[1] & 0x80) || n >= sizeof p->message || !read_exactly(p->fd, key, 4) ||
        !read_exactly(p->fd, p->message, n))
        return 0;
    for (uint64_t i = 0; i < n; i++)
        p->message[i] ^= key[i % 4];
    p->message[n] = 0;
    p->size = n;
    p->opcode = head[0] & 15;
    return 1;
}

int fake_read_until(fake_peer *p, const char *type)
{
    shoal_client_msg m;
    shoal_error err;

    while (fake_read(p))
        if (p->opcode == 1 &&
            shoal_client_msg_decode(&m, (const char *)p->message, p->size, &err) == 0 &&
            !strcmp(shoal_msg_type_name(m.type), type))
            return 1;
    return 0;
}

void fake_send(fake_peer *p, int first_byte, const void *bytes, size_t n)
{
    uint8_t head[10] = { (uint8_t)first_byte };
    size_t used = 2;

    if (n < 126) {
        head[1] = (uint8_t)n;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++)
            head[used++] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
    }
    write_all(p->fd, head, used);
    write_all(p->fd, bytes, n);
}

void fake_send_text(fake_peer *p, const char *text)
{
    fake_send(p, 0x81, text, strlen(text));
}

void fake_send_ready(fake_peer *p)
{
    shoal_ready *r = calloc(1, sizeof *r);
    shoal_buf b = { 0 };

    snprintf(r->server, sizeof r->server, "fake 1");
    snprintf(r->model, sizeof r->model, "none");
    r->options = shoal_options_default();
    r->options.depth_min = r->options.depth_max = r->depth = 6;
    r->options.left_ms = 1280;
    r->model_rate = 16000;
    r->model_depth = 12;
    r->dim = r->classes = 2;
    snprintf(r->labels[0], sizeof r->labels[0], "SIL");
    snprintf(r->labels[1], sizeof r->labels[1], "HH");
    r->max_message_bytes = 1 << 20;
    r->max_backlog_ms = 10000;
    if (shoal_ready_encode(&b, r) == 0)
        fake_send(p, 0x81, b.data, b.size);
    shoal_buf_free(&b);
    free(r);
}

void fake_send_close(fake_peer *p, int code, const char *reason)
{
    uint8_t body[125] = { (uint8_t)(code >> 8), (uint8_t)code };
    size_t n = strlen(reason);

    memcpy(body + 2, reason, n);
    fake_send(p, 0x88, body, n + 2);
}

void fake_send_packet(fake_peer *p, shoal_encoding encoding, uint32_t seq, int frames, int dim)
{
    shoal_packet k = { .kind = SHOAL_KIND_POSTERIORS,
                       .encoding = encoding,
                       .depth = 6,
                       .seq = seq,
                       .first_frame = seq * 8,
                       .frames = frames,
                       .dim = dim };
    float *values = calloc((size_t)frames * (size_t)dim, sizeof *values);
    shoal_buf b = { 0 };
    int json = encoding == SHOAL_ENCODING_JSON;

    for (int i = 0; i < frames * dim; i++)
        values[i] = (float)(seq * 8) + (float)i;
    if ((json ? shoal_packet_encode_json : shoal_packet_encode)(&b, &k, values) == 0)
        fake_send(p, json ? 0x81 : 0x82, b.data, b.size);
    shoal_buf_free(&b);
    free(values);
}

/* load_ws.c - WebSocket handshake and frames of a client, as pure functions
 *
 * The masking key is zero, so a masked payload is the payload itself and audio goes from the
 * shared buffer to the socket untouched. A browser must not do that (RFC 6455 section 10.3 protects
 * proxies from chosen bytes); a server does the same work for any key.
 */
#include "load/load.h"

#include <stdlib.h>
#include <string.h>

static int append_token(shoal_buf *out, const char *token)
{
    static const char name[] = "Authorization: Bearer ";

    if (!*token)
        return 0;
    if (shoal_buf_append(out, name, sizeof name - 1) < 0 ||
        shoal_buf_append(out, token, strlen(token)) < 0)
        return -1;
    return shoal_buf_append(out, "\r\n", 2);
}

int load_ws_request(shoal_buf *out, const load_options *o, const shoal_options *session)
{
    char text[1280];
    int v6 = strchr(o->host, ':') != NULL;
    size_t before = out->size;
    int n = snprintf(text, sizeof text, "GET %s?", o->path);

    if (shoal_buf_append(out, text, (size_t)n) < 0 ||
        shoal_options_encode_query(out, session) < 0) {
        out->size = before;
        return -1;
    }
    n = snprintf(text, sizeof text,
                 " HTTP/1.1\r\nHost: %s%s%s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: c2hvYWwtbG9hZCBsb2Fkcw==\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Protocol: " SHOAL_SUBPROTOCOL "\r\n",
                 v6 ? "[" : "", o->host, v6 ? "]" : "", o->port);
    if (shoal_buf_append(out, text, (size_t)n) < 0 || append_token(out, o->server.token) < 0)
        return -1;
    return shoal_buf_append(out, "\r\n", 2);
}

int load_ws_answer(const shoal_buf *in, size_t *head)
{
    static const char http[] = "HTTP/1.1 ";
    size_t n = in->size < sizeof http - 1 ? in->size : sizeof http - 1;
    const char *end;

    if (n && memcmp(in->data, http, n))
        return -1;
    end = n ? memmem(in->data, in->size, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    *head = (size_t)(end - in->data) + 4;
    n = (size_t)strtoul(in->data + sizeof http - 1, NULL, 10);
    return n >= 100 && n <= 599 ? (int)n : -1;
}

size_t load_ws_header(uint8_t header[LOAD_WS_HEADER], int opcode, size_t n)
{
    size_t size = 2;

    header[0] = (uint8_t)(0x80 | opcode); /* the whole message in one frame */
    header[1] = (uint8_t)(0x80 | (n < 126 ? n : 126));
    if (n >= 126) {
        header[2] = (uint8_t)(n >> 8);
        header[3] = (uint8_t)n;
        size = 4;
    }
    memset(header + size, 0, 4); /* masking key */
    return size + 4;
}

int load_ws_frame(shoal_buf *out, int opcode, const void *bytes, size_t n)
{
    uint8_t header[LOAD_WS_HEADER];
    size_t size = load_ws_header(header, opcode, n);

    if (shoal_buf_reserve(out, size + n) < 0 || shoal_buf_append(out, header, size) < 0)
        return -1;
    return n ? shoal_buf_append(out, bytes, n) : 0;
}

/* Length field of size bytes, big-endian. */
static uint64_t length_field(const uint8_t *p, size_t size)
{
    uint64_t v = 0;

    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

ptrdiff_t load_ws_parse(load_frame *f, const uint8_t *bytes, size_t n)
{
    size_t extra;
    uint64_t size;

    if (n < 2)
        return 0;
    f->opcode = bytes[0] & 15;
    if ((bytes[0] & 0xf0) != 0x80 || !f->opcode || (bytes[1] & 0x80))
        return -1;
    extra = bytes[1] == 127 ? 8 : bytes[1] == 126 ? 2 : 0;
    if (n < 2 + extra)
        return 0;
    size = extra ? length_field(bytes + 2, extra) : bytes[1];
    if (size > SHOAL_MAX_SERVER_TEXT_BYTES)
        return -1;
    f->data = bytes + 2 + extra;
    f->size = (size_t)size;
    return n - 2 - extra < size ? 0 : (ptrdiff_t)(2 + extra + f->size);
}

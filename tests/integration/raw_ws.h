/* raw_ws.h - a WebSocket client that is allowed to be wrong
 *
 * Speaks RFC 6455 over a plain TCP socket, byte by byte as the test says: any request line and
 * headers, any opcode, flags and masking, frames cut anywhere, a connection reset at any point.
 * It checks nothing that a test may want to break and hides nothing that the server sends: a
 * frame comes back as it stood on the wire. Blocking, one thread, 127.0.0.1 only.
 *
 *     raw_ws w;
 *     if (raw_ws_open(&w, port, "/v1/stream?rate=16000", "shoal.v1") == 101) {
 *         raw_ws_send(&w, RAW_TEXT, "{\"type\":\"end\"}", 14);
 *         raw_frame f;
 *         while (raw_ws_recv(&w, &f, 5000) == 1 && f.opcode != RAW_CLOSE)
 *             use(f.data, f.size);               // valid until the next raw_ws_* call
 *     }
 *     raw_ws_close(&w);
 */
#ifndef RAW_WS_H
#define RAW_WS_H

#include <stddef.h>
#include <stdint.h>

enum {
    RAW_CONTINUATION = 0,
    RAW_TEXT = 1,
    RAW_BINARY = 2,
    RAW_CLOSE = 8,
    RAW_PING = 9,
    RAW_PONG = 10
};

/* First header byte as it goes out is flags | opcode. */
enum { RAW_FIN = 0x80, RAW_RSV1 = 0x40, RAW_RSV2 = 0x20, RAW_RSV3 = 0x10 };

typedef struct raw_ws {
    int fd;      /* -1 when closed */
    uint8_t *in; /* bytes received and not yet consumed */
    size_t in_size, in_room;
    size_t in_used;  /* of which the last frame took this many */
    char head[4096]; /* the server's answer to the handshake, NUL-terminated */
} raw_ws;

typedef struct raw_frame {
    int opcode;
    int flags;  /* RAW_FIN and RSV bits */
    int masked; /* a server must never mask */
    const uint8_t *data;
    size_t size;
} raw_frame;

/* A connected TCP socket, or -1. receive_buffer: SO_RCVBUF in bytes, 0 for the default. */
int raw_tcp_connect(int port, int receive_buffer);

/* Connect, send the request for path and read the answer. Returns the HTTP status (101 for an
 * accepted upgrade), 0 when the server hung up without an answer, -1 when there is none.
 * subprotocol NULL: no Sec-WebSocket-Protocol header. */
int raw_ws_open(raw_ws *w, int port, const char *path, const char *subprotocol);
/* The same with the whole request given, on a socket that the caller opened (fd < 0: opens). */
int raw_ws_open_request(raw_ws *w, int fd, int port, const char *request);

/* A final, masked frame. Returns 0, or -1 when the connection is gone. */
int raw_ws_send(raw_ws *w, int opcode, const void *data, size_t size);
/* Any first byte (flags | opcode), masked or not, and a length field that may lie: claimed is
 * written to the header, size bytes follow. */
int raw_ws_send_frame(raw_ws *w, int first_byte, int masked, const void *data, size_t size,
                      uint64_t claimed);
/* Bytes as they are. */
int raw_ws_send_bytes(raw_ws *w, const void *data, size_t size);

/* The next frame. 1: a frame, 0: the connection ended, -1: nothing within timeout_ms. */
int raw_ws_recv(raw_ws *w, raw_frame *f, int timeout_ms);
/* Skip frames up to the first with this opcode; results as raw_ws_recv. */
int raw_ws_recv_opcode(raw_ws *w, raw_frame *f, int opcode, int timeout_ms);
/* Code of a close frame; 1005 when it carries none. */
int raw_frame_close_code(const raw_frame *f);

void raw_ws_close(raw_ws *w); /* plain FIN */
void raw_ws_reset(raw_ws *w); /* RST: SO_LINGER 0 */

/* GET path over HTTP/1.1. Returns the status, or -1; the body (cut to room - 1 bytes) and a NUL
 * go to body. */
int raw_http_get(int port, const char *path, char *body, size_t room);

#endif

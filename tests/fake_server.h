/* fake_server.h - a WebSocket server of one connection, or one after the other, that follows a
 * script
 *
 * For what a real shoald never does: die at a given byte, answer rubbish, fall silent. A thread
 * accepts one connection, does the handshake, and runs the test's script with the socket.
 *
 *     static void script(fake_peer *p) { fake_expect_text(p, "start"); fake_send_ready(p); }
 *     int port = fake_server_start(script);
 *     ... the client under test ...
 *     fake_server_join();
 */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "shoal-protocol.h"

typedef struct fake_peer {
    int fd;
    uint8_t message[1 << 17]; /* the last message read */
    size_t size;
    int opcode; /* 1 text, 2 binary, 8 close, 9 ping */
} fake_peer;

typedef void fake_script(fake_peer *p);

/* Listens on 127.0.0.1 and returns the port. raw: no handshake, the script gets the bare
 * connection. */
int fake_server_start(fake_script *script, int raw);
/* The same for each connection, until it is joined. */
int fake_server_start_again(fake_script *script, int raw);
int fake_server_join(void); /* connections there were */

/* Next message; 0 at the end of the connection. Pings of the client are given out too. */
int fake_read(fake_peer *p);
/* Read until a text message of this type came; 0 if the connection ended before. */
int fake_read_until(fake_peer *p, const char *type);
void fake_send(fake_peer *p, int first_byte, const void *bytes, size_t n);
void fake_send_text(fake_peer *p, const char *text);
void fake_send_ready(fake_peer *p);
void fake_send_close(fake_peer *p, int code, const char *reason);
/* A features packet of frames rows whose values count up from first_frame. */
void fake_send_packet(fake_peer *p, shoal_encoding encoding, uint32_t seq, int frames, int dim);

#endif

/* client_ws.h - the socket under a session: a WebSocket client on libwebsockets
 *
 * Knows the session, which knows nothing of it: what came is pushed into it, what is to go is taken
 * out of it, and how the connection ended is told to it. One thread, but for wake.
 */
#ifndef SHOAL_CLIENT_WS_H
#define SHOAL_CLIENT_WS_H

#include "lib/client_session.h"
#include "lib/client_tls.h"
#include "lib/client_url.h"

enum { SHOAL__MAX_TOKEN = SHOAL_CLIENT_TOKEN_SIZE - 1 }; /* servers refuse headers of 8 KB */

typedef struct shoal__ws shoal__ws;

/* Pointers must live as long as the socket. */
typedef struct shoal__ws_params {
    const shoal__url *url;
    const char *peer;          /* "host:port", for people */
    const char *token, *proxy; /* may be NULL; proxy: "HOST:PORT" */
    shoal__tls *tls;           /* NULL where url is ws:// */
    int ping_s;
    size_t max_message; /* bytes of the largest message that the session has to send */
    shoal__session *session;
} shoal__ws_params;

/* Begin to connect. Returns 0 or SHOAL_CLIENT_ENOMEM; a connection that fails is told to the
 * session. All addresses of the host are tried. */
int shoal__ws_open(shoal__ws **out, const shoal__ws_params *params)
    __attribute__((warn_unused_result));
void shoal__ws_free(shoal__ws *ws); /* NULL is fine */
/* Wait at most timeout_ms (0: not at all) for something to happen and handle it. */
void shoal__ws_service(shoal__ws *ws, int timeout_ms);
/* The session has something to send. */
void shoal__ws_want_write(shoal__ws *ws);
/* The connection is gone: begin another. */
void shoal__ws_again(shoal__ws *ws);
/* Of a connection that stands; -1: none does. */
int shoal__ws_socket(const shoal__ws *ws);
void shoal__ws_wake(shoal__ws *ws); /* any thread, signal handlers too */
/* Drop the connection at once. Outside of callbacks. */
void shoal__ws_hang_up(shoal__ws *ws);

#endif

/* conn.h - one TCP connection: HTTP requests, and perhaps a session after the upgrade */
#ifndef SHOALD_CONN_H
#define SHOALD_CONN_H

#include "session/session.h"

#include <sys/socket.h>

struct lws_protocols;

typedef struct shoald_conn {
    struct shoald_house *house;
    struct lws *wsi;
    shoald_session *session;       /* NULL before the upgrade */
    char peer[SHOALD_PEER_LENGTH]; /* "127.0.0.1:40112", "unix" */
    unsigned char ip[16];          /* IPv6, or IPv4 mapped; zero for unix */
} shoald_conn;

const struct lws_protocols *shoald_conn_protocols(void); /* for the vhost; static */

/* Take over an accepted descriptor; closes it if that fails. */
void shoald_conn_adopt(struct shoald_house *house, int fd, const struct sockaddr_storage *peer);

#endif

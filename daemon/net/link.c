/* link.c - lws callbacks -> session events; see link.h
 *
 * One protocol, one callback. The session is the connection's opaque user data from its first
 * callback to the last one that matters. lws_adopt_socket_vhost_readbuf takes no user data, so
 * while it runs (it makes the whole upgrade in one call) the session waits in `arriving`. */
#include "net/link.h"

#include "base/log.h"
#include "session/session.h"

#include <libwebsockets.h>

/* loop thread only; NULL but during shoald_link_adopt */
static shoald_session *arriving;
static const shoald_entry *entry_of_arriving;

/* After WSI_CREATE lws clears the user data once more. */
static shoald_session *session_of(struct lws *wsi, enum lws_callback_reasons reason)
{
    shoald_session *s = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    if (s || !wsi || !arriving || reason == LWS_CALLBACK_WSI_CREATE)
        return s;
    s = arriving;
    arriving = NULL;
    s->wsi = wsi;
    lws_set_opaque_user_data(wsi, s);
    return s;
}

static void leave(struct lws *wsi, shoald_session *s)
{
    lws_set_opaque_user_data(wsi, NULL);
    s->house->connection_count--;
    shoald_session_on_gone(s);
}

static void on_open(shoald_session *s)
{
    const shoald_entry *entry = entry_of_arriving;
    entry_of_arriving = NULL;
    shoald_session_on_open(s, entry);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    shoald_session *s = session_of(wsi, reason);
    (void)user;
    if (!s)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED: on_open(s); return 0;
    case LWS_CALLBACK_RECEIVE: return shoald_session_on_receive(s, in, n);
    case LWS_CALLBACK_RECEIVE_PONG: shoald_session_on_pong(s); return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE: return shoald_session_on_writable(s);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: s->close_sent = true; return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY: leave(wsi, s); return 0;
    default: return 0;
    }
}

enum { RX_BUFFER_BYTES = 8192 }; /* delivery granule, not a limit */

const struct lws_protocols *shoald_link_protocols(void)
{
    static const struct lws_protocols protocols[] = {
        { SHOAL_SUBPROTOCOL, on_event, 0, RX_BUFFER_BYTES, 0, NULL, 0 },
        { NULL, NULL, 0, 0, 0, NULL, 0 },
    };
    return protocols;
}

/* ---- adoption ------------------------------------------------------------------------ */

int shoald_link_adopt(shoald_house *house, int fd, const shoald_peer *peer, const char *upgrade,
                      size_t n, const shoald_entry *entry)
{
    shoald_session *s = shoald_session_new(house, peer, entry);
    if (!s)
        return -1;
    arriving = s;
    entry_of_arriving = entry;
    /* on failure lws has closed fd, and called WSI_DESTROY if it had come so far */
    struct lws *wsi = lws_adopt_socket_vhost_readbuf(house->vhost, fd, upgrade, n);
    if (!wsi)
        shoald_log(SHOALD_LOG_WARNING, "adopt_failed", "peer=%s hint=%s", peer->name,
                   "\"out of memory or descriptors?\"");
    if (arriving) {
        arriving = NULL;
        house->connection_count--;
        shoald_session_on_gone(s);
    } else if (wsi &&
               entry_of_arriving) /* it has put the upgrade off, against what we know of it */
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    entry_of_arriving = NULL;
    return 0;
}

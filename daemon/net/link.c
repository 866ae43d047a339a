/* link.c - lws callbacks -> session events, and the session's wishes -> lws; see link.h
 *
 * One protocol, one callback. The connection is lws's opaque user data from its first callback to
 * the last one that matters. lws_adopt_socket_vhost_readbuf takes no user data, so while it runs
 * (it makes the whole upgrade in one call) the connection waits in `arriving`.
 *
 * A connection that is killed lets its session go at once; what lws still has to do with the socket
 * is no affair of the session's. */
#include "net/link.h"

#include "base/log.h"
#include "net/heard.h"
#include "session/session.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef struct connection {
    shoald_link link; /* first: what the session holds */
    shoald_house *house;
    struct lws *wsi;         /* NULL while it arrives */
    shoald_session *session; /* NULL once that has been told that it is gone */
    uint64_t pong_bytes;     /* as frames */
    uint64_t said_at;        /* bytes that were heard when `done`, then when our Close was sent */
} connection;

/* loop thread only; NULL but during shoald_link_adopt */
static connection *arriving;
static const shoald_entry *entry_of_arriving;

/* ---- what the session wants ---------------------------------------------------------- */

static void want_write(shoald_link *l)
{
    lws_callback_on_writable(((connection *)l)->wsi);
}

static void set_reading(shoald_link *l, bool on)
{
    lws_rx_flow_control(((connection *)l)->wsi, on);
}

static uint64_t bytes_heard(const shoald_link *l)
{
    const connection *c = (const connection *)l;
    uint64_t all = shoald_heard_bytes(lws_get_socket_fd(c->wsi));
    return all > c->pong_bytes ? all - c->pong_bytes : 0;
}

static int write_message(shoald_link *l, shoald_link_kind kind, size_t n)
{
    static const enum lws_write_protocol how[] = {
        [SHOALD_LINK_TEXT] = LWS_WRITE_TEXT,
        [SHOALD_LINK_BINARY] = LWS_WRITE_BINARY,
        [SHOALD_LINK_PING] = LWS_WRITE_PING, /* not empty: else lws 4.1.6 tells of no pong */
        [SHOALD_LINK_LAST] = LWS_WRITE_TEXT,
    };
    connection *c = (connection *)l;
    if (kind == SHOALD_LINK_LAST)
        c->said_at = bytes_heard(l);
    return lws_write(c->wsi, c->house->tx, n, how[kind]) < (int)n ? -1 : 0;
}

/* The client has all to `done`, and then came its end: it closed its socket, having read that, or
 * its kernel had sent a reset. lws has shut the socket down before it tells us, so its state says
 * nothing any more. */
static bool has_left(const connection *c)
{
    enum { OUR_END = 1 };
    return c->said_at && bytes_heard(&c->link) > c->said_at && !lws_partial_buffered(c->wsi) &&
           shoald_unheard_bytes(lws_get_socket_fd(c->wsi)) <= OUR_END;
}

/* Not by returning -1 from the writable callback: Debian's lws 4.1.6 is built with _DEBUG, and
 * then closes a second time to see whether that does harm ("uv repeat test"). It does: the
 * second close drops the connection before the Close frame is sent. */
static void close_link(shoald_link *l, int code, const char *reason)
{
    connection *c = (connection *)l;
    l->closing_ns = uv_hrtime();
    l->farewell = has_left(c); /* the Close makes a reset of its end */
    c->said_at = bytes_heard(l);
    lws_close_reason(c->wsi, (enum lws_close_status)code, (unsigned char *)(uintptr_t)reason,
                     strlen(reason));
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* may free c */
}

/* lws tells nobody of a Close that answers ours, but it has been heard, as has been that the client
 * just closed its socket then; nor of frames that were broken, but has made a Close itself. What
 * cannot be known is taken for an end. */
static bool is_farewell(const connection *c)
{
    uint64_t heard;
    if (!c->wsi || c->link.farewell || has_left(c))
        return true;
    if (!c->link.closing_ns || !c->said_at)
        return c->link.closing_ns || lws_get_close_length(c->wsi) > 0;
    heard = bytes_heard(&c->link);
    return heard == 0 || heard > c->said_at;
}

static void let_session_go(connection *c)
{
    shoald_session *s = c->session;
    c->session = NULL;
    if (!s)
        return;
    c->link.farewell = is_farewell(c);
    shoald_session_on_gone(s);
}

/* Once: lws first waits for what it holds back to be taken, five seconds at most, and each further
 * call would set that clock anew. The socket is shut down, so that it need not wait. Not
 * asynchronously: lws notices that only at the connection's next activity. */
static void kill_link(shoald_link *l)
{
    connection *c = (connection *)l;
    struct lws *wsi = c->wsi;
    shutdown(lws_get_socket_fd(wsi), SHUT_RDWR);
    let_session_go(c);
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static const shoald_link_ops ops = {
    .write = write_message,
    .want_write = want_write,
    .read = set_reading,
    .close = close_link,
    .kill = kill_link,
    .heard = bytes_heard,
};

/* ---- what lws tells ------------------------------------------------------------------ */

/* After WSI_CREATE lws clears the user data once more. */
static connection *connection_of(struct lws *wsi, enum lws_callback_reasons reason)
{
    connection *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    if (c || !wsi || !arriving || reason == LWS_CALLBACK_WSI_CREATE)
        return c;
    c = arriving;
    arriving = NULL;
    c->wsi = wsi;
    lws_set_opaque_user_data(wsi, c);
    return c;
}

static void free_connection(connection *c)
{
    c->house->connection_count--;
    let_session_go(c);
    free(c);
}

static void on_open(connection *c)
{
    const shoald_entry *entry = entry_of_arriving;
    entry_of_arriving = NULL;
    c->session->link = &c->link;
    shoald_session_on_open(c->session, entry);
}

static void on_receive(connection *c, const void *bytes, size_t n)
{
    shoald_piece piece = {
        .bytes = bytes,
        .n = n,
        .rest = lws_remaining_packet_payload(c->wsi),
        .first = lws_is_first_fragment(c->wsi),
        .binary = lws_frame_is_binary(c->wsi),
    };
    piece.last = piece.rest == 0 && lws_is_final_fragment(c->wsi);
    shoald_session_on_receive(c->session, &piece);
}

static void on_pong(connection *c, size_t n)
{
    enum { HEAD_AND_MASK = 6 };
    c->pong_bytes += HEAD_AND_MASK + n;
    shoald_session_on_pong(c->session);
}

/* lws calls when nobody asked, even after Close; and when a client's frames are broken it closes by
 * itself, which it tells nobody: only the Close that it has made shows. */
static int on_writable(connection *c)
{
    if (!c->link.closing_ns && lws_get_close_length(c->wsi) > 0)
        c->link.closing_ns = uv_hrtime();
    return c->link.closing_ns ? 0 : shoald_session_on_writable(c->session);
}

/* lws sends a client's Close back as it is, also where it has a code from 5000 on, a reason that is
 * no UTF-8, or one byte: the first two are mended in place, the third has no room for a code. */
static int on_close(connection *c, unsigned char *payload, size_t n)
{
    int code = shoal_close_answer(payload, n);
    c->link.closing_ns = uv_hrtime();
    c->link.farewell = true;
    if (n == 1) {
        lws_close_reason(c->wsi, LWS_CLOSE_STATUS_PROTOCOL_ERR, NULL, 0);
        return -1;
    }
    if (n >= 2 && (payload[0] << 8 | payload[1]) != code) {
        payload[0] = (unsigned char)(code >> 8);
        payload[1] = (unsigned char)code;
        memset(payload + 2, '.', n - 2);
    }
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    connection *c = connection_of(wsi, reason);
    (void)user;
    if (!c)
        return 0;
    if (reason == LWS_CALLBACK_CLOSED || reason == LWS_CALLBACK_WSI_DESTROY) {
        lws_set_opaque_user_data(wsi, NULL);
        free_connection(c);
        return 0;
    }
    if (!c->session)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED: on_open(c); return 0;
    case LWS_CALLBACK_RECEIVE: on_receive(c, in, n); return 0;
    case LWS_CALLBACK_RECEIVE_PONG: on_pong(c, n); return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE: return on_writable(c);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: return on_close(c, in, n);
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

/* NULL: no memory. */
static connection *new_connection(shoald_house *house, const shoald_peer *peer,
                                  const shoald_entry *entry)
{
    connection *c = calloc(1, sizeof *c);
    shoald_session *s = !c            ? NULL
                        : entry->back ? entry->back
                                      : shoald_session_new(house, peer, entry);
    if (!s) {
        free(c);
        return NULL;
    }
    if (entry->back) {
        shoald_session_take_over(s);
        s->peer = *peer;
    }
    c->link.ops = &ops;
    c->link.returns = true;
    c->house = house;
    c->session = s;
    return c;
}

int shoald_link_adopt(shoald_house *house, int fd, const shoald_peer *peer, const char *upgrade,
                      size_t n, const shoald_entry *entry)
{
    connection *c = new_connection(house, peer, entry);
    if (!c)
        return -1;
    arriving = c;
    entry_of_arriving = entry;
    /* on failure lws has closed fd, and called WSI_DESTROY if it had come so far */
    struct lws *wsi = lws_adopt_socket_vhost_readbuf(house->vhost, fd, upgrade, n);
    if (!wsi)
        shoald_log(SHOALD_LOG_WARNING, "adopt_failed", "peer=%s hint=%s", peer->name,
                   "\"out of memory or descriptors?\"");
    if (arriving) {
        arriving = NULL;
        free_connection(c);
    } else if (wsi &&
               entry_of_arriving) /* it has put the upgrade off, against what we know of it */
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    entry_of_arriving = NULL;
    return 0;
}

/* client_ws.c - one libwebsockets context for one client
 *
 *     poll -> shoal__ws_service -> lws_service -> callback
 *                 RECEIVE:   fragments -> rx, committed at the final one
 *                 WRITEABLE: oldest message of tx -> socket, one a call
 *                 the rest:  shoal__fail, state
 *
 * libwebsockets 4.1 in particular: lws_service ignores its timeout unless negative, so a timer
 * (sul) ends the wait; a lost connection comes without its errno, so a refused one is told apart
 * by asking once more (probe); permessage-deflate is broken, so no extension is given;
 * logging is one switch for the process, and a library must not write to stderr: it is off.
 * rx is bounded by one read of the socket, because nothing is read while it holds an event.
 */
#include "lib/client_internal.h"

#include <errno.h>
#include <libwebsockets.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_BYTES = 64 << 10, /* largest read of the socket */
    CONTEXT_FDS = 16,      /* the socket, the wake-up pipe, and lws' own spares */
    PROBE_TIMEOUT_MS = 200
};

struct shoal__ws {
    struct lws_context *context;
    struct lws *wsi;
    lws_sorted_usec_list_t wait_end;
    lws_retry_bo_t keepalive;
    int upgrade_status; /* HTTP status of a refused upgrade, or 0 */
};

/* ---- why a connection was not made ---- */

/* What lws does not tell: does nobody know the host, or does it refuse connections? */
enum { PROBE_NO_IDEA, PROBE_REFUSED, PROBE_UNKNOWN_HOST };

static int address_refuses(const struct addrinfo *a)
{
    struct pollfd p = { .fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                        .events = POLLOUT };
    int error = 0;
    socklen_t n = sizeof error;

    if (p.fd < 0)
        return 0;
    if (connect(p.fd, a->ai_addr, a->ai_addrlen) < 0)
        error = errno;
    if (error == EINPROGRESS && poll(&p, 1, PROBE_TIMEOUT_MS) == 1)
        getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &n);
    close(p.fd);
    return error == ECONNREFUSED;
}

static int probe(const shoal__url *u)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    char port[8];
    int refused = 0;

    lws_snprintf(port, sizeof port, "%d", u->port);
    if (getaddrinfo(u->host, port, &hints, &list))
        return PROBE_UNKNOWN_HOST;
    for (struct addrinfo *a = list; a && !refused; a = a->ai_next)
        refused = address_refuses(a);
    freeaddrinfo(list);
    return refused ? PROBE_REFUSED : PROBE_NO_IDEA;
}

/* What a status means where only one error of the protocol has it. */
static const char *remedy_of(int status)
{
    const char *message = NULL;

    if (status == 503)
        return "it takes no more sessions now (overloaded, full or restarting): try again later";
    for (int i = 1; i < SHOAL_CODE_COUNT; i++) {
        const shoal_code_info *info = shoal_code_get_info((shoal_code)i);

        if (info->http_status == status && message)
            return "it did not like the request; its log says more";
        if (info->http_status == status)
            message = info->message;
    }
    return message ? message : "is this a shoal server? Check host, port and path";
}

static void fail_upgrade(shoal_client *c, int status)
{
    shoal__fail(c, "upgrade_refused", status >= 500,
                "%s:%d refused the session with HTTP status "
                "%d: %s",
                c->url.host, c->url.port, status, remedy_of(status));
}

static void fail_connect(shoal_client *c, const char *detail, size_t n)
{
    const char *host = c->url.host;
    int port = c->url.port;

    if (c->ws->upgrade_status && c->ws->upgrade_status != 101) {
        fail_upgrade(c, c->ws->upgrade_status);
        return;
    }
    switch (c->has_failure ? PROBE_NO_IDEA : probe(&c->url)) {
    case PROBE_REFUSED:
        shoal__fail(c, "connection_refused", 1,
                    "nothing answers at %s:%d (connection refused): "
                    "is shoald running there? Start it with: shoald --listen %s:%d",
                    host, port, host, port);
        break;
    case PROBE_UNKNOWN_HOST:
        shoal__fail(c, "connection_failed", 1, "nobody knows the host %s: check its name", host);
        break;
    default:
        shoal__fail(c, "connection_failed", 1,
                    "cannot connect to %s:%d: %.*s; check the address, "
                    "the network, %sand that it is a shoal server",
                    host, port, n ? (int)n : 9, n ? detail : "no answer",
                    c->url.tls ? "the certificate (does this system trust it?) " : "");
    }
}

/* ---- callback ---- */

static int add_token(shoal_client *c, struct lws *wsi, unsigned char **p, size_t room)
{
    char value[1024];
    int n;

    if (!c->params.token)
        return 0;
    n = lws_snprintf(value, sizeof value, "Bearer %s", c->params.token);
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, (unsigned char *)value,
                                        n, p, *p + room);
}

static int receive(shoal_client *c, struct lws *wsi, const void *in, size_t n)
{
    int kind = lws_frame_is_binary(wsi) ? SHOAL__BINARY : SHOAL__TEXT;
    int last = lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi);

    if (shoal__queue_append(&c->rx, in, n) < 0 || (last && shoal__queue_commit(&c->rx, kind) < 0)) {
        shoal__fail(c, "bad_answer", 0,
                    "the server sent a message of more than %zu bytes, or "
                    "memory is out",
                    c->rx.max);
        return -1;
    }
    return 0;
}

static int send_front(shoal_client *c, struct lws *wsi)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    if (!shoal__queue_front(&c->tx, &kind, &bytes, &n))
        return 0;
    memcpy(c->frame + LWS_PRE, bytes, n); /* lws masks in place and writes in front */
    if (lws_write(wsi, c->frame + LWS_PRE, n,
                  kind == SHOAL__BINARY ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < (int)n)
        return -1;
    if (kind == SHOAL__BINARY)
        c->stats.audio_sent += n;
    shoal__queue_pop(&c->tx);
    if (shoal__queue_used(&c->tx))
        lws_callback_on_writable(wsi);
    return 0;
}

static void note_close(shoal_client *c, const unsigned char *in, size_t n)
{
    size_t keep = n > 2 ? n - 2 : 0;

    if (n < 2)
        return;
    c->close_code = in[0] << 8 | in[1];
    if (keep >= sizeof c->close_reason)
        keep = sizeof c->close_reason - 1;
    memcpy(c->close_reason, in + 2, keep);
    c->close_reason[keep] = 0;
}

/* lws runs its timers first and then waits: a connection that a timer ends must end the wait. */
static void gone(shoal_client *c)
{
    c->state = SHOAL__CLOSED;
    c->ws->wsi = NULL;
    lws_cancel_service(c->ws->context);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    struct lws_context *context = lws_get_context(wsi);
    shoal_client *c = context ? lws_context_user(context) : NULL;

    (void)user;
    if (!c)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return add_token(c, wsi, in, n);
    case LWS_CALLBACK_CLIENT_HTTP_REDIRECT:
        shoal__fail(c, "upgrade_refused", 0,
                    "%s:%d answered with a redirect, which is not "
                    "followed: use the final address",
                    c->url.host, c->url.port);
        return 1;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        c->ws->upgrade_status = (int)lws_http_client_http_response(wsi);
        fail_connect(c, in, in ? n : 0);
        gone(c);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        c->state = SHOAL__OPEN;
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE: return receive(c, wsi, in, n);
    case LWS_CALLBACK_CLIENT_WRITEABLE: return send_front(c, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: note_close(c, in, n); return 0;
    case LWS_CALLBACK_CLIENT_CLOSED: gone(c); return 0;
    default: return 0;
    }
}

static const struct lws_protocols protocols[] = {
    { .name = SHOAL_SUBPROTOCOL, .callback = callback, .rx_buffer_size = READ_BYTES }, { 0 }
};

/* ---- context ---- */

static struct lws_context *make_context(shoal_client *c)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .user = c,
        .fd_limit_per_thread = CONTEXT_FDS,
        .pt_serv_buf_size = READ_BYTES,
        .client_ssl_ca_filepath = c->params.ca_file,
        .options = c->url.tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
    };

    lws_set_log_level(0, NULL);
    return lws_create_context(&info);
}

static void connect_to(shoal_client *c)
{
    char authority[300];
    struct lws_client_connect_info info = {
        .context = c->ws->context,
        .address = c->url.host,
        .port = c->url.port,
        .path = c->url.path,
        .host = authority,
        .origin = NULL,
        .protocol = SHOAL_SUBPROTOCOL,
        .local_protocol_name = SHOAL_SUBPROTOCOL,
        .ietf_version_or_minus_one = -1,
        .ssl_connection = c->url.tls ? LCCSCF_USE_SSL : 0,
        .alpn = "http/1.1",
        .pwsi = &c->ws->wsi,
        .retry_and_idle_policy = &c->ws->keepalive,
    };

    lws_snprintf(authority, sizeof authority, strchr(c->url.host, ':') ? "[%s]:%d" : "%s:%d",
                 c->url.host, c->url.port);
    if (!lws_client_connect_via_info(&info) && c->state != SHOAL__CLOSED) {
        fail_connect(c, NULL, 0);
        gone(c);
    }
}

int shoal__ws_open(shoal_client *c)
{
    shoal__ws *ws = c->ws = calloc(1, sizeof *ws);

    c->frame = malloc(LWS_PRE + c->params.message_bytes + SHOAL_MAX_TEXT_BYTES);
    if (!ws || !c->frame)
        return SHOAL_CLIENT_ENOMEM;
    ws->keepalive.secs_since_valid_ping = (uint16_t)c->params.ping_s;
    ws->keepalive.secs_since_valid_hangup = (uint16_t)(2 * c->params.ping_s);
    ws->context = make_context(c);
    if (!ws->context)
        return SHOAL_CLIENT_ENOMEM;
    connect_to(c);
    return 0;
}

void shoal__ws_free(shoal_client *c)
{
    if (c->ws && c->ws->context) {
        lws_sul_cancel(&c->ws->wait_end);
        lws_context_destroy(c->ws->context);
    }
    free(c->ws);
    free(c->frame);
    c->ws = NULL;
    c->frame = NULL;
}

static void end_wait(lws_sorted_usec_list_t *sul)
{
    (void)sul;
}

void shoal__ws_service(shoal_client *c, int timeout_ms)
{
    shoal__ws *ws = c->ws;

    if (timeout_ms > 0)
        lws_sul_schedule(ws->context, 0, &ws->wait_end, end_wait,
                         (lws_usec_t)timeout_ms * LWS_US_PER_MS);
    lws_service(ws->context, timeout_ms > 0 ? 0 : -1);
    lws_sul_cancel(&ws->wait_end);
}

void shoal__ws_want_write(shoal_client *c)
{
    if (c->state == SHOAL__OPEN && c->ws->wsi)
        lws_callback_on_writable(c->ws->wsi);
}

void shoal__ws_wake(shoal_client *c)
{
    lws_cancel_service(c->ws->context);
}

void shoal__ws_hang_up(shoal_client *c)
{
    if (c->ws->wsi)
        lws_set_timeout(c->ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    gone(c);
}

/* client_ws.c - one libwebsockets context for one session: see client_ws.h
 *
 *     poll -> shoal__ws_service -> lws_service -> callback
 *                 RECEIVE:   pieces of messages -> session
 *                 WRITEABLE: the session's next message -> socket, one a call
 *                 the rest:  the session is over, and why
 *
 * libwebsockets 4.1 in particular: lws_service ignores its timeout unless negative, so a timer
 * (sul) ends the wait; a lost connection comes without its errno, so a refused one is told apart
 * by asking once more (probe); permessage-deflate is broken, so no extension is given;
 * one that breaks while the request is sent ends as a closed HTTP client;
 * logging is one switch for the process, and a library must not write to stderr: it is off;
 * http_proxy in the environment is obeyed without a look at no_proxy, so the proxy is always
 * said, as none if need be.
 */
#include "lib/client_ws.h"

#include <errno.h>
#include <libwebsockets.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_failure.h"
#include "lib/client_resume.h"

enum {
    READ_BYTES = 64 << 10, /* largest read of the socket */
    CONTEXT_FDS = 16,      /* the socket, the wake-up pipe, and lws' own spares */
    PROBE_TIMEOUT_MS = 200
};

struct shoal__ws {
    shoal__ws_params params; /* set at open, then constant */
    struct lws_context *context;
    struct lws *wsi;
    lws_sorted_usec_list_t wait_end;
    lws_retry_bo_t keepalive;
    int open;       /* the upgrade is done and the connection stands */
    uint8_t *frame; /* [LWS_PRE + max_message] a message on its way out */
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

static int header_number(struct lws *wsi, enum lws_token_indexes token)
{
    char text[16];

    long n = lws_hdr_copy(wsi, text, sizeof text, token) > 0 ? strtol(text, NULL, 10) : 0;

    return n < 0 ? 0 : n < INT_MAX ? (int)n : INT_MAX;
}

static void fail_upgrade(shoal__ws *ws, struct lws *wsi, int status)
{
    int later = header_number(wsi, WSI_TOKEN_HTTP_RETRY_AFTER);
    shoal_client_failure f = shoal__failure_of_status(status, later, ws->params.peer);

    shoal__session_fail_with(ws->params.session, &f);
}

static void fail_connect(shoal__ws *ws, const char *detail, size_t n)
{
    shoal__session *s = ws->params.session;
    const shoal__url *u = ws->params.url;
    char why[512];

    if (shoal__tls_refused(ws->params.tls, ws->params.peer, why, sizeof why)) {
        shoal__session_fail(s, SHOAL_CLIENT_REJECTED, "certificate_refused", "%s", why);
        return;
    }
    switch (s->has_failure ? PROBE_NO_IDEA : probe(u)) {
    case PROBE_REFUSED:
        shoal__session_fail(s, SHOAL_CLIENT_UNREACHABLE, "connection_refused",
                            "nothing answers at %s:%d (connection refused): is shoald running "
                            "there? Start it with: shoald --listen %s:%d",
                            u->host, u->port, u->host, u->port);
        break;
    case PROBE_UNKNOWN_HOST:
        shoal__session_fail(s, SHOAL_CLIENT_UNREACHABLE, "connection_failed",
                            "nobody knows the host %s: check its name", u->host);
        break;
    default:
        if (u->tls && shoal__tls_is_none(ws->params.tls, detail, n)) {
            shoal__session_fail(s, SHOAL_CLIENT_UNREACHABLE, "connection_failed",
                                "%s:%d does not answer in TLS: if it is a shoald without a TLS "
                                "proxy before it, use ws://",
                                u->host, u->port);
            break;
        }
        shoal__session_fail(s, SHOAL_CLIENT_UNREACHABLE, "connection_failed",
                            "cannot connect to %s:%d%s%s: %.*s; check the address, the network, "
                            "%sand that it is a shoal server",
                            u->host, u->port, ws->params.proxy ? " by the proxy " : "",
                            ws->params.proxy ? ws->params.proxy : "", n ? (int)n : 9,
                            n ? detail : "no answer",
                            u->tls ? "the certificate (does this system trust it?) " : "");
    }
}

static void connection_error(shoal__ws *ws, struct lws *wsi, const char *detail, size_t n)
{
    shoal__tls_hear_out(ws->params.tls, lws_get_ssl(wsi));
    int status = (int)lws_http_client_http_response(wsi);

    if (status && status != 101)
        fail_upgrade(ws, wsi, status);
    else
        fail_connect(ws, detail, n);
}

/* ---- callback ---- */

static int add_token(shoal__ws *ws, struct lws *wsi, unsigned char **p, size_t room)
{
    char value[SHOAL__MAX_TOKEN + sizeof "Bearer "];
    int n;

    if (!ws->params.token)
        return 0;
    n = lws_snprintf(value, sizeof value, "Bearer %s", ws->params.token);
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, (unsigned char *)value,
                                        n, p, *p + room);
}

static int receive(shoal__ws *ws, struct lws *wsi, const void *in, size_t n)
{
    int kind = lws_frame_is_binary(wsi) ? SHOAL__BINARY : SHOAL__TEXT;
    int last = lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi);

    return shoal__session_receive(ws->params.session, kind, in, n, last);
}

static int send_front(shoal__ws *ws, struct lws *wsi)
{
    shoal__session *s = ws->params.session;
    const uint8_t *bytes;
    size_t n;
    int kind;

    if (!shoal__session_front(s, &kind, &bytes, &n))
        return 0;
    memcpy(ws->frame + LWS_PRE, bytes, n); /* lws masks in place and writes in front */
    if (lws_write(wsi, ws->frame + LWS_PRE, n,
                  kind == SHOAL__BINARY ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < (int)n)
        return -1;
    shoal__session_sent(s);
    if (shoal__session_front(s, &kind, &bytes, &n))
        lws_callback_on_writable(wsi);
    return 0;
}

static void note_close(shoal__ws *ws, const unsigned char *in, size_t n)
{
    if (n >= 2)
        shoal__session_close(ws->params.session, in[0] << 8 | in[1], (const char *)in + 2, n - 2);
}

/* lws runs its timers first and then waits: a connection that a timer ends must end the wait. */
static void gone(shoal__ws *ws)
{
    shoal__session_gone(ws->params.session);
    ws->wsi = NULL;
    ws->open = 0;
    lws_cancel_service(ws->context);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    struct lws_context *context = lws_get_context(wsi);
    shoal__ws *ws = context ? lws_context_user(context) : NULL;

    (void)user;
    if (!ws)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return add_token(ws, wsi, in, n);
    case LWS_CALLBACK_CLIENT_HTTP_REDIRECT:
        shoal__session_fail(ws->params.session, SHOAL_CLIENT_REJECTED, "upgrade_refused",
                            "%s answered with a redirect, which is not followed: "
                            "use the final address",
                            ws->params.peer);
        return 1;
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP: /* all there is where the request could not be sent */
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        connection_error(ws, wsi, in, in ? n : 0);
        gone(ws);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        ws->open = 1;
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE: return receive(ws, wsi, in, n);
    case LWS_CALLBACK_CLIENT_WRITEABLE: return send_front(ws, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: note_close(ws, in, n); return 0;
    case LWS_CALLBACK_CLIENT_CLOSED: gone(ws); return 0;
    default: return 0;
    }
}

static const struct lws_protocols protocols[] = {
    { .name = SHOAL_SUBPROTOCOL, .callback = callback, .rx_buffer_size = READ_BYTES }, { 0 }
};

/* ---- context ---- */

static struct lws_context *make_context(shoal__ws *ws)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .user = ws,
        .fd_limit_per_thread = CONTEXT_FDS,
        .pt_serv_buf_size = READ_BYTES,
        .provided_client_ssl_ctx = shoal__tls_context(ws->params.tls),
        .http_proxy_address = ws->params.proxy ? ws->params.proxy : "",
        .options = ws->params.tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
    };

    lws_set_log_level(0, NULL);
    return lws_create_context(&info);
}

static void connect_to(shoal__ws *ws)
{
    const shoal__url *u = ws->params.url;
    char authority[300], path[sizeof u->path + SHOAL__RESUME_QUERY + 1], query[SHOAL__RESUME_QUERY];
    struct lws_client_connect_info info = {
        .context = ws->context,
        .address = u->host,
        .port = u->port,
        .path = path,
        .host = authority,
        .origin = NULL,
        .protocol = SHOAL_SUBPROTOCOL,
        .local_protocol_name = SHOAL_SUBPROTOCOL,
        .ietf_version_or_minus_one = -1,
        .ssl_connection = u->tls ? LCCSCF_USE_SSL : 0,
        .alpn = "http/1.1",
        .pwsi = &ws->wsi,
        .retry_and_idle_policy = &ws->keepalive,
    };

    shoal__resume_query(ws->params.session, query);
    lws_snprintf(path, sizeof path, "%s%s%s", u->path, *query ? "?" : "", query);
    lws_snprintf(authority, sizeof authority, strchr(u->host, ':') ? "[%s]:%d" : "%s:%d", u->host,
                 u->port);
    if (!lws_client_connect_via_info(&info) && !ws->params.session->over) {
        fail_connect(ws, NULL, 0);
        gone(ws);
    }
}

int shoal__ws_open(shoal__ws **out, const shoal__ws_params *params)
{
    shoal__ws *ws = calloc(1, sizeof *ws);

    if (!ws)
        return SHOAL_CLIENT_ENOMEM;
    ws->params = *params;
    ws->frame = malloc(LWS_PRE + params->max_message);
    ws->keepalive.secs_since_valid_ping = (uint16_t)params->ping_s;
    ws->keepalive.secs_since_valid_hangup = (uint16_t)(2 * params->ping_s);
    ws->context = ws->frame ? make_context(ws) : NULL;
    if (!ws->context) {
        shoal__ws_free(ws);
        return SHOAL_CLIENT_ENOMEM;
    }
    *out = ws;
    connect_to(ws);
    return 0;
}

void shoal__ws_again(shoal__ws *ws)
{
    connect_to(ws);
}

void shoal__ws_free(shoal__ws *ws)
{
    if (!ws)
        return;
    if (ws->context) {
        lws_sul_cancel(&ws->wait_end);
        lws_context_destroy(ws->context);
    }
    free(ws->frame);
    free(ws);
}

static void end_wait(lws_sorted_usec_list_t *sul)
{
    (void)sul;
}

void shoal__ws_service(shoal__ws *ws, int timeout_ms)
{
    if (timeout_ms > 0)
        lws_sul_schedule(ws->context, 0, &ws->wait_end, end_wait,
                         (lws_usec_t)timeout_ms * LWS_US_PER_MS);
    lws_service(ws->context, timeout_ms > 0 ? 0 : -1);
    lws_sul_cancel(&ws->wait_end);
}

void shoal__ws_want_write(shoal__ws *ws)
{
    if (ws->open && ws->wsi)
        lws_callback_on_writable(ws->wsi);
}

int shoal__ws_socket(const shoal__ws *ws)
{
    return ws->open && ws->wsi ? lws_get_socket_fd(ws->wsi) : -1;
}

void shoal__ws_wake(shoal__ws *ws)
{
    lws_cancel_service(ws->context);
}

void shoal__ws_hang_up(shoal__ws *ws)
{
    if (ws->wsi)
        lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    gone(ws);
}

/* conn.c - lws callbacks -> HTTP answers and session events
 *
 * One protocol, one callback. Every connection has a shoald_conn as its opaque user data from
 * adoption to WSI_DESTROY, whatever role lws gives it meanwhile. What lws 4.1.6 does not check
 * is checked here, before the upgrade: path, subprotocol, limits. Refusals are complete HTTP
 * answers with a JSON body; lws itself would just hang up. */
#include "net/conn.h"

#include "plan/grant.h"
#include "net/http.h"
#include "base/log.h"
#include "session/admit.h"
#include "session/session.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- before the upgrade -------------------------------------------------------------- */

static bool header_is(struct lws *wsi, enum lws_token_indexes token, const char *value)
{
    char text[64];
    return lws_hdr_copy(wsi, text, sizeof text, token) > 0 && strcasecmp(text, value) == 0;
}

/* Is shoal.v1 among those offered, or none offered at all? */
static bool subprotocol_fits(struct lws *wsi)
{
    char text[256], *rest = text;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) == 0)
        return true;
    if (lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_PROTOCOL) < 0)
        return false;
    for (char *one; (one = strsep(&rest, ", "));)
        if (strcmp(one, SHOAL_SUBPROTOCOL) == 0)
            return true;
    return false;
}

static int sessions_of(const shoald_conn *c)
{
    int count = 0;
    for (const shoald_session *s = c->house->sessions; s; s = s->next)
        count += s->conn && memcmp(s->conn->ip, c->ip, sizeof c->ip) == 0;
    return count;
}

static int refuse_with(shoald_conn *c, const shoal_error *err)
{
    shoald_count(&c->house->stats.refused, 1);
    shoald_count(&c->house->stats.errors[err->code], 1);
    return shoald_http_refuse(c, err);
}

static int refuse(shoald_conn *c, shoal_code code, const char *why)
{
    shoal_error err;
    shoal_error_set(&err, code, NULL, why ? "%s" : NULL, why);
    if (err.retry)
        err.retry_after_ms = c->house->settings.retry_after_s * 1000;
    return refuse_with(c, &err);
}

/* Too full, or going away: 0 to go on, else what the callback returns. */
static int check_limits(shoald_conn *c)
{
    const shoald_settings *limits = &c->house->settings;
    if (c->house->draining)
        return refuse(c, SHOAL_CODE_DRAINING, "the server is restarting: try again soon");
    if (c->house->session_count >= limits->max_sessions)
        return refuse(c, SHOAL_CODE_TOO_MANY_SESSIONS, NULL);
    if (limits->max_sessions_per_ip && sessions_of(c) >= limits->max_sessions_per_ip)
        return refuse(c, SHOAL_CODE_TOO_MANY_SESSIONS,
                      "your address has as many sessions as it may (max_sessions_per_ip): close "
                      "one first");
    return 0;
}

typedef enum { QUERY_NONE, QUERY_GOOD, QUERY_BAD } query_kind;

/* lws has split the query at & and decoded it. A piece that does not fit looks to the caller of
 * lws_hdr_copy_fragment like the end, and nothing of what is asked may be lost like that. */
static query_kind read_query(shoald_conn *c, shoal_options *o, shoal_error *err)
{
    char pair[SHOAL_MAX_QUERY_BYTES + 1];
    int n, result = 0, count = 0;
    *o = shoal_options_default();
    if (lws_hdr_total_length(c->wsi, WSI_TOKEN_HTTP_URI_ARGS) > SHOAL_MAX_QUERY_BYTES) {
        shoal_error_set(err, SHOAL_CODE_BAD_OPTION, NULL,
                        "the URL query has more than the %d bytes that are allowed",
                        SHOAL_MAX_QUERY_BYTES);
        return QUERY_BAD;
    }
    for (int i = 0; result == 0 && (n = lws_hdr_copy_fragment(c->wsi, pair, sizeof pair,
                                                              WSI_TOKEN_HTTP_URI_ARGS, i)) >= 0;
         i++) {
        const char *equals = memchr(pair, '=', (size_t)n);
        size_t name = equals ? (size_t)(equals - pair) : (size_t)n;
        size_t value = equals ? (size_t)n - name - 1 : 0;
        if (n == 0 || (n == 1 && pair[0] == '/'))
            continue; /* && or & at the end, where lws puts a slash */
        result = shoal_options_add(o, pair, name, equals ? equals + 1 : "", value, err);
        count++;
    }
    if (count == 0)
        return QUERY_NONE;
    if (result == 0)
        result = shoal_options_finish(o, err);
    return result < 0 ? QUERY_BAD : QUERY_GOOD;
}

/* What the URL asks for is known and may not fit; what is wrong with it is told later. */
static int make_session(shoald_conn *c)
{
    const shoald_house *house = c->house;
    shoal_options asked, granted;
    shoal_error err;
    query_kind query = read_query(c, &asked, &err);
    granted = asked;
    if (query == QUERY_GOOD && shoald_grant_options(&granted, house->service.model,
                                                    house->settings.default_depth, &err) < 0)
        query = QUERY_BAD;
    if (query == QUERY_GOOD && !shoald_admit_may_begin(c->house, &granted, &err))
        return refuse_with(c, &err);
    c->session = shoald_session_new(c->house, c);
    if (!c->session)
        return refuse(c, SHOAL_CODE_INTERNAL, "no memory for the session: try again later");
    if (query != QUERY_NONE)
        shoald_session_set_url(c->session, &asked, query == QUERY_BAD ? &err : NULL);
    if (query == QUERY_GOOD)
        shoald_admit_enter(c->session, &granted);
    return 0;
}

static int on_confirm_upgrade(shoald_conn *c)
{
    char path[256];
    int result;
    /* Nothing of the request may be left when lws has already answered it (an upgrade to
     * something unknown); then `in` is a dangling pointer, so it is never looked at. */
    if (!header_is(c->wsi, WSI_TOKEN_UPGRADE, "websocket"))
        return -1;
    if (lws_hdr_copy(c->wsi, path, sizeof path, WSI_TOKEN_GET_URI) <= 0 ||
        strcmp(path, SHOAL_PATH) != 0)
        return refuse(c, SHOAL_CODE_NOT_FOUND, NULL);
    if (!subprotocol_fits(c->wsi))
        return refuse(c, SHOAL_CODE_BAD_SUBPROTOCOL, NULL);
    if ((result = check_limits(c)) != 0)
        return result;
    return make_session(c);
}

/* ---- the end of a connection --------------------------------------------------------- */

static void leave_session(shoald_conn *c)
{
    if (c->session)
        shoald_session_on_gone(c->session);
    c->session = NULL;
}

static void on_destroy(shoald_conn *c)
{
    leave_session(c);
    c->house->connection_count--;
    free(c);
}

/* ---- the callback -------------------------------------------------------------------- */

static int on_session_event(shoald_session *s, enum lws_callback_reasons reason, void *in, size_t n)
{
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED: shoald_session_on_open(s); return 0;
    case LWS_CALLBACK_RECEIVE: return shoald_session_on_receive(s, in, n);
    case LWS_CALLBACK_RECEIVE_PONG: shoald_session_on_pong(s); return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE: return shoald_session_on_writable(s);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: s->close_sent = true; return 0;
    default: return 0;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    shoald_conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    (void)user;
    if (!c)
        return 0;
    c->wsi = wsi;
    switch (reason) {
    case LWS_CALLBACK_HTTP: return shoald_http_answer(c, in);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return on_confirm_upgrade(c);
    case LWS_CALLBACK_CLOSED: leave_session(c); return 0;
    case LWS_CALLBACK_WSI_DESTROY: on_destroy(c); return 0;
    default: return c->session ? on_session_event(c->session, reason, in, n) : 0;
    }
}

enum { RX_BUFFER_BYTES = 8192 }; /* delivery granule, not a limit */

const struct lws_protocols *shoald_conn_protocols(void)
{
    static const struct lws_protocols protocols[] = {
        { SHOAL_SUBPROTOCOL, on_event, 0, RX_BUFFER_BYTES, 0, NULL, 0 },
        { NULL, NULL, 0, 0, 0, NULL, 0 },
    };
    return protocols;
}

/* ---- adoption ------------------------------------------------------------------------ */

static void name_peer(shoald_conn *c, const struct sockaddr_storage *peer)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (peer->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)peer;
        inet_ntop(AF_INET, &a->sin_addr, host, sizeof host);
        snprintf(c->peer, sizeof c->peer, "%s:%d", host, ntohs(a->sin_port));
        memcpy(c->ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
        memcpy(c->ip + 12, &a->sin_addr, 4);
    } else if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)peer;
        inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof host);
        snprintf(c->peer, sizeof c->peer, "[%s]:%d", host, ntohs(a->sin6_port));
        memcpy(c->ip, &a->sin6_addr, 16);
    } else {
        snprintf(c->peer, sizeof c->peer, "unix");
    }
}

/* Sessions have their own limit; this one is for those that never become one. */
static bool too_many_connections(const shoald_house *house)
{
    static uint64_t told_ns;
    uint64_t now_ns = uv_hrtime();
    int waiting = house->connection_count - house->session_count;
    if (waiting < house->settings.max_http_connections)
        return false;
    if (told_ns == 0 || now_ns - told_ns > 10000000000u) {
        told_ns = now_ns;
        shoald_log(SHOALD_LOG_WARNING, "connections_full", "without_session=%d hint=%s", waiting,
                   "\"new ones are closed: max_http_connections\"");
    }
    return true;
}

/* Little waits unsent in the kernel: results that a client does not take stay in our queue,
 * where they are counted, and an error reaches it soon after it reads again. */
static void set_socket_options(int fd, const struct sockaddr_storage *peer)
{
    int on = 1, unsent_bytes = 64 << 10;
    if (peer->ss_family == AF_UNIX)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
}

void shoald_conn_adopt(shoald_house *house, int fd, const struct sockaddr_storage *peer)
{
    shoald_conn *c = too_many_connections(house) ? NULL : calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->house = house;
    name_peer(c, peer);
    set_socket_options(fd, peer);
    house->connection_count++;
    shoald_count(&house->stats.connections, 1);
    lws_adopt_desc_t desc = {
        .vh = house->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP,
        .fd.sockfd = fd,
        .opaque = c,
    };
    /* on failure lws has closed fd and called WSI_DESTROY, which freed c */
    if (!lws_adopt_descriptor_vhost_via_info(&desc))
        shoald_log(SHOALD_LOG_WARNING, "adopt_failed", "hint=%s", "\"out of descriptors?\"");
}

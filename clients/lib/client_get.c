/* client_get.c - see client_get.h: a libwebsockets context for one request */
#include "lib/client_get.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client_url.h"

enum { READ_BYTES = 4096, CONTEXT_FDS = 16 };

typedef struct get {
    char *body; /* [most + 1] */
    size_t size, most;
    int status, whole, over, late;
    char detail[160];
    const shoal__server *server;
    shoal__tls *tls; /* NULL: http */
    lws_sorted_usec_list_t timer;
} get;

static void on_time(lws_sorted_usec_list_t *timer)
{
    get *g = lws_container_of(timer, get, timer);

    g->late = g->over = 1;
}

static void append(get *g, const char *bytes, size_t n)
{
    if (n > g->most - g->size) {
        snprintf(g->detail, sizeof g->detail, "its answer is longer than %zu bytes", g->most);
        g->over = 1;
        return;
    }
    memcpy(g->body + g->size, bytes, n);
    g->size += n;
    g->body[g->size] = '\0';
}

/* lws hands the body out when it is asked to read some of it. */
static int read_some(struct lws *wsi)
{
    char buffer[LWS_PRE + READ_BYTES], *p = buffer + LWS_PRE;
    int n = READ_BYTES;

    return lws_http_client_read(wsi, &p, &n) < 0 ? -1 : 0;
}

static int add_token(const get *g, struct lws *wsi, unsigned char **p, size_t room)
{
    char value[SHOAL_CLIENT_TOKEN_SIZE + sizeof "Bearer "];
    int n;

    if (!g->server->token)
        return 0;
    n = lws_snprintf(value, sizeof value, "Bearer %s", g->server->token);
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, (unsigned char *)value,
                                        n, p, *p + room);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    struct lws_context *context = lws_get_context(wsi);
    get *g = context ? lws_context_user(context) : NULL;

    (void)user;
    if (!g)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return add_token(g, wsi, in, n);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        shoal__tls_hear_out(g->tls, lws_get_ssl(wsi));
        snprintf(g->detail, sizeof g->detail, "%.*s", in ? (int)n : 9,
                 in ? (const char *)in : "no answer");
        g->over = 1;
        return 0;
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
        g->status = (int)lws_http_client_http_response(wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP: return read_some(wsi);
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ: append(g, in, n); return g->over ? -1 : 0;
    case LWS_CALLBACK_COMPLETED_CLIENT_HTTP: g->whole = g->over = 1; return 0;
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
        if (!g->status)
            shoal__tls_hear_out(g->tls, lws_get_ssl(wsi));
        g->over = 1;
        return 0;
    default: return 0;
    }
}

static const struct lws_protocols protocols[] = { { .name = "http", .callback = callback }, { 0 } };

static void run(get *g, const shoal__url *u, const char *page, int timeout_ms)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .user = g,
        .fd_limit_per_thread = CONTEXT_FDS,
        .provided_client_ssl_ctx = shoal__tls_context(g->tls),
        .http_proxy_address = "", /* none, whatever the environment says */
        .options = g->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
    };
    struct lws_context *context;
    struct lws_client_connect_info to = { .address = u->host,
                                          .port = u->port,
                                          .path = page,
                                          .host = u->host,
                                          .method = "GET",
                                          .alpn = "http/1.1",
                                          .ssl_connection = u->tls ? LCCSCF_USE_SSL : 0,
                                          .local_protocol_name = "http" };

    lws_set_log_level(0, NULL);
    if (!(context = lws_create_context(&info)))
        return;
    to.context = context;
    lws_sul_schedule(context, 0, &g->timer, on_time, (lws_usec_t)timeout_ms * LWS_US_PER_MS);
    if (!lws_client_connect_via_info(&to))
        g->over = 1;
    while (!g->over && lws_service(context, 0) >= 0)
        ;
    lws_sul_cancel(&g->timer);
    lws_context_destroy(context);
}

static void explain(const get *g, const shoal__url *u, const char *page, char *why, size_t n)
{
    char peer[300];

    snprintf(peer, sizeof peer, "%s:%d", u->host, u->port);
    if (shoal__tls_refused(g->tls, peer, why, n))
        return;
    if (g->late)
        snprintf(why, n, "%s:%d does not answer a request for %s", u->host, u->port, page);
    else if (g->status == 401)
        snprintf(why, n,
                 "%s:%d wants a token: --token-file FILE, or SHOAL_TOKEN in the environment",
                 u->host, u->port);
    else if (g->status && g->status != 200)
        snprintf(why, n, "%s:%d answers %d to a request for %s", u->host, u->port, g->status, page);
    else if (shoal__tls_is_none(g->tls, g->detail, strlen(g->detail)))
        snprintf(why, n,
                 "%s:%d does not answer in TLS: if it is a shoald without a TLS proxy before it, "
                 "use ws://",
                 u->host, u->port);
    else
        snprintf(why, n, "%s of %s:%d cannot be read: %s", page, u->host, u->port,
                 g->detail[0] ? g->detail : "the connection broke");
}

/* PAGE?model=NAME&program=NAME of those that are named; no name needs percents. */
static void write_path(char *to, size_t size, const char *page, const shoal__url *u,
                       const shoal_options *session)
{
    const int by_model = session && session->given & SHOAL_OPT_MODEL;
    const int by_program = session && session->given & SHOAL_OPT_PROGRAM;
    const char *model = (by_model ? session : &u->options)->model;
    const char *program = (by_program ? session : &u->options)->program;

    snprintf(to, size, "%s%s%s%s%s", page, *model ? "?model=" : "", model,
             !*program ? ""
             : *model  ? "&program="
                       : "?program=",
             program);
}

enum { MAX_PATH = 256 }; /* names of models are no longer than 128, of programs than 31 */

char *shoal__get(const shoal__server *server, const char *page, size_t most, int timeout_ms,
                 char *why, size_t why_size)
{
    shoal__url u;
    get g = { .most = most, .server = server };
    char path[MAX_PATH];

    if (shoal__url_parse(&u, server->url, why, why_size) < 0 ||
        shoal__tls_new(&g.tls, u.tls, &server->tls, why, why_size) < 0)
        return NULL;
    if (!(g.body = calloc(1, most + 1))) {
        snprintf(why, why_size, "out of memory");
        shoal__tls_free(g.tls);
        return NULL;
    }
    write_path(path, sizeof path, page, &u, server->session);
    run(&g, &u, path, timeout_ms);
    if (!g.whole || g.status != 200) {
        explain(&g, &u, path, why, why_size);
        free(g.body);
        g.body = NULL;
    }
    shoal__tls_free(g.tls);
    return g.body;
}

/* client.c - the public calls of libshoal-client: see shoal-client.h
 *
 *     client.c -> client_ws.c (the socket) -> client_session.c (messages, events) -> the rest
 *
 * The socket is only read while the session has no event to give, so a program that does not poll
 * slows the server down instead of filling memory. All is touched by the thread that polls, except
 * `woken`.
 */
#include "shoal-client.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/client_again.h"
#include "lib/client_resume.h"
#include "lib/client_url.h"
#include "lib/client_watch.h"
#include "lib/client_ws.h"

enum { DEFAULT_KEEP_BYTES = 64 << 20 };

struct shoal_client {
    shoal__url url;             /* set at open, then constant, as the next two are */
    shoal_client_params params; /* strings are owned */
    char peer[300];             /* "host:port" */
    shoal__session session;
    int has_session;
    shoal__tls *tls; /* NULL: ws:// */
    shoal__ws *ws;
    shoal__watch *watch; /* NULL: the program polls */
    int hung_up;         /* the session ended by itself, and the socket was told */
    atomic_int woken;    /* any thread */
    int64_t connect_deadline_ms;
    /* while the connection is away: */
    shoal__patience patience;
    int64_t retry_at_ms;
    uint32_t chance; /* of the last wait; the next spreads clients that lost it together */
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const char *shoal_client_strerror(int code)
{
    switch (code) {
#define SHOAL_X(value, name, text)                                                                 \
    case value: return text;
        SHOAL_CLIENT_ERRORS(SHOAL_X)
#undef SHOAL_X
    default: return code == 0 ? "success" : "unknown error";
    }
}

const char *shoal_client_version(void)
{
    return SHOAL_CLIENT_VERSION;
}

const char *shoal_client_default_url(void)
{
    const char *url = getenv("SHOAL_URL");

    return url && *url ? url : "ws://127.0.0.1:7350";
}

/* ---- opening ---- */

_Static_assert(SHOAL_DEFAULT_PORT == 7350, "the default URL names the port");

shoal_client_params shoal_client_default_params(void)
{
    return (shoal_client_params){ .options = shoal_options_default(),
                                  .queue_bytes = 256 << 10,
                                  .message_bytes = 64 << 10,
                                  .connect_timeout_ms = 10000,
                                  .ping_s = 20,
                                  .keep_alive = 1 };
}

/* A header takes visible ASCII; a line break in it would make a header of its own. */
static const char *check_token(const char *token)
{
    size_t n = token ? strlen(token) : 0;

    if (n > SHOAL__MAX_TOKEN)
        return "the token is longer than 4096 bytes, which no server takes";
    for (size_t i = 0; i < n; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return "the token holds a blank, a line break or another character that no header may "
                   "have: is there a line end in the file it came from?";
    return token && !n ? "the token is empty" : NULL;
}

static int check_params(const shoal_client_params *p, char *why, size_t why_size)
{
    const char *wrong = check_token(p->token);

    if (!wrong)
        wrong = shoal__proxy_wrong(p->proxy);
    if (p->queue_bytes < SHOAL__MIN_QUEUE_BYTES || p->queue_bytes > SHOAL__MAX_QUEUE_BYTES)
        wrong = "queue_bytes must be 4 KiB to 1 GiB";
    else if (p->message_bytes < 1 || p->message_bytes > SHOAL_MAX_AUDIO_BYTES)
        wrong = "message_bytes must be 1 byte to 1 MiB";
    else if (p->connect_timeout_ms < 1)
        wrong = "connect_timeout_ms must be 1 or more";
    else if (p->ping_s < 0 || p->ping_s > 30000)
        wrong = "ping_s must be 0 to 30000";
    else if (p->keep_bytes > SHOAL__MAX_QUEUE_BYTES)
        wrong = "keep_bytes must be 1 GiB or less";
    else if (p->reconnect_ms < 0)
        wrong = "reconnect_ms must be 0 or more";
    if (wrong)
        snprintf(why, why_size, "%s", wrong);
    return wrong ? SHOAL_CLIENT_EINVAL : 0;
}

static int copy_string(const char **s)
{
    return *s && !(*s = strdup(*s)) ? -1 : 0;
}

/* Strings become c's own, or NULL. */
static int copy_strings(shoal_client_params *p)
{
    int bad = copy_string(&p->token);

    bad |= copy_string(&p->ca_file);
    bad |= copy_string(&p->proxy);
    bad |= copy_string(&p->cert_file);
    bad |= copy_string(&p->key_file);
    return bad ? SHOAL_CLIENT_ENOMEM : 0;
}

/* "http://HOST:PORT/" -> "HOST:PORT" */
static const char *strip_proxy(const char *proxy, char *room, size_t size)
{
    if (!proxy)
        return NULL;
    snprintf(room, size, "%s", strncmp(proxy, "http://", 7) ? proxy : proxy + 7);
    if (*room && room[strlen(room) - 1] == '/')
        room[strlen(room) - 1] = 0;
    return room;
}

/* Everything that can be told without the network. */
static int configure(shoal_client *c, const char *url, const shoal_client_params *params, char *why,
                     size_t why_size)
{
    shoal_client_params p = *params;
    char proxy[300];
    int r = shoal__url_parse(&c->url, url, why, why_size);

    p.proxy = strip_proxy(p.proxy, proxy, sizeof proxy);
    if (!r)
        r = check_params(&p, why, why_size);
    if (!r)
        r = shoal__options_merge(&c->url.options, &p.options, why, why_size);
    if (r)
        return r;
    snprintf(c->peer, sizeof c->peer, "%s:%d", c->url.host, c->url.port);
    c->params = p;
    r = copy_strings(&c->params);
    if (!r)
        r = shoal__tls_new(&c->tls, c->url.tls,
                           &(shoal__tls_files){ p.ca_file, p.cert_file, p.key_file }, why,
                           why_size);
    return r;
}

static int set_up(shoal_client *c)
{
    const shoal_client_params *p = &c->params;
    shoal__session_params session = { .options = c->url.options,
                                      .queue_bytes = p->queue_bytes,
                                      .message_bytes = p->message_bytes,
                                      .keep_bytes = p->reconnect_ms > 0 && !p->keep_bytes
                                                        ? DEFAULT_KEEP_BYTES
                                                        : p->keep_bytes,
                                      .keep_alive = p->keep_alive,
                                      .again = p->reconnect_ms > 0,
                                      .gaps = p->allow_gaps,
                                      .peer = c->peer };
    shoal__ws_params ws = { .url = &c->url,
                            .peer = c->peer,
                            .token = p->token,
                            .tls = c->tls,
                            .proxy = p->proxy,
                            .ping_s = p->ping_s,
                            .max_message = p->message_bytes + SHOAL_MAX_TEXT_BYTES,
                            .session = &c->session };

    c->connect_deadline_ms = now_ms() + p->connect_timeout_ms;
    if (shoal__session_init(&c->session, &session) < 0)
        return SHOAL_CLIENT_ENOMEM;
    c->has_session = 1;
    return shoal__ws_open(&c->ws, &ws);
}

int shoal_client_open(shoal_client **out, const char *url, const shoal_client_params *params,
                      char *why, size_t why_size)
{
    shoal_client_params defaults = shoal_client_default_params();
    shoal_client *c = calloc(1, sizeof *c);
    char unheard[8];
    int r = SHOAL_CLIENT_ENOMEM;

    if (!why || !why_size) {
        why = unheard;
        why_size = sizeof unheard;
    }
    snprintf(why, why_size, "out of memory");
    if (c) {
        r = configure(c, url, params ? params : &defaults, why, why_size);
        r = r ? r : set_up(c);
    }
    if (r) {
        shoal_client_free(c);
        return r;
    }
    *why = 0;
    *out = c;
    return 0;
}

void shoal_client_free(shoal_client *c)
{
    if (!c)
        return;
    shoal__watch_stop(c->watch);
    shoal__ws_free(c->ws);
    if (c->has_session)
        shoal__session_free(&c->session);
    free((char *)c->params.token);
    shoal__tls_free(c->tls);
    free((char *)c->params.ca_file);
    free((char *)c->params.cert_file);
    free((char *)c->params.key_file);
    free((char *)c->params.proxy);
    free(c);
}

/* ---- sending ---- */

static void want_write(shoal_client *c)
{
    shoal__ws_want_write(c->ws);
    if (c->watch)
        shoal__watch_soon(c->watch);
}

static int queued(shoal_client *c, int r)
{
    if (!r)
        want_write(c);
    return r;
}

size_t shoal_client_send(shoal_client *c, const void *bytes, size_t n)
{
    size_t taken = shoal__session_send(&c->session, bytes, n);

    if (taken)
        want_write(c);
    return taken;
}

int shoal_client_set(shoal_client *c, const shoal_options *o)
{
    return queued(c, shoal__session_set(&c->session, o));
}

int shoal_client_flush(shoal_client *c, const char *id)
{
    return queued(c, shoal__session_flush(&c->session, id));
}

int shoal_client_skip(shoal_client *c, uint64_t samples)
{
    return queued(c, shoal__session_skip(&c->session, samples));
}

int shoal_client_ping(shoal_client *c, const char *id)
{
    return queued(c, shoal__session_ping(&c->session, id));
}

int shoal_client_end(shoal_client *c)
{
    return queued(c, shoal__session_end(&c->session));
}

/* ---- receiving ---- */

static void check_connect_time(shoal_client *c)
{
    shoal__session *s = &c->session;

    if (s->progress.ready || s->over || shoal__queue_used(&s->rx) ||
        now_ms() < c->connect_deadline_ms)
        return;
    shoal__session_fail(s, SHOAL_CLIENT_UNREACHABLE, "connect_timeout",
                        "%s gave no answer within %d ms: is it a shoal server, and does a firewall "
                        "let it through?",
                        c->peer, c->params.connect_timeout_ms);
    shoal__ws_hang_up(c->ws);
}

/* Returns when it is due again. */
static int64_t keep_alive(shoal_client *c)
{
    int64_t due = shoal__session_tick(&c->session, now_ms());

    if (due != INT64_MAX && shoal__queue_used(&c->session.out.tx))
        shoal__ws_want_write(c->ws);
    return due;
}

/* Milliseconds to wait: until deadline, or until something of our own is due. */
static int time_left(const shoal_client *c, int64_t deadline, int64_t tick)
{
    int64_t left;

    if (shoal__session_is_away(&c->session))
        deadline = c->retry_at_ms < deadline ? c->retry_at_ms : deadline;
    else if (!c->session.progress.ready && c->connect_deadline_ms < deadline)
        deadline = c->connect_deadline_ms;
    if (tick < deadline)
        deadline = tick;
    left = deadline - now_ms();
    return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* The session may end by itself: at an answer that makes no sense. */
static void follow_session(shoal_client *c)
{
    if (c->session.over && !c->hung_up) {
        c->hung_up = 1;
        shoal__ws_hang_up(c->ws);
    }
}

/* ---- a connection that breaks ---- */

/* xorshift32 */
static uint32_t next_chance(shoal_client *c)
{
    c->chance =
        c->chance ? c->chance : (uint32_t)now_ms() * 2654435761u ^ (uint32_t)(uintptr_t)c ^ 1;
    c->chance ^= c->chance << 13;
    c->chance ^= c->chance >> 17;
    c->chance ^= c->chance << 5;
    return c->chance;
}

/* AWAY is about to be given out: when is the next attempt? 0: there is none. */
static int plan_attempt(shoal_client *c)
{
    shoal__session *s = &c->session;
    int64_t now = now_ms();
    int wait = shoal__again_plan(&c->patience, &s->failure, s->advanced, now,
                                 c->params.reconnect_ms, next_chance(c));

    s->advanced = 0;
    if (wait < 0) {
        shoal__session_give_up(s);
        return 0;
    }
    s->failure.retry_ms = wait;
    c->retry_at_ms = now + wait;
    return 1;
}

static void try_again(shoal_client *c)
{
    int64_t now = now_ms();

    if (now < c->retry_at_ms)
        return;
    if (shoal__resume_begin(&c->session) < 0) {
        shoal__session_give_up(&c->session);
        return;
    }
    c->hung_up = 0;
    c->connect_deadline_ms = now + c->params.connect_timeout_ms;
    shoal__ws_again(c->ws);
}

/* 1: the event is the program's. */
static int look_at(shoal_client *c, shoal_client_event *event)
{
    if (!shoal__resume_take(&c->session, event))
        return 0;
    if (event->type == SHOAL_CLIENT_AWAY)
        return plan_attempt(c);
    if (event->type == SHOAL_CLIENT_RESUMED)
        want_write(c);
    return 1;
}

int shoal_client_poll(shoal_client *c, int timeout_ms, shoal_client_event *event)
{
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;

    for (int first = 1;; first = 0) {
        int given = shoal__session_next_event(&c->session, event);
        int64_t tick;

        follow_session(c);
        if (given && look_at(c, event))
            return 1;
        if (c->session.told_closed)
            return SHOAL_CLIENT_ECLOSED;
        if (shoal__session_is_away(&c->session))
            try_again(c);
        if (given || (c->session.over && !shoal__session_is_away(&c->session)))
            continue;
        if (atomic_exchange(&c->woken, 0) || (!first && now_ms() >= deadline))
            return 0;
        tick = keep_alive(c);
        shoal__ws_service(c->ws, time_left(c, deadline, tick));
        check_connect_time(c);
    }
}

void shoal_client_wake(shoal_client *c)
{
    atomic_store(&c->woken, 1);
    if (c->watch)
        shoal__watch_wake(c->watch);
    else
        shoal__ws_wake(c->ws);
}

/* ---- on a libuv loop ---- */

static int watched_socket(const shoal_client *c)
{
    return shoal__ws_socket(c->ws);
}

static int watched_wants_write(const shoal_client *c)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    return shoal__session_front(&c->session, &kind, &bytes, &n);
}

int shoal_client_watch(shoal_client *c, struct uv_loop_s *loop, shoal_client_on_event *on_event,
                       void *user)
{
    static const shoal__watched asks = { shoal_client_poll, watched_socket, watched_wants_write };

    if (c->watch)
        return SHOAL_CLIENT_ESTATE;
    return shoal__watch_start(&c->watch, c, &asks, loop, on_event, user);
}

/* ---- looking ---- */

shoal_client_stats shoal_client_get_stats(const shoal_client *c)
{
    return shoal__session_stats(&c->session);
}

const shoal_ready *shoal_client_get_ready(const shoal_client *c)
{
    return c->session.links ? &c->session.ready : NULL;
}

const shoal_options *shoal_client_get_options(const shoal_client *c)
{
    return &c->url.options;
}

int shoal_client_get_kept(const shoal_client *c, size_t *at, const void **bytes, size_t *n)
{
    const uint8_t *view = NULL;
    int r = shoal__out_walk(&c->session.out, at, &view, n);

    *bytes = view;
    return r;
}

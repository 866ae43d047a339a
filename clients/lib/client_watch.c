/* client_watch.c - one client on somebody's libuv loop: see shoal_client_watch
 *
 *     uv_poll   the socket can be read, or written while something waits -> pump
 *     uv_timer  something was queued (now), the library's own times (each second) -> pump
 *     uv_async  shoal_client_wake -> pump
 *     pump      polls the client until it has nothing more; each event -> the program
 *
 * libwebsockets keeps its own poll, which is never waited for here: the loop waits, on a duplicate
 * of the socket, so that closing the socket (libwebsockets does) and forgetting it (libuv does)
 * need no order between them. Until the connection stands nobody can tell what it waits for, so it
 * is asked each few milliseconds.
 *
 * All is touched by the loop's thread, except `wake`. The handles outlive the client until the
 * loop has closed them, so they live in memory of their own; client is NULL from then on.
 */
#include "lib/client_watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

enum { CONNECTING_MS = 5, TICK_MS = 1000, AT_MOST = 64 /* events before others get a turn */ };

/* A connection's own: the next one may come before the loop has closed this one. */
typedef struct waiter {
    uv_poll_t poll;
    int fd;              /* our duplicate */
    shoal__watch *owner; /* no callback comes once it is closing */
} waiter;

struct shoal__watch {
    shoal_client *client; /* NULL: stopped */
    shoal__watched asks;
    shoal_client_on_event *on_event;
    void *user;
    uv_timer_t timer;
    uv_async_t wake;
    waiter *socket; /* NULL: none yet */
    int soon;       /* the timer runs because something was queued */
    int open;       /* handles in here that the loop has yet to close */
    int over;       /* CLOSED was given out */
};

static void on_closed(uv_handle_t *h)
{
    shoal__watch *w = h->data;

    if (--w->open == 0)
        free(w);
}

static void on_socket_closed(uv_handle_t *h)
{
    waiter *s = h->data;

    close(s->fd);
    free(s);
}

static void pump(shoal__watch *w, int timeout_ms);

static void on_timer(uv_timer_t *t)
{
    shoal__watch *w = t->data;
    int tick = !w->soon;

    w->soon = 0;
    pump(w, tick); /* libwebsockets looks at its own timers only if it may wait, so for 1 ms */
}

static void on_wake(uv_async_t *a)
{
    pump(a->data, 0);
}

static void on_ready(uv_poll_t *p, int status, int events)
{
    (void)status; /* an error is the socket's, and the read finds it */
    (void)events;
    pump(((waiter *)p->data)->owner, 0);
}

/* Without memory or descriptors the timer alone asks the socket. */
static void take_socket(shoal__watch *w)
{
    int fd = w->asks.socket(w->client);
    waiter *s = w->socket || fd < 0 ? NULL : calloc(1, sizeof *s);

    if (!s)
        return;
    s->owner = w;
    s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (s->fd >= 0 && uv_poll_init(w->timer.loop, &s->poll, s->fd) == 0) {
        s->poll.data = s;
        w->socket = s;
        return;
    }
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

void shoal__watch_drop_socket(shoal__watch *w)
{
    if (w->socket)
        uv_close((uv_handle_t *)&w->socket->poll, on_socket_closed);
    w->socket = NULL;
}

/* What the loop shall wait for until the next pump. */
static void wait_on(shoal__watch *w)
{
    take_socket(w);
    if (w->socket)
        uv_poll_start(&w->socket->poll,
                      UV_READABLE | (w->asks.wants_write(w->client) ? UV_WRITABLE : 0), on_ready);
    uv_timer_start(&w->timer, on_timer, w->socket ? TICK_MS : CONNECTING_MS, 0);
}

/* The program may free the client in any callback. */
static void pump(shoal__watch *w, int timeout_ms)
{
    shoal_client_event e;
    int r = 0;

    for (int i = 0; i < AT_MOST && w->client; i++) {
        r = w->asks.poll(w->client, i ? 0 : timeout_ms, &e);
        if (r != 1)
            break;
        w->over = e.type == SHOAL_CLIENT_CLOSED;
        if (w->over || e.type == SHOAL_CLIENT_AWAY)
            shoal__watch_drop_socket(w);
        w->on_event(w->client, &e, w->user);
    }
    if (!w->client)
        return;
    if (w->over)
        uv_timer_stop(&w->timer);
    else if (r == 1)
        shoal__watch_soon(w);
    else
        wait_on(w);
}

int shoal__watch_start(shoal__watch **out, shoal_client *c, const shoal__watched *asks,
                       struct uv_loop_s *loop, shoal_client_on_event *on_event, void *user)
{
    shoal__watch *w = calloc(1, sizeof *w);

    if (!w)
        return SHOAL_CLIENT_ENOMEM;
    *w = (shoal__watch){ .client = c, .asks = *asks, .on_event = on_event, .user = user };
    if (uv_async_init(loop, &w->wake, on_wake) < 0) {
        free(w);
        return SHOAL_CLIENT_ENOMEM;
    }
    uv_timer_init(loop, &w->timer);
    w->timer.data = w->wake.data = w;
    w->open = 2;
    uv_unref((uv_handle_t *)&w->wake); /* a session that is over holds no loop */
    uv_timer_start(&w->timer, on_timer, 0, 0);
    *out = w;
    return 0;
}

void shoal__watch_stop(shoal__watch *w)
{
    if (!w)
        return;
    w->client = NULL;
    shoal__watch_drop_socket(w);
    uv_close((uv_handle_t *)&w->timer, on_closed);
    uv_close((uv_handle_t *)&w->wake, on_closed);
}

void shoal__watch_soon(shoal__watch *w)
{
    if (w->over)
        return;
    w->soon = 1;
    uv_timer_start(&w->timer, on_timer, 0, 0);
}

void shoal__watch_wake(shoal__watch *w)
{
    uv_async_send(&w->wake);
}

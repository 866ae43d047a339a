/* greeting.c - see greeting.h */
#include "net/greeting.h"

#include "base/log.h"
#include "plan/times.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    KEEP_ALIVE_S = 15,      /* answered -> the next request begins */
    LINGER_S = 2,           /* answered for good -> gone */
    LINGER_BYTES = 1 << 20, /* read and thrown away meanwhile */
    LINGER_BODY = 16 << 20, /* where a body was on its way */
    SLOWEST = 64 << 10,     /* bytes a second that a reader takes of a large answer */
    ANSWERS_A_TICK = 16,    /* of one connection that stays */
    ALL_ANSWERS_A_TICK = 64 /* of all that stay */
};

void shoald_greeting_set_deadline(shoald_greeting *g, int seconds)
{
    g->deadline_ns = uv_hrtime() + (uint64_t)seconds * SHOALD_NS_PER_S;
}

void shoald_greeting_want(shoald_greeting *g, int events)
{
    if (g->events != events)
        uv_poll_start(&g->poll, events, g->on_event);
    g->events = events;
}

/* What it asks meanwhile waits in the kernel. */
static void rest(shoald_greeting *g)
{
    uv_poll_stop(&g->poll);
    g->events = 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* The socket is nobody's then. To be done before somebody else polls it. */
void shoald_greeting_let_go(shoald_greeting *g)
{
    shoald_waiting_remove(&g->door->waiting, &g->member);
    uv_close((uv_handle_t *)&g->poll, on_closed);
}

void shoald_greeting_forget(shoald_greeting *g)
{
    if (g->bytes)
        explicit_bzero(g->bytes, g->size); /* there may have been a token */
    free(g->bytes);
    g->bytes = NULL;
    g->size = g->room = 0;
    memset(&g->head, 0, sizeof g->head);
    shoal_buf_free(&g->top);
    memset(&g->top, 0, sizeof g->top);
    shoald_answer_free(&g->answer);
    g->sent = 0;
}

void shoald_greeting_end(shoald_greeting *g)
{
    shoald_greeting_forget(g);
    shoald_greeting_let_go(g);
    close(g->fd);
    g->door->house->connection_count--;
}

/* All that can be said without memory. */
void shoald_greeting_say_no_memory(int fd)
{
    static const char words[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                "Retry-After: 1\r\nConnection: close\r\n\r\n";
    (void)!send(fd, words, sizeof words - 1, MSG_NOSIGNAL);
}

/* ---- the end of a connection ----------------------------------------------------------- */

/* Closing a socket with unread bytes would reset it, and the answer with it. */
static void linger(shoald_greeting *g)
{
    g->most_drained = g->head.has_body ? LINGER_BODY : LINGER_BYTES;
    shoald_greeting_forget(g);
    shutdown(g->fd, SHUT_WR);
    shoald_waiting_move(&g->door->waiting, &g->member, SHOALD_LINGERING);
    shoald_greeting_set_deadline(g, LINGER_S);
    shoald_greeting_want(g, UV_READABLE);
}

void shoald_greeting_drain(shoald_greeting *g)
{
    char waste[16 << 10];
    ssize_t n = recv(g->fd, waste, sizeof waste, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    g->drained += n > 0 ? (size_t)n : 0;
    if (n <= 0 || g->drained > g->most_drained)
        shoald_greeting_end(g);
}

/* ---- answering ------------------------------------------------------------------------- */

static void ask_again(shoald_greeting *g)
{
    shoald_greeting_forget(g);
    g->asked_before = true;
    shoald_waiting_move(&g->door->waiting, &g->member, SHOALD_ASKING);
    shoald_greeting_set_deadline(g, KEEP_ALIVE_S);
    if (++g->answers >= ANSWERS_A_TICK || ++g->door->answers >= ALL_ANSWERS_A_TICK)
        rest(g);
    else
        shoald_greeting_want(g, UV_READABLE);
}

/* What is left of head and body. */
static ssize_t send_more(shoald_greeting *g, size_t left_of_top, const char *body,
                         size_t left_of_body)
{
    struct iovec parts[2] = {
        { g->top.data + g->top.size - left_of_top, left_of_top },
        { (char *)(uintptr_t)body, left_of_body },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    return sendmsg(g->fd, &message, MSG_NOSIGNAL);
}

void shoald_greeting_go_on(shoald_greeting *g)
{
    size_t size, top = g->top.size;
    const char *body = shoald_answer_body(&g->answer, &size);
    size = g->head.method == SHOALD_HEAD ? 0 : size;
    while (g->sent < top + size) {
        size_t of_body = g->sent > top ? g->sent - top : 0;
        ssize_t n = send_more(g, g->sent < top ? top - g->sent : 0, body + of_body, size - of_body);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            shoald_greeting_want(g, UV_WRITABLE);
            return;
        }
        if (n < 0) {
            shoald_greeting_end(g);
            return;
        }
        g->sent += (size_t)n;
    }
    if (g->closes)
        linger(g);
    else
        ask_again(g);
}

void shoald_greeting_await_reader(shoald_greeting *g)
{
    size_t size;
    shoald_answer_body(&g->answer, &size);
    shoald_waiting_move(&g->door->waiting, &g->member, SHOALD_ANSWERING);
    shoald_greeting_set_deadline(g, g->door->house->settings.slow_reader_timeout_s +
                                        (int)(size / SLOWEST));
    shoald_greeting_go_on(g);
}

void shoald_greeting_answer(shoald_greeting *g, int made)
{
    g->closes |= g->head.close || g->head.has_body || g->door->house->draining;
    shoald_connection how = g->closes            ? SHOALD_CLOSES
                            : g->head.minor == 0 ? SHOALD_KEEPS_1_0
                                                 : SHOALD_KEEPS;
    if (made < 0 || shoald_answer_write_head(&g->top, &g->answer, how) < 0) {
        shoald_greeting_say_no_memory(g->fd);
        linger(g);
        return;
    }
    shoald_greeting_await_reader(g);
}

/* ---- refusals -------------------------------------------------------------------------- */

void shoald_greeting_log_untold(shoald_door *d, uint64_t now_ns)
{
    if (now_ns - d->told_ns <= SHOALD_NS_PER_S)
        return;
    if (d->untold)
        shoald_log(SHOALD_LOG_INFO, "requests_refused", "not_told=%d", d->untold);
    d->told_ns = now_ns;
    d->told = d->untold = 0;
}

/* Whoever sends many gets some of them told, and the number of the others. */
void shoald_greeting_log_refusal(shoald_greeting *g, int status, const char *why)
{
    enum { LINES_A_SECOND = 10 };
    shoald_door *d = g->door;
    char quoted[512];
    shoald_greeting_log_untold(d, uv_hrtime());
    if (d->told >= LINES_A_SECOND) {
        d->untold++;
        return;
    }
    d->told++;
    shoald_log(SHOALD_LOG_INFO, "request_refused", "peer=%s status=%d why=%s", g->peer.name, status,
               shoald_log_quote(quoted, sizeof quoted, why));
}

/* status 0: the error's own */
void shoald_greeting_refuse(shoald_greeting *g, int status, const shoal_error *err)
{
    int made = shoald_answer_error(&g->answer, status, err);
    g->closes = true;
    shoald_count(&g->door->house->stats.errors[err->code], 1);
    shoald_count(&g->door->house->stats.http_requests, 1);
    shoald_greeting_log_refusal(g, g->answer.status, err->message);
    shoald_greeting_answer(g, made);
}

void shoald_greeting_refuse_request(shoald_greeting *g, int status, const char *why)
{
    shoal_error err;
    shoal_error_set(&err, SHOAL_CODE_BAD_REQUEST, NULL, "%s", why);
    shoald_greeting_refuse(g, status, &err);
}

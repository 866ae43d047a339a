/* greet.c - see greet.h */
#include "net/greet.h"

#include "base/log.h"
#include "net/answer.h"
#include "net/gates.h"
#include "net/link.h"
#include "net/pages.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FIRST_ROOM = 1024,      /* for a head; most have less */
    KEEP_ALIVE_S = 15,      /* answered -> the next request begins */
    LINGER_S = 2,           /* answered for good -> gone */
    LINGER_BYTES = 1 << 20, /* read and thrown away meanwhile */
    LINGER_BODY = 16 << 20, /* where a body was on its way */
    SLOWEST = 64 << 10,     /* bytes a second that a reader takes of a large answer */
    ANSWERS_A_TICK = 16,    /* of one connection that stays */
    ALL_ANSWERS_A_TICK = 64 /* of all that stay */
};

typedef struct greeting {
    shoald_member member; /* first: the pool's pointer is ours */
    shoald_door *door;
    shoald_peer peer;
    uv_poll_t poll;
    int fd, events;
    uint64_t deadline_ns;
    bool asked_before;
    int answers; /* since the last tick */

    char *bytes; /* [room] what has been read of a head */
    size_t size, room;
    shoald_head head;

    shoal_buf top; /* of the answer: its head */
    shoald_answer answer;
    size_t sent; /* of both */
    bool closes;
    size_t drained, most_drained;
} greeting;

static void on_event(uv_poll_t *poll, int status, int events);

static void set_deadline(greeting *g, int seconds)
{
    g->deadline_ns = uv_hrtime() + (uint64_t)seconds * 1000000000u;
}

static void want(greeting *g, int events)
{
    if (g->events != events)
        uv_poll_start(&g->poll, events, on_event);
    g->events = events;
}

/* What it asks meanwhile waits in the kernel. */
static void rest(greeting *g)
{
    uv_poll_stop(&g->poll);
    g->events = 0;
}

static void forget_request(greeting *g)
{
    free(g->bytes);
    g->bytes = NULL;
    g->size = g->room = 0;
    memset(&g->head, 0, sizeof g->head);
    shoal_buf_free(&g->top);
    memset(&g->top, 0, sizeof g->top);
    shoald_answer_free(&g->answer);
    g->sent = 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* The socket is nobody's then. To be done before somebody else polls it. */
static void let_go(greeting *g)
{
    shoald_pool_remove(&g->door->pool, &g->member);
    uv_close((uv_handle_t *)&g->poll, on_closed);
}

static void end(greeting *g)
{
    forget_request(g);
    let_go(g);
    close(g->fd);
    g->door->house->connection_count--;
}

void shoald_greet_end(shoald_member *m)
{
    end((greeting *)m);
}

/* All that can be said without memory. */
static void say_no_memory(int fd)
{
    static const char words[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                "Retry-After: 1\r\nConnection: close\r\n\r\n";
    (void)!send(fd, words, sizeof words - 1, MSG_NOSIGNAL);
}

/* ---- the end of a connection ----------------------------------------------------------- */

/* Closing a socket with unread bytes would reset it, and the answer with it. */
static void linger(greeting *g)
{
    forget_request(g);
    shutdown(g->fd, SHUT_WR);
    shoald_pool_move(&g->door->pool, &g->member, SHOALD_LINGERING);
    set_deadline(g, LINGER_S);
    want(g, UV_READABLE);
}

static void drain(greeting *g)
{
    char waste[16 << 10];
    ssize_t n = recv(g->fd, waste, sizeof waste, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    g->drained += n > 0 ? (size_t)n : 0;
    if (n <= 0 || g->drained > g->most_drained)
        end(g);
}

/* ---- answering ------------------------------------------------------------------------- */

static void ask_again(greeting *g)
{
    forget_request(g);
    g->asked_before = true;
    shoald_pool_move(&g->door->pool, &g->member, SHOALD_ASKING);
    set_deadline(g, KEEP_ALIVE_S);
    if (++g->answers >= ANSWERS_A_TICK || ++g->door->answers >= ALL_ANSWERS_A_TICK)
        rest(g);
    else
        want(g, UV_READABLE);
}

/* What is left of head and body. */
static ssize_t send_more(greeting *g, size_t left_of_top, const char *body, size_t left_of_body)
{
    struct iovec parts[2] = {
        { g->top.data + g->top.size - left_of_top, left_of_top },
        { (char *)(uintptr_t)body, left_of_body },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    return sendmsg(g->fd, &message, MSG_NOSIGNAL);
}

static void go_on_answering(greeting *g)
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
            want(g, UV_WRITABLE);
            return;
        }
        if (n < 0) {
            end(g);
            return;
        }
        g->sent += (size_t)n;
    }
    if (g->closes)
        linger(g);
    else
        ask_again(g);
}

static void await_reader(greeting *g)
{
    size_t size;
    shoald_answer_body(&g->answer, &size);
    shoald_pool_move(&g->door->pool, &g->member, SHOALD_ANSWERING);
    set_deadline(g, g->door->house->settings.slow_reader_timeout_s + (int)(size / SLOWEST));
    go_on_answering(g);
}

static void start_answering(greeting *g, int made)
{
    shoald_house *house = g->door->house;
    g->closes |= g->head.close || g->head.has_body || house->draining;
    g->most_drained = g->head.has_body ? LINGER_BODY : LINGER_BYTES;
    shoald_connection how = g->closes            ? SHOALD_CLOSES
                            : g->head.minor == 0 ? SHOALD_KEEPS_1_0
                                                 : SHOALD_KEEPS;
    if (made < 0 || shoald_answer_write_head(&g->top, &g->answer, how) < 0) {
        say_no_memory(g->fd);
        linger(g);
        return;
    }
    shoald_count(&house->stats.http_requests, 1);
    await_reader(g);
}

/* ---- refusals -------------------------------------------------------------------------- */

/* Whoever sends many gets some of them told, and the number of the others. */
static void log_refusal(greeting *g, int status, const char *why)
{
    enum { LINES_A_SECOND = 10 };
    shoald_door *d = g->door;
    char quoted[512];
    uint64_t now_ns = uv_hrtime();
    if (now_ns - d->told_ns > 1000000000u) {
        if (d->untold)
            shoald_log(SHOALD_LOG_INFO, "requests_refused", "not_told=%d", d->untold);
        d->told_ns = now_ns;
        d->told = d->untold = 0;
    }
    if (d->told >= LINES_A_SECOND) {
        d->untold++;
        return;
    }
    d->told++;
    shoald_log(SHOALD_LOG_INFO, "request_refused", "peer=%s status=%d why=%s", g->peer.name, status,
               shoald_log_quote(quoted, sizeof quoted, why));
}

/* status 0: the error's own */
static void refuse(greeting *g, int status, const shoal_error *err)
{
    int made = shoald_answer_error(&g->answer, status, err);
    g->closes = true;
    shoald_count(&g->door->house->stats.errors[err->code], 1);
    log_refusal(g, g->answer.status, err->message);
    start_answering(g, made);
}

static void refuse_request(greeting *g, int status, const char *why)
{
    shoal_error err;
    shoal_error_set(&err, SHOAL_CODE_BAD_REQUEST, NULL, "%s", why);
    refuse(g, status, &err);
}

/* ---- a request -------------------------------------------------------------------------- */

/* What lws reads: nothing of the client's but its key and its host. */
static int write_upgrade(char *to, size_t size, const shoald_head *h)
{
    return snprintf(to, size,
                    "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                    SHOAL_PATH, h->host, h->key,
                    h->offers_ours ? "Sec-WebSocket-Protocol: " SHOAL_SUBPROTOCOL "\r\n" : "");
}

static void upgrade(greeting *g)
{
    char text[1024];
    shoald_entry entry;
    int status;
    shoald_house *house = g->door->house;
    shoald_verdict verdict =
        shoald_gates_check(house, &g->peer, &g->head, g->bytes, &entry, &status);
    if (entry.error.code)
        shoald_count(&house->stats.refused, 1);
    if (verdict == SHOALD_REFUSED) {
        if (status == 426)
            shoald_answer_add_line(&g->answer, "Sec-WebSocket-Version: 13");
        refuse(g, status, &entry.error);
        return;
    }
    int n = write_upgrade(text, sizeof text, &g->head);
    forget_request(g);
    let_go(g);
    if (shoald_link_adopt(house, g->fd, &g->peer, text, (size_t)n, &entry) == 0)
        return;
    say_no_memory(g->fd);
    close(g->fd);
    house->connection_count--;
}

/* With a body that streams into a session. */
static void post(greeting *g)
{
    shoald_entry entry;
    shoald_taste taste;
    int status;
    shoald_door *door = g->door;
    shoald_answer_add_line(&g->answer, "Access-Control-Allow-Origin: *");
    if (!shoald_gates_check_post(door->house, &g->peer, &g->head, g->bytes, &entry, &taste,
                                 &status)) {
        shoald_count(&door->house->stats.refused, 1);
        refuse(g, status, &entry.error);
        return;
    }
    shoald_head head = g->head;
    forget_request(g);
    let_go(g);
    shoald_count(&door->house->stats.http_requests, 1);
    if (shoald_post_adopt(&door->posts, g->fd, &g->peer, &head, taste, &entry) == 0)
        return;
    say_no_memory(g->fd);
    close(g->fd);
    door->house->connection_count--;
}

static void respond(greeting *g)
{
    char where[SHOALD_MAX_PATH + 16];
    if (g->head.upgrade && g->head.method == SHOALD_GET) {
        upgrade(g);
        return;
    }
    if (g->head.method == SHOALD_POST && shoald_gates_output(g->head.path)) {
        post(g);
        return;
    }
    /* who says CONNECT or POST goes on with something else than a request */
    g->closes = g->head.method >= SHOALD_POST;
    int made = shoald_pages_answer(g->door->house, &g->peer, &g->head, &g->answer);
    if (g->answer.status >= 400 && g->answer.status < 500) {
        snprintf(where, sizeof where, "at %s", *g->head.path ? g->head.path : "no page's URL");
        log_refusal(g, g->answer.status, where);
    }
    start_answering(g, made);
}

/* ---- asking ---------------------------------------------------------------------------- */

static int make_room(greeting *g)
{
    size_t room = g->room ? 2 * g->room : FIRST_ROOM;
    room = room < SHOALD_MAX_HEAD ? room : SHOALD_MAX_HEAD;
    if (g->size < g->room)
        return 0;
    char *bytes = realloc(g->bytes, room);
    if (!bytes)
        return -1;
    g->bytes = bytes;
    g->room = room;
    return 0;
}

/* Looks first, and then takes no more than the head. Returns 1, 0 when there is nothing yet, or -1
 * at the end of the connection. */
static int read_head(greeting *g, shoald_head_state *state)
{
    if (make_room(g) < 0)
        return -1;
    ssize_t n = recv(g->fd, g->bytes + g->size, g->room - g->size, MSG_PEEK);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    if (g->size == 0 && g->asked_before)
        set_deadline(g, g->door->house->settings.handshake_timeout_s);
    *state = shoald_head_take(&g->head, g->bytes, g->size + (size_t)n);
    size_t taken = *state == SHOALD_HEAD_WHOLE ? g->head.size - g->size : (size_t)n;
    if (recv(g->fd, g->bytes + g->size, taken, 0) != (ssize_t)taken)
        return -1;
    g->size += taken;
    return 1;
}

static void ask(greeting *g)
{
    shoald_head_state state;
    int result = read_head(g, &state);
    if (result < 0)
        end(g);
    else if (result > 0 && state == SHOALD_HEAD_WHOLE)
        respond(g);
    else if (result > 0 && state == SHOALD_HEAD_REFUSED)
        refuse_request(g, g->head.status, g->head.why);
}

/* ---- events ---------------------------------------------------------------------------- */

static void take_turn(greeting *g)
{
    switch (g->member.standing) {
    case SHOALD_ASKING: ask(g); break;
    case SHOALD_ANSWERING: go_on_answering(g); break;
    default: drain(g); break;
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status < 0)
        end(poll->data); /* it was reset */
    else
        take_turn(poll->data);
}

void shoald_greet_on_tick(shoald_member *m, uint64_t now_ns)
{
    greeting *g = (greeting *)m;
    g->answers = 0;
    if (m->standing == SHOALD_ASKING)
        want(g, UV_READABLE);
    if (now_ns < g->deadline_ns)
        return;
    if (m->standing == SHOALD_ASKING && g->size > 0)
        refuse_request(g, 408, "the request did not come to its end in time");
    else
        end(g);
}

/* Little waits unsent in the kernel: results that a client does not take stay in our queue,
 * where they are counted, and an error reaches it soon after it reads again. */
static void set_socket_options(int fd)
{
    int on = 1, unsent_bytes = 64 << 10;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
}

/* In the pool, asking, without a deadline. NULL: no memory, fd is closed. */
static greeting *new_greeting(shoald_door *door, int fd, const shoald_peer *peer)
{
    greeting *g = calloc(1, sizeof *g);
    if (!g || uv_poll_init(door->loop, &g->poll, fd) < 0) {
        free(g);
        close(fd);
        return NULL;
    }
    g->door = door;
    g->fd = fd;
    g->peer = *peer;
    g->poll.data = g;
    g->most_drained = LINGER_BYTES;
    shoald_pool_add(&door->pool, &g->member, &g->peer);
    return g;
}

void shoald_greet_take_back(void *owner, shoald_parting *p)
{
    shoald_door *door = owner;
    greeting *g = new_greeting(door, p->fd, &p->peer);
    if (!g) {
        shoal_buf_free(&p->bytes);
        shoald_answer_free(&p->answer);
        door->house->connection_count--;
        return;
    }
    g->top = p->bytes;
    g->sent = p->sent;
    g->answer = p->answer;
    g->head.minor = p->minor;
    g->head.has_body = p->closes; /* some of it may be on its way */
    g->closes = p->closes || door->house->draining;
    if (p->answer.status)
        start_answering(g, 0);
    else
        await_reader(g);
}

void shoald_greet_start(shoald_door *door, int fd, const shoald_peer *peer)
{
    greeting *g = new_greeting(door, fd, peer);
    if (!g)
        return;
    set_socket_options(fd); /* a unix socket has none of them */
    door->house->connection_count++;
    shoald_count(&door->house->stats.connections, 1);
    set_deadline(g, door->house->settings.handshake_timeout_s);
    want(g, UV_READABLE);
    take_turn(g); /* most have sent their request by now */
}

/* greet.c - see greet.h */
#include "net/greet.h"

#include "base/trust.h"
#include "net/access.h"
#include "net/address.h"
#include "net/gates.h"
#include "net/greeting.h"
#include "net/link.h"
#include "net/pages.h"
#include "net/proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_ROOM = 1024 /* for a head; most have less */ };

static void on_event(uv_poll_t *poll, int status, int events);

void shoald_greet_end(shoald_member *m)
{
    shoald_greeting_end((shoald_greeting *)m);
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

/* Nobody could take the socket over. */
static void drop(shoald_house *house, int fd)
{
    shoald_greeting_say_no_memory(fd);
    close(fd);
    house->connection_count--;
}

/* Of those who may come in at all: the others are counted by what they lack (net/access). */
static void count_refusal(shoald_house *house, const shoal_error *err)
{
    if (err->code && err->code != SHOAL_CODE_UNAUTHORIZED && err->code != SHOAL_CODE_FORBIDDEN)
        shoald_count(&house->stats.refused, 1);
}

/* What the status is good for only with a header. */
static void add_lines(shoald_greeting *g, int status)
{
    if (status == 401)
        shoald_access_add_challenge(&g->head, &g->answer);
    if (status == 426)
        shoald_answer_add_line(&g->answer, "Sec-WebSocket-Version: 13");
}

static void upgrade(shoald_greeting *g)
{
    char text[1024];
    shoald_entry entry;
    int status;
    shoald_house *house = g->door->house;
    shoald_verdict verdict =
        shoald_gates_check(house, &g->peer, &g->head, g->bytes, &entry, &status);
    count_refusal(house, &entry.error);
    if (verdict == SHOALD_REFUSED) {
        add_lines(g, status);
        shoald_greeting_refuse(g, status, &entry.error);
        return;
    }
    int n = write_upgrade(text, sizeof text, &g->head);
    shoald_greeting_forget(g);
    shoald_greeting_let_go(g);
    if (shoald_link_adopt(house, g->fd, &g->peer, text, (size_t)n, &entry) < 0)
        drop(house, g->fd);
}

/* With a body that streams into a session. */
static void post(shoald_greeting *g)
{
    shoald_entry entry;
    shoald_taste taste;
    int status;
    shoald_door *door = g->door;
    shoald_answer_add_cors(&g->answer, shoald_access_reader(door->house, &g->head));
    if (!shoald_gates_check_post(door->house, &g->peer, &g->head, g->bytes, &entry, &taste,
                                 &status)) {
        count_refusal(door->house, &entry.error);
        add_lines(g, status);
        shoald_greeting_refuse(g, status, &entry.error);
        return;
    }
    shoald_head head = g->head;
    shoald_greeting_forget(g);
    shoald_greeting_let_go(g);
    shoald_count(&door->house->stats.http_requests, 1);
    if (shoald_post_adopt(&door->posts, g->fd, &g->peer, &head, taste, &entry) < 0)
        drop(door->house, g->fd);
}

static void respond(shoald_greeting *g)
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
    shoald_count(&g->door->house->stats.http_requests, 1);
    int made = shoald_pages_answer(g->door->house, &g->peer, &g->head, g->bytes, &g->answer);
    if (g->answer.status >= 400 && g->answer.status < 500) {
        snprintf(where, sizeof where, "at %s", *g->head.path ? g->head.path : "no page's URL");
        shoald_greeting_log_refusal(g, g->answer.status, where);
    }
    shoald_greeting_answer(g, made);
}

/* ---- asking ---------------------------------------------------------------------------- */

static int make_room(shoald_greeting *g)
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
static int read_head(shoald_greeting *g, shoald_head_state *state)
{
    if (make_room(g) < 0)
        return -1;
    ssize_t n = recv(g->fd, g->bytes + g->size, g->room - g->size, MSG_PEEK);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    if (g->size == 0 && g->asked_before)
        shoald_greeting_set_deadline(g, g->door->house->settings.handshake_timeout_s);
    *state = shoald_head_take(&g->head, g->bytes, g->size + (size_t)n);
    size_t taken = *state == SHOALD_HEAD_WHOLE ? g->head.size - g->size : (size_t)n;
    if (recv(g->fd, g->bytes + g->size, taken, 0) != (ssize_t)taken)
        return -1;
    g->size += taken;
    return 1;
}

/* The next bytes of what a proxy says first, and none beyond it. False: not now; it may be gone. */
static bool read_proxy(shoald_greeting *g, size_t more)
{
    size_t room = g->room - g->size;
    ssize_t n = recv(g->fd, g->bytes + g->size, more < room ? more : room, 0);
    if (n > 0)
        g->size += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        shoald_greeting_end(g);
    return n > 0;
}

/* True: it is known whose it is. False: not yet; it may be gone. */
static bool know_peer(shoald_greeting *g)
{
    shoald_proxied p;
    int more = 1;
    while (g->awaits_proxy && more > 0) {
        if (make_room(g) < 0) {
            shoald_greeting_end(g);
            return false;
        }
        more = shoald_proxy_take(&p, (const unsigned char *)g->bytes, g->size);
        if (more > 0 && !read_proxy(g, (size_t)more))
            return false;
        if (more < 0) {
            shoald_greeting_refuse_request(g, 400, p.why);
            return false;
        }
        if (more == 0 && p.known)
            shoald_peer_set(&g->peer, &p.from);
    }
    g->size = g->awaits_proxy ? 0 : g->size;
    g->awaits_proxy = false;
    return true;
}

static void ask(shoald_greeting *g)
{
    shoald_head_state state;
    int result = know_peer(g) ? read_head(g, &state) : 0;
    if (result < 0)
        shoald_greeting_end(g);
    else if (result > 0 && state == SHOALD_HEAD_WHOLE)
        respond(g);
    else if (result > 0 && state == SHOALD_HEAD_REFUSED)
        shoald_greeting_refuse_request(g, g->head.status, g->head.why);
}

/* ---- events ---------------------------------------------------------------------------- */

static void take_turn(shoald_greeting *g)
{
    switch (g->member.standing) {
    case SHOALD_ASKING: ask(g); break;
    case SHOALD_ANSWERING: shoald_greeting_go_on(g); break;
    default: shoald_greeting_drain(g); break;
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status < 0)
        shoald_greeting_end(poll->data); /* it was reset */
    else
        take_turn(poll->data);
}

void shoald_greet_on_tick(shoald_member *m, uint64_t now_ns)
{
    shoald_greeting *g = (shoald_greeting *)m;
    g->answers = 0;
    if (m->standing == SHOALD_ASKING)
        shoald_greeting_want(g, UV_READABLE);
    if (now_ns < g->deadline_ns)
        return;
    if (m->standing == SHOALD_ASKING && g->size > 0)
        shoald_greeting_refuse_request(g, 408, "the request did not come to its end in time");
    else
        shoald_greeting_end(g);
}

/* Little waits unsent in the kernel: results that a client does not take stay in our queue,
 * where they are counted, and an error reaches it soon after it reads again. */
static void set_socket_options(int fd)
{
    int on = 1, unsent_bytes = 64 << 10;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
}

/* Among those that wait, asking, without a deadline. NULL: no memory, fd is closed. */
static shoald_greeting *new_greeting(shoald_door *door, int fd, const shoald_peer *peer)
{
    shoald_greeting *g = calloc(1, sizeof *g);
    if (!g || uv_poll_init(door->loop, &g->poll, fd) < 0) {
        free(g);
        close(fd);
        return NULL;
    }
    g->door = door;
    g->fd = fd;
    g->peer = *peer;
    g->poll.data = g;
    g->on_event = on_event;
    shoald_waiting_add(&door->waiting, &g->member, &g->peer);
    return g;
}

void shoald_greet_take_back(void *owner, shoald_parting *p)
{
    shoald_door *door = owner;
    shoald_greeting *g = new_greeting(door, p->fd, &p->peer);
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
        shoald_greeting_answer(g, 0);
    else
        shoald_greeting_await_reader(g);
}

/* Unix sockets are out of the reach of browsers. */
static bool came_by_loopback(int fd)
{
    struct sockaddr_storage at = { 0 };
    socklen_t size = sizeof at;
    return getsockname(fd, (struct sockaddr *)&at, &size) < 0 ||
           (at.ss_family != AF_UNIX && shoald_address_is_loopback(&at));
}

void shoald_greet_start(shoald_door *door, int fd, const shoald_peer *peer)
{
    shoald_greeting *g = new_greeting(door, fd, peer);
    if (!g)
        return;
    g->awaits_proxy = shoald_trust_has(door->house->settings.proxy_from, peer);
    g->peer.by_loopback = !g->awaits_proxy && came_by_loopback(fd);
    set_socket_options(fd); /* a unix socket has none of them */
    door->house->connection_count++;
    shoald_count(&door->house->stats.connections, 1);
    shoald_greeting_set_deadline(g, door->house->settings.handshake_timeout_s);
    shoald_greeting_want(g, UV_READABLE);
    take_turn(g); /* most have sent their request by now */
}

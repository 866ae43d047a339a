/* load_session.c - one session: connect, send what is due, end
 *
 *     WAITING -> CONNECTING -> UPGRADING -> OPEN -> CLOSED
 *
 * Order on the wire: `out` (the request, pongs, end) as soon as no packet is half sent, then the
 * packets that are due. A full socket leaves them due: they need no memory, being views of
 * the shared audio, and go when epoll reports room.
 */
#include "load/load_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { READ_BYTES = 4096, BURST = 64 }; /* packets of one session before others get a turn */

static void fail_socket(load_session *s, int error)
{
    char why[512];

    if (load_link_explain(s, why, sizeof why))
        load_session_close(s, LOAD_FAILED, "%s", why);
    else if (error == ECONNREFUSED)
        load_session_close(s, LOAD_FAILED,
                           "nothing answers at %s:%d (connection refused): is shoald "
                           "running there?",
                           s->run->o->host, s->run->o->port);
    else
        load_session_close(s, LOAD_FAILED,
                           "the connection to %s:%d broke: %s; the server's log "
                           "may say why",
                           s->run->o->host, s->run->o->port, strerror(error));
}

/* ---- connecting ---- */

static void watch(load_session *s, int op, int out)
{
    struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = s };

    s->wants_out = out;
    if (epoll_ctl(s->run->epoll_fd, op, s->fd, &e) < 0)
        fail_socket(s, errno);
}

static void prepare(load_session *s)
{
    shoal_options ask = s->run->o->session;

    ask.chunk_ms = s->plan->chunk_ms;
    if (s->plan->depth_max) {
        ask.depth_min = s->plan->depth_min;
        ask.depth_max = s->plan->depth_max;
        ask.given |= SHOAL_OPT_DEPTH;
    }
    s->packet_bytes = (size_t)s->plan->packet_ms * LOAD_RATE / 1000 * s->run->audio->sample_bytes;
    s->header_bytes = load_ws_header(s->header, LOAD_WS_BINARY, s->packet_bytes);
    if (load_ws_request(&s->out, s->run->o, &ask) < 0)
        load_session_close(s, LOAD_FAILED, "out of memory: use fewer --sessions");
}

static void give_up_connecting(load_session *s, int error)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    if (s->address)
        s->address = s->address->ai_next;
    if (!s->address)
        fail_socket(s, error);
}

/* One attempt at s->address; it is the next one when that fails at once. */
static void try_address(load_session *s)
{
    const struct addrinfo *a = s->address;
    int one = 1;

    s->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        load_session_close(s, LOAD_FAILED, "cannot open a socket: %s; raise ulimit -n",
                           strerror(errno));
        return;
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        give_up_connecting(s, errno);
    else
        watch(s, EPOLL_CTL_ADD, 1);
}

static void connect_somewhere(load_session *s)
{
    while (s->state == LOAD_CONNECTING && s->fd < 0)
        try_address(s);
}

static void start_connect(load_session *s)
{
    s->heard_ns = load_now(s->run);
    s->address = s->run->address;
    s->state = LOAD_CONNECTING;
    prepare(s);
    connect_somewhere(s);
}

static void finish_connect(load_session *s)
{
    int error = 0;
    socklen_t n = sizeof error;

    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (!error) {
        s->run->address = s->address;
        s->state = LOAD_UPGRADING;
        if (load_link_open(s) < 0)
            load_session_close(s, LOAD_FAILED, "out of memory: use fewer --sessions");
        return;
    }
    give_up_connecting(s, error);
    connect_somewhere(s);
}

/* ---- sending ---- */

/* Of a send that returned -1. 0: the socket is full, 2: something must come first, -1: it broke. */
static int why_not(void)
{
    return errno == EAGAIN ? 0 : errno == EALREADY ? 2 : -1;
}

/* 1: all of it went, else as why_not. */
static int send_out(load_session *s)
{
    while (s->out_sent < s->out.size) {
        struct iovec v = { s->out.data + s->out_sent, s->out.size - s->out_sent };
        ssize_t n = load_link_send(s, &v, 1);
        if (n < 0)
            return why_not();
        s->out_sent += (size_t)n;
    }
    s->out.size = s->out_sent = 0;
    return 1;
}

static void count_sent(load_session *s)
{
    load_run *run = s->run;
    int64_t due = load_due_ns(s->plan, s->sent), late_us = (load_now(run) - due) / 1000;

    s->sent++;
    s->part = 0;
    s->begun = 0;
    if (run->o->fast)
        return;
    load_hist_add(&run->st->second.late, late_us);
    if (due >= run->window.from && due < run->window.to)
        load_hist_add(&run->st->steady.late, late_us);
}

/* The rest of packet `sent`. As send_out. */
static int send_packet(load_session *s)
{
    const uint8_t *audio = load_audio_view(s->run->audio, s->plan, s->sent);
    size_t in_header = s->part < s->header_bytes ? s->part : s->header_bytes;
    size_t in_audio = s->part - in_header, left = s->header_bytes + s->packet_bytes - s->part;
    struct iovec v[2] = { { s->header + in_header, s->header_bytes - in_header },
                          { (void *)(uintptr_t)(audio + in_audio), s->packet_bytes - in_audio } };
    ssize_t n = load_link_send(s, v, 2);

    s->begun = s->tls && n < 0;
    if (n < 0)
        return why_not();
    if (n == (ssize_t)left) {
        count_sent(s);
        return 1;
    }
    s->part += (size_t)n;
    return 0;
}

static int queue_message(load_session *s, shoal_msg_type type)
{
    char text[64];
    shoal_buf b;
    shoal_client_msg m = { .type = type };

    shoal_buf_wrap(&b, text, sizeof text);
    return shoal_client_msg_encode(&b, &m) < 0
               ? -1
               : load_ws_frame(&s->out, LOAD_WS_TEXT, b.data, b.size);
}

static int may_end(const load_session *s)
{
    return s->state == LOAD_OPEN && !s->ended && s->sent >= s->plan->packets &&
           (!s->plan->stay_ns || load_now(s->run) >= s->plan->stay_ns);
}

/* One thing to send. As send_out; 2 also: there is nothing. */
static int send_next(load_session *s)
{
    if (!s->part && !s->begun && s->out.size)
        return send_out(s);
    if (s->state == LOAD_OPEN && s->sent < s->due)
        return send_packet(s);
    if (may_end(s)) {
        s->ended = 1;
        if (queue_message(s, SHOAL_MSG_END) == 0)
            return 1;
        errno = ENOMEM;
        return -1;
    }
    return 2;
}

void load_session_pump(load_session *s)
{
    int r = 1, was_full = s->wants_out, full;

    if (s->state != LOAD_UPGRADING && s->state != LOAD_OPEN)
        return;
    for (int i = 0; i < BURST && r == 1; i++)
        r = send_next(s);
    if (r < 0) {
        fail_socket(s, errno);
        return;
    }
    full = r != 2;
    if (!was_full && r == 0)
        s->run->st->second.throttled++;
    if (full != was_full)
        watch(s, EPOLL_CTL_MOD, full);
}

/* ---- its time has come ---- */

/* The first attempt for a packet shows how late this program is by itself. */
static void note_due(load_session *s, int64_t now)
{
    const load_window_ns *w = &s->run->window;

    for (; s->due < s->plan->packets; s->due++) {
        int64_t due = load_due_ns(s->plan, s->due);

        if (due > now)
            return;
        if (s->state == LOAD_OPEN && !s->wants_out && due >= w->from && due < w->to)
            load_hist_add(&s->run->st->own_late, (now - due) / 1000);
    }
}

static void plan_wake(load_session *s, int64_t from)
{
    int64_t ping = from + LOAD_PING_S * LOAD_S, stay = s->plan->stay_ns;

    s->wake_ns = !stay || from >= stay ? LOAD_NEVER : ping < stay ? ping : stay;
}

/* An idle session says that it is there; without audio the server would hang up. */
static void ping(load_session *s)
{
    if (s->wake_ns < s->plan->stay_ns && s->ready && queue_message(s, SHOAL_MSG_PING) < 0) {
        load_session_close(s, LOAD_FAILED, "out of memory: use fewer --idle");
        return;
    }
    plan_wake(s, s->wake_ns);
}

void load_session_act(load_session *s)
{
    int64_t now = load_now(s->run);

    if (s->state == LOAD_WAITING) {
        plan_wake(s, s->plan->connect_ns);
        start_connect(s);
        if (s->run->o->fast)
            s->due = s->plan->packets;
        return;
    }
    note_due(s, now);
    if (s->state != LOAD_CLOSED && now >= s->wake_ns)
        ping(s);
    load_session_pump(s);
}

int64_t load_session_next(const load_session *s)
{
    if (s->state == LOAD_WAITING)
        return s->plan->connect_ns;
    if (s->state == LOAD_CLOSED)
        return LOAD_NEVER;
    return s->due < s->plan->packets ? load_due_ns(s->plan, s->due) : s->wake_ns;
}

double load_session_lag(const load_session *s)
{
    int64_t chunk_ms = s->plan->chunk_ms, k, late;

    if (!s->ready || s->state != LOAD_OPEN)
        return 0;
    k = load_packet_holding(s->plan,
                            (int64_t)s->frames * SHOAL_FRAME_MS + chunk_ms + s->look_ahead_ms);
    if (k >= s->plan->packets)
        return 0;
    late = load_now(s->run) - load_due_ns(s->plan, k);
    return late > 0 ? (double)late / (double)(chunk_ms * LOAD_MS) : 0;
}

/* ---- epoll ---- */

static void read_socket(load_session *s)
{
    ssize_t n;

    if (shoal_buf_reserve(&s->in, READ_BYTES) < 0) {
        load_session_close(s, LOAD_FAILED, "out of memory: use fewer --sessions");
        return;
    }
    n = load_link_receive(s, s->in.data + s->in.size, s->in.cap - s->in.size);
    if (n < 0) {
        if (errno != EAGAIN)
            fail_socket(s, errno);
        return;
    }
    if (n == 0) {
        load_session_hung_up(s);
        return;
    }
    s->in.size += (size_t)n;
    s->heard_ns = load_now(s->run);
    load_session_receive(s);
}

void load_session_event(load_session *s, uint32_t events)
{
    if (s->state == LOAD_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        finish_connect(s);
    else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        do
            read_socket(s);
        while (load_link_holds(s));
    load_session_pump(s);
}

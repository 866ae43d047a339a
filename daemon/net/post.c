/* post.c - see post.h
 *
 * Three sections: the body on its way in, the session's messages on their way out, life. Events of
 * the socket and of the decoder end with `poll_again`, which says what is waited for next. */
#include "net/post.h"

#include "net/access.h"
#include "net/body.h"
#include "net/decode.h"
#include "net/reply.h"
#include "session/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 16 << 10,
    PIECES_A_TURN = 3, /* less than the slack of a session's queue (lane.c) */
    WRITES_A_TURN = 16
};

typedef struct post {
    shoald_link link; /* first: what the session holds */
    shoald_posts *posts;
    shoald_session *session; /* NULL once that has been told that it is gone */
    shoald_entry entry;
    shoald_peer peer;
    struct post *next, **at; /* list in posts */
    int fd;
    uv_poll_t socket, pipe; /* the client's, the decoder's */
    int socket_events, pipe_events, handles;

    shoald_body body;
    uint64_t heard;
    bool body_over;          /* nothing more is read of it */
    const char *cut;         /* it ended before its end: what is to be said; NULL: no */
    bool paused;             /* the session takes no audio */
    shoald_decoder *decoder; /* NULL: the body is samples */
    bool decoder_full;
    shoald_sound sound;
    size_t sound_size; /* bytes of it that are there */
    bool sound_over;

    shoald_reply reply;
    size_t sent; /* of reply.out */
    bool wants_write;
} post;

static void on_socket(uv_poll_t *poll, int status, int events);
static void on_pipe(uv_poll_t *poll, int status, int events);

/* ---- what is waited for -------------------------------------------------------------- */

static void poll_for(uv_poll_t *poll, int *now, int events, uv_poll_cb on_event)
{
    if (*now == events)
        return;
    *now = events;
    if (events)
        uv_poll_start(poll, events, on_event);
    else
        uv_poll_stop(poll);
}

static bool takes_body(const post *p)
{
    return !p->body_over && (p->decoder ? !p->decoder_full : !p->paused);
}

static void poll_again(post *p)
{
    bool writes = p->wants_write || p->sent < p->reply.out.size;
    poll_for(&p->socket, &p->socket_events,
             (takes_body(p) ? UV_READABLE : 0) | (writes ? UV_WRITABLE : 0), on_socket);
    if (!p->decoder)
        return;
    bool reads = !p->sound_over && !p->paused;
    poll_for(&p->pipe, &p->pipe_events,
             (reads ? UV_READABLE : 0) | (p->decoder_full ? UV_WRITABLE : 0), on_pipe);
}

/* ---- the body ------------------------------------------------------------------------ */

/* Each piece is a message of its own; nothing in it is the end. */
static void give_piece(post *p, const void *bytes, size_t n)
{
    shoald_piece piece = { .bytes = bytes, .n = n, .first = true, .last = true, .binary = true };
    shoald_session_on_receive(p->session, &piece);
}

static void give_samples(post *p, const char *bytes, size_t n)
{
    size_t most = (size_t)shoald_session_message_limit(p->session);
    for (size_t k; n; bytes += k, n -= k) {
        k = n < most ? n : most;
        give_piece(p, bytes, k);
    }
}

/* Returns how much has found its place. */
static size_t give_payload(post *p, const char *bytes, size_t n)
{
    if (!p->decoder) {
        give_samples(p, bytes, n);
        return n;
    }
    ssize_t sent = send(shoald_decoder_fd(p->decoder), bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
        return (size_t)sent;
    p->decoder_full = errno == EAGAIN;
    return p->decoder_full || errno == EINTR ? 0 : n;
}

static void refuse_body(post *p, const char *why)
{
    p->body_over = true;
    p->reply.closes = true;
    shoald_session_fail(p->session, SHOAL_CODE_BAD_REQUEST, "the body is not as it should be: %s",
                        why);
}

static void end_body(post *p)
{
    if (p->body.taken == 0) {
        refuse_body(p, "it is empty: send a file's bytes, curl --data-binary @FILE");
        return;
    }
    p->body_over = true;
    if (p->decoder)
        shutdown(shoald_decoder_fd(p->decoder), SHUT_WR);
    else
        give_piece(p, "", 0);
}

/* Returns how many of the bytes are done with. */
static size_t take_body(post *p, const char *bytes, size_t n)
{
    size_t used = 0, framing, payload, given;
    for (;;) {
        shoald_body_state state =
            shoald_body_next(&p->body, bytes + used, n - used, &framing, &payload);
        used += framing;
        if (state == SHOALD_BODY_WHOLE)
            end_body(p);
        if (state == SHOALD_BODY_BROKEN)
            refuse_body(p, p->body.why);
        if (payload == 0)
            return used;
        given = give_payload(p, bytes + used, payload);
        shoald_body_take(&p->body, given);
        used += given;
        if (given < payload)
            return used;
    }
}

/* The client sends no more, and may still read: it gets what came of it. */
static void cut_body(post *p)
{
    p->cut = "the body ended before its end: was its sender stopped?";
    p->reply.closes = true;
    end_body(p);
}

/* 0, or -1: the client is gone. */
static int read_body(post *p)
{
    char bytes[PIECE_BYTES];
    for (int i = 0; i < PIECES_A_TURN && takes_body(p); i++) {
        ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_PEEK);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n == 0) {
            cut_body(p);
            return 0;
        }
        size_t used = take_body(p, bytes, (size_t)n);
        if (used && recv(p->fd, bytes, used, 0) != (ssize_t)used)
            return -1;
        p->heard += used;
    }
    return 0;
}

/* ---- what the decoder makes of it ---------------------------------------------------- */

/* The session may have lost patience meanwhile. */
static void start(post *p)
{
    shoal_options *o = &p->entry.asked;
    o->format = p->sound.is_s16 ? SHOAL_FORMAT_S16LE : SHOAL_FORMAT_F32LE;
    o->rate = p->sound.rate;
    o->channels = p->sound.channels;
    o->given |= SHOAL_OPT_FORMAT | SHOAL_OPT_RATE | SHOAL_OPT_CHANNELS;
    if (p->session->phase == SHOALD_WAITING)
        shoald_session_on_open(p->session, &p->entry);
}

static void end_sound(post *p)
{
    p->sound_over = true;
    if (p->sound_size < sizeof p->sound)
        shoald_session_fail(p->session, SHOAL_CODE_BAD_AUDIO_FORMAT, "%s",
                            shoald_decoder_why(p->decoder));
    else
        give_piece(p, "", 0);
}

static void read_sound(post *p)
{
    char bytes[PIECE_BYTES];
    for (int i = 0; i < PIECES_A_TURN && !p->sound_over && !p->paused; i++) {
        bool begun = p->sound_size == sizeof p->sound;
        void *to = begun ? bytes : (char *)&p->sound + p->sound_size;
        size_t room = begun ? sizeof bytes : sizeof p->sound - p->sound_size;
        ssize_t n = recv(shoald_decoder_fd(p->decoder), to, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            end_sound(p);
        else if (begun)
            give_samples(p, bytes, (size_t)n);
        else if ((p->sound_size += (size_t)n) == sizeof p->sound)
            start(p);
    }
}

static void on_pipe(uv_poll_t *poll, int status, int events)
{
    post *p = poll->data;
    if (status < 0 || events & UV_WRITABLE)
        p->decoder_full = false;
    if (status < 0 || events & UV_READABLE)
        read_sound(p);
    poll_again(p);
}

/* ---- what the session wants ---------------------------------------------------------- */

static int write_message(shoald_link *l, shoald_link_kind kind, size_t n)
{
    post *p = (post *)l;
    const unsigned char *bytes = p->posts->house->tx;
    if (kind == SHOALD_LINK_PING) { /* HTTP has none; who does not read is found out by writing */
        shoald_session_on_pong(p->session);
        return 0;
    }
    bool was_large = p->reply.is_large;
    int result = kind != SHOALD_LINK_BINARY ? shoald_reply_text(&p->reply, bytes, n)
                                            : shoald_reply_packet(&p->reply, bytes, n);
    if (p->reply.is_large && !was_large)
        shoald_session_fail(
            p->session, SHOAL_CODE_MESSAGE_TOO_LARGE,
            "the array has no room in the server's memory: send less audio at once, "
            "ask for encoding=f16, or say Accept: application/octet-stream");
    return result;
}

static void want_write(shoald_link *l)
{
    post *p = (post *)l;
    p->wants_write = true;
    poll_again(p);
}

static void set_reading(shoald_link *l, bool on)
{
    post *p = (post *)l;
    p->paused = !on;
    poll_again(p);
}

static uint64_t bytes_heard(const shoald_link *l)
{
    return ((const post *)l)->heard;
}

/* 0, or -1: the client is gone. */
static int send_out(post *p)
{
    while (p->sent < p->reply.out.size) {
        ssize_t n =
            send(p->fd, p->reply.out.data + p->sent, p->reply.out.size - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? 0 : -1;
        p->sent += n > 0 ? (size_t)n : 0;
    }
    p->sent = p->reply.out.size = 0;
    return 0;
}

static int write_more(post *p)
{
    for (int i = 0; i < WRITES_A_TURN; i++) {
        if (send_out(p) < 0)
            return -1;
        if (p->sent < p->reply.out.size || !p->wants_write)
            return 0;
        p->wants_write = false;
        if (shoald_session_on_writable(p->session) < 0)
            return -1;
    }
    return 0;
}

/* ---- life ---------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    post *p = handle->data;
    if (--p->handles == 0)
        free(p);
}

static void let_session_go(post *p)
{
    shoald_session *s = p->session;
    p->session = NULL;
    shoald_session_on_gone(s);
}

/* All but the socket. */
static void release(post *p)
{
    p->posts->house->upload_count--;
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    shoald_reply_free(&p->reply);
    uv_close((uv_handle_t *)&p->socket, on_closed);
    if (!p->decoder)
        return;
    uv_close((uv_handle_t *)&p->pipe, on_closed);
    shoald_decoder_end(p->decoder);
}

static void die(post *p)
{
    let_session_go(p);
    release(p);
    close(p->fd);
    p->posts->house->connection_count--;
}

static void kill_link(shoald_link *l)
{
    die((post *)l);
}

static void close_link(shoald_link *l, int code, const char *reason)
{
    post *p = (post *)l;
    shoald_parting last = { .fd = p->fd, .peer = p->peer, .minor = p->reply.minor };
    const char *wrong = p->cut ? p->cut : p->decoder ? shoald_decoder_why(p->decoder) : "";
    (void)reason;
    if (code == SHOAL_CLOSE_NORMAL && *wrong)
        shoald_count(&p->posts->house->stats.errors[SHOAL_CODE_BAD_AUDIO_FORMAT], 1);
    int how = code == SHOAL_CLOSE_NORMAL ? shoald_reply_end(&p->reply, wrong, &last.answer)
                                         : shoald_reply_break(&p->reply, &last.answer);
    last.closes = how != 0 || p->reply.closes || !p->body_over;
    last.bytes = p->reply.out;
    last.sent = p->sent;
    memset(&p->reply.out, 0, sizeof p->reply.out);
    let_session_go(p);
    release(p);
    p->posts->take_back(p->posts->owner, &last);
}

static const shoald_link_ops ops = {
    .write = write_message,
    .want_write = want_write,
    .read = set_reading,
    .close = close_link,
    .kill = kill_link,
    .heard = bytes_heard,
};

static void on_socket(uv_poll_t *poll, int status, int events)
{
    post *p = poll->data;
    if (status < 0 || (events & UV_READABLE && read_body(p) < 0) ||
        (events & UV_WRITABLE && write_more(p) < 0))
        die(p);
    else
        poll_again(p);
}

void shoald_posts_close(shoald_posts *posts)
{
    while (posts->first)
        die(posts->first);
}

/* ---- adoption ------------------------------------------------------------------------ */

static void enter(post *p)
{
    shoald_posts *posts = p->posts;
    p->next = posts->first;
    p->at = &posts->first;
    if (p->next)
        p->next->at = &p->next;
    posts->first = p;
    posts->house->upload_count++;
}

static int open_pipe(post *p)
{
    p->decoder = shoald_decoder_start();
    if (!p->decoder)
        return -1;
    if (uv_poll_init(p->posts->loop, &p->pipe, shoald_decoder_fd(p->decoder)) == 0) {
        p->handles++;
        return 0;
    }
    shoald_decoder_end(p->decoder);
    return -1;
}

/* The handle, if there is one, frees p later. */
static int give_up(post *p, bool has_pipe)
{
    if (!has_pipe) {
        free(p);
        return -1;
    }
    uv_close((uv_handle_t *)&p->pipe, on_closed);
    shoald_decoder_end(p->decoder);
    return -1;
}

static int open_all(post *p, bool is_file)
{
    if (is_file && open_pipe(p) < 0)
        return give_up(p, false);
    p->session = shoald_session_new(p->posts->house, &p->peer, &p->entry);
    if (!p->session)
        return give_up(p, is_file);
    if (uv_poll_init(p->posts->loop, &p->socket, p->fd) < 0) {
        let_session_go(p);
        return give_up(p, is_file);
    }
    p->handles++;
    return 0;
}

static int say_continue(post *p)
{
    static const char words[] = "HTTP/1.1 100 Continue\r\n\r\n";
    return shoal_buf_append(&p->reply.out, words, sizeof words - 1);
}

int shoald_post_adopt(shoald_posts *posts, int fd, const shoald_peer *peer, const shoald_head *head,
                      shoald_taste taste, const shoald_entry *entry)
{
    int on = 1;
    bool is_file = !(entry->asked.given & SHOAL_OPT_FORMAT);
    post *p = calloc(1, sizeof *p);
    if (!p)
        return -1;
    p->link.ops = &ops;
    p->posts = posts;
    p->entry = *entry;
    p->peer = *peer;
    p->fd = fd;
    p->socket.data = p->pipe.data = p;
    p->reply = (shoald_reply){ .taste = taste, .minor = head->minor, .closes = head->close };
    p->reply.array_bytes = &posts->array_bytes;
    strcpy(p->reply.origin, shoald_access_reader(posts->house, head)); /* both have the same room */
    shoald_body_init(&p->body, head->chunked, head->body_bytes);
    if (open_all(p, is_file) < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    enter(p);
    p->session->link = &p->link;
    if ((head->awaits_100 && head->minor > 0 && say_continue(p) < 0))
        shoald_session_fail(p->session, SHOAL_CODE_INTERNAL, NULL);
    else if (!is_file)
        shoald_session_on_open(p->session, &p->entry);
    poll_again(p);
    return 0;
}

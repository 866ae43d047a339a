/* client.c - the public calls of libshoal-client: see shoal-client.h
 *
 *     send, set, flush, ... -> tx -> client_ws.c -> server
 *     server -> client_ws.c -> rx -> client_events.c -> one shoal_client_event a poll
 *
 * The socket is only read while rx is empty, so a program that does not poll slows the server
 * down instead of filling memory.
 */
#include "lib/client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MIN_QUEUE_BYTES = 4 << 10,
    MAX_QUEUE_BYTES = 1 << 30,
    CONTROL_BYTES = 16 << 10, /* of tx that audio leaves to set, flush, ping and end */
    RX_FIRST_BYTES = 16 << 10,
    RX_MAX_BYTES = SHOAL_MAX_SERVER_TEXT_BYTES + (256 << 10) /* a message and one read */
};

int64_t shoal__now_ms(void)
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

void shoal__fail(shoal_client *c, const char *name, int retry, const char *fmt, ...)
{
    va_list args;

    if (c->has_failure)
        return;
    c->has_failure = 1;
    c->failure = (shoal_error){ .code = SHOAL_CODE_UNKNOWN, .fatal = 1, .retry = retry };
    snprintf(c->failure.name, sizeof c->failure.name, "%s", name);
    va_start(args, fmt);
    vsnprintf(c->failure.message, sizeof c->failure.message, fmt, args);
    va_end(args);
}

/* ---- opening ---- */

shoal_client_params shoal_client_default_params(void)
{
    return (shoal_client_params){ .options = shoal_options_default(),
                                  .queue_bytes = 256 << 10,
                                  .message_bytes = 64 << 10,
                                  .connect_timeout_ms = 10000,
                                  .ping_s = 20 };
}

static int check_params(const shoal_client_params *p, char *why, size_t why_size)
{
    const char *wrong = NULL;

    if (p->queue_bytes < MIN_QUEUE_BYTES || p->queue_bytes > MAX_QUEUE_BYTES)
        wrong = "queue_bytes must be 4 KiB to 1 GiB";
    else if (p->message_bytes < 1 || p->message_bytes > SHOAL_MAX_AUDIO_BYTES)
        wrong = "message_bytes must be 1 byte to 1 MiB";
    else if (p->connect_timeout_ms < 1)
        wrong = "connect_timeout_ms must be 1 or more";
    else if (p->ping_s < 0 || p->ping_s > 30000)
        wrong = "ping_s must be 0 to 30000";
    if (wrong)
        snprintf(why, why_size, "%s", wrong);
    return wrong ? SHOAL_CLIENT_EINVAL : 0;
}

static int copy_string(const char **s)
{
    if (*s && !(*s = strdup(*s)))
        return -1;
    return 0;
}

static int push_control(shoal_client *c, const shoal_client_msg *m)
{
    char text[SHOAL_MAX_TEXT_BYTES];
    shoal_buf buf;

    if (c->ended)
        return SHOAL_CLIENT_ESTATE;
    shoal_buf_wrap(&buf, text, sizeof text);
    if (shoal_client_msg_encode(&buf, m) < 0)
        return SHOAL_CLIENT_EINVAL;
    if (shoal__queue_push(&c->tx, SHOAL__TEXT, buf.data, buf.size) < 0)
        return SHOAL_CLIENT_EFULL;
    shoal__ws_want_write(c);
    return 0;
}

static int set_up(shoal_client *c)
{
    shoal_client_msg start = { .type = SHOAL_MSG_START, .options = c->url.options };

    c->connect_deadline_ms = shoal__now_ms() + c->params.connect_timeout_ms;
    if (shoal__queue_init(&c->tx, MIN_QUEUE_BYTES, c->params.queue_bytes + CONTROL_BYTES) < 0 ||
        shoal__queue_init(&c->rx, RX_FIRST_BYTES, RX_MAX_BYTES) < 0)
        return SHOAL_CLIENT_ENOMEM;
    if (push_control(c, &start) < 0)
        return SHOAL_CLIENT_ENOMEM;
    return shoal__ws_open(c);
}

/* Everything that can be told without the network. Strings of params become c's own. */
static int configure(shoal_client *c, const char *url, const shoal_client_params *params, char *why,
                     size_t why_size)
{
    int r = shoal__url_parse(&c->url, url, why, why_size);

    if (!r)
        r = check_params(params, why, why_size);
    if (!r)
        r = shoal__options_merge(&c->url.options, &params->options, why, why_size);
    if (r)
        return r;
    c->params = *params;
    if (copy_string(&c->params.token) < 0) {
        c->params.ca_file = NULL;
        return SHOAL_CLIENT_ENOMEM;
    }
    return copy_string(&c->params.ca_file) < 0 ? SHOAL_CLIENT_ENOMEM : 0;
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
    shoal__ws_free(c);
    shoal__release_event(c);
    shoal__queue_free(&c->tx);
    shoal__queue_free(&c->rx);
    free((char *)c->params.token);
    free((char *)c->params.ca_file);
    free(c->rows);
    free(c);
}

/* ---- sending ---- */

static size_t largest_message(const shoal_client *c)
{
    size_t limit = c->params.message_bytes;

    return c->has_ready && c->ready.max_message_bytes && c->ready.max_message_bytes < limit
               ? (size_t)c->ready.max_message_bytes
               : limit;
}

/* Bytes of audio that tx still takes as one message. */
static size_t room_for_audio(const shoal_client *c)
{
    size_t used = shoal__queue_used(&c->tx) + SHOAL__RECORD_BYTES;

    return used < c->params.queue_bytes ? c->params.queue_bytes - used : 0;
}

static size_t push_audio(shoal_client *c, const uint8_t *bytes, size_t n)
{
    size_t limit = largest_message(c), taken = 0;
    int whole = c->url.options.format == SHOAL_FORMAT_OPUS;

    while (taken < n) {
        size_t room = room_for_audio(c), piece = n - taken;

        piece = piece < limit ? piece : limit;
        piece = piece < room ? piece : room;
        if (!piece || (whole && piece < n) ||
            shoal__queue_push(&c->tx, SHOAL__BINARY, bytes + taken, piece) < 0)
            break;
        taken += piece;
    }
    return taken;
}

size_t shoal_client_send(shoal_client *c, const void *bytes, size_t n)
{
    size_t taken;

    if (c->ended)
        return 0;
    if (c->has_failure || c->state == SHOAL__CLOSED)
        return n;
    taken = push_audio(c, bytes, n);
    c->stats.audio_taken += taken;
    c->want_room |= taken < n;
    if (taken)
        shoal__ws_want_write(c);
    return taken;
}

int shoal_client_set(shoal_client *c, const shoal_options *o)
{
    shoal_client_msg m = { .type = SHOAL_MSG_SET, .options = *o };

    return push_control(c, &m);
}

static int push_id(shoal_client *c, shoal_msg_type type, const char *id)
{
    shoal_client_msg m = { .type = type };

    if (id && strlen(id) > SHOAL_MAX_ID)
        return SHOAL_CLIENT_EINVAL;
    snprintf(m.id, sizeof m.id, "%s", id ? id : "");
    return push_control(c, &m);
}

int shoal_client_flush(shoal_client *c, const char *id)
{
    return push_id(c, SHOAL_MSG_FLUSH, id);
}

int shoal_client_ping(shoal_client *c, const char *id)
{
    return push_id(c, SHOAL_MSG_PING, id);
}

int shoal_client_end(shoal_client *c)
{
    int r = push_id(c, SHOAL_MSG_END, NULL);

    if (!r)
        c->ended = 1;
    return r;
}

/* ---- receiving ---- */

static void check_connect_time(shoal_client *c)
{
    if (c->has_ready || c->state == SHOAL__CLOSED || shoal__queue_used(&c->rx) ||
        shoal__now_ms() < c->connect_deadline_ms)
        return;
    shoal__fail(c, "connect_timeout", 1,
                "%s:%d gave no answer within %d ms: is it a shoal server, "
                "and does a firewall let it through?",
                c->url.host, c->url.port, c->params.connect_timeout_ms);
    shoal__ws_hang_up(c);
}

/* Milliseconds to wait: until deadline, or until something of our own is due. */
static int time_left(const shoal_client *c, int64_t deadline)
{
    int64_t left;

    if (!c->has_ready && c->connect_deadline_ms < deadline)
        deadline = c->connect_deadline_ms;
    left = deadline - shoal__now_ms();
    return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

int shoal_client_poll(shoal_client *c, int timeout_ms, shoal_client_event *event)
{
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : shoal__now_ms() + timeout_ms;

    shoal__release_event(c);
    for (int first = 1;; first = 0) {
        if (shoal__next_event(c, event))
            return 1;
        if (c->told_closed)
            return SHOAL_CLIENT_ECLOSED;
        if (atomic_exchange(&c->woken, 0) || (!first && shoal__now_ms() >= deadline))
            return 0;
        shoal__ws_service(c, time_left(c, deadline));
        check_connect_time(c);
    }
}

void shoal_client_wake(shoal_client *c)
{
    atomic_store(&c->woken, 1);
    shoal__ws_wake(c);
}

/* ---- looking ---- */

shoal_client_stats shoal_client_get_stats(const shoal_client *c)
{
    shoal_client_stats s = c->stats;

    s.queued_bytes = shoal__queue_used(&c->tx);
    return s;
}

const shoal_ready *shoal_client_get_ready(const shoal_client *c)
{
    return c->has_ready ? &c->ready : NULL;
}

const shoal_options *shoal_client_get_options(const shoal_client *c)
{
    return &c->url.options;
}

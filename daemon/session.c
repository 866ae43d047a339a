/* session.c - the loop's side of a session: messages in, records out; see session.h
 *
 *   WAITING    -> options in the URL, or a start message -> STREAMING
 *   STREAMING  -> end, drain, a fatal error in the client's own messages -> ENDING
 *   any        -> the record with a close code has been written, or shoald_session_fail
 *              -> CLOSING -> lws sends Close
 *
 * In ENDING and CLOSING what still comes in is read and thrown away, because closing a socket
 * with unread bytes would reset it and the last words to the client with it. */
#include "session.h"

#include "conn.h"
#include "grant.h"
#include "log.h"
#include "server.h"

#include <libwebsockets.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REPLY_BYTES = 4096,          /* pongs and the like, per session */
    RX_SLACK = 64 << 10,         /* lws may deliver this much before a pause takes effect */
    MIN_INPUT_BYTES = 16 << 10
};

static void review_later(shoald_session *s)
{
    if (s->rx_review)
        return;
    s->rx_review = true;
    s->next_review = s->server->review;
    s->server->review = s;
}

static void want_write(shoald_session *s)
{
    if (!s->conn)
        return;
    if (s->written_ns == 0)
        s->written_ns = uv_hrtime();
    lws_callback_on_writable(s->conn->wsi);
}

/* ---- making and ending --------------------------------------------------------------- */

shoald_session *shoald_session_new(shoald_server *server, shoald_conn *conn)
{
    shoald_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    if (shoald_queue_init(&s->replies, REPLY_BYTES) < 0) {
        free(s);
        return NULL;
    }
    snprintf(s->id, sizeof s->id, "%016llx",
             (unsigned long long)((server->id_salt + server->next_session++) *
                                  0x9e3779b97f4a7c15u));
    snprintf(s->peer, sizeof s->peer, "%s", conn->peer);
    s->server = server;
    s->conn = conn;
    s->opened_ns = s->heard_ns = s->spoken_ns = uv_hrtime();
    s->next = server->sessions;
    s->link = &server->sessions;
    if (s->next)
        s->next->link = &s->next;
    server->sessions = s;
    server->session_count++;
    return s;
}

static const char *result_of(const shoald_session *s, const char **error)
{
    shoal_code code = s->error ? s->error : s->track.error;
    *error = code ? shoal_code_get_info(code)->name : "-";
    return s->track.done ? "done" : code ? "error" : "lost";
}

static void log_close(const shoald_session *s)
{
    const char *error, *result = result_of(s, &error);
    const shoald_track *t = &s->track;
    shoald_log(SHOALD_LOG_INFO, "session_close",
               "session=%s peer=%s result=%s error=%s seconds=%.1f audio_s=%.2f frames=%llu "
               "phones=%llu packets=%llu",
               s->id, s->peer, result, error, (double)(uv_hrtime() - s->opened_ns) / 1e9,
               (double)t->samples_done / 16000, (unsigned long long)t->frames,
               (unsigned long long)t->phones, (unsigned long long)t->packets);
}

static void count_close(const shoald_session *s)
{
    shoald_loop_stats *stats = &s->server->stats;
    const char *error, *result = result_of(s, &error);
    shoald_count(*result == 'd'   ? &stats->sessions_done
                 : *result == 'e' ? &stats->sessions_error
                                  : &stats->sessions_lost, 1);
}

static void forget_review(shoald_session *s)
{
    shoald_session **link = &s->server->review;
    while (*link && *link != s)
        link = &(*link)->next_review;
    if (*link)
        *link = s->next_review;
}

static void free_session(shoald_session *s)
{
    log_close(s);
    count_close(s);
    if (s->rx_review)
        forget_review(s);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->server->session_count--;
    if (s->worker)
        s->worker->sessions--;
    shoald_queue_free(&s->in);
    shoald_queue_free(&s->out);
    shoald_queue_free(&s->replies);
    free(s->part);
    free(s->url_error);
    free(s);
}

void shoald_session_on_gone(shoald_session *s)
{
    s->conn = NULL;
    if (s->worker)
        shoald_worker_post_last(s->worker, s);
    else
        free_session(s);
}

/* ---- errors -------------------------------------------------------------------------- */

static void count_error(shoald_session *s, shoal_code code)
{
    shoald_count(&s->server->stats.errors[code], 1);
}

static void enter_closing(shoald_session *s, int close_code)
{
    s->phase = SHOALD_CLOSING;
    s->close_code = close_code;
    s->closing_ns = uv_hrtime();
    want_write(s);
}

/* At once, past the queues. */
static void fail_with(shoald_session *s, const shoal_error *err)
{
    if (s->phase == SHOALD_CLOSING || !s->conn)
        return;
    shoal_buf b;
    shoal_buf_wrap(&b, s->last_text, sizeof s->last_text);
    s->error = err->code;
    s->last_size = shoal_error_encode(&b, err) == 0 ? b.size : 0;
    count_error(s, err->code);
    enter_closing(s, shoal_code_get_info(err->code)->close_code);
}

void shoald_session_fail(shoald_session *s, shoal_code code, const char *format, ...)
{
    shoal_error err;
    char text[SHOAL_MAX_ERROR_TEXT + 1];
    va_list args;
    va_start(args, format);
    if (format)
        vsnprintf(text, sizeof text, format, args);
    va_end(args);
    shoal_error_set(&err, code, NULL, format ? "%s" : NULL, text);
    err.fatal = 1;
    fail_with(s, &err);
}

/* ---- input records ------------------------------------------------------------------- */

static void put_input(shoald_session *s, int kind, const void *payload, size_t n, int code)
{
    shoald_record r = { (uint32_t)n, (uint16_t)kind, (uint16_t)code, uv_hrtime() };
    if (!shoald_queue_put(&s->in, &r, payload)) {
        shoald_session_fail(s, SHOAL_CODE_BACKLOG, NULL);
        return;
    }
    shoald_worker_post(s->worker, s);
    if (shoald_queue_fill(&s->in) > s->in_high)
        review_later(s);
}

/* Tell an error at its place among the results; fatal ones end the session there. */
static void put_error(shoald_session *s, const shoal_error *err)
{
    char text[1024];
    shoal_buf b;
    if (!s->worker) {
        fail_with(s, err);
        return;
    }
    shoal_buf_wrap(&b, text, sizeof text);
    if (shoal_error_encode(&b, err) < 0)
        return;
    count_error(s, err->code);
    int close_code = err->fatal ? shoal_code_get_info(err->code)->close_code : 0;
    put_input(s, SHOALD_IN_REPLY, text, b.size, close_code);
    if (!err->fatal)
        return;
    s->error = err->code;
    if (s->phase == SHOALD_STREAMING)
        s->phase = SHOALD_ENDING;
}

static void put_error_code(shoald_session *s, shoal_code code, const char *ref)
{
    shoal_error err;
    shoal_error_set(&err, code, ref, NULL);
    put_error(s, &err);
}

/* Not through the worker: pongs and errors before the start and after the end. */
static void reply_now(shoald_session *s, const shoal_buf *b)
{
    shoald_record r = { (uint32_t)b->size, SHOALD_OUT_TEXT, 0, uv_hrtime() };
    if (!shoald_queue_put(&s->replies, &r, b->data))
        shoald_session_fail(s, SHOAL_CODE_SLOW_READER,
                            "too many pings at once: wait for the pong of each");
    want_write(s);
    if (shoald_queue_fill(&s->replies) > REPLY_BYTES / 2)
        review_later(s);
}

/* ---- start --------------------------------------------------------------------------- */

static size_t audio_bytes(const shoal_options *o, int ms)
{
    size_t width = o->format == SHOAL_FORMAT_F32LE ? 4 : o->format == SHOAL_FORMAT_S16LE ? 2 : 1;
    size_t bytes = width * (size_t)o->channels * (size_t)o->rate * (size_t)ms / 1000;
    return bytes > MIN_INPUT_BYTES ? bytes : MIN_INPUT_BYTES;
}

static int make_queues(shoald_session *s)
{
    const shoald_settings *c = &s->server->settings;
    s->in_high = s->options.format == SHOAL_FORMAT_OPUS ? (size_t)MIN_INPUT_BYTES
                                                        : audio_bytes(&s->options, c->backlog_ms);
    s->in_low = s->in_high / 2;
    s->out_step = shoald_track_step_bytes(s->server->info, &s->options);
    size_t out = (size_t)c->output_buffer_bytes;
    if (out < 2 * s->out_step)
        out = 2 * s->out_step;
    if (shoald_queue_init(&s->in, s->in_high + RX_SLACK) < 0)
        return -1;
    return shoald_queue_init(&s->out, out);
}

static shoald_worker *least_loaded_worker(shoald_server *server)
{
    shoald_worker *best = &server->workers[0];
    for (int i = 1; i < server->worker_count; i++)
        if (server->workers[i].sessions < best->sessions)
            best = &server->workers[i];
    return best;
}

static void log_open(const shoald_session *s)
{
    const shoal_options *o = &s->options;
    shoald_log(SHOALD_LOG_INFO, "session_open",
               "session=%s peer=%s format=%s rate=%d channels=%d depth=%d..%d chunk_ms=%d "
               "left_ms=%d outputs=%u encoding=%s worker=%d",
               s->id, s->peer, shoal_format_name(o->format), o->rate, o->channels, o->depth_min,
               o->depth_max, o->chunk_ms, o->left_ms, o->outputs, shoal_encoding_name(o->encoding),
               s->worker->index);
}

static void start(shoald_session *s, const shoal_options *asked)
{
    const shoald_settings *c = &s->server->settings;
    shoal_error err;
    s->options = *asked;
    if (shoald_grant_options(&s->options, s->server->info, c->default_depth, &err) < 0) {
        fail_with(s, &err);
        return;
    }
    if (make_queues(s) < 0) {
        shoald_session_fail(s, SHOAL_CODE_INTERNAL, "no memory for the session: try again later");
        return;
    }
    s->max_message_bytes = (uint64_t)c->max_message_bytes;
    s->backlog_ms = c->backlog_ms;
    s->idle_timeout_s = c->idle_timeout_s;
    s->worker = least_loaded_worker(s->server);
    s->worker->sessions++;
    s->phase = SHOALD_STREAMING;
    log_open(s);
    shoald_worker_post(s->worker, s);
}

void shoald_session_set_url(shoald_session *s, const shoal_options *o, const shoal_error *err)
{
    s->has_url_options = true;
    s->options = *o;
    if (!err)
        return;
    s->url_error = malloc(sizeof *err);
    if (s->url_error)
        *s->url_error = *err;
}

void shoald_session_on_open(shoald_session *s)
{
    s->opened_ns = s->heard_ns = s->spoken_ns = uv_hrtime();
    if (s->phase == SHOALD_CLOSING)
        want_write(s);    /* drained while it was being upgraded */
    if (s->url_error)
        fail_with(s, s->url_error);
    else if (s->has_url_options && s->phase == SHOALD_WAITING)
        start(s, &s->options);
}

/* ---- messages in --------------------------------------------------------------------- */

static void on_start(shoald_session *s, const shoal_client_msg *m)
{
    if (s->phase == SHOALD_WAITING)
        start(s, &m->options);
    else
        put_error_code(s, SHOAL_CODE_ALREADY_STARTED, "start");
}

static void on_set(shoald_session *s, const shoal_client_msg *m)
{
    shoal_error err;
    if (shoald_grant_set(&m->options, s->server->info, &err) < 0)
        put_error(s, &err);
    else
        put_input(s, SHOALD_IN_SET, &m->options, sizeof m->options, 0);
}

static void on_end(shoald_session *s)
{
    put_input(s, SHOALD_IN_END, NULL, 0, 0);
    if (s->phase == SHOALD_STREAMING)
        s->phase = SHOALD_ENDING;
}

/* In its place while streaming; before and after there is nothing to wait for. */
static void on_ping(shoald_session *s, const shoal_client_msg *m)
{
    char text[512];
    shoal_buf b;
    shoal_buf_wrap(&b, text, sizeof text);
    if (shoal_pong_encode(&b, m->id) < 0)
        return;
    if (s->phase == SHOALD_STREAMING)
        put_input(s, SHOALD_IN_REPLY, b.data, b.size, 0);
    else
        reply_now(s, &b);
}

/* Said once; a client that has not noticed may go on sending audio for a while. */
static void on_late(shoald_session *s)
{
    char text[1024];
    shoal_error err;
    shoal_buf b;
    if (s->after_end_told || s->error || s->server->draining)
        return;
    s->after_end_told = true;
    shoal_buf_wrap(&b, text, sizeof text);
    shoal_error_set(&err, SHOAL_CODE_ALREADY_ENDED, NULL, NULL);
    count_error(s, err.code);
    if (shoal_error_encode(&b, &err) == 0)
        reply_now(s, &b);
}

static void on_message(shoald_session *s, const shoal_client_msg *m)
{
    if (m->type == SHOAL_MSG_PING) {
        on_ping(s, m);
        return;
    }
    if (s->phase == SHOALD_ENDING) {
        on_late(s);
        return;
    }
    if (s->phase == SHOALD_WAITING && m->type != SHOAL_MSG_START) {
        put_error_code(s, SHOAL_CODE_NOT_STARTED, shoal_msg_type_name(m->type));
        return;
    }
    switch (m->type) {
    case SHOAL_MSG_START: on_start(s, m); break;
    case SHOAL_MSG_SET: on_set(s, m); break;
    case SHOAL_MSG_FLUSH: put_input(s, SHOALD_IN_FLUSH, m->id, strlen(m->id) + 1, 0); break;
    case SHOAL_MSG_END: on_end(s); break;
    default: break;
    }
}

static void on_text(shoald_session *s, const char *text, size_t n)
{
    shoal_client_msg m;
    shoal_error err;
    if (shoal_client_msg_decode(&m, text, n, &err) == 0)
        on_message(s, &m);
    else if (s->phase == SHOALD_ENDING)
        on_late(s);
    else
        put_error(s, &err);
}

static void on_audio(shoald_session *s, const void *bytes, size_t n)
{
    if (s->phase == SHOALD_ENDING) {
        on_late(s);
        return;
    }
    if (n == 0)
        return;
    if (s->options.format != SHOAL_FORMAT_OPUS)
        atomic_fetch_add(&s->received_bytes, n);
    put_input(s, SHOALD_IN_AUDIO, bytes, n, 0);
}

/* ---- pieces -> messages -------------------------------------------------------------- */

/* Messages that must be whole: text and opus packets. true when this was the last piece. */
static bool put_together(shoald_session *s, const void *piece, size_t n, bool last)
{
    if (!s->part && !(s->part = malloc(SHOAL_MAX_TEXT_BYTES))) {
        shoald_session_fail(s, SHOAL_CODE_INTERNAL, "no memory for the message: try again later");
        return false;
    }
    if (s->part_size + n > SHOAL_MAX_TEXT_BYTES) {
        shoald_session_fail(s, SHOAL_CODE_MESSAGE_TOO_LARGE,
                            "text messages and Opus packets may have %d bytes",
                            SHOAL_MAX_TEXT_BYTES);
        return false;
    }
    if (n)
        memcpy(s->part + s->part_size, piece, n);
    s->part_size += n;
    return last;
}

static void receive_text(shoald_session *s, const void *piece, size_t n, bool last)
{
    if (!put_together(s, piece, n, last))
        return;
    size_t size = s->part_size;
    s->part_size = 0;
    on_text(s, s->part, size);
}

static void receive_audio(shoald_session *s, const void *piece, size_t n, bool last)
{
    if (s->phase == SHOALD_WAITING) {
        put_error_code(s, SHOAL_CODE_NOT_STARTED, "audio");    /* no guess of the rate */
        return;
    }
    if (s->options.format != SHOAL_FORMAT_OPUS) {
        on_audio(s, piece, n);
    } else if (put_together(s, piece, n, last)) {
        size_t size = s->part_size;
        s->part_size = 0;
        on_audio(s, s->part, size);
    }
}

static bool too_large(shoald_session *s, struct lws *wsi, size_t n)
{
    uint64_t limit = (uint64_t)s->server->settings.max_message_bytes;
    if (lws_is_first_fragment(wsi))
        s->message_bytes = 0;
    s->message_bytes += n;
    if (s->message_bytes + lws_remaining_packet_payload(wsi) <= limit)
        return false;
    shoald_session_fail(s, SHOAL_CODE_MESSAGE_TOO_LARGE,
                        "a message may have %llu bytes: send audio in smaller messages",
                        (unsigned long long)limit);
    return true;
}

int shoald_session_on_receive(shoald_session *s, const void *bytes, size_t n)
{
    struct lws *wsi = s->conn->wsi;
    bool last = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
    s->heard_ns = s->spoken_ns = uv_hrtime();
    shoald_count(&s->server->stats.received_bytes, n);
    if (s->phase == SHOALD_CLOSING || too_large(s, wsi, n))
        return 0;
    if (lws_frame_is_binary(wsi))
        receive_audio(s, bytes, n, last);
    else
        receive_text(s, bytes, n, last);
    return 0;
}

void shoald_session_on_pong(shoald_session *s)
{
    s->heard_ns = uv_hrtime();
}

/* ---- results out --------------------------------------------------------------------- */

static int close_now(shoald_session *s)
{
    const char *reason = s->error ? shoal_code_get_info(s->error)->name : "";
    s->close_sent = true;
    lws_close_reason(s->conn->wsi, (enum lws_close_status)s->close_code,
                     (unsigned char *)(uintptr_t)reason, strlen(reason));
    return -1;
}

static int write_bytes(shoald_session *s, size_t n, enum lws_write_protocol how)
{
    int written = lws_write(s->conn->wsi, s->server->tx + LWS_PRE, n, how);
    if (written < (int)n)
        return -1;    /* the connection is broken; lws will call on_gone */
    s->written_ns = uv_hrtime();
    shoald_count(&s->server->stats.sent_bytes, n);
    return 0;
}

static int write_last_text(shoald_session *s)
{
    size_t n = s->last_size;
    memcpy(s->server->tx + LWS_PRE, s->last_text, n);
    s->last_size = 0;
    return write_bytes(s, n, LWS_WRITE_TEXT);
}

/* Copies the record into server->tx and drops it. */
static int write_record(shoald_session *s, shoald_queue *q)
{
    shoald_record r;
    shoald_queue_peek(q, &r);
    shoald_queue_copy(q, SHOALD_RECORD_BYTES, s->server->tx + LWS_PRE, r.size);
    shoald_queue_drop(q, SHOALD_RECORD_BYTES + r.size);
    int result =
        write_bytes(s, r.size, r.kind == SHOALD_OUT_TEXT ? LWS_WRITE_TEXT : LWS_WRITE_BINARY);
    if (r.code)
        enter_closing(s, r.code);
    return result;
}

static int write_result(shoald_session *s)
{
    int result = write_record(s, &s->out);
    if (atomic_load(&s->blocked) && shoald_queue_room(&s->out) >= s->out_step &&
        atomic_exchange(&s->blocked, false))
        shoald_worker_post(s->worker, s);
    return result;
}

static int write_ping(shoald_session *s)
{
    s->ping_due = false;
    return lws_write(s->conn->wsi, s->server->tx + LWS_PRE, 0, LWS_WRITE_PING) < 0 ? -1 : 0;
}

static bool has_output(const shoald_session *s)
{
    return s->worker && shoald_queue_fill(&s->out) > 0;
}

/* One write a call, as lws wants it. lws also calls when nobody asked, even after Close. */
int shoald_session_on_writable(shoald_session *s)
{
    int result = 0;
    if (s->close_sent)
        return 0;
    if (s->last_size)
        result = write_last_text(s);
    else if (s->phase == SHOALD_CLOSING)
        return close_now(s);
    else if (s->ping_due)
        result = write_ping(s);
    else if (shoald_queue_fill(&s->replies) > 0) {
        result = write_record(s, &s->replies);
        review_later(s);
    } else if (has_output(s))
        result = write_result(s);
    else {
        s->written_ns = 0;    /* nothing waits: the slow reader's clock stops */
        return 0;
    }
    if (result == 0)
        lws_callback_on_writable(s->conn->wsi);
    return result;
}

void shoald_session_on_mail(void *mail)
{
    shoald_session *s = SHOALD_UNMARK(mail);
    if (SHOALD_MARKED(mail)) {
        free_session(s);
        return;
    }
    atomic_store(&s->in_outbox, false);
    if (!s->conn)
        return;
    if (has_output(s))
        want_write(s);
    if (atomic_load(&s->rx_paused))
        review_later(s);
}

/* ---- reading stops and goes on -------------------------------------------------------- */

static bool input_above(const shoald_session *s, size_t in_limit, size_t reply_limit)
{
    return (s->worker && shoald_queue_fill(&s->in) > in_limit) ||
           shoald_queue_fill(&s->replies) > reply_limit;
}

/* rx_paused is set before the second look, so that the worker either sees it or has left the
 * queue low enough for us to see that. */
static void pause_rx(shoald_session *s)
{
    atomic_store(&s->rx_paused, true);
    if (!input_above(s, s->in_low, REPLY_BYTES / 4)) {
        atomic_store(&s->rx_paused, false);
        return;
    }
    shoald_count(&s->server->stats.pauses, 1);
    lws_rx_flow_control(s->conn->wsi, 0);
}

static void resume_rx(shoald_session *s)
{
    atomic_store(&s->rx_paused, false);
    s->heard_ns = s->spoken_ns = uv_hrtime();
    lws_rx_flow_control(s->conn->wsi, 1);
}

void shoald_session_review_rx(shoald_session *s)
{
    if (!s->conn || s->close_sent)
        return;
    bool paused = atomic_load(&s->rx_paused);
    if (!paused && input_above(s, s->in_high, REPLY_BYTES / 2))
        pause_rx(s);
    else if (paused && (s->phase == SHOALD_CLOSING || !input_above(s, s->in_low, REPLY_BYTES / 4)))
        resume_rx(s);
}

/* ---- time ---------------------------------------------------------------------------- */

static bool passed(uint64_t since_ns, uint64_t now_ns, int seconds)
{
    return now_ns > since_ns && now_ns - since_ns >= (uint64_t)seconds * 1000000000u;
}

static void kill_connection(shoald_session *s)
{
    lws_set_timeout(s->conn->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static void check_peer(shoald_session *s, uint64_t now_ns, int interval_s)
{
    if (interval_s == 0 || atomic_load(&s->rx_paused))
        return;
    if (passed(s->heard_ns, now_ns, 2 * interval_s)) {
        shoald_log(SHOALD_LOG_INFO, "peer_lost", "session=%s peer=%s", s->id, s->peer);
        kill_connection(s);
    } else if (passed(s->heard_ns, now_ns, interval_s) && passed(s->pinged_ns, now_ns, interval_s)) {
        s->pinged_ns = now_ns;
        s->ping_due = true;
        lws_callback_on_writable(s->conn->wsi);
    }
}

static void check_idle(shoald_session *s, uint64_t now_ns, const shoald_settings *c)
{
    if (s->phase == SHOALD_WAITING && passed(s->opened_ns, now_ns, c->start_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_START_TIMEOUT, NULL);
    else if (s->phase == SHOALD_STREAMING && s->idle_timeout_s && !atomic_load(&s->rx_paused) &&
             passed(s->spoken_ns, now_ns, s->idle_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_IDLE_TIMEOUT, NULL);
}

void shoald_session_on_second(shoald_session *s, uint64_t now_ns)
{
    enum { CLOSING_TIMEOUT_S = 5 };
    const shoald_settings *c = &s->server->settings;
    if (!s->conn || s->close_sent)
        return;
    if (s->phase == SHOALD_CLOSING) {
        if (passed(s->closing_ns, now_ns, CLOSING_TIMEOUT_S))
            kill_connection(s);
        return;
    }
    if (s->written_ns && passed(s->written_ns, now_ns, c->slow_reader_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_SLOW_READER, NULL);
    check_idle(s, now_ns, c);
    check_peer(s, now_ns, c->ping_interval_s);
}

void shoald_session_drain(shoald_session *s)
{
    if (!s->conn)
        return;
    if (s->phase == SHOALD_WAITING) {
        shoald_session_fail(s, SHOAL_CODE_DRAINING, NULL);
    } else if (s->phase == SHOALD_STREAMING) {
        put_input(s, SHOALD_IN_DRAIN, NULL, 0, 0);
        s->phase = s->phase == SHOALD_STREAMING ? SHOALD_ENDING : s->phase;
    }
}

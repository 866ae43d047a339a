/* session_out.c - what the client gets: output records -> lws_write; and when to stop reading,
 * when to lose patience
 *
 * One write a WRITEABLE callback. Reading is paused when the input queue is above its high mark
 * and goes on below the low one; both, and closing, happen in shoald_session_review, which runs
 * outside of lws. */
#include "session/session.h"

#include "base/log.h"
#include "session/house.h"
#include "session/session-internal.h"

#include <libwebsockets.h>
#include <string.h>

/* ---- results out --------------------------------------------------------------------- */

/* Not by returning -1 from the writable callback: Debian's lws 4.1.6 is built with _DEBUG, and
 * then closes a second time to see whether that does harm ("uv repeat test"). It does: the
 * second close drops the connection before the Close frame is sent. So from uv_check. */
static void close_now(shoald_session *s)
{
    const char *reason = s->error ? shoal_code_get_info(s->error)->name : "";
    s->close_sent = true;
    lws_close_reason(s->wsi, (enum lws_close_status)s->close_code,
                     (unsigned char *)(uintptr_t)reason, strlen(reason));
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* may free s */
}

static int write_bytes(shoald_session *s, size_t n, enum lws_write_protocol how)
{
    int written = lws_write(s->wsi, s->house->tx + LWS_PRE, n, how);
    if (written < (int)n)
        return -1; /* the connection is broken; lws will call on_gone */
    s->written_ns = uv_hrtime();
    shoald_count(&s->house->stats.sent_bytes, n);
    return 0;
}

static int write_last_text(shoald_session *s)
{
    size_t n = s->last_size;
    memcpy(s->house->tx + LWS_PRE, s->last_text, n);
    s->last_size = 0;
    return write_bytes(s, n, LWS_WRITE_TEXT);
}

/* Copies the record into house->tx and drops it. */
static int write_record(shoald_session *s, shoald_queue *q)
{
    shoald_record r;
    shoald_queue_peek(q, &r);
    shoald_queue_copy(q, SHOALD_RECORD_BYTES, s->house->tx + LWS_PRE, r.size);
    shoald_queue_drop(q, SHOALD_RECORD_BYTES + r.size);
    int result =
        write_bytes(s, r.size, r.kind == SHOALD_OUT_TEXT ? LWS_WRITE_TEXT : LWS_WRITE_BINARY);
    if (r.code)
        shoald_session_enter_closing(s, r.code);
    return result;
}

static int write_result(shoald_session *s)
{
    int result = write_record(s, &s->lane.out);
    if (atomic_load(&s->lane.blocked) && shoald_queue_room(&s->lane.out) >= s->lane.out_step &&
        atomic_exchange(&s->lane.blocked, false))
        shoald_session_wake_worker(s);
    return result;
}

/* Not empty: lws 4.1.6 tells of a pong only if there is something in it. */
static int write_ping(shoald_session *s)
{
    s->ping_due = false;
    memcpy(s->house->tx + LWS_PRE, "shoal", 5);
    return lws_write(s->wsi, s->house->tx + LWS_PRE, 5, LWS_WRITE_PING) < 0 ? -1 : 0;
}

bool shoald_session_has_output(const shoald_session *s)
{
    return s->port && shoald_queue_fill(&s->lane.out) > 0;
}

/* One write a call, as lws wants it. lws also calls when nobody asked, even after Close. */
int shoald_session_on_writable(shoald_session *s)
{
    int result = 0;
    if (s->close_sent)
        return 0;
    if (s->last_size)
        result = write_last_text(s);
    else if (s->phase == SHOALD_CLOSING) {
        s->close_due = true; /* all is written: lws calls only when it holds nothing back */
        shoald_session_review_later(s);
        return 0;
    } else if (s->ping_due)
        result = write_ping(s);
    else if (shoald_queue_fill(&s->replies) > 0) {
        result = write_record(s, &s->replies);
        shoald_session_review_later(s);
    } else if (shoald_session_has_output(s))
        result = write_result(s);
    else {
        s->written_ns = 0; /* nothing waits: the slow reader's clock stops */
        return 0;
    }
    if (result == 0)
        lws_callback_on_writable(s->wsi);
    return result;
}

/* ---- reading stops and goes on -------------------------------------------------------- */

static bool input_above(const shoald_session *s, size_t in_limit, size_t reply_limit)
{
    return (s->port && shoald_queue_fill(&s->lane.in) > in_limit) ||
           shoald_queue_fill(&s->replies) > reply_limit;
}

/* rx_paused is set before the second look, so that the worker either sees it or has left the
 * queue low enough for us to see that. */
static void pause_rx(shoald_session *s)
{
    atomic_store(&s->lane.rx_paused, true);
    if (!input_above(s, s->lane.in_low, SHOALD_REPLY_BYTES / 4)) {
        atomic_store(&s->lane.rx_paused, false);
        return;
    }
    shoald_count(&s->house->stats.pauses, 1);
    lws_rx_flow_control(s->wsi, 0);
}

static void resume_rx(shoald_session *s)
{
    atomic_store(&s->lane.rx_paused, false);
    s->heard_ns = s->spoken_ns = uv_hrtime();
    lws_rx_flow_control(s->wsi, 1);
}

void shoald_session_review(shoald_session *s)
{
    if (!s->wsi || s->close_sent)
        return;
    if (s->close_due) {
        close_now(s);
        return;
    }
    bool paused = atomic_load(&s->lane.rx_paused);
    if (!paused && input_above(s, s->lane.in_high, SHOALD_REPLY_BYTES / 2))
        pause_rx(s);
    else if (paused && (s->phase == SHOALD_CLOSING ||
                        !input_above(s, s->lane.in_low, SHOALD_REPLY_BYTES / 4)))
        resume_rx(s);
}

/* ---- time ---------------------------------------------------------------------------- */

static bool passed(uint64_t since_ns, uint64_t now_ns, int seconds)
{
    return now_ns > since_ns && now_ns - since_ns >= (uint64_t)seconds * 1000000000u;
}

/* At once: lws notices an asynchronous kill only at the connection's next activity. */
static void kill_connection(shoald_session *s)
{
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* may free s */
}

static void check_peer(shoald_session *s, uint64_t now_ns, int interval_s)
{
    if (interval_s == 0 || s->phase == SHOALD_CLOSING || atomic_load(&s->lane.rx_paused))
        return;
    if (passed(s->heard_ns, now_ns, 2 * interval_s)) {
        shoald_log(SHOALD_LOG_INFO, "peer_lost", "session=%s peer=%s", s->lane.id, s->peer.name);
        kill_connection(s);
    } else if (passed(s->heard_ns, now_ns, interval_s) &&
               passed(s->pinged_ns, now_ns, interval_s)) {
        s->pinged_ns = now_ns;
        s->ping_due = true;
        lws_callback_on_writable(s->wsi);
    }
}

static void check_idle(shoald_session *s, uint64_t now_ns, const shoald_settings *c)
{
    if (s->phase == SHOALD_WAITING && passed(s->opened_ns, now_ns, c->start_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_START_TIMEOUT, NULL);
    else if (s->phase == SHOALD_STREAMING && s->lane.idle_timeout_s &&
             !atomic_load(&s->lane.rx_paused) &&
             passed(s->spoken_ns, now_ns, s->lane.idle_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_IDLE_TIMEOUT, NULL);
}

void shoald_session_on_second(shoald_session *s, uint64_t now_ns)
{
    enum { CLOSING_TIMEOUT_S = 5 };
    const shoald_settings *c = &s->house->settings;
    if (!s->wsi || s->close_sent)
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

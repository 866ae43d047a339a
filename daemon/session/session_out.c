/* session_out.c - what the client gets: output records -> the link; and when to stop reading, when
 * to lose patience
 *
 * One write a call. Reading is paused when the input queue is above its high mark and goes on below
 * the low one; both, and closing, happen in shoald_session_review, which runs outside of the link's
 * events. */
#include "session/session.h"

#include "base/log.h"
#include "plan/times.h"
#include "session/house.h"
#include "session/park.h"
#include "session/session-internal.h"

#include <string.h>

enum {
    CLOSING_TIMEOUT_S = 5,
    MOST_UNHEARD = 16 << 20 /* what may lie between two kernels' buffers, and more */
};

/* ---- results out --------------------------------------------------------------------- */

static int write_bytes(shoald_session *s, size_t n, shoald_link_kind kind)
{
    if (s->link->ops->write(s->link, kind, n) < 0)
        return -1;
    s->written_ns = uv_hrtime();
    shoald_count(&s->house->stats.sent_bytes, n);
    return 0;
}

/* False: it is a bug that this one was made, and the session is over. */
static bool fits(shoald_session *s, size_t n)
{
    if (n <= s->house->tx_size)
        return true;
    shoald_log(SHOALD_LOG_ERROR, "bug", "what=message_too_large session=%s size=%zu room=%zu",
               s->lane.id, n, s->house->tx_size);
    shoald_session_fail(s, SHOAL_CODE_INTERNAL, NULL);
    return false;
}

/* It has room in any house->tx. */
static int write_last_text(shoald_session *s)
{
    size_t n = s->last_size;
    memcpy(s->house->tx, s->last_text, n);
    s->last_size = 0;
    return write_bytes(s, n, SHOALD_LINK_TEXT);
}

/* Its payload lies in house->tx. */
static int write_payload(shoald_session *s, const shoald_record *r)
{
    shoald_link_kind kind = r->kind == SHOALD_OUT_BINARY ? SHOALD_LINK_BINARY
                            : r->code                    ? SHOALD_LINK_LAST
                                                         : SHOALD_LINK_TEXT;
    int result = write_bytes(s, r->size, kind);
    if (r->code)
        shoald_session_enter_closing(s, r->code);
    return result;
}

/* Copies the record into house->tx and drops it. */
static int write_record(shoald_session *s, shoald_queue *q)
{
    shoald_record r;
    shoald_queue_peek(q, &r);
    if (!fits(s, r.size)) {
        shoald_queue_drop(q, SHOALD_RECORD_BYTES + r.size);
        return 0;
    }
    shoald_queue_copy(q, SHOALD_RECORD_BYTES, s->house->tx, r.size);
    shoald_queue_drop(q, SHOALD_RECORD_BYTES + r.size);
    if (r.kind != SHOALD_OUT_READY) /* which each link has of its own */
        shoald_kept_add(&s->kept, &r, s->house->tx);
    return write_payload(s, &r);
}

/* What another link was given, and the client has not got: it has fitted once. */
static int write_again(shoald_session *s)
{
    shoald_record r;
    shoald_kept_take(&s->kept, &r, s->house->tx);
    return write_payload(s, &r);
}

static int write_hello(shoald_session *s)
{
    size_t n = s->hello.size;
    bool ok = fits(s, n);
    if (ok)
        memcpy(s->house->tx, s->hello.data, n);
    shoal_buf_free(&s->hello);
    return ok ? write_bytes(s, n, SHOALD_LINK_TEXT) : 0;
}

static int write_result(shoald_session *s)
{
    int result = write_record(s, &s->lane.out);
    if (atomic_load(&s->lane.blocked) && shoald_queue_room(&s->lane.out) >= s->lane.out_step &&
        atomic_exchange(&s->lane.blocked, false))
        shoald_session_wake_worker(s);
    return result;
}

static int write_ping(shoald_session *s)
{
    s->ping_due = false;
    memcpy(s->house->tx, "shoal", 5);
    return s->link->ops->write(s->link, SHOALD_LINK_PING, 5);
}

bool shoald_session_has_output(const shoald_session *s)
{
    return s->port && shoald_queue_fill(&s->lane.out) > 0;
}

/* The link may call when nobody asked. */
int shoald_session_on_writable(shoald_session *s)
{
    int result = 0;
    if (s->last_size)
        result = write_last_text(s);
    else if (s->hello.size)
        result = write_hello(s);
    else if (s->phase == SHOALD_CLOSING) {
        s->close_due = true; /* all is written: the link holds nothing back when it calls */
        shoald_session_review_later(s);
        return 0;
    } else if (s->ping_due)
        result = write_ping(s);
    else if (shoald_kept_goes_again(&s->kept))
        result = write_again(s);
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
        s->link->ops->want_write(s->link);
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
    s->link->ops->read(s->link, false);
}

static void resume_rx(shoald_session *s)
{
    atomic_store(&s->lane.rx_paused, false);
    s->heard_ns = s->spoken_ns = uv_hrtime();
    s->link->ops->read(s->link, true);
}

/* After the last word what is on its way is read, so that closing does not reset the connection;
 * but not for as long as somebody likes to send. */
void shoald_session_ignore(shoald_session *s, size_t n)
{
    s->unheard += n;
    if (s->unheard > MOST_UNHEARD)
        shoald_session_review_later(s);
}

static bool is_too_much(const shoald_session *s)
{
    return !s->deaf && s->unheard > MOST_UNHEARD;
}

static void close_now(shoald_session *s)
{
    const char *reason = s->error ? shoal_code_get_info(s->error)->name : "";
    s->link->ops->close(s->link, s->close_code, reason);
}

void shoald_session_review(shoald_session *s)
{
    if (!s->link)
        return;
    if (is_too_much(s)) {
        s->deaf = true;
        s->link->ops->read(s->link, false);
    }
    if (s->link->closing_ns)
        return;
    /* who closes reads on, or the client's Close, or its end, would not be heard */
    bool closes = s->close_due || s->phase == SHOALD_CLOSING;
    bool paused = atomic_load(&s->lane.rx_paused);
    if (!paused && !s->close_due && input_above(s, s->lane.in_high, SHOALD_REPLY_BYTES / 2))
        pause_rx(s);
    else if (paused && !s->deaf &&
             (closes || !input_above(s, s->lane.in_low, SHOALD_REPLY_BYTES / 4)))
        resume_rx(s);
    if (s->close_due)
        close_now(s);
}

/* ---- time ---------------------------------------------------------------------------- */

static bool passed(uint64_t since_ns, uint64_t now_ns, int seconds)
{
    return now_ns > since_ns && now_ns - since_ns >= (uint64_t)seconds * SHOALD_NS_PER_S;
}

static void check_peer(shoald_session *s, uint64_t now_ns, int interval_s)
{
    if (interval_s == 0 || s->phase == SHOALD_CLOSING || atomic_load(&s->lane.rx_paused))
        return;
    if (passed(s->heard_ns, now_ns, 2 * interval_s)) {
        shoald_log(SHOALD_LOG_INFO, "peer_lost", "session=%s peer=%s", s->lane.id, s->peer.name);
        s->link->ops->kill(s->link);
    } else if (passed(s->heard_ns, now_ns, interval_s) &&
               passed(s->pinged_ns, now_ns, interval_s)) {
        s->pinged_ns = now_ns;
        s->ping_due = true;
        s->link->ops->want_write(s->link);
    }
}

/* WebSocket pings are answered below us and never seen, so the socket's own count is asked. Our
 * pings' pongs are not in it: that a client answers keeps the connection, not an idle session. */
static void look_for_pings(shoald_session *s, uint64_t now_ns)
{
    uint64_t heard = s->link->ops->heard(s->link);
    if (heard <= s->heard_bytes)
        return;
    s->heard_bytes = heard;
    s->heard_ns = s->spoken_ns = now_ns;
}

static void check_idle(shoald_session *s, uint64_t now_ns, const shoald_settings *c)
{
    if (s->phase == SHOALD_WAITING && passed(s->opened_ns, now_ns, c->start_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_START_TIMEOUT, NULL);
    if (s->phase != SHOALD_STREAMING || !s->lane.idle_timeout_s || atomic_load(&s->lane.rx_paused))
        return;
    look_for_pings(s, now_ns);
    if (passed(s->spoken_ns, now_ns, s->lane.idle_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_IDLE_TIMEOUT, NULL);
}

/* Its last words are said or will never be heard. True: that's all. */
static bool check_closing(shoald_session *s, uint64_t now_ns)
{
    uint64_t since_ns = s->link->closing_ns ? s->link->closing_ns : s->closing_ns;
    if (!s->link->closing_ns && s->phase != SHOALD_CLOSING)
        return false;
    if (passed(since_ns, now_ns, CLOSING_TIMEOUT_S))
        s->link->ops->kill(s->link); /* may free s */
    return true;
}

void shoald_session_step(shoald_session *s, uint64_t now_ns)
{
    const shoald_settings *c = &s->house->settings;
    if (shoald_park_is_over_for(s, now_ns))
        shoald_session_end_parked(s, "expired");
    if (!s->link || check_closing(s, now_ns))
        return;
    if (s->too_late)
        shoald_session_fail(s, SHOAL_CODE_BACKLOG, NULL);
    if (s->written_ns && passed(s->written_ns, now_ns, c->slow_reader_timeout_s))
        shoald_session_fail(s, SHOAL_CODE_SLOW_READER, NULL);
    check_idle(s, now_ns, c);
    check_peer(s, now_ns, c->ping_interval_s);
}

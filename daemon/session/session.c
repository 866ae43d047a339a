/* session.c - the loop's side of a session: messages in, records out; see session.h
 *
 *   WAITING    -> options in the URL, or a start message -> STREAMING
 *   STREAMING  -> end, drain, a fatal error in the client's own messages -> ENDING
 *   any        -> the record with a close code has been written, or shoald_session_fail
 *              -> CLOSING -> the link sends Close
 *
 * This file: making, starting, failing, ending. session_in.c: messages -> input records.
 * session_out.c: output records -> the link, flow control, timeouts.
 *
 * In ENDING and CLOSING what still comes in is read and thrown away, because closing a socket
 * with unread bytes would reset it and the last words to the client with it; as much as lies on the
 * way, that is, and not for as long as somebody likes to send (session_out.c). */
#include "session/session.h"

#include "plan/grant.h"
#include "base/log.h"
#include "session/admit.h"
#include "session/park.h"
#include "session/session-internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shoald_session_review_later(shoald_session *s)
{
    if (s->in_review)
        return;
    s->in_review = true;
    s->next_review = s->house->review;
    s->house->review = s;
}

/* On the way from one worker to another it needs no waking: the new one looks anyway. */
void shoald_session_wake_worker(shoald_session *s)
{
    if (!s->move_to)
        shoald_lane_post(&s->lane, s->port);
}

void shoald_session_want_write(shoald_session *s)
{
    if (!s->link)
        return;
    if (s->written_ns == 0)
        s->written_ns = uv_hrtime();
    s->link->ops->want_write(s->link);
}

/* ---- making and ending --------------------------------------------------------------- */

static void enter_house(shoald_session *s)
{
    shoald_house *house = s->house;
    s->next = house->sessions;
    s->at = &house->sessions;
    if (s->next)
        s->next->at = &s->next;
    house->sessions = s;
    (*(s->refused ? &house->refused_count : &house->session_count))++;
}

static void leave_house(shoald_session *s)
{
    *s->at = s->next;
    if (s->next)
        s->next->at = s->at;
    (*(s->refused ? &s->house->refused_count : &s->house->session_count))--;
}

typedef enum { DONE, FAILED, LOST } outcome;

static outcome outcome_of(const shoald_session *s, shoal_code *code)
{
    *code = s->error ? s->error : (shoal_code)atomic_load(&s->lane.totals.error);
    return atomic_load(&s->lane.totals.done) ? DONE : *code ? FAILED : LOST;
}

static void log_close(const shoald_session *s)
{
    static const char *const results[] = { [DONE] = "done", [FAILED] = "error", [LOST] = "lost" };
    shoal_code code;
    outcome result = outcome_of(s, &code);
    const shoald_totals *t = &s->lane.totals;
    shoald_log(
        SHOALD_LOG_INFO, "session_close",
        "session=%s peer=%s token=%s result=%s error=%s seconds=%.1f audio_s=%.2f frames=%llu "
        "phones=%llu packets=%llu",
        s->lane.id, s->peer.name, shoald_session_token(s), results[result],
        code ? shoal_code_get_info(code)->name : "-", (double)(uv_hrtime() - s->opened_ns) / 1e9,
        (double)atomic_load(&t->samples) / SHOALD_RATE, (unsigned long long)atomic_load(&t->frames),
        (unsigned long long)atomic_load(&t->phones), (unsigned long long)atomic_load(&t->packets));
}

static void count_close(const shoald_session *s)
{
    shoald_loop_stats *stats = &s->house->stats;
    shoald_counter *const counters[] = { [DONE] = &stats->sessions_done,
                                         [FAILED] = &stats->sessions_error,
                                         [LOST] = &stats->sessions_lost };
    shoal_code code;
    shoald_count(counters[outcome_of(s, &code)], 1);
}

static void leave_review(shoald_session *s)
{
    shoald_session **link = &s->house->review;
    while (*link && *link != s)
        link = &(*link)->next_review;
    if (*link)
        *link = s->next_review;
}

static void free_session(shoald_session *s)
{
    log_close(s);
    if (!s->refused)
        count_close(s);
    if (s->in_review)
        leave_review(s);
    leave_house(s);
    s->house->leaving_count -= s->leaving;
    shoald_admit_leave(s);
    shoald_models_give_back(&s->house->models, s->lane.service);
    shoald_lane_free(&s->lane);
    shoald_kept_free(&s->kept);
    shoal_buf_free(&s->hello);
    shoald_queue_free(&s->replies);
    free(s->part);
    free(s);
}

/* It is freed once its worker has let go of it. */
static void let_go(shoald_session *s)
{
    if (!s->port)
        free_session(s);
    else if (!s->move_to)
        shoald_lane_post_last(&s->lane, s->port);
}

void shoald_session_end_parked(shoald_session *s, const char *why)
{
    shoald_log(SHOALD_LOG_INFO, "park_end", "session=%s peer=%s why=%s seconds=%.1f", s->lane.id,
               s->peer.name, why, (double)(uv_hrtime() - s->parked_ns) / 1e9);
    shoald_count(&s->house->stats.unparked, 1);
    shoald_park_leave(s);
    s->has_ticket = s->has_last_ticket = false;
    s->leaving = true;
    s->house->leaving_count++;
    let_go(s);
}

int shoald_session_count(const shoald_house *house, const shoald_service *service)
{
    int n = 0;
    for (const shoald_session *s = house->sessions; s; s = s->next)
        n += s->lane.service == service;
    return n;
}

static void make_room(shoald_house *house)
{
    shoald_session *s;
    while ((s = shoald_park_surplus(house)))
        shoald_session_end_parked(s, "room");
}

static void take_model(shoald_session *s, shoald_service *service)
{
    shoald_models_take(service);
    s->lane.service = service;
}

/* One that was just parked may be more than its address or its token has room for. */
static void keep_to_share(const shoald_session *s)
{
    shoald_session *old;
    const char *why;
    while (s->parked_ns && (old = shoald_park_surplus_beside(s, &why))) {
        shoald_count(&s->house->stats.unshared, 1);
        shoald_session_end_parked(old, why);
    }
}

shoald_session *shoald_session_new(shoald_house *house, const shoald_peer *peer,
                                   const shoald_entry *entry)
{
    shoald_session *s = aligned_alloc(_Alignof(shoald_session), sizeof *s);
    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    if (shoald_queue_init(&s->replies, SHOALD_REPLY_BYTES) < 0) {
        free(s);
        return NULL;
    }
    snprintf(s->lane.id, sizeof s->lane.id, "%016llx",
             (unsigned long long)((house->id_salt + house->next_session++) * 0x9e3779b97f4a7c15u));
    s->house = house;
    s->peer = *peer;
    memcpy(s->token, entry->token, sizeof s->token);
    s->most_depth = entry->most_depth;
    s->most_sessions = entry->most_sessions;
    s->by_post = entry->by_post;
    s->refused = entry->error.code != 0;
    s->lane.session = s;
    s->opened_ns = s->heard_ns = s->spoken_ns = uv_hrtime();
    enter_house(s);
    if (entry->has_options && !s->refused) {
        take_model(s, entry->service);
        s->granted = entry->granted;
        shoald_admit_enter(s, &entry->granted);
    }
    make_room(house);
    return s;
}

/* Also of one that was to be a parked session's, and has come to nothing. */
void shoald_session_on_gone(shoald_session *s)
{
    bool parks = s->link && (s->taken_over || shoald_park_wants(s));
    if (shoald_park_has(s))
        return;
    s->link = NULL;
    if (!parks) {
        let_go(s);
        return;
    }
    shoald_admit_rest(s);
    shoald_park_enter(s);
    if (s->taken_over)
        return;
    keep_to_share(s);
    make_room(s->house);
}

void shoald_session_take_over(shoald_session *s)
{
    if (!s->link)
        return;
    s->taken_over = true;
    s->link->ops->kill(s->link);
    s->taken_over = false;
}

static void on_moved(shoald_session *s)
{
    shoald_admit_moved(s);
    if (s->link || shoald_park_has(s))
        shoald_lane_post(&s->lane, s->port);
    else
        shoald_lane_post_last(&s->lane, s->port);
}

void shoald_session_on_mail(void *mail)
{
    shoald_session *s = SHOALD_UNMARK(mail)->session;
    if (SHOALD_MARKED(mail)) {
        free_session(s);
        return;
    }
    if (SHOALD_MOVED(mail)) {
        on_moved(s);
        return;
    }
    atomic_store(&s->lane.in_outbox, false);
    if (!s->link)
        return;
    if (atomic_load(&s->lane.overflow))
        shoald_session_fail(s, SHOAL_CODE_INTERNAL, NULL);
    if (shoald_session_has_output(s))
        shoald_session_want_write(s);
    if (atomic_load(&s->lane.rx_paused))
        shoald_session_review_later(s);
}

/* ---- errors -------------------------------------------------------------------------- */

void shoald_session_count_error(shoald_session *s, shoal_code code)
{
    shoald_count(&s->house->stats.errors[code], 1);
}

void shoald_session_enter_closing(shoald_session *s, int close_code)
{
    s->phase = SHOALD_CLOSING;
    s->close_code = close_code;
    s->closing_ns = uv_hrtime();
    shoald_session_want_write(s);
}

void shoald_session_fail_with(shoald_session *s, const shoal_error *err)
{
    if (s->phase == SHOALD_CLOSING || !s->link)
        return;
    shoal_buf b;
    shoal_buf_wrap(&b, s->last_text, sizeof s->last_text);
    s->error = err->code;
    s->last_size = shoal_error_encode(&b, err) == 0 ? b.size : 0;
    shoald_session_count_error(s, err->code);
    shoald_session_enter_closing(s, shoal_code_get_info(err->code)->close_code);
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
    shoald_session_fail_with(s, &err);
}

/* ---- input records ------------------------------------------------------------------- */

void shoald_session_put(shoald_session *s, int kind, const void *payload, size_t n, int code)
{
    shoald_record r = { (uint32_t)n, (uint16_t)kind, (uint16_t)code, uv_hrtime() };
    if (!shoald_queue_put(&s->lane.in, &r, payload)) {
        shoald_session_fail(s, SHOAL_CODE_BACKLOG, NULL);
        return;
    }
    shoald_session_wake_worker(s);
    if (shoald_queue_fill(&s->lane.in) > s->lane.in_high)
        shoald_session_review_later(s);
}

void shoald_session_put_error(shoald_session *s, const shoal_error *err)
{
    char text[1024];
    shoal_buf b;
    if (!s->port) {
        shoald_session_fail_with(s, err);
        return;
    }
    shoal_buf_wrap(&b, text, sizeof text);
    if (shoal_error_encode(&b, err) < 0)
        return;
    shoald_session_count_error(s, err->code);
    int close_code = err->fatal ? shoal_code_get_info(err->code)->close_code : 0;
    shoald_session_put(s, SHOALD_IN_REPLY, text, b.size, close_code);
    if (!err->fatal)
        return;
    s->error = err->code;
    if (s->phase == SHOALD_STREAMING)
        s->phase = SHOALD_ENDING;
}

void shoald_session_reply(shoald_session *s, const shoal_buf *b)
{
    shoald_record r = { (uint32_t)b->size, SHOALD_OUT_TEXT, 0, uv_hrtime() };
    if (!shoald_queue_put(&s->replies, &r, b->data))
        shoald_session_fail(s, SHOAL_CODE_SLOW_READER,
                            "too many pings at once: wait for the pong of each");
    shoald_session_want_write(s);
    if (shoald_queue_fill(&s->replies) > SHOALD_REPLY_BYTES / 2)
        shoald_session_review_later(s);
}

/* ---- start --------------------------------------------------------------------------- */

static void log_open(const shoald_session *s)
{
    const shoal_options *o = &s->lane.options;
    shoald_log(SHOALD_LOG_INFO, "session_open",
               "session=%s peer=%s token=%s format=%s rate=%d channels=%d depth=%d..%d chunk_ms=%d "
               "left_ms=%d outputs=%u taps=%d encoding=%s model=%s worker=%d",
               s->lane.id, s->peer.name, shoald_session_token(s), shoal_format_name(o->format),
               o->rate, o->channels, o->depth_min, o->depth_max, o->chunk_ms, o->left_ms,
               o->outputs, o->tap_count, shoal_encoding_name(o->encoding), o->model,
               s->port->index);
}

/* It was admitted before the upgrade: with the model that it has, whatever has its name by now. */
static int grant_again(shoald_session *s, const shoald_grant_limits *limits, shoal_error *err)
{
    memcpy(s->lane.options.model, s->granted.model, sizeof s->granted.model);
    return shoald_grant_options(&s->lane.options, s->lane.service->model, limits, err);
}

static int grant_now(shoald_session *s, const shoald_grant_limits *limits, shoal_error *err)
{
    shoald_service *service;
    shoal_options *o = &s->lane.options;
    if (shoald_admit_grant(s->house, limits, o, &service, err) < 0 ||
        !shoald_admit_may_begin(s->house, service, o, err))
        return -1;
    take_model(s, service);
    shoald_admit_enter(s, o);
    return 0;
}

static int grant(shoald_session *s, const shoal_options *asked, shoal_error *err)
{
    const shoald_grant_limits limits = shoald_session_limits(s);
    s->lane.options = s->asked = *asked;
    int result = s->lane.service ? grant_again(s, &limits, err) : grant_now(s, &limits, err);
    memcpy(s->asked.model, s->lane.options.model, sizeof s->asked.model);
    return result;
}

void shoald_session_start(shoald_session *s, const shoal_options *asked)
{
    const shoald_settings *c = &s->house->settings;
    shoal_error err;
    if (grant(s, asked, &err) < 0) {
        shoald_count(&s->house->stats.refused, 1);
        shoald_session_fail_with(s, &err);
        return;
    }
    if (shoald_lane_init(&s->lane, c->backlog_ms, (size_t)c->output_buffer_bytes) < 0) {
        shoald_session_fail(s, SHOAL_CODE_INTERNAL, "no memory for the session: try again later");
        return;
    }
    if (shoald_park_prepare(s) < 0) {
        shoald_lane_free(&s->lane);
        shoald_session_fail(s, SHOAL_CODE_INTERNAL, "no memory for the session: try again later");
        return;
    }
    s->lane.max_message_bytes = (uint64_t)c->max_message_bytes;
    s->lane.backlog_ms = c->backlog_ms;
    s->lane.idle_timeout_s = c->idle_timeout_s;
    shoald_admit_place(s);
    s->phase = SHOALD_STREAMING;
    log_open(s);
    shoald_lane_post(&s->lane, s->port);
}

static void come_back(shoald_session *s, const shoal_resume *r)
{
    if (shoald_park_return(s, r) < 0)
        shoald_session_fail(s, SHOAL_CODE_INTERNAL, "no memory for the session: begin a new one");
    shoald_session_want_write(s);
    shoald_session_review_later(s);
}

void shoald_session_on_open(shoald_session *s, const shoald_entry *entry)
{
    if (entry->back) {
        come_back(s, &entry->resume);
        return;
    }
    s->opened_ns = s->heard_ns = s->spoken_ns = uv_hrtime();
    if (s->refused)
        shoald_session_fail_with(s, &entry->error);
    else if (entry->has_options)
        shoald_session_start(s, &entry->asked);
}

void shoald_session_drain(shoald_session *s)
{
    if (shoald_park_has(s))
        shoald_session_end_parked(s, "draining");
    if (!s->link)
        return;
    if (s->phase == SHOALD_WAITING) {
        shoald_session_fail(s, SHOAL_CODE_DRAINING, NULL);
    } else if (s->phase == SHOALD_STREAMING) {
        shoald_session_put(s, SHOALD_IN_DRAIN, NULL, 0, 0);
        s->phase = s->phase == SHOALD_STREAMING ? SHOALD_ENDING : s->phase;
    }
}

/* park.c - see park.h */
#include "session/park.h"

#include "base/log.h"
#include "plan/times.h"

#include <stdio.h>
#include <string.h>

static shoald_parking_limits limits_of(const shoald_settings *c)
{
    return (shoald_parking_limits){ .window_ms = c->park_ms,
                                    .sessions = c->park_sessions,
                                    .bytes = (uint64_t)c->park_bytes,
                                    .percent = c->park_percent_per_ip };
}

/* For as long as its `ready` said, unless parking was turned off since. */
static shoald_parking_limits limits_for(const shoald_session *s)
{
    shoald_parking_limits limits = limits_of(&s->house->settings);
    limits.window_ms = limits.window_ms ? s->lane.park_ms : 0;
    return limits;
}

/* ---- tickets ------------------------------------------------------------------------- */

/* Without one the session ends with its link. */
static void draw_ticket(shoald_session *s)
{
    s->has_ticket = shoald_ticket_draw(s->ticket, s->lane.ticket);
}

void shoald_park_confirm(shoald_session *s)
{
    s->has_last_ticket = false;
}

/* ---- what may be parked -------------------------------------------------------------- */

int shoald_park_prepare(shoald_session *s)
{
    const shoald_settings *c = &s->house->settings;
    shoald_parking_limits limits = limits_of(c);
    const shoal_model_info *info = s->lane.service->info;
    s->granted = s->lane.options;
    if (!s->link->returns || c->park_ms == 0)
        return 0;
    draw_ticket(s);
    s->lane.park_ms = c->park_ms;
    return shoald_kept_init(
        &s->kept, shoald_parking_kept_bytes(&limits, shoald_lane_second_bytes(info, &s->granted),
                                            (size_t)c->park_keep_bytes));
}

static uint64_t bytes_of(const shoald_session *s)
{
    return sizeof *s + s->lane.in.capacity + s->lane.out.capacity + s->kept.ring.capacity +
           shoald_service_cache_bytes(s->lane.service, &s->granted);
}

/* It goes on, or its last words are all that its client lacks. A fatal error is the end of it. */
static bool is_alive(const shoald_session *s)
{
    bool done = s->phase == SHOALD_CLOSING && s->close_code == SHOAL_CLOSE_NORMAL;
    return s->port && s->has_ticket && !s->error && !atomic_load(&s->lane.overflow) &&
           (s->phase == SHOALD_STREAMING || s->phase == SHOALD_ENDING || done);
}

bool shoald_park_wants(const shoald_session *s)
{
    shoald_parking_limits limits = limits_for(s);
    return is_alive(s) && !s->link->farewell && !s->house->draining &&
           shoald_parking_takes(&limits, bytes_of(s));
}

void shoald_park_enter(shoald_session *s)
{
    s->parked_ns = uv_hrtime();
    s->parked_bytes = bytes_of(s);
    s->house->parked.sessions++;
    s->house->parked.bytes += s->parked_bytes;
    shoald_count(&s->house->stats.parked, 1);
    shoald_log(SHOALD_LOG_INFO, "session_park",
               "session=%s peer=%s window_ms=%d unsent_bytes=%zu parked=%d", s->lane.id,
               s->peer.name, s->lane.park_ms, shoald_queue_fill(&s->lane.out),
               s->house->parked.sessions);
}

void shoald_park_leave(shoald_session *s)
{
    s->parked_ns = 0;
    s->house->parked.sessions--;
    s->house->parked.bytes -= s->parked_bytes;
}

/* New ones come first in the list, but who was parked first may be anywhere in it. */
static shoald_session *oldest(const shoald_house *house)
{
    shoald_session *old = NULL;
    for (shoald_session *s = house->sessions; s; s = s->next)
        if (s->parked_ns && (!old || s->parked_ns <= old->parked_ns))
            old = s;
    return old;
}

shoald_session *shoald_park_surplus(const shoald_house *house)
{
    shoald_parking_limits limits = limits_of(&house->settings);
    int taken = house->session_count - house->leaving_count;
    bool over =
        shoald_parking_is_over(&limits, &house->parked, house->settings.max_sessions - taken);
    return over ? oldest(house) : NULL;
}

/* ---- the share of one ------------------------------------------------------------------ */

/* Behind a loopback address there may be a proxy, with everybody behind that. */
static bool is_of_address(const shoald_session *s, const shoald_session *other)
{
    return !shoald_peer_is_local(&s->peer) && shoald_peer_is_near(&s->peer, &other->peer);
}

static bool is_of_token(const shoald_session *s, const shoald_session *other)
{
    return *s->token && strcmp(s->token, other->token) == 0;
}

/* Of those that are parked and like s: how many, and the first one. */
static shoald_session *oldest_like(const shoald_session *s, shoald_parked *sum,
                                   bool (*is_like)(const shoald_session *, const shoald_session *))
{
    shoald_session *old = NULL;
    *sum = (shoald_parked){ 0 };
    for (shoald_session *other = s->house->sessions; other; other = other->next) {
        if (!other->parked_ns || !is_like(s, other))
            continue;
        sum->sessions++;
        sum->bytes += other->parked_bytes;
        if (!old || other->parked_ns <= old->parked_ns)
            old = other;
    }
    return old;
}

shoald_session *shoald_park_surplus_beside(const shoald_session *s, const char **why)
{
    shoald_parking_limits limits = limits_of(&s->house->settings);
    shoald_parked sum;
    shoald_session *old = oldest_like(s, &sum, is_of_address);
    *why = "address";
    if (shoald_parking_is_greedy(&limits, &sum))
        return old;
    old = oldest_like(s, &sum, is_of_token);
    *why = "token";
    return s->most_sessions && sum.sessions > s->most_sessions ? old : NULL;
}

bool shoald_park_is_over_for(const shoald_session *s, uint64_t now_ns)
{
    shoald_parking_limits limits = limits_for(s);
    return s->parked_ns && shoald_parking_is_past(&limits, s->parked_ns, now_ns);
}

/* ---- coming back --------------------------------------------------------------------- */

/* Every ticket is compared, and all of it, so the time does not tell how near a guess was. */
static shoald_session *whose(const shoald_house *house, const unsigned char *ticket)
{
    shoald_session *found = NULL;
    for (shoald_session *s = house->sessions; s; s = s->next) {
        bool is = shoald_ticket_is(s->ticket, ticket) & s->has_ticket;
        is |= shoald_ticket_is(s->last_ticket, ticket) & s->has_last_ticket;
        found = is ? s : found;
    }
    return found;
}

static const char *const whys[] = {
    [SHOALD_FORGOTTEN] = "the results that you lack are kept no more: begin a new session and send "
                         "again what it needs",
    [SHOALD_NEVER_SENT] = "got: that many messages were never sent",
};

shoald_session *shoald_park_find(shoald_house *house, const shoal_resume *r, const char *token,
                                 shoal_error *err)
{
    unsigned char ticket[SHOALD_TICKET_BYTES];
    shoald_ticket_read(ticket, r->ticket);
    shoald_session *s = whose(house, ticket);
    if (!s || strcmp(s->token, token) != 0 || !is_alive(s) || (!s->link && !s->parked_ns)) {
        shoal_error_set(err, SHOAL_CODE_CANNOT_RESUME, "resume", NULL);
        shoald_count(&house->stats.resumes[SHOALD_RESUME_UNKNOWN], 1);
        return NULL;
    }
    shoald_coverage c = shoald_parking_covers(s->kept.sent, s->kept.from, r->got);
    if (c == SHOALD_COVERED)
        return s;
    shoal_error_set(err, SHOAL_CODE_CANNOT_RESUME, "got", "%s", whys[c]);
    shoald_count(&house->stats.resumes[SHOALD_RESUME_UNCOVERED], 1);
    return NULL;
}

/* What ran last; before the first run as deep as it may. */
static int depth_now(const shoald_session *s)
{
    int depth = atomic_load(&s->lane.totals.depth), most = s->granted.depth_max;
    return depth < 1 || depth > most ? most : depth;
}

static int write_hello(shoald_session *s)
{
    shoal_ready m;
    uint64_t bytes = atomic_load(&s->lane.received_bytes);
    shoald_lane_tell(&s->lane, &s->granted, depth_now(s), &m);
    m.is_resumed = 1;
    m.held_bytes = bytes + s->torn_bytes;
    m.held_requests = s->requests;
    m.held_samples = bytes / (uint64_t)shoald_lane_frame_bytes(&s->granted) + s->skipped;
    s->hello.size = 0;
    return shoal_ready_encode(&s->hello, &m);
}

/* As with a new link: nothing of the old one's state means anything to it. */
static void forget_link(shoald_session *s)
{
    s->heard_ns = s->spoken_ns = uv_hrtime();
    s->heard_bytes = s->written_ns = s->pinged_ns = 0;
    s->message_bytes = s->part_size = 0;
    s->ping_due = s->close_due = s->deaf = false;
    s->closing_ns = s->unheard = 0;
    atomic_store(&s->lane.rx_paused, false);
    if (s->phase == SHOALD_CLOSING) { /* `done` and its code go again */
        s->phase = SHOALD_ENDING;
        s->close_code = 0;
    }
}

int shoald_park_return(shoald_session *s, const shoal_resume *r)
{
    uint64_t away_ns = uv_hrtime() - s->parked_ns, got = r->got;
    shoald_park_leave(s);
    forget_link(s);
    shoald_ticket_read(s->last_ticket, r->ticket);
    s->has_last_ticket = true;
    draw_ticket(s);
    if (write_hello(s) < 0)
        return -1;
    shoald_kept_rewind(&s->kept, got);
    shoald_count(&s->house->stats.resumes[SHOALD_RESUME_DONE], 1);
    shoald_log(SHOALD_LOG_INFO, "session_resume",
               "session=%s peer=%s away_ms=%llu got=%llu again=%llu", s->lane.id, s->peer.name,
               (unsigned long long)(away_ns / SHOALD_NS_PER_MS), (unsigned long long)got,
               (unsigned long long)(s->kept.sent - got));
    return 0;
}

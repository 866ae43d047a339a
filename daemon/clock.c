/* clock.c - four times a second: timeouts, the governor, the watch, the end of a drain */
#include "server.h"

#include "base/log.h"
#include "base/process.h"
#include "plan/times.h"
#include "session/admit.h"
#include "session/session.h"

enum { CLOCK_MS = 250 };

/* A last second for the message and the Close to go out. */
static void tell_shutdown(shoald_server *server, uint64_t now_ns)
{
    server->told_shutdown = true;
    server->drain_deadline_ns = now_ns + SHOALD_NS_PER_S;
    for (shoald_session *s = server->house.sessions; s; s = s->next)
        shoald_session_fail(s, SHOAL_CODE_SHUTDOWN, NULL);
}

static void check_drained(shoald_server *server, uint64_t now_ns)
{
    const shoald_house *house = &server->house;
    if (!house->draining)
        return;
    if (house->session_count > 0 && now_ns < server->drain_deadline_ns)
        return;
    if (house->session_count > 0 && !server->told_shutdown) {
        shoald_log(SHOALD_LOG_WARNING, "drain_timeout", "sessions=%d", house->session_count);
        tell_shutdown(server, now_ns);
        return;
    }
    shoald_server_stop(server);
}

static void check_stopped(shoald_server *server, uint64_t now_ns)
{
    const shoald_house *house = &server->house;
    if (house->connection_count == 0 && house->session_count == 0)
        shoald_server_stop_rest(server);
    else if (now_ns > server->stop_deadline_ns)
        shoald_server_stop_rest(server); /* a leak on the way out is better than to hang */
}

static void measure_lag(shoald_server *server, uint64_t now_ns)
{
    double late = now_ns > server->clock_due_ns ? (double)(now_ns - server->clock_due_ns) : 0;
    shoald_observe(&server->house.stats.lag, shoald_lag_bounds, SHOALD_LAG_BUCKETS, late / 1e9);
    server->clock_due_ns = now_ns + CLOCK_MS * SHOALD_NS_PER_MS;
}

/* The memory of sessions that are over goes back to the system when for a second none has ended:
 * what is free then nobody needs soon. Where that never comes, every ten seconds. */
static void return_pages(shoald_server *server, uint64_t now_ns)
{
    const uint64_t second = SHOALD_NS_PER_S, calm_ns = second, latest_ns = 10 * second;
    const shoald_loop_stats *stats = &server->house.stats;
    uint64_t ended = atomic_load(&stats->sessions_done) + atomic_load(&stats->sessions_error) +
                     atomic_load(&stats->sessions_lost);
    if (ended != server->ended || server->house.leaving_count > 0)
        server->ended_ns = now_ns;
    server->ended = ended;
    if (ended == server->ended_returned ||
        (now_ns < server->ended_ns + calm_ns && now_ns < server->returned_ns + latest_ns))
        return;
    server->ended_returned = ended;
    server->returned_ns = now_ns;
    shoald_process_return_pages();
}

static void on_clock(uv_timer_t *timer)
{
    shoald_server *server = timer->data;
    uint64_t now_ns = uv_hrtime();
    measure_lag(server, now_ns);
    if (server->stopping) {
        check_stopped(server, now_ns);
        return;
    }
    for (shoald_session *s = server->house.sessions, *next; s; s = next) {
        next = s->next; /* it may close and free itself */
        shoald_session_step(s, now_ns);
    }
    for (int i = 0; i < server->listener_count; i++)
        shoald_listen_wake(&server->listeners[i]);
    shoald_door_step(&server->door, now_ns);
    shoald_admit_step(&server->house, now_ns);
    shoald_watch_step(server, now_ns);
    shoald_models_sweep(&server->house.models);
    return_pages(server, now_ns);
    check_drained(server, now_ns);
}

void shoald_clock_start(shoald_server *server)
{
    uv_timer_init(&server->loop, &server->clock);
    server->clock.data = server;
    server->clock_due_ns = uv_hrtime() + CLOCK_MS * SHOALD_NS_PER_MS;
    uv_timer_start(&server->clock, on_clock, CLOCK_MS, CLOCK_MS);
}

/* watch.c - do the workers make progress? systemd's watchdog is fed as long as all do
 *
 * An idle worker is poked, so that a living one always moves. */
#include "server.h"

#include "base/notify.h"
#include "plan/times.h"

void shoald_watch_start(shoald_server *server)
{
    for (int i = 0; i < server->worker_count; i++)
        server->worker_moved_ns[i] = uv_hrtime();
    server->watchdog_ns = shoald_notify_watchdog_ns();
    server->house.stalled = -1;
}

static void look_at_worker(shoald_server *server, int i, uint64_t now_ns)
{
    uint64_t ticks = atomic_load(&server->workers[i].port.ticks);
    if (ticks != server->worker_ticks[i]) {
        server->worker_ticks[i] = ticks;
        server->worker_moved_ns[i] = now_ns;
    }
    shoald_port_poke(&server->workers[i].port);
}

/* A worker that made no progress for stall_timeout_s, or -1. */
static int find_stalled(const shoald_server *server, uint64_t now_ns)
{
    uint64_t limit_ns = (uint64_t)server->house.settings.stall_timeout_s * SHOALD_NS_PER_S;
    for (int i = 0; i < server->worker_count; i++)
        if (now_ns - server->worker_moved_ns[i] > limit_ns)
            return i;
    return -1;
}

static void feed_watchdog(shoald_server *server, uint64_t now_ns)
{
    if (!server->watchdog_ns || now_ns - server->fed_ns < server->watchdog_ns ||
        server->house.stalled >= 0)
        return;
    server->fed_ns = now_ns;
    shoald_notify_alive("WATCHDOG=1\nSTATUS=%d sessions%s", server->house.session_count,
                        server->house.draining ? ", draining" : "");
}

void shoald_watch_step(shoald_server *server, uint64_t now_ns)
{
    for (int i = 0; i < server->worker_count; i++)
        look_at_worker(server, i, now_ns);
    server->house.stalled = find_stalled(server, now_ns);
    shoald_notify_again();
    feed_watchdog(server, now_ns);
}

/* stop.c - how a server ends: drain, then stop; see server.h
 *
 * Draining: no new sessions, every session finishes what it has received (shoald_session_drain),
 * and when the last is gone or drain_timeout_s is over, lws is taken down (shoald_server_stop) and
 * then the rest (shoald_server_stop_rest). lws must be destroyed while the loop still runs and
 * never from inside one of its callbacks, and on a foreign loop it closes connections only in later
 * turns of the loop, so both are done from the clock. */
#include "server.h"

#include "base/log.h"
#include "base/notify.h"
#include "plan/times.h"
#include "session/session.h"

#include <libwebsockets.h>
#include <unistd.h>

/* Who looks for them would take this shoald for one that listens. */
static void remove_files(shoald_server *server)
{
    for (int i = 0; i < server->listener_count; i++)
        shoald_process_remove_file(&server->listeners[i].unix_file);
    shoald_process_remove_file(&server->ready_file);
}

void shoald_server_drain(shoald_server *server)
{
    int seconds = server->house.settings.drain_timeout_s;
    if (server->house.draining) {
        shoald_log(SHOALD_LOG_WARNING, "exit", "reason=second_signal sessions=%d",
                   server->house.session_count);
        remove_files(server);
        _exit(1);
    }
    server->house.draining = true;
    server->drain_deadline_ns = uv_hrtime() + (uint64_t)seconds * SHOALD_NS_PER_S;
    shoald_log(SHOALD_LOG_NOTICE, "draining", "sessions=%d timeout_s=%d",
               server->house.session_count, seconds);
    shoald_notify("STOPPING=1\nSTATUS=draining %d sessions\nEXTEND_TIMEOUT_USEC=%lld",
                  server->house.session_count, (seconds + 5) * 1000000LL);
    /* systemd keeps an inherited socket and gives what waits there to the next shoald; our own
     * goes on answering, so that /readyz can say 503 and upgrades be refused politely */
    for (int i = 0; server->inherited && i < server->listener_count; i++)
        shoald_listen_close(&server->listeners[i]);
    for (shoald_session *s = server->house.sessions; s; s = s->next)
        shoald_session_drain(s);
}

void shoald_server_stop(shoald_server *server)
{
    for (int i = 0; i < server->listener_count; i++)
        shoald_listen_close(&server->listeners[i]);
    shoald_door_close(&server->door);
    server->stopping = true;
    server->stop_deadline_ns = uv_hrtime() + 2 * SHOALD_NS_PER_S;
    if (server->lws)
        lws_context_destroy(server->lws);
    server->lws = NULL;
}

/* The loop ends when the last handle has closed. */
void shoald_server_stop_rest(shoald_server *server)
{
    shoald_reload_stop(server);
    for (int i = 0; i < server->worker_count; i++)
        shoald_worker_stop(&server->workers[i]);
    shoald_mail_take(server); /* sessions that the workers let go just now */
    for (int i = 0; i < SHOALD_SIGNALS; i++)
        uv_close((uv_handle_t *)&server->signals[i], NULL);
    uv_close((uv_handle_t *)&server->clock, NULL);
    uv_close((uv_handle_t *)&server->check, NULL);
    uv_close((uv_handle_t *)&server->mail, NULL);
}

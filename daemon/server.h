/* server.h - the process: one libuv loop, one lws context, listeners, workers, sessions
 *
 * Everything here belongs to the loop thread. Order of life (server.c):
 *   settings -> model -> workers -> loop, signals -> lws -> listeners -> READY=1 -> uv_run
 *   SIGTERM: drain -> all sessions closed -> lws gone -> workers stopped -> handles closed
 */
#ifndef SHOALD_SERVER_H
#define SHOALD_SERVER_H

#include "plan/govern.h"
#include "net/listen.h"
#include "base/metrics.h"
#include "base/options.h"
#include "session/session.h"
#include "base/settings.h"
#include "work/worker.h"

#include <uv.h>

struct lws_context;
struct lws_vhost;

typedef struct shoald_server {
    const shoald_options *options;
    shoald_settings settings;
    shoal_model *model;
    const shoal_model_info *info;

    uv_loop_t loop;
    uv_async_t mail;  /* workers have put something into their outboxes */
    uv_check_t check; /* pauses, resumes, closes: outside of lws */
    uv_timer_t clock; /* every second: timeouts, watchdog */
    uv_signal_t signals[3];
    struct lws_context *lws;
    struct lws_vhost *vhost;
    shoald_listener listeners[SHOALD_MAX_LISTEN];
    int listener_count;
    bool inherited; /* the listeners came from systemd */

    shoald_worker *workers; /* [worker_count] */
    int worker_count;
    uint64_t *worker_ticks;    /* [worker_count] as of the last look */
    uint64_t *worker_moved_ns; /* [worker_count] when they last changed */

    double *per;              /* [depths] phone error rate, NAN: unknown */
    shoald_governor governor; /* who gets in, how deep, where */

    shoald_session *sessions; /* list of all that hold a slot */
    int session_count;
    int connection_count;   /* TCP connections, sessions included */
    shoald_session *review; /* sessions to pause, resume or close */
    unsigned char *tx;      /* LWS_PRE + one message on its way to lws_write */
    size_t tx_size;
    uint64_t next_session; /* makes ids */
    uint64_t id_salt;
    uint64_t clock_due_ns; /* when the clock should tick next */

    bool draining;
    bool told_shutdown; /* drain_timeout_s was over */
    bool stopping;      /* lws is being taken down, then the rest */
    uint64_t drain_deadline_ns, stop_deadline_ns;
    uint64_t watchdog_ns; /* 0: systemd wants none */
    uint64_t started_ns;
    shoald_loop_stats stats;
} shoald_server;

/* Run until a signal ends it. Returns the exit status. */
int shoald_server_run(const shoald_options *options);
/* SIGTERM and SIGINT. The second time it exits at once. */
void shoald_server_drain(shoald_server *server);
/* A worker that made no progress for stall_timeout_s, or -1. */
int shoald_server_stalled_worker(const shoald_server *server);

#endif

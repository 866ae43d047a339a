/* server.h - the process: one libuv loop, one lws context, listeners, workers, a house of sessions
 *
 * Everything here belongs to the loop thread. Only server.c, mail.c, clock.c, watch.c, reload.c
 * and stop.c see it whole; the rooms below get the house (session/house.h). Order of life
 * (server.c, stop.c): settings -> models -> workers -> loop, signals -> lws -> listeners -> READY=1
 * -> uv_run SIGTERM: drain -> all sessions closed -> lws gone -> workers stopped -> handles closed
 */
#ifndef SHOALD_SERVER_H
#define SHOALD_SERVER_H

#include "base/options.h"
#include "base/process.h"
#include "net/door.h"
#include "net/listen.h"
#include "session/house.h"
#include "work/worker.h"

#include <uv.h>

enum { SHOALD_SIGNALS = 4, SHOALD_MAX_LISTENERS = 2 * SHOALD_MAX_LISTEN };

struct lws_context;

typedef struct shoald_server {
    const shoald_options *options;
    shoald_house house;

    uv_loop_t loop;
    uv_async_t mail;  /* workers have put something into their outboxes */
    uv_check_t check; /* pauses, resumes, closes: outside of lws */
    uv_timer_t clock; /* clock.c */
    uv_signal_t signals[SHOALD_SIGNALS];
    struct lws_context *lws;
    shoald_door door; /* connections that are no sessions yet */
    shoald_listener listeners[SHOALD_MAX_LISTENERS];
    int listener_count;
    bool inherited; /* the listeners came from systemd */
    shoald_owned_file ready_file;

    shoald_worker *workers; /* [worker_count] */
    int worker_count;
    uint64_t *worker_ticks;    /* [worker_count] as of the last look */
    uint64_t *worker_moved_ns; /* [worker_count] when they last changed */

    unsigned char *tx_memory; /* of house.tx */
    size_t tx_size;           /* that has room there */
    uint64_t unparked;     /* sessions that had ended in wait for their clients, at the last look */
    uint64_t clock_due_ns; /* when the clock should tick next */
    bool told_shutdown;    /* drain_timeout_s was over */
    bool stopping;         /* lws is being taken down, then the rest */
    uint64_t drain_deadline_ns, stop_deadline_ns;
    uint64_t watchdog_ns; /* 0: systemd wants none */
} shoald_server;

/* Run until a signal ends it. Returns the exit status. */
int shoald_server_run(const shoald_options *options);

/* reload.c: the models have been opened; all that is needed to serve them with so many workers. 0
 * or -1 (no memory). */
int shoald_models_prepare(shoald_server *server, int workers);

/* mail.c: look what workers and sessions have for the loop, from now on, and now. */
void shoald_mail_start(shoald_server *server);
void shoald_mail_take(shoald_server *server);

/* stop.c: SIGTERM and SIGINT. The second time it exits at once. */
void shoald_server_drain(shoald_server *server);
/* Take lws down, and then (when its connections are gone) the rest; the loop ends after that. */
void shoald_server_stop(shoald_server *server);
void shoald_server_stop_rest(shoald_server *server);

/* clock.c: several times a second, from now on. */
void shoald_clock_start(shoald_server *server);

/* watch.c: do the workers live? */
void shoald_watch_start(shoald_server *server);
void shoald_watch_step(shoald_server *server, uint64_t now_ns);

#endif

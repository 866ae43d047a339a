/* server.h - the process: one libuv loop, one lws context, listeners, workers, a house of sessions
 *
 * Everything here belongs to the loop thread. Only server.c, mail.c, clock.c, watch.c, reload.c
 * and stop.c see it whole; the rooms below get the house (session/house.h).
 *
 * Order of life (server.c, stop.c):
 *
 *   settings -> models -> workers -> loop, signals -> lws -> listeners -> READY=1 -> uv_run
 *   SIGTERM: drain -> all sessions closed -> lws gone -> workers stopped -> handles closed
 *   SIGHUP: settings, tokens -> a thread opens the models -> names are put over (reload.c)
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

enum {
    SHOALD_SIGNALS = 4,
    SHOALD_MAX_LISTENERS = 2 * SHOALD_MAX_LISTEN,
    SHOALD_WHY_SIZE = 768 /* room for cause and remedy; for one with a path, PATH_MAX more */
};

struct lws_context;

/* Models that are read again while others are served (reload.c). */
typedef struct shoald_reload {
    uv_async_t done; /* the thread has ended */
    uv_thread_t thread;
    bool running, again; /* loop only: there is one; begin once more after it */
    /* written by the loop before the thread begins, by the thread until it ends */
    shoald_model_file files[SHOALD_MAX_MODELS];
    int file_count, workers;
    shoal_model_params params;
    shoald_service *known; /* served, and priced; held */
    char served[SHOALD_MAX_MODELS][65];
    int served_count;
    shoald_models fresh;
    char whys[SHOALD_MAX_MODELS][SHOALD_WHY_SIZE + PATH_MAX]; /* "": it has been opened */
} shoald_reload;

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
    int worker_count, wanted_workers;
    uint64_t *worker_ticks;    /* [worker_count] as of the last look */
    uint64_t *worker_moved_ns; /* [worker_count] when they last changed */

    shoald_reload reload;
    unsigned char *tx_memory; /* of house.tx */
    uint64_t ended, ended_ns; /* sessions: how many, as of the last look; when the last one did */
    uint64_t ended_returned, returned_ns; /* the same, of when memory was last given back */
    uint64_t clock_due_ns;                /* when the clock should tick next */
    bool told_shutdown;                   /* drain_timeout_s was over */
    bool stopping;                        /* lws is being taken down, then the rest */
    uint64_t drain_deadline_ns, stop_deadline_ns;
    uint64_t watchdog_ns; /* 0: systemd wants none */
    uint64_t fed_ns;      /* when that was fed last */
} shoald_server;

/* Run until a signal ends it. Returns the exit status. */
int shoald_server_run(const shoald_options *options);

/* reload.c: the models of the settings, at the start, for wanted_workers. 0 or -1, and why. */
int shoald_reload_open(shoald_server *server, char *why, size_t why_size);
/* SIGHUP: settings and tokens at once, models soon. */
void shoald_reload_all(shoald_server *server);
/* Its handle, before the loop runs. Negative: there is none. */
int shoald_reload_start(shoald_server *server);
/* While workers and loop still run: what goes on is waited for, and the handle is closed. */
void shoald_reload_stop(shoald_server *server);

/* mail.c: look what workers and sessions have for the loop, from now on, and now. Negative: it
 * cannot be known. */
int shoald_mail_start(shoald_server *server);
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

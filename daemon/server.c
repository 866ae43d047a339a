/* server.c - start and run; see server.h
 *
 * Errors at the start are one line, cause and remedy, and exit status 1. How it ends is in stop.c.
 */
#include "server.h"

#include "trial.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/process.h"
#include "base/usage.h"
#include "net/link.h"
#include "session/admit.h"
#include "session/dump.h"

#include <errno.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static int complain(const char *why)
{
    char line[SHOALD_WHY_SIZE + PATH_MAX + 16];
    snprintf(line, sizeof line, "shoald: %s", why);
    shoald_log_say(line);
    return -1;
}

/* ---- signals ------------------------------------------------------------------------- */

static const int signal_numbers[SHOALD_SIGNALS] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

static void on_signal(uv_signal_t *signal, int number)
{
    shoald_server *server = signal->data;
    if (number == SIGHUP)
        shoald_reload_all(server);
    else if (number == SIGUSR1)
        shoald_session_dump(&server->house);
    else
        shoald_server_drain(server);
}

/* Until the loop runs nobody would look at a signal: SIGTERM and SIGINT end the process as they end
 * any other, whatever the start is waiting for. Those that would end it by mistake wait. */
static void hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(how, &set, NULL);
}

static void take_signals(shoald_server *server)
{
    for (int i = 0; i < SHOALD_SIGNALS; i++)
        uv_signal_start(&server->signals[i], on_signal, signal_numbers[i]);
    hold_signals(SIG_UNBLOCK);
}

/* ---- starting ------------------------------------------------------------------------ */

static int workers_of(const shoald_settings *c)
{
    return c->workers ? c->workers : (int)uv_available_parallelism();
}

static int open_models(shoald_server *server)
{
    char why[SHOALD_WHY_SIZE + PATH_MAX];
    server->wanted_workers = workers_of(&server->house.settings);
    return shoald_reload_open(server, why, sizeof why) < 0 ? complain(why) : 0;
}

static int complain_of_worker(int index, int result)
{
    char why[SHOALD_WHY_SIZE];
    snprintf(why, sizeof why,
             "cannot start worker %d: %s: lower workers, max_sessions or batch_frames", index,
             shoal_strerror(result));
    return complain(why);
}

static int allocate_workers(shoald_server *server, int count)
{
    size_t n = (size_t)count;
    server->workers = aligned_alloc(SHOALD_CACHE_LINE, n * sizeof *server->workers);
    server->worker_ticks = calloc(n, sizeof *server->worker_ticks);
    server->worker_moved_ns = calloc(n, sizeof *server->worker_moved_ns);
    server->house.ports = calloc(n, sizeof(shoald_port *));
    if (!server->workers || !server->worker_ticks || !server->worker_moved_ns ||
        !server->house.ports)
        return complain("no memory for the workers: lower workers");
    return 0;
}

static int read_tokens(shoald_server *server)
{
    char why[SHOALD_WHY_SIZE + PATH_MAX];
    shoald_house *house = &server->house;
    if (shoald_tokens_read(&house->tokens, house->settings.tokens, why, sizeof why) < 0)
        return complain(why);
    return 0;
}

static int start_workers(shoald_server *server)
{
    shoald_house *house = &server->house;
    const shoald_settings *c = &house->settings;
    int result, count = server->wanted_workers;
    shoald_service *first = shoald_models_default(&house->models);
    if (allocate_workers(server, count) < 0)
        return -1;
    for (int i = 0; i < count; i++, server->worker_count++)
        if ((result = shoald_worker_start(&server->workers[i], i, first, &server->mail,
                                          c->max_sessions, c->batch_frames)) < 0)
            return complain_of_worker(i, result);
    for (int i = 0; i < count; i++) {
        if ((result = shoald_worker_wait(&server->workers[i])) < 0)
            return complain_of_worker(i, result);
        house->ports[house->port_count++] = &server->workers[i].port;
    }
    if (shoald_admit_init(house) < 0)
        return complain("no memory for the workers: lower workers");
    shoald_watch_start(server);
    return 0;
}

static int raise_descriptor_limit(const shoald_settings *c)
{
    char why[SHOALD_WHY_SIZE];
    size_t need = shoald_settings_descriptors(c);
    return shoald_process_want_descriptors(need, why, sizeof why) < 0 ? complain(why) : 0;
}

/* lws 4.1.6 tells each socket that comes with a head as an error. */
static void on_lws_log(int level, const char *line)
{
    if (strstr(line, "adopt_socket_readbuf: calling service"))
        return;
    char quoted[512];
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
    shoald_log(level & LLL_ERR ? SHOALD_LOG_WARNING : SHOALD_LOG_DEBUG, "lws", "text=%s",
               shoald_log_quote(quoted, sizeof quoted, text));
}

static int start_lws(shoald_server *server)
{
    static void *loops[1];
    loops[0] = &server->loop;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = shoald_link_protocols(),
        /* UTF-8 is looked at with the JSON: lws would close without a word, or without a Close */
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DISABLE_IPV6,
        .foreign_loops = loops,
        .alpn = "http/1.1",
        .pt_serv_buf_size = 8192,
        .max_http_header_data = 1024, /* of an upgrade that greet.c wrote */
        .vhost_name = "shoald",
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    server->lws = lws_create_context(&info);
    server->house.vhost = server->lws ? lws_get_vhost_by_name(server->lws, "shoald") : NULL;
    if (!server->house.vhost)
        return complain("libwebsockets does not start with libuv: is the package "
                        "libwebsockets-evlib-uv installed?");
    return 0;
}

/* One that is not taken would have its clients wait for ever. */
static int check_count(int inherited, char *why, size_t why_size)
{
    if (inherited <= SHOALD_MAX_LISTENERS)
        return 0;
    snprintf(why, why_size,
             "systemd passes %d sockets, and shoald takes %d: leave out some ListenStream= of "
             "shoald.socket",
             inherited, SHOALD_MAX_LISTENERS);
    return -1;
}

static int bind_all(shoald_server *server)
{
    char why[SHOALD_WHY_SIZE];
    const shoald_settings *c = &server->house.settings;
    int inherited = shoald_notify_inherited();
    int count = inherited ? inherited : c->listen_count;
    server->inherited = inherited > 0;
    if (check_count(inherited, why, sizeof why) < 0 ||
        (!inherited && shoald_trial_compare_addresses(c, why, sizeof why) < 0))
        return complain(why);
    for (int i = 0; i < count; i++) {
        shoald_listener *l = &server->listeners[server->listener_count];
        int more = inherited
                       ? shoald_listen_inherit(l, SHOALD_FIRST_INHERITED + i, c->insecure_listen,
                                               why, sizeof why)
                       : shoald_listen_bind(l, SHOALD_MAX_LISTENERS - server->listener_count,
                                            c->listen[i], c->insecure_listen, why, sizeof why);
        if (more < 0)
            return complain(why);
        server->listener_count += inherited ? 1 : more;
    }
    return 0;
}

static int start_listening(shoald_server *server)
{
    shoald_door_init(&server->door, &server->house, &server->loop);
    for (int i = 0; i < server->listener_count; i++) {
        if (shoald_listen_start(&server->listeners[i], &server->loop, &server->door) < 0)
            return complain("libuv cannot poll a listening socket");
        shoald_log(SHOALD_LOG_NOTICE, "listening", "address=%s from=%s", server->listeners[i].name,
                   server->inherited ? "systemd" : "settings");
    }
    return 0;
}

/* What fails here has nothing to be torn down: the process ends. */
static int start_handles(shoald_server *server)
{
    static const char why[] =
        "cannot make an event loop: raise the limit of open files (ulimit -n)";
    if (uv_loop_init(&server->loop) < 0 || shoald_mail_start(server) < 0 ||
        shoald_reload_start(server) < 0)
        return complain(why);
    shoald_clock_start(server);
    for (int i = 0; i < SHOALD_SIGNALS; i++) {
        if (uv_signal_init(&server->loop, &server->signals[i]) < 0)
            return complain(why);
        server->signals[i].data = server;
    }
    return 0;
}

static int write_ready_file(shoald_server *server)
{
    char why[SHOALD_WHY_SIZE];
    const char *path = server->options->ready_file;
    if (!path ||
        shoald_process_write_file(&server->ready_file, path, server->listeners[0].name) == 0)
        return 0;
    snprintf(why, sizeof why, "cannot write --ready-file %.200s: %s", path, strerror(errno));
    return complain(why);
}

static void say_ready(const shoald_server *server)
{
    const shoal_model_info *m = shoald_models_default(&server->house.models)->info;
    char backend[128], why[300];
    shoald_log(SHOALD_LOG_NOTICE, "ready",
               "version=%s model=%s sha256=%.16s depth=%d dim=%d workers=%d capacity_streams=%.0f "
               "kernels=%s backend=%s precision=%s cache=%s why=%s",
               shoal_version(), m->name, m->sha256, m->depth, m->dim, server->worker_count,
               shoald_admit_capacity(&server->house), m->kernels,
               shoald_log_quote(backend, sizeof backend, m->backend), m->precision, m->cache,
               shoald_log_quote(why, sizeof why, m->why));
    shoald_notify("READY=1\nSTATUS=listening on %s", server->listeners[0].name);
}

static int start(shoald_server *server)
{
    server->house.started_ns = uv_hrtime();
    server->house.started_s = shoald_usage_today();
    if (getrandom(&server->house.id_salt, sizeof server->house.id_salt, 0) < 0)
        server->house.id_salt = server->house.started_ns;
    if (raise_descriptor_limit(&server->house.settings) < 0 || read_tokens(server) < 0 ||
        bind_all(server) < 0 || open_models(server) < 0)
        return -1;
    if (start_workers(server) < 0 || start_lws(server) < 0 || start_listening(server) < 0)
        return -1;
    take_signals(server); /* whoever finds the ready file may send one */
    if (write_ready_file(server) < 0)
        return -1;
    say_ready(server);
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

static void free_all(shoald_server *server)
{
    for (int i = 0; i < server->worker_count; i++)
        shoald_worker_free(&server->workers[i]);
    shoald_admit_free(&server->house);
    free(server->workers);
    free(server->worker_ticks);
    free(server->worker_moved_ns);
    free(server->tx_memory);
    free(server->house.ports);
    shoald_tokens_free(&server->house.tokens);
    shoald_models_close(&server->house.models);
    shoald_process_remove_file(&server->ready_file);
}

static int check(const shoald_options *options, const shoald_settings *settings)
{
    char why[SHOALD_WHY_SIZE + PATH_MAX];
    if (shoald_trial_run(options, settings, why, sizeof why) < 0) {
        complain(why);
        return 1;
    }
    printf("the settings are good\n");
    return 0;
}

int shoald_server_run(const shoald_options *options)
{
    static shoald_server server; /* zero; large, and there is one a process */
    char why[SHOALD_WHY_SIZE];
    server.options = options;
    if (shoald_options_load(options, &server.house.settings, why, sizeof why) < 0) {
        complain(why);
        return 1;
    }
    if (options->check_only)
        return check(options, &server.house.settings);
    shoald_log_set_level(server.house.settings.log_level);
    hold_signals(SIG_BLOCK);
    if (start_handles(&server) < 0)
        return 1;
    int started = start(&server);
    if (started < 0)
        shoald_server_stop(&server); /* the clock does the rest */
    uv_run(&server.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&server.loop) != 0)
        shoald_log(SHOALD_LOG_ERROR, "bug", "what=handles_left_open");
    free_all(&server);
    if (started == 0)
        shoald_log(SHOALD_LOG_NOTICE, "stopped", "seconds=%.1f",
                   (double)(uv_hrtime() - server.house.started_ns) / 1e9);
    return started < 0 ? 1 : 0;
}

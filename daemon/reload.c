/* reload.c - SIGHUP: settings, tokens and models are read again; see server.h
 *
 * Settings and tokens are small and are read at once. Models are opened and weighed by a thread
 * that lives as long as that takes, so that no session waits; it has its own copy of what it reads,
 * and what it makes is nobody else's until it has ended and `done` has called the loop, which then
 * puts the names over (models.h: shoald_models_replace). Another SIGHUP meanwhile begins once more
 * after that. The start opens models by the same way, but in its own thread. */
#include "server.h"

#include "base/log.h"
#include "base/process.h"
#include "session/admit.h"
#include "work/weigh.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

/* ---- a model that is new -------------------------------------------------------------- */

/* What it costs, by a model whose price is known; NULL: it is the first. */
static int prepare(shoald_service *s, const shoald_service *known, int workers)
{
    if (known && shoald_weigh(s, known) < 0)
        return -1;
    return shoald_service_watch(s, workers);
}

static int prepare_at_start(shoald_service *s, void *arg)
{
    const shoald_server *server = arg;
    const shoald_models *m = &server->house.models;
    return prepare(s, m->count ? m->at[0].service : NULL, server->wanted_workers);
}

/* What is served already stays as it is. */
static int prepare_beside(shoald_service *s, void *arg)
{
    const shoald_reload *r = arg;
    for (int i = 0; i < r->served_count; i++)
        if (strcmp(r->served[i], s->info->sha256) == 0)
            return 0;
    return prepare(s, r->known, r->workers);
}

/* One message of any session fits. */
static int make_tx(shoald_server *server, const shoal_model_info *info)
{
    size_t size = shoald_lane_largest_bytes(info);
    if (size <= server->house.tx_size)
        return 0;
    unsigned char *memory = realloc(server->tx_memory, LWS_PRE + size);
    if (!memory)
        return -1;
    server->tx_memory = memory;
    server->house.tx = memory + LWS_PRE;
    server->house.tx_size = size;
    return 0;
}

static int make_room(shoald_server *server, const shoald_models *m)
{
    for (int i = 0; i < m->count; i++)
        if (m->at[i].service && make_tx(server, m->at[i].service->info) < 0)
            return -1;
    return 0;
}

int shoald_reload_open(shoald_server *server, char *why, size_t why_size)
{
    shoald_house *house = &server->house;
    if (shoald_models_open(&house->models, &house->settings, prepare_at_start, server, why,
                           why_size) < 0)
        return -1;
    if (make_room(server, &house->models) == 0)
        return 0;
    snprintf(why, why_size, "no memory for the models: serve fewer, or smaller ones");
    return -1;
}

/* ---- the thread ------------------------------------------------------------------------ */

static void run(void *arg)
{
    shoald_reload *r = arg;
    for (int i = 0; i < r->file_count; i++) {
        *r->whys[i] = '\0';
        if (shoald_models_add(&r->fresh, &r->files[i], &r->params, prepare_beside, r, r->whys[i],
                              sizeof r->whys[i]) < 0)
            shoald_models_add_failed(&r->fresh, &r->files[i]);
    }
    uv_async_send(&r->done);
}

static void forget_known(shoald_server *server)
{
    shoald_models_give_back(&server->house.models, server->reload.known);
    server->reload.known = NULL;
}

static void begin(shoald_server *server)
{
    shoald_reload *r = &server->reload;
    const shoald_house *house = &server->house;
    const shoald_settings *c = &house->settings;
    r->again = r->running;
    if (r->running)
        return;
    memcpy(r->files, c->models, sizeof r->files);
    r->file_count = c->model_count;
    r->params = shoald_models_params(c);
    r->workers = server->worker_count;
    r->fresh = (shoald_models){ 0 };
    r->served_count = house->models.count;
    for (int i = 0; i < r->served_count; i++)
        snprintf(r->served[i], sizeof r->served[i], "%s",
                 house->models.at[i].service->info->sha256);
    r->known = shoald_models_default(&house->models);
    shoald_models_take(r->known);
    r->running = uv_thread_create(&r->thread, run, r) == 0;
    if (r->running)
        return;
    forget_known(server);
    shoald_log(SHOALD_LOG_ERROR, "models_not_reloaded", "why=no_thread");
}

/* ---- putting over ---------------------------------------------------------------------- */

static void log_failures(const shoald_reload *r)
{
    char quoted[SHOALD_WHY_SIZE + PATH_MAX + 64];
    for (int i = 0; i < r->file_count; i++)
        if (*r->whys[i])
            shoald_log(SHOALD_LOG_ERROR, "model_not_reloaded", "name=%s why=%s kept=what_it_has",
                       *r->files[i].name ? r->files[i].name : "-",
                       shoald_log_quote(quoted, sizeof quoted, r->whys[i]));
}

static void log_models(const shoald_house *house, int fresh)
{
    char list[SHOALD_MAX_MODELS * (SHOAL_MAX_MODEL_NAME + 16)];
    shoald_models_list(&house->models, ",", list, sizeof list);
    shoald_log(SHOALD_LOG_NOTICE, "models_reloaded", "models=%s new=%d", list, fresh);
}

static void put_over(shoald_server *server)
{
    shoald_reload *r = &server->reload;
    shoald_house *house = &server->house;
    log_failures(r);
    if (make_room(server, &r->fresh) < 0) {
        shoald_models_close(&r->fresh);
        shoald_log(SHOALD_LOG_ERROR, "models_not_reloaded", "why=no_memory");
        return;
    }
    int fresh = shoald_models_replace(&house->models, &r->fresh);
    shoald_admit_deepen(house);
    log_models(house, fresh);
}

/* The thread has said all it has to say. */
static void end(shoald_server *server)
{
    shoald_reload *r = &server->reload;
    uv_thread_join(&r->thread);
    r->running = false;
    put_over(server);
    forget_known(server);
}

static void on_done(uv_async_t *async)
{
    shoald_server *server = async->data;
    if (!server->reload.running)
        return;
    end(server);
    if (server->reload.again)
        begin(server);
}

/* ---- SIGHUP ------------------------------------------------------------------------------ */

static void refuse(const char *why)
{
    char quoted[SHOALD_WHY_SIZE + 64];
    shoald_log(SHOALD_LOG_ERROR, "reload_failed", "why=%s kept=old_settings",
               shoald_log_quote(quoted, sizeof quoted, why));
}

/* The number of sessions stays what it is. */
static int raise_descriptor_limit(const shoald_server *server, const shoald_settings *fresh,
                                  char *why, size_t why_size)
{
    size_t need = shoald_settings_descriptors(fresh) - (size_t)fresh->max_sessions +
                  (size_t)server->house.settings.max_sessions;
    return shoald_process_want_descriptors(need, why, why_size);
}

void shoald_reload_all(shoald_server *server)
{
    static shoald_settings fresh;
    char why[SHOALD_WHY_SIZE], pending[256];
    shoald_tokens tokens;
    if (shoald_options_load(server->options, &fresh, why, sizeof why) < 0 ||
        raise_descriptor_limit(server, &fresh, why, sizeof why) < 0 ||
        shoald_tokens_read(&tokens, fresh.tokens, why, sizeof why) < 0) {
        refuse(why);
        return;
    }
    shoald_tokens_replace(&server->house.tokens, &tokens);
    shoald_settings_reload(&server->house.settings, &fresh, pending, sizeof pending);
    shoald_log_set_level(server->house.settings.log_level);
    shoald_log(SHOALD_LOG_NOTICE, "reloaded", "needs_restart=%s", *pending ? pending : "nothing");
    begin(server);
}

int shoald_reload_start(shoald_server *server)
{
    server->reload.done.data = server;
    return uv_async_init(&server->loop, &server->reload.done, on_done);
}

void shoald_reload_stop(shoald_server *server)
{
    shoald_reload *r = &server->reload;
    r->again = false;
    if (r->running)
        end(server);
    uv_close((uv_handle_t *)&r->done, NULL);
}

/* models.c - see models.h */
#include "base/models.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ------------------------------------------------------------------------------- */

shoal_model_params shoald_models_params(const shoald_settings *c)
{
    return (shoal_model_params){ (shoal_backend)c->backend, (shoal_precision)c->precision,
                                 (shoal_cache)c->cache };
}

/* Without a name in the settings it is the file's own; what no client could ask for is changed. */
static void name_it(char *to, const shoald_model_file *file, const shoal_model_info *info)
{
    snprintf(to, SHOAL_MAX_MODEL_NAME + 1, "%.*s", SHOAL_MAX_MODEL_NAME,
             *file->name ? file->name : info->name);
    for (char *c = to; *c; c++)
        if (!shoal_model_name_allowed((char[]){ *c, '\0' }))
            *c = '-';
    if (!*to)
        strcpy(to, "model");
}

static const shoald_named *find(const shoald_models *m, const char *name, size_t n)
{
    for (int i = 0; i < m->count; i++)
        if (strlen(m->at[i].name) == n && memcmp(m->at[i].name, name, n) == 0)
            return &m->at[i];
    return NULL;
}

static shoald_service *same_model(const shoald_models *m, const shoald_service *s)
{
    for (int i = 0; i < m->count; i++)
        if (m->at[i].service && strcmp(m->at[i].service->info->sha256, s->info->sha256) == 0)
            return m->at[i].service;
    return NULL;
}

static shoald_service *open_file(const char *path, const shoal_model_params *params, char *why,
                                 size_t why_size)
{
    shoald_service *s = malloc(sizeof *s);
    if (s && shoald_service_open(s, path, params, why, why_size) == 0)
        return s;
    if (!s)
        snprintf(why, why_size, "no memory for the model %s", path);
    free(s);
    return NULL;
}

static void free_service(shoald_service *s)
{
    shoald_service_close(s);
    free(s);
}

static void enter(shoald_models *m, const char *name, const shoald_model_file *file,
                  shoald_service *s)
{
    shoald_named *one = &m->at[m->count++];
    snprintf(one->name, sizeof one->name, "%s", name);
    one->file = *file;
    one->service = s;
    if (s)
        shoald_models_take(s);
}

/* s, or what is there already of the same model; NULL, and why: it cannot be had. Takes s. */
static shoald_service *settle(shoald_models *m, shoald_service *s, const char *name,
                              shoald_models_prepare *prepare, void *arg, char *why, size_t why_size)
{
    shoald_service *known = same_model(m, s);
    *why = '\0';
    if (find(m, name, strlen(name)))
        snprintf(why, why_size, "two models have the name %s: name them, --model NAME=FILE", name);
    else if (!known && prepare && prepare(s, arg) < 0)
        snprintf(why, why_size, "no memory for the model %s: serve fewer, or smaller ones", name);
    else if (!known)
        return s;
    free_service(s);
    return *why ? NULL : known;
}

void shoald_models_add_failed(shoald_models *m, const shoald_model_file *file)
{
    if (m->count < SHOALD_MAX_MODELS)
        enter(m, file->name, file, NULL);
}

int shoald_models_add(shoald_models *m, const shoald_model_file *file,
                      const shoal_model_params *params, shoald_models_prepare *prepare, void *arg,
                      char *why, size_t why_size)
{
    char name[SHOAL_MAX_MODEL_NAME + 1];
    if (m->count == SHOALD_MAX_MODELS) {
        snprintf(why, why_size, "model: at most %d of them", SHOALD_MAX_MODELS);
        return -1;
    }
    shoald_service *s = open_file(file->path, params, why, why_size);
    if (!s)
        return -1;
    name_it(name, file, s->info);
    s = settle(m, s, name, prepare, arg, why, why_size);
    if (s)
        enter(m, name, file, s);
    return s ? 0 : -1;
}

int shoald_models_open(shoald_models *m, const shoald_settings *c, shoald_models_prepare *prepare,
                       void *arg, char *why, size_t why_size)
{
    const shoal_model_params params = shoald_models_params(c);
    *m = (shoald_models){ 0 };
    for (int i = 0; i < c->model_count; i++)
        if (shoald_models_add(m, &c->models[i], &params, prepare, arg, why, why_size) < 0) {
            shoald_models_close(m);
            return -1;
        }
    return 0;
}

/* ---- picking ------------------------------------------------------------------------------- */

void shoald_models_list(const shoald_models *m, const char *between, char *out, size_t size)
{
    size_t at = 0;
    *out = '\0';
    for (int i = 0; i < m->count && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s@%.12s", i ? between : "", m->at[i].name,
                               m->at[i].service->info->sha256);
}

static void refuse_other(shoal_error *err, const shoald_named *one, const char *digits)
{
    shoal_error_set(err, SHOAL_CODE_UNSUPPORTED, "model",
                    "the model %s of this server is %s@%.12s, not @%.64s: leave the @ out to take "
                    "it, or connect to a server that has yours",
                    one->name, one->name, one->service->info->sha256, digits);
}

const shoald_named *shoald_models_pick(const shoald_models *m, const char *asked, shoal_error *err)
{
    const char *at = strchr(asked, '@');
    size_t n = at ? (size_t)(at - asked) : strlen(asked);
    const shoald_named *one = *asked ? find(m, asked, n) : &m->at[0];
    if (!one) {
        char names[SHOAL_MAX_ERROR_TEXT];
        shoald_models_list(m, ", ", names, sizeof names);
        shoal_error_set_option(err, "model", asked, names);
    } else if (at && strncmp(one->service->info->sha256, at + 1, strlen(at + 1)) != 0) {
        refuse_other(err, one, at + 1);
        one = NULL;
    }
    return one;
}

const char *shoald_models_name(const shoald_models *m, const shoald_service *s)
{
    for (int i = 0; i < m->count; i++)
        if (m->at[i].service == s)
            return m->at[i].name;
    return "";
}

/* ---- who has what ---------------------------------------------------------------------------- */

void shoald_models_take(shoald_service *s)
{
    s->uses++;
}

void shoald_models_give_back(shoald_models *m, shoald_service *s)
{
    if (!s)
        return;
    s->uses--;
    if (*shoald_models_name(m, s) || atomic_load(&s->retired))
        return;
    s->next_retired = m->retired;
    m->retired = s;
    atomic_store(&s->retired, true);
}

void shoald_models_sweep(shoald_models *m)
{
    for (shoald_service **at = &m->retired; *at;) {
        shoald_service *s = *at;
        if (s->uses || atomic_load(&s->benches)) {
            at = &s->next_retired;
            continue;
        }
        *at = s->next_retired;
        shoald_log(SHOALD_LOG_NOTICE, "model_freed", "sha256=%.16s", s->info->sha256);
        free_service(s);
    }
}

void shoald_models_close(shoald_models *m)
{
    for (int i = 0; i < m->count; i++) {
        shoald_service *s = m->at[i].service;
        if (s && --s->uses == 0)
            free_service(s);
    }
    while (m->retired) {
        shoald_service *s = m->retired;
        m->retired = s->next_retired;
        free_service(s);
    }
    *m = (shoald_models){ 0 };
}

/* ---- reload ---------------------------------------------------------------------------------- */

/* What a name whose file could not be opened has now: that of the same file, or of the same name.
 */
static const shoald_named *kept(const shoald_models *m, const shoald_named *failed)
{
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->at[i].file.path, failed->file.path) == 0 &&
            strcmp(m->at[i].file.name, failed->file.name) == 0)
            return &m->at[i];
    return *failed->name ? find(m, failed->name, strlen(failed->name)) : NULL;
}

/* One name of the next set; it is left out where another one has its name. */
static void put_over(shoald_models *next, const shoald_models *m, const shoald_named *one)
{
    const shoald_named *from = one->service ? one : kept(m, one);
    if (!from || find(next, from->name, strlen(from->name)))
        return;
    shoald_service *served = same_model(m, from->service);
    enter(next, from->name, &one->file, served ? served : from->service);
}

int shoald_models_replace(shoald_models *m, shoald_models *fresh)
{
    static shoald_models next, before; /* large, and the loop is one thread */
    int added = 0;
    next = (shoald_models){ .retired = m->retired };
    for (int i = 0; i < fresh->count; i++)
        put_over(&next, m, &fresh->at[i]);
    for (int i = 0; i < next.count; i++)
        added += !same_model(m, next.at[i].service) &&
                 shoald_models_name(&next, next.at[i].service) == next.at[i].name;
    shoald_models_close(fresh); /* what is in next too has a use more */
    if (next.count == 0)
        return 0;
    before = *m;
    *m = next;
    for (int i = 0; i < before.count; i++)
        shoald_models_give_back(m, before.at[i].service);
    return added;
}

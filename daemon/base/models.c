/* models.c - see models.h */
#include "base/models.h"

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
        if (strcmp(m->at[i].service->info->sha256, s->info->sha256) == 0)
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

/* Takes s, whatever comes of it. */
static int enter(shoald_models *m, const shoald_model_file *file, shoald_service *s, char *why,
                 size_t why_size)
{
    shoald_named *one = &m->at[m->count];
    shoald_service *known = same_model(m, s);
    name_it(one->name, file, s->info);
    if (find(m, one->name, strlen(one->name))) {
        snprintf(why, why_size, "two models have the name %s: name them, --model NAME=FILE",
                 one->name);
        free_service(s);
        return -1;
    }
    if (known)
        free_service(s);
    one->service = known ? known : s;
    shoald_models_take(one->service);
    m->count++;
    return 0;
}

int shoald_models_add(shoald_models *m, const shoald_model_file *file,
                      const shoal_model_params *params, char *why, size_t why_size)
{
    if (m->count == SHOALD_MAX_MODELS) {
        snprintf(why, why_size, "model: at most %d of them", SHOALD_MAX_MODELS);
        return -1;
    }
    shoald_service *s = open_file(file->path, params, why, why_size);
    return s ? enter(m, file, s, why, why_size) : -1;
}

int shoald_models_open(shoald_models *m, const shoald_settings *c, char *why, size_t why_size)
{
    const shoal_model_params params = shoald_models_params(c);
    *m = (shoald_models){ 0 };
    for (int i = 0; i < c->model_count; i++)
        if (shoald_models_add(m, &c->models[i], &params, why, why_size) < 0) {
            shoald_models_close(m);
            return -1;
        }
    return 0;
}

/* ---- picking ------------------------------------------------------------------------------- */

/* "base@0123456789ab, small@..." */
static void list(char *out, size_t size, const shoald_models *m)
{
    size_t at = 0;
    *out = '\0';
    for (int i = 0; i < m->count && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s@%.12s", i ? ", " : "", m->at[i].name,
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
        list(names, sizeof names, m);
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

static bool has_name(const shoald_models *m, const shoald_service *s)
{
    return *shoald_models_name(m, s);
}

void shoald_models_give_back(shoald_models *m, shoald_service *s)
{
    if (!s)
        return;
    s->uses--;
    if (has_name(m, s) || atomic_load(&s->retired))
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
        free_service(s);
    }
}

void shoald_models_close(shoald_models *m)
{
    for (int i = 0; i < m->count; i++) {
        shoald_service *s = m->at[i].service;
        if (--s->uses == 0)
            free_service(s);
    }
    while (m->retired) {
        shoald_service *s = m->retired;
        m->retired = s->next_retired;
        free_service(s);
    }
    *m = (shoald_models){ 0 };
}

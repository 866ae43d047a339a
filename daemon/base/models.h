/* models.h - the models that a daemon serves, by their names; the first is the default
 *
 *     --model base=a.safetensors --model small=b.safetensors       names -> services
 *     session: model=small  -> shoald_models_pick -> its service, used until the session ends
 *
 * Loop thread only (at the start, before there is one). A name holds its service, and so does each
 * session, by `uses`: whoever takes one gives it back. Names of one and the same model, by its
 * SHA-256, share it. A service that a name gives back to nobody is retired, and freed by sweep when
 * the last session has given it back and no worker has room for its runs any more: its lanes are
 * gone by then, since a session gives back after its worker has let go of the lane.
 *
 * Reload: the files are opened into a second set beside the first, by whoever has time for it, and
 * the loop puts names over to what that has (shoald_models_replace).
 */
#ifndef SHOALD_MODELS_H
#define SHOALD_MODELS_H

#include "base/service.h"
#include "base/settings.h"
#include "shoal-protocol.h"

typedef struct shoald_named {
    char name[SHOAL_MAX_MODEL_NAME + 1];
    shoald_service *service;
    shoald_model_file file; /* as the settings had it */
} shoald_named;

typedef struct shoald_models {
    shoald_named at[SHOALD_MAX_MODELS];
    int count;
    shoald_service *retired; /* list: no name has them */
} shoald_models;

/* ---- a set of models, all or nothing: at the start, and beside what is served at a reload ---- */

/* What a model computes with: the settings' words. */
shoal_model_params shoald_models_params(const shoald_settings *c);
/* What a model that is new in a set needs before others may see it. 0 or -1 (no memory). */
typedef int shoald_models_prepare(shoald_service *s, void *arg);
/* One file of the settings becomes one more name; may be called in any thread that has m to itself.
 * prepare may be NULL. 0 or -1 (m is as it was), and why says cause and remedy. */
int shoald_models_add(shoald_models *m, const shoald_model_file *file,
                      const shoal_model_params *params, shoald_models_prepare *prepare, void *arg,
                      char *why, size_t why_size);
/* Its place, where it could not be added: service is NULL. Only for shoald_models_replace. */
void shoald_models_add_failed(shoald_models *m, const shoald_model_file *file);
/* All files of the settings. 0 or -1 (nothing to free). */
int shoald_models_open(shoald_models *m, const shoald_settings *c, shoald_models_prepare *prepare,
                       void *arg, char *why, size_t why_size);
/* Free everything, whoever has it: all sessions and workers are gone, or never were. */
void shoald_models_close(shoald_models *m); /* a zeroed one is fine */

/* m gets the names of fresh, in their order, and what they have there: the very service that it
 * serves already where the file is the same. A name whose file could not be opened keeps what it
 * has in m; what no name has any more is retired. Without any that could be opened or kept, m stays
 * as it was. fresh is empty then. Returns how many services are new to m. */
int shoald_models_replace(shoald_models *m, shoald_models *fresh);

/* ---- who has what -------------------------------------------------------------------------- */

/* asked: NAME, NAME@DIGITS of its SHA-256, or "", the default. NULL: *err says what there is. */
const shoald_named *shoald_models_pick(const shoald_models *m, const char *asked, shoal_error *err);
static inline shoald_service *shoald_models_default(const shoald_models *m)
{
    return m->at[0].service;
}
/* "base@0123456789ab, small@..." with this between two of them; out ends with a 0, cut or not. */
void shoald_models_list(const shoald_models *m, const char *between, char *out, size_t size);
/* The first name of a service; "": it has none any more. */
const char *shoald_models_name(const shoald_models *m, const shoald_service *s);
void shoald_models_take(shoald_service *s);
void shoald_models_give_back(shoald_models *m, shoald_service *s); /* s may be NULL */
/* Free what nobody has. */
void shoald_models_sweep(shoald_models *m);

#endif

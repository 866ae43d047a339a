/* lane_tell.c - what `ready` tells of a session; see lane.h
 *
 * The worker tells it to a client that comes, the loop to one that comes back. */
#include "lane.h"

#include "plan/grant.h"

#include <stdio.h>
#include <string.h>

static void fill_model(shoal_ready *m, const shoal_model_info *i, int depth)
{
    snprintf(m->server, sizeof m->server, "shoald %s", shoal_version());
    snprintf(m->model, sizeof m->model, "%s", i->name);
    snprintf(m->model_sha256, sizeof m->model_sha256, "%s", i->sha256);
    m->model_rate = i->rate;
    m->model_depth = depth;
    m->dim = i->dim;
    m->classes = i->classes;
    m->mels = i->mels;
    for (int c = 0; c < i->classes && c < SHOAL_MAX_CLASSES; c++)
        snprintf(m->labels[c], sizeof m->labels[c], "%s", i->labels[c]);
}

static void fill_engine(shoal_ready *m, const shoal_model_info *i)
{
    snprintf(m->precision, sizeof m->precision, "%s", i->precision);
    snprintf(m->backend, sizeof m->backend, "%s", i->backend);
    snprintf(m->kernels, sizeof m->kernels, "%s", i->kernels);
    snprintf(m->cache, sizeof m->cache, "%s", i->cache);
    m->same_in_any_company = i->row_invariant;
}

static int program_depth(const shoald_lane *l)
{
    const shoal_model *m = l->service->model;
    shoal_program_info p;
    int program = shoald_grant_find_program(m, l->options.program);
    return shoal_model_get_program(m, program, &p) == 0 ? p.depth : 0;
}

void shoald_lane_tell(const shoald_lane *l, const shoal_options *o, int depth, shoal_ready *m)
{
    *m = (shoal_ready){ .options = *o,
                        .depth = depth,
                        .latency_ms = shoald_service_algorithmic_ms(l->service->info, o->chunk_ms),
                        .max_message_bytes = l->max_message_bytes,
                        .max_backlog_ms = l->backlog_ms,
                        .idle_timeout_s = l->idle_timeout_s,
                        .replay_ms = shoald_service_replay_ms(l->service, o),
                        .park_ms = l->park_ms };
    fill_model(m, l->service->info, program_depth(l));
    fill_engine(m, l->service->info);
    snprintf(m->session, sizeof m->session, "%s", l->id);
    snprintf(m->ticket, sizeof m->ticket, "%s", l->ticket);
}

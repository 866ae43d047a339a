/* model.c - see model.h, and docs/protocol.md for the members */
#include "net/model.h"

#include "session/house.h"

#include <jansson.h>

static json_t *label_list(const shoal_model_info *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->classes; i++)
        json_array_append_new(list, json_string(m->labels[i]));
    return list;
}

/* The values of lm and durations that sessions may have. */
static json_t *decoder_list(const shoal_model_info *m)
{
    json_t *list = json_array();
    for (int i = 3; i >= 0; i--)
        if (m->decoders >> i & 1)
            json_array_append_new(list, json_pack("{ss ss}", "lm", i & 1 ? "on" : "off",
                                                  "durations", i & 2 ? "on" : "off"));
    return list;
}

static json_t *program_list(const shoal_model *m)
{
    json_t *list = json_array();
    shoal_program_info p;
    for (int i = 0; shoal_model_get_program(m, i, &p) == 0; i++)
        json_array_append_new(list, json_pack("{ss si}", "name", p.name, "depth", p.depth));
    return list;
}

/* The share of each class in training, or null. */
static json_t *prior_list(const shoald_service *s)
{
    json_t *list = s->card.priors ? json_array() : json_null();
    for (int i = 0; s->card.priors && i < s->info->classes; i++)
        json_array_append_new(list, json_real((double)s->card.priors[i]));
    return list;
}

/* The classes in their order, for people. */
static json_t *phone_list(const shoald_service *s)
{
    const shoal_model_info *m = s->info;
    const float *priors = s->card.priors;
    json_t *list = json_array();
    for (int i = 0; i < m->classes; i++) {
        const shoal_arpabet *p = shoal_arpabet_find(m->labels[i]);
        json_t *prior = priors ? json_real((double)priors[i]) : json_null();
        json_array_append_new(list, json_pack("{ss ss? ss? so}", "label", m->labels[i], "ipa",
                                              p ? p->ipa : NULL, "example", p ? p->example : NULL,
                                              "prior", prior));
    }
    return list;
}

static json_t *limits(const shoald_settings *s)
{
    return json_pack("{si si si si si si si}", "max_sessions", s->max_sessions,
                     "max_sessions_per_ip", s->max_sessions_per_ip, "max_message_bytes",
                     s->max_message_bytes, "max_backlog_ms", s->backlog_ms, "idle_timeout_s",
                     s->idle_timeout_s, "start_timeout_s", s->start_timeout_s,
                     "slow_reader_timeout_s", s->slow_reader_timeout_s);
}

static json_t *describe(const shoald_house *house, const shoald_service *service)
{
    const shoal_model_info *m = service->info;
    int samples = m->delay_frames * m->frame_samples + m->window_extra_samples;
    return json_pack(
        "{ss ss ss sI si si si so si si si si si sf ss ss ss ss sb so so so}", "server", "shoald",
        "version", shoal_version(), "name", m->name, "parameters", (json_int_t)m->parameters, "dim",
        m->dim, "classes", m->classes, "depth", m->depth, "labels", label_list(m), "frame_ms",
        m->frame_samples * 1000 / m->rate, "rate", m->rate, "left_ms",
        m->left_frames * SHOAL_FRAME_MS, "max_left_ms", m->max_left_frames * SHOAL_FRAME_MS,
        "max_chunk_ms", m->max_chunk_frames * SHOAL_FRAME_MS, "look_ahead_ms",
        samples * 1000.0 / m->rate, "backend", m->backend, "kernels", m->kernels, "precision",
        m->precision, "cache", m->cache, "same_in_any_company", m->row_invariant, "decoders",
        decoder_list(m), "programs", program_list(service->model), "limits",
        limits(&house->settings));
}

json_t *shoald_model_describe(const shoald_house *house, const shoald_named *model)
{
    const shoal_model_info *m = model->service->info;
    json_t *page = describe(house, model->service);
    if (!page)
        return NULL;
    json_object_set_new(page, "served_as", json_string(model->name));
    json_object_set_new(page, "sha256", json_string(m->sha256));
    json_object_set_new(page, "why", json_string(m->why));
    json_object_set_new(page, "temperature", json_real((double)m->temperature));
    json_object_set_new(page, "priors", prior_list(model->service));
    json_object_set_new(page, "phones", phone_list(model->service));
    json_object_set_new(page, "workers", json_integer(house->port_count));
    return page;
}

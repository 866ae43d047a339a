/* depths.c - see depths.h, and docs/protocol.md for the members */
#include "net/depths.h"

#include "plan/grant.h"
#include "session/admit.h"
#include "session/session.h"

#include <jansson.h>
#include <math.h>

/* A program of a model in a house that has its prices. */
typedef struct offer {
    const shoald_house *house;
    const shoald_service *service;
    shoal_program_info program;
    int index; /* the program's */
} offer;

static offer offer_of(const shoald_house *house, const shoald_service *service, int index)
{
    offer f = { .house = house, .service = service, .index = index };
    if (shoal_model_get_program(service->model, index, &f.program) < 0)
        f.program.depth = 0; /* not so: who asks has found it */
    return f;
}

static json_t *rounded(double x)
{
    return isfinite(x) ? json_real(round(x * 1000) / 1000) : json_null();
}

static json_t *latency(const shoald_service *service, int depth)
{
    uint64_t counts[SHOALD_RECENT_BUCKETS] = { 0 }, chunks = 0, now_ns = uv_hrtime();
    for (int i = 0; i < service->recents; i++)
        shoald_recent_sum(&service->recent[i], depth, now_ns, counts);
    for (int i = 0; i < SHOALD_RECENT_BUCKETS; i++)
        chunks += counts[i];
    if (chunks == 0)
        return json_null();
    return json_pack("{so so sI}", "p50", rounded(shoald_recent_percentile(counts, 0.5) / 1e6),
                     "p99", rounded(shoald_recent_percentile(counts, 0.99) / 1e6), "chunks",
                     (json_int_t)chunks);
}

static double share_of(const offer *f, int depth, int chunk_ms)
{
    double layers = shoald_service_layers(f->service, f->index)[depth];
    return shoald_price_share(&f->house->price, layers, chunk_ms / SHOAL_FRAME_MS);
}

/* cpu_ms and streams of that share of a worker. Takes object, may be NULL. */
static json_t *with_price(json_t *object, double share)
{
    json_object_set_new(object, "cpu_ms", rounded(share * 1000));
    json_object_set_new(object, "streams", rounded(share > 0 ? 1 / share : (double)NAN));
    return object;
}

static json_t *settled(const shoald_card_cell *cell)
{
    if (!isfinite(cell->settled_p90_ms))
        return json_null();
    return json_pack("{so so}", "p50", rounded(cell->settled_p50_ms), "p90",
                     rounded(cell->settled_p90_ms));
}

/* The card is of the first program. */
static const shoald_card_cell *cell_of(const offer *f, int chunk, int depth)
{
    static const shoald_card_cell unknown = { NAN, NAN, NAN };
    const shoald_service *s = f->service;
    return f->index ? &unknown : &s->card.cells[chunk * s->info->depth + depth - 1];
}

static json_t *chunks(const offer *f, int depth)
{
    const shoal_model_info *m = f->service->info;
    json_t *list = json_array();
    for (int i = 0; i < SHOALD_CARD_CHUNKS; i++) {
        int ms = shoald_card_chunk_ms[i];
        const shoald_card_cell *cell = cell_of(f, i, depth);
        if (ms > m->max_chunk_frames * SHOAL_FRAME_MS)
            continue;
        json_t *one = json_pack("{si si so so}", "chunk_ms", ms, "algorithmic_ms",
                                shoald_service_algorithmic_ms(m, ms), "settled_ms", settled(cell),
                                "per", rounded(cell->per));
        json_array_append_new(list, with_price(one, share_of(f, depth, ms)));
    }
    return list;
}

static int default_chunk(void)
{
    int i = 0;
    while (shoald_card_chunk_ms[i] != SHOAL_DEFAULT_CHUNK_MS)
        i++;
    return i;
}

static json_t *describe(const offer *f, int depth)
{
    json_t *now = latency(f->service, depth);
    json_t *one =
        json_pack("{si so sO so so}", "depth", depth, "server_ms", now, "latency_ms", now, "per",
                  rounded(cell_of(f, default_chunk(), depth)->per), "chunks", chunks(f, depth));
    return with_price(one, share_of(f, depth, SHOAL_DEFAULT_CHUNK_MS));
}

/* What a session of each program costs, as deep as it goes. */
static json_t *programs(const offer *f)
{
    json_t *list = json_array();
    for (int i = 0; i < f->service->info->programs; i++) {
        const offer other = offer_of(f->house, f->service, i);
        const shoal_program_info *p = &other.program;
        json_t *one = json_pack("{ss si}", "name", p->name, "depth", p->depth);
        json_array_append_new(list,
                              with_price(one, share_of(&other, p->depth, SHOAL_DEFAULT_CHUNK_MS)));
    }
    return list;
}

json_t *shoald_depths_describe(const shoald_house *house, const shoald_named *model,
                               const char *program)
{
    const shoald_service *service = model->service;
    const offer f = offer_of(house, service, shoald_grant_find_program(service->model, program));
    json_t *list = json_array();
    for (int depth = 1; depth <= f.program.depth; depth++)
        json_array_append_new(list, describe(&f, depth));
    return json_pack("{ss ss ss ss si si so so si so so}", "served_as", model->name, "model",
                     service->info->name, "sha256", service->info->sha256, "program",
                     f.program.name, "chunk_ms", SHOAL_DEFAULT_CHUNK_MS, "workers",
                     house->port_count, "capacity", rounded(shoald_admit_capacity(house)), "load",
                     rounded(shoald_govern_load(&house->governor)), "ceiling",
                     shoald_admit_ceiling(house, service, f.index, f.program.depth), "depths", list,
                     "programs", programs(&f));
}

/* ---- all models ---- */

static json_t *card_of(const offer *f)
{
    const shoald_card_cell *cell = cell_of(f, default_chunk(), f->program.depth);
    json_t *one = json_pack("{so so}", "per", rounded(cell->per), "settled_ms", settled(cell));
    return with_price(one, share_of(f, f->program.depth, SHOAL_DEFAULT_CHUNK_MS));
}

static json_t *describe_model(const shoald_house *house, const shoald_named *model)
{
    const shoal_model_info *m = model->service->info;
    const offer f = offer_of(house, model->service, 0);
    json_t *one = json_pack("{ss sb ss ss sI si si si ss si}", "name", model->name, "default",
                            model == house->models.at, "model", m->name, "sha256", m->sha256,
                            "parameters", (json_int_t)m->parameters, "dim", m->dim, "classes",
                            m->classes, "depth", m->depth, "precision", m->precision, "sessions",
                            shoald_session_count(house, model->service));
    json_object_set_new(one, "programs", programs(&f));
    json_object_set_new(one, "chunk_ms", json_integer(SHOAL_DEFAULT_CHUNK_MS));
    json_object_update_new(one, card_of(&f));
    return one;
}

json_t *shoald_depths_describe_models(const shoald_house *house)
{
    json_t *list = json_array();
    for (int i = 0; i < house->models.count; i++)
        json_array_append_new(list, describe_model(house, &house->models.at[i]));
    return json_pack("{so}", "models", list);
}

/* depths.c - see depths.h, and docs/protocol.md for the members */
#include "net/depths.h"

#include "session/admit.h"

#include <jansson.h>
#include <math.h>

static json_t *rounded(double x)
{
    return isfinite(x) ? json_real(round(x * 1000) / 1000) : json_null();
}

static json_t *latency(const shoald_house *house, int depth)
{
    uint64_t counts[SHOALD_RECENT_BUCKETS] = { 0 }, chunks = 0, now_ns = uv_hrtime();
    for (int i = 0; i < house->port_count; i++)
        shoald_recent_sum(&house->ports[i]->recent, depth, now_ns, counts);
    for (int i = 0; i < SHOALD_RECENT_BUCKETS; i++)
        chunks += counts[i];
    if (chunks == 0)
        return json_null();
    return json_pack("{so so sI}", "p50", rounded(shoald_recent_percentile(counts, 0.5) / 1e6),
                     "p99", rounded(shoald_recent_percentile(counts, 0.99) / 1e6), "chunks",
                     (json_int_t)chunks);
}

static double share_of(const shoald_house *house, int program, int depth)
{
    double layers = shoald_service_layers(&house->service, program)[depth];
    return shoald_price_share(&house->service.price, layers,
                              SHOAL_DEFAULT_CHUNK_MS / SHOAL_FRAME_MS);
}

static json_t *describe(const shoald_house *house, int depth)
{
    double share = share_of(house, 0, depth);
    return json_pack("{si so so so so}", "depth", depth, "cpu_ms", rounded(share * 1000), "streams",
                     rounded(share > 0 ? 1 / share : (double)NAN), "latency_ms",
                     latency(house, depth), "per", rounded(house->service.per[depth - 1]));
}

/* What a session of each program costs, as deep as it goes. */
static json_t *programs(const shoald_house *house)
{
    json_t *list = json_array();
    shoal_program_info p;
    for (int i = 0; shoal_model_get_program(house->service.model, i, &p) == 0; i++) {
        double share = share_of(house, i, p.depth);
        json_array_append_new(list, json_pack("{ss si so so}", "name", p.name, "depth", p.depth,
                                              "cpu_ms", rounded(share * 1000), "streams",
                                              rounded(share > 0 ? 1 / share : (double)NAN)));
    }
    return list;
}

json_t *shoald_depths_describe(const shoald_house *house)
{
    json_t *list = json_array();
    for (int depth = 1; depth <= house->service.info->depth; depth++)
        json_array_append_new(list, describe(house, depth));
    return json_pack("{ss ss si si so so si so so}", "model", house->service.info->name, "sha256",
                     house->service.info->sha256, "chunk_ms", SHOAL_DEFAULT_CHUNK_MS, "workers",
                     house->port_count, "capacity", rounded(shoald_admit_capacity(house)), "load",
                     rounded(shoald_govern_load(&house->governor)), "ceiling",
                     shoald_govern_ceiling(&house->governor), "depths", list, "programs",
                     programs(house));
}

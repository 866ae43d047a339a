/* depths.c - see depths.h, and docs/protocol.md for the members */
#include "net/depths.h"

#include "server.h"

#include <jansson.h>
#include <math.h>

static json_t *rounded(double x)
{
    return isfinite(x) ? json_real(round(x * 1000) / 1000) : json_null();
}

static json_t *latency(const shoald_server *server, int depth)
{
    uint64_t counts[SHOALD_RECENT_BUCKETS] = { 0 }, chunks = 0, now_ns = uv_hrtime();
    for (int i = 0; i < server->worker_count; i++)
        shoald_recent_sum(&server->workers[i].recent, depth, now_ns, counts);
    for (int i = 0; i < SHOALD_RECENT_BUCKETS; i++)
        chunks += counts[i];
    if (chunks == 0)
        return json_null();
    return json_pack("{so so sI}", "p50", rounded(shoald_recent_percentile(counts, 0.5) / 1e6),
                     "p99", rounded(shoald_recent_percentile(counts, 0.99) / 1e6), "chunks",
                     (json_int_t)chunks);
}

static json_t *describe(const shoald_server *server, int depth)
{
    double share =
        shoald_price_share(&server->governor.price, depth, SHOAL_DEFAULT_CHUNK_MS / SHOAL_FRAME_MS);
    return json_pack("{si so so so so}", "depth", depth, "cpu_ms", rounded(share * 1000), "streams",
                     rounded(share > 0 ? 1 / share : (double)NAN), "latency_ms",
                     latency(server, depth), "per", rounded(server->per[depth - 1]));
}

json_t *shoald_depths_describe(const shoald_server *server)
{
    json_t *list = json_array();
    for (int depth = 1; depth <= server->info->depth; depth++)
        json_array_append_new(list, describe(server, depth));
    return json_pack("{ss ss si si so so si so}", "model", server->info->name, "sha256",
                     server->info->sha256, "chunk_ms", SHOAL_DEFAULT_CHUNK_MS, "workers",
                     server->worker_count, "capacity", rounded(shoald_govern_capacity(server)),
                     "load", rounded(shoald_govern_load(server)), "ceiling",
                     shoald_govern_ceiling(server), "depths", list);
}

/* tune_price.c - what each setting costs: /v1/depths of the same server
 *
 * A server that tells prices by chunk is taken at its word; one that tells them for one chunk
 * length is not asked to be right about others: those settings have no price. Prices of some
 * settings cannot be held against depths of others, so all must have one to be compared by it.
 */
#include "tune/tune.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "lib/client_get.h"

enum { MOST_BYTES = 1 << 20, TIMEOUT_MS = 5000 };

static double number(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);

    return json_is_number(v) ? json_number_value(v) : NAN;
}

static json_t *find(json_t *list, const char *name, int value)
{
    json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry) if (number(entry, name) == value) return entry;
    return NULL;
}

static double price(json_t *page, int chunk_ms, int depth)
{
    json_t *at = find(json_object_get(page, "depths"), "depth", depth);
    json_t *chunks = json_object_get(at, "chunks");

    if (chunks)
        return number(find(chunks, "chunk_ms", chunk_ms), "cpu_ms");
    return number(page, "chunk_ms") == chunk_ms ? number(at, "cpu_ms") : NAN;
}

int tune_price(const tune_options *o, tune_grid *g, char *why, size_t why_size)
{
    const tool_server *s = &o->server;
    const shoal__server server = { s->url, *s->token ? s->token : NULL, &o->session, s->tls };
    char *body = shoal__get(&server, "/v1/depths", MOST_BYTES, TIMEOUT_MS, why, why_size);
    json_t *page = body ? json_loads(body, 0, NULL) : NULL;
    int all = 1;

    if (body && !page)
        snprintf(why, why_size, "/v1/depths is not JSON");
    for (int c = 0; c < g->chunk_count; c++)
        for (int d = 0; d < g->depth_count; d++)
            all &= isfinite(tune_at(g, c, d)->cpu_ms = price(page, g->chunks[c], g->depths[d]));
    for (int i = 0; i < g->chunk_count * g->depth_count; i++)
        g->at[i].cost = all ? g->at[i].cpu_ms : g->at[i].depth;
    free(body);
    json_decref(page);
    return page ? 0 : -1;
}

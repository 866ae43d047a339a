/* reload.c - the models that a server has; see server.h */
#include "server.h"

#include "work/weigh.h"

#include <libwebsockets.h>
#include <stdlib.h>

/* One message of any kind fits: the largest step of any session. */
static int make_tx(shoald_server *server, const shoal_model_info *info)
{
    shoal_options largest = shoal_options_default();
    largest.chunk_ms = info->max_chunk_frames * SHOAL_FRAME_MS;
    largest.encoding = SHOAL_ENCODING_JSON;
    largest.tentative = SHOAL_ON;
    size_t size = shoald_lane_step_bytes(info, &largest);
    if (size <= server->tx_size)
        return 0;
    unsigned char *memory = realloc(server->tx_memory, LWS_PRE + size);
    if (!memory)
        return -1;
    server->tx_memory = memory;
    server->tx_size = size;
    server->house.tx = memory + LWS_PRE;
    return 0;
}

/* A name whose model an earlier one has brings nothing new. */
static bool is_first_of(const shoald_models *m, int i)
{
    return shoald_models_name(m, m->at[i].service) == m->at[i].name;
}

int shoald_models_prepare(shoald_server *server, int workers)
{
    const shoald_models *m = &server->house.models;
    for (int i = 0; i < m->count; i++) {
        shoald_service *s = m->at[i].service;
        if (is_first_of(m, i) &&
            ((i > 0 && shoald_weigh(s, shoald_models_default(m)) < 0) ||
             shoald_service_watch(s, workers) < 0 || make_tx(server, s->info) < 0))
            return -1;
    }
    return 0;
}

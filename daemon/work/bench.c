/* bench.c - see bench.h */
#include "work/bench.h"

#include "plan/elastic.h"

#include <stdlib.h>
#include <string.h>

static size_t scratch_bytes(const shoal_model_info *m)
{
    shoal_options largest = shoal_options_default();
    largest.chunk_ms = m->max_chunk_frames * SHOAL_FRAME_MS;
    largest.encoding = SHOAL_ENCODING_JSON;
    largest.tentative = SHOAL_ON;
    largest.outputs = SHOAL_OUTPUT_ALL;
    size_t n = shoald_lane_step_bytes(m, &largest);
    return n > SHOAL_MAX_TEXT_BYTES ? n : SHOAL_MAX_TEXT_BYTES; /* opus packets too */
}

/* Values of the widest row. */
static size_t widest(const shoal_model_info *m)
{
    int most = m->dim > m->classes ? m->dim : m->classes;
    return (size_t)(most > m->mels ? most : m->mels);
}

static int allocate(shoald_bench *w, size_t lanes)
{
    w->scratch_size = scratch_bytes(w->service->info);
    w->scratch = malloc(w->scratch_size);
    w->streams = calloc(lanes, sizeof *w->streams);
    w->results = calloc(lanes, sizeof *w->results);
    size_t row = widest(w->service->info), rows = (size_t)w->service->info->max_chunk_frames + 1;
    w->means = calloc(rows * row, sizeof *w->means);
    w->frame_row = calloc(row, sizeof *w->frame_row);
    if (!w->means || !w->frame_row || !w->scratch || !w->streams || !w->results)
        return SHOAL_ENOMEM;
    return shoal_batch_new(&w->batch, w->service->model, w->batch_frames);
}

int shoald_bench_init(shoald_bench *w, const shoald_service *service, shoald_port *port, int lanes,
                      int batch_frames)
{
    memset(w, 0, sizeof *w);
    w->service = service;
    w->port = port;
    w->batch_frames = batch_frames;
    int result = allocate(w, (size_t)lanes);
    if (result < 0)
        shoald_bench_free(w);
    return result;
}

void shoald_bench_free(shoald_bench *w)
{
    shoal_batch_free(w->batch);
    free(w->scratch);
    free(w->means);
    free(w->frame_row);
    free(w->streams);
    free(w->results);
    memset(w, 0, sizeof *w);
}

int shoald_bench_reserve(shoald_bench *w, bool taps, bool hidden)
{
    shoal_batch *batch;
    int most = SHOAL_MAX_TAPS * w->batch_frames;
    if ((w->has_taps || !taps) && (w->has_hidden || !hidden))
        return 0;
    taps |= w->has_taps;
    hidden |= w->has_hidden;
    const shoal_batch_room room = { .frames = w->batch_frames,
                                    .tap_frames = taps ? most : 0,
                                    .hidden_frames = hidden ? most : 0 };
    int result = shoal_batch_new_room(&batch, w->service->model, &room);
    if (result < 0)
        return result;
    shoal_batch_free(w->batch);
    w->batch = batch;
    w->has_taps = taps;
    w->has_hidden = hidden;
    return 0;
}

int shoald_bench_depth(const shoald_bench *w, int depth_min, int depth_max)
{
    return shoald_elastic_depth(atomic_load(&w->port->ceiling), depth_min, depth_max);
}

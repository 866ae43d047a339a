/* bench.c - see bench.h */
#include "work/bench.h"

#include "plan/load.h"

#include <stdlib.h>
#include <string.h>

static size_t scratch_bytes(const shoal_model_info *m)
{
    size_t n = shoald_lane_largest_bytes(m);
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
    w->smoothed = calloc(rows * (size_t)w->service->info->classes, sizeof *w->smoothed);
    if (!w->means || !w->frame_row || !w->smoothed || !w->scratch || !w->streams || !w->results)
        return SHOAL_ENOMEM;
    return shoal_batch_new(&w->batch, w->service->model, w->batch_frames);
}

static void free_memory(shoald_bench *w)
{
    shoal_batch_free(w->batch);
    free(w->scratch);
    free(w->means);
    free(w->frame_row);
    free(w->smoothed);
    free(w->streams);
    free(w->results);
}

int shoald_bench_init(shoald_bench *w, shoald_service *service, shoald_port *port, int lanes,
                      int batch_frames)
{
    memset(w, 0, sizeof *w);
    w->service = service;
    w->port = port;
    w->batch_frames = batch_frames;
    int result = allocate(w, (size_t)lanes);
    if (result < 0)
        free_memory(w);
    else
        atomic_fetch_add(&service->benches, 1);
    return result;
}

void shoald_bench_free(shoald_bench *w)
{
    shoald_service *service = w->service;
    free_memory(w);
    memset(w, 0, sizeof *w);
    if (service)
        atomic_fetch_sub(&service->benches, 1); /* the loop may free it from here on */
}

/* ---- a worker's benches -------------------------------------------------------------- */

int shoald_bench_find(shoald_bench **list, shoald_service *service, shoald_port *port, int lanes,
                      int batch_frames, shoald_bench **found)
{
    shoald_bench *w = *list;
    while (w && w->service != service)
        w = w->next;
    *found = w;
    if (w)
        return 0;
    if (!(w = malloc(sizeof *w)))
        return SHOAL_ENOMEM;
    int result = shoald_bench_init(w, service, port, lanes, batch_frames);
    if (result < 0) {
        free(w);
        return result;
    }
    w->next = *list;
    *list = *found = w;
    return 0;
}

/* at: what points to it */
static void drop(shoald_bench **at)
{
    shoald_bench *w = *at;
    *at = w->next;
    shoald_bench_free(w);
    free(w);
}

void shoald_bench_sweep(shoald_bench **list)
{
    for (shoald_bench **at = list; *at;)
        if ((*at)->lanes == 0 && atomic_load(&(*at)->service->retired))
            drop(at);
        else
            at = &(*at)->next;
}

void shoald_bench_free_list(shoald_bench **list)
{
    while (*list)
        drop(list);
}

/* ---- work ---------------------------------------------------------------------------- */

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

int shoald_bench_depth(const shoald_bench *w, const double *layers, int depth_min, int depth_max)
{
    return shoald_price_depth(layers, atomic_load(&w->port->ceiling), depth_min, depth_max);
}

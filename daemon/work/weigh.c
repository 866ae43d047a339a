/* weigh.c - see weigh.h */
#include "work/weigh.h"

#include "work/calibrate.h"

#include <math.h>

enum { BATCH_FRAMES = 64, CHUNK_FRAMES = SHOAL_DEFAULT_CHUNK_MS / SHOAL_FRAME_MS };

/* Noise shall not make a model free of charge. */
#define LEAST_SCALE 0.01

static int calibrate(const shoald_service *s, shoald_cost *cost)
{
    shoal_batch *batch;
    int result = shoal_batch_new(&batch, s->model, BATCH_FRAMES);
    if (result < 0)
        return result;
    result = shoald_calibrate(cost, s, batch);
    shoal_batch_free(batch);
    cost->speed = 1; /* of the shapes alone */
    return result;
}

int shoald_weigh(shoald_service *s, const shoald_service *known)
{
    shoald_cost ours, theirs;
    int result;
    double layers = shoald_service_layers(s, 0)[s->info->depth];
    if ((result = calibrate(known, &theirs)) < 0 || (result = calibrate(s, &ours)) < 0)
        return result;
    double ns = shoald_cost_chunk_ns(&ours, layers, CHUNK_FRAMES);
    double as_theirs = shoald_cost_layers(&theirs, ns, CHUNK_FRAMES) * known->scale;
    shoald_service_scale(s, layers > 0 ? fmax(as_theirs / layers, LEAST_SCALE) : known->scale);
    return 0;
}

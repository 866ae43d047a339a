/* calibrate.h - a worker measures what the engine costs, before its first session
 *
 * Four kinds of runs on made-up audio (cost.h: shoald_cost_probe), each until it has run often
 * enough or its share of the time is over: about 40 ms for the shipped model on a CPU with AVX2. By
 * the worker's own thread, all workers at once, so that they disturb each other as they will at
 * work.
 */
#ifndef SHOALD_CALIBRATE_H
#define SHOALD_CALIBRATE_H

#include "base/service.h"
#include "plan/cost.h"
#include "shoal.h"

/* With the service's first program, in its own layers, unscaled. batch: room for at least 64
 * frames. 0 or a negative SHOAL_E* code. */
int shoald_calibrate(shoald_cost *c, const shoald_service *service, shoal_batch *batch);

#endif

/* calibrate.h - a worker measures what the engine costs, before its first session
 *
 * Four kinds of runs on made-up audio (cost.h: shoald_cost_probe), each until it has run often
 * enough or its share of the time is over: about 100 ms for the shipped model. By the worker's own
 * thread, all workers at once, so that they disturb each other as they will at work.
 */
#ifndef SHOALD_CALIBRATE_H
#define SHOALD_CALIBRATE_H

#include "plan/cost.h"
#include "shoal.h"

/* batch: room for at least 64 frames. 0 or a negative SHOAL_E* code. */
int shoald_calibrate(shoald_cost *c, const shoal_model *model, shoal_batch *batch);

#endif

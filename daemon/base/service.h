/* service.h - a model as the daemon offers it: weights, what is known of them, what they cost
 *
 * One today; a second one would be a second model in the same daemon. Opened before the workers
 * start. model and info are then constant and may be read by any thread; price and card belong to
 * the loop.
 */
#ifndef SHOALD_SERVICE_H
#define SHOALD_SERVICE_H

#include "base/card.h"
#include "plan/load.h"
#include "shoal.h"

#include <stddef.h>

typedef struct shoald_service {
    shoal_model *model;
    const shoal_model_info *info; /* the model's */
    int depth;                    /* of the deepest program; info->depth is the first one's */
    shoald_card card;
    double *layers;     /* [programs][depth + 1], see shoald_service_layers */
    shoald_price price; /* as the workers have measured it, renewed by admit.c */
} shoald_service;

/* path "": the built-in model. 0 or -1, and why says cause and remedy (nothing to free). */
int shoald_service_open(shoald_service *s, const char *path, const shoal_model_params *params,
                        char *why, size_t why_size);
void shoald_service_close(shoald_service *s); /* a zeroed one is fine */

/* [0..the program's depth] what its first layers cost, by the flops of its plan, in layers of the
 * first program's mean: 0, 1, 2... where all are alike. program 0..info->programs - 1. */
const double *shoald_service_layers(const shoald_service *s, int program);

/* Algorithmic latency: when a frame's posteriors can be there at the latest, ms. The chunk, the
 * look-ahead and what the window reaches beyond the frame, rounded up; nothing of computing. */
int shoald_service_algorithmic_ms(const shoal_model_info *info, int chunk_ms);

/* How far before a frame the audio reaches on which its results depend, ms: what the layers look
 * back, the decoder of phones and the detector of speech. o: granted. */
int shoald_service_replay_ms(const shoald_service *s, const shoal_options *o);
/* Bytes that the layers of a stream of these options remember in. o: granted. */
size_t shoald_service_cache_bytes(const shoald_service *s, const shoal_options *o);

#endif

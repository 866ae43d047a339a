/* service.h - a model as the daemon offers it: weights, what is known of them, what they cost
 *
 * One a model file. All of it is set before any other thread sees it, and constant from then on,
 * but for what follows `recent`. It is shared: names (models.h) and sessions have it, on the loop,
 * and workers that have made room for its runs. Who takes a model away (a reload) retires it: no
 * new session gets it, sessions that have it go on, and when none has it any more and no worker has
 * room for it, the loop frees it.
 */
#ifndef SHOALD_SERVICE_H
#define SHOALD_SERVICE_H

#include "base/card.h"
#include "plan/recent.h"
#include "shoal-protocol.h"
#include "shoal.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Samples a second that every model takes (shoal.h). */
enum { SHOALD_RATE = 16000 };

typedef struct shoald_service {
    shoal_model *model;
    const shoal_model_info *info; /* the model's */
    int depth;                    /* of the deepest program; info->depth is the first one's */
    shoald_card card;
    double *layers; /* [programs][depth + 1], see shoald_service_layers */
    double scale;   /* layers of the unit of prices that one of its own layers costs */

    shoald_recent *recent; /* [recents] what the worker of that index has seen; NULL: nobody asks */
    int recents;
    _Atomic int benches;  /* workers that have room for its runs (work/bench.h) */
    _Atomic bool retired; /* loop -> workers: give that room back when its last lane is gone */
    int uses;             /* loop only: names and sessions that have it */
    struct shoald_service *next_retired; /* loop only */
} shoald_service;

/* path "": the built-in model. 0 or -1, and why says cause and remedy (nothing to free). */
int shoald_service_open(shoald_service *s, const char *path, const shoal_model_params *params,
                        char *why, size_t why_size);
void shoald_service_close(shoald_service *s); /* a zeroed one is fine */

/* [0..the program's depth] what its first layers cost, by the flops of its plan, in layers of the
 * first program's mean, times scale: 0, 1, 2... where all are alike and scale is 1. program
 * 0..info->programs - 1. */
const double *shoald_service_layers(const shoald_service *s, int program);

/* The least ceiling of depth that is none for its programs (plan/elastic.h). */
int shoald_service_ceiling(const shoald_service *s);
/* Before it is shared: in layers of another model, each of which is that many of its own. Not
 * again.
 */
void shoald_service_scale(shoald_service *s, double scale);
/* Before it is shared: remember how late results come, for so many workers. 0 or -1 (no memory). */
int shoald_service_watch(shoald_service *s, int workers);

/* Algorithmic latency: when a frame's posteriors can be there at the latest, ms. The chunk, the
 * look-ahead and what the window reaches beyond the frame, rounded up; nothing of computing. */
int shoald_service_algorithmic_ms(const shoal_model_info *info, int chunk_ms);

/* How far before a frame the audio reaches on which its results depend, ms: what the layers look
 * back, the decoder of phones and the detector of speech. o: granted. */
int shoald_service_replay_ms(const shoald_service *s, const shoal_options *o);
/* Bytes that the layers of a stream of these options remember in. o: granted. */
size_t shoald_service_cache_bytes(const shoald_service *s, const shoal_options *o);

#endif

/* bench.h - what a worker works with: a model's batch, its results, memory for messages
 *
 * One for each model that the worker has lanes of, worker thread only. Everything is as large as it
 * may ever need to be, but the room for taps, which the first session that wants some brings about.
 * The default model's is made at the start; another's with its first lane, and it stays until the
 * model is retired. What runs together lies on one bench, so no run mixes models.
 */
#ifndef SHOALD_BENCH_H
#define SHOALD_BENCH_H

#include "lane.h"
#include "shoal.h"

typedef struct shoald_bench {
    shoald_service *service;
    shoald_port *port;         /* the worker's */
    int batch_frames;          /* most in one run */
    int lanes;                 /* that have it now */
    struct shoald_bench *next; /* of the worker's */

    shoal_batch *batch;
    bool has_taps;          /* it has room for every tap that a run may have, */
    bool has_hidden;        /* and for every hidden layer */
    shoal_stream **streams; /* [lanes] of the run */
    shoal_result *results;  /* [lanes] */

    char *scratch; /* a message being encoded; an opus packet */
    size_t scratch_size;
    float *means;     /* [max_chunk_frames + 1, widest kind] of one packet */
    float *frame_row; /* [widest kind] */
    float *smoothed;  /* [max_chunk_frames, classes] */
    shoal_phones phones;
    shoal_phone decoded[SHOAL_MAX_PHONES];
    shoal_tentative unsettled[SHOAL_MAX_TENTATIVE];
} shoald_bench;

/* lanes: most that may run at once. 0 or a negative SHOAL_E* code (nothing to free). */
int shoald_bench_init(shoald_bench *w, shoald_service *service, shoald_port *port, int lanes,
                      int batch_frames);
void shoald_bench_free(shoald_bench *w); /* a zeroed one is fine */

/* Of a list, which may be empty: the one for this model, made if there is none. 0 or a negative
 * SHOAL_E*. port, lanes, batch_frames: of a new one. */
int shoald_bench_find(shoald_bench **list, shoald_service *service, shoald_port *port, int lanes,
                      int batch_frames, shoald_bench **found);
/* Give up those that nobody needs: of retired models, without lanes. */
void shoald_bench_sweep(shoald_bench **list);
/* And all. */
void shoald_bench_free_list(shoald_bench **list);

/* Between runs: room for outputs of several depths, and for hidden layers. 0 or a negative
 * SHOAL_E*. */
int shoald_bench_reserve(shoald_bench *w, bool taps, bool hidden);
/* The depth now for a stream that allows these. layers: of its program (plan/load.h). */
int shoald_bench_depth(const shoald_bench *w, const double *layers, int depth_min, int depth_max);

#endif

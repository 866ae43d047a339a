/* bench.h - what a worker works with: the model's batch, its results, memory for messages
 *
 * One a worker, worker thread only. Everything is as large as it may ever need to be and made at
 * the start, but the room for taps, which the first session that wants some brings about.
 */
#ifndef SHOALD_BENCH_H
#define SHOALD_BENCH_H

#include "lane.h"
#include "shoal.h"

typedef struct shoald_bench {
    const shoald_service *service;
    shoald_port *port; /* the worker's */
    int batch_frames;  /* most in one run */

    shoal_batch *batch;
    bool has_taps;          /* it has room for every tap that a run may have, */
    bool has_hidden;        /* and for every hidden layer */
    shoal_stream **streams; /* [lanes] of the run */
    shoal_result *results;  /* [lanes] */

    char *scratch; /* a message being encoded; an opus packet */
    size_t scratch_size;
    float *means;     /* [max_chunk_frames + 1, widest kind] of one packet */
    float *frame_row; /* [widest kind] */
    shoal_phones phones;
    shoal_phone decoded[SHOAL_MAX_PHONES];
    shoal_tentative unsettled[SHOAL_MAX_TENTATIVE];
} shoald_bench;

/* lanes: most that may run at once. 0 or a negative SHOAL_E* code (nothing to free). */
int shoald_bench_init(shoald_bench *w, const shoald_service *service, shoald_port *port, int lanes,
                      int batch_frames);
void shoald_bench_free(shoald_bench *w); /* a zeroed one is fine */
/* Between runs: room for outputs of several depths, and for hidden layers. 0 or a negative
 * SHOAL_E*. */
int shoald_bench_reserve(shoald_bench *w, bool taps, bool hidden);
/* The depth now for a stream that allows these. */
int shoald_bench_depth(const shoald_bench *w, int depth_min, int depth_max);

#endif

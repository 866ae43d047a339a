/* stats.c - see stats.h */
#include "base/stats.h"

const double shoald_latency_bounds[SHOALD_LATENCY_BUCKETS] = {
    .001, .002, .005, .01, .02, .03, .05, .1, .2, .5, 1, 2, 5, 10
};
const double shoald_batch_bounds[SHOALD_BATCH_BUCKETS] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512 };
const double shoald_depth_bounds[SHOALD_DEPTH_BUCKETS] = { 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24 };
const double shoald_late_bounds[SHOALD_LATE_BUCKETS] = { 0, .01, .02, .05, .1, .2, .5, 1, 2 };
const double shoald_settled_bounds[SHOALD_SETTLED_BUCKETS] = { .1, .15, .2, .25, .3,  .4,
                                                               .5, .6,  .8, 1,   1.5, 2.5 };
const double shoald_lag_bounds[SHOALD_LAG_BUCKETS] = { .001, .002, .005, .01, .02,
                                                       .05,  .1,   .2,   .5,  1 };

void shoald_observe(shoald_histogram *h, const double *bounds, int buckets, double value)
{
    int i = 0;
    while (i < buckets && value > bounds[i])
        i++;
    shoald_count(&h->counts[i], 1);
    shoald_count(&h->sum, value > 0 ? (uint64_t)(value * 1e6) : 0);
}

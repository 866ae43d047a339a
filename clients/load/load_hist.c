/* load_hist.c - histogram with log buckets
 *
 * Bucket of v: v itself below 128; above, the exponent and the 6 bits after the leading one, so
 * 64 buckets for each doubling. A percentile is told as its bucket's upper edge, never below
 * the truth, and never above the exact maximum.
 */
#include "load/load.h"

static int bucket_of(uint64_t v)
{
    int shift = v < 2 * LOAD_HIST_SUB ? 0 : 57 - __builtin_clzll(v);

    return shift * LOAD_HIST_SUB + (int)(v >> shift);
}

static uint64_t upper_edge(int bucket)
{
    int shift = bucket < 2 * LOAD_HIST_SUB ? 0 : bucket / LOAD_HIST_SUB - 1;

    return ((uint64_t)(bucket - shift * LOAD_HIST_SUB + 1) << shift) - 1;
}

void load_hist_add(load_hist *h, int64_t us)
{
    const uint64_t most = (UINT64_C(1) << LOAD_HIST_MAX_BITS) - 1;
    uint64_t v = us < 0 ? 0 : (uint64_t)us;

    v = v < most ? v : most;
    h->bucket[bucket_of(v)]++;
    h->count++;
    h->max = v > h->max ? v : h->max;
}

double load_hist_percentile_ms(const load_hist *h, double p)
{
    double rank = p * (double)h->count;
    uint64_t seen = 0;

    for (int i = 0; i < LOAD_HIST_BUCKETS && h->count; i++) {
        seen += h->bucket[i];
        if (seen && (double)seen >= rank) {
            uint64_t edge = upper_edge(i);
            return (double)(edge < h->max ? edge : h->max) / 1000;
        }
    }
    return 0;
}

double load_hist_max_ms(const load_hist *h)
{
    return (double)h->max / 1000;
}

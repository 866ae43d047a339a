/* edf.c - deadlines, the order of chunks, what fits; see edf.h */
#include "plan/edf.h"

#include "plan/load.h"

#include <stdlib.h>

enum { FORGIVEN = 8 }; /* of a chunk, each chunk */

uint64_t shoald_edf_release(uint64_t arrived_ns, uint64_t previous_ns, uint64_t chunk_ns)
{
    uint64_t paid = chunk_ns / FORGIVEN;
    uint64_t earliest = previous_ns > paid ? previous_ns - paid : 0;
    return arrived_ns > earliest ? arrived_ns : earliest;
}

uint64_t shoald_edf_run_ns(int chunk_ms)
{
    uint64_t quarter_ns = (uint64_t)chunk_ms * 250000u;
    if (quarter_ns > SHOALD_LONGEST_RUN_NS)
        return SHOALD_LONGEST_RUN_NS;
    return quarter_ns > SHOALD_SHORTEST_RUN_NS ? quarter_ns : SHOALD_SHORTEST_RUN_NS;
}

static int by_deadline(const void *a, const void *b)
{
    const shoald_due *x = a, *y = b;
    return (x->deadline_ns > y->deadline_ns) - (x->deadline_ns < y->deadline_ns);
}

void shoald_edf_sort(shoald_due *due, int n)
{
    qsort(due, (size_t)n, sizeof *due, by_deadline);
}

int shoald_edf_depth(const shoald_due *due, int ceiling)
{
    return shoald_price_depth(due->layers, ceiling, due->depth_min, due->depth_max);
}

double shoald_edf_layers(const shoald_due *due, int ceiling)
{
    return shoald_price_layers(due->layers, shoald_edf_depth(due, ceiling));
}

static double cost_of(const shoald_due *due, const shoald_cost *c, int ceiling)
{
    return shoald_cost_chunk_ns(c, shoald_edf_layers(due, ceiling), due->frames);
}

static int fits(const shoald_due *due, int n, const shoald_cost *c, int ceiling, uint64_t now_ns)
{
    double end_ns = 0; /* after now */
    for (int i = 0; i < n; i++) {
        double left = (double)(int64_t)(due[i].deadline_ns - now_ns);
        double chunk = (double)due[i].chunk_ns;
        double limit = left - chunk / 2 > chunk / 4 ? left - chunk / 2 : chunk / 4;
        end_ns += cost_of(&due[i], c, ceiling);
        if (end_ns > limit)
            return 0;
    }
    return 1;
}

int shoald_edf_fit(const shoald_due *due, int n, const shoald_cost *c, int ceiling, uint64_t now_ns)
{
    while (ceiling > 1 && !fits(due, n, c, ceiling, now_ns))
        ceiling--;
    return ceiling;
}

/* Work that must be done within about a chunk; uploads lie further away. */
static double pressing_ns(const shoald_due *due, int n, const shoald_cost *c, int ceiling,
                          uint64_t now_ns)
{
    double sum = 0;
    for (int i = 0; i < n && due[i].deadline_ns <= now_ns + due[i].chunk_ns; i++)
        sum += cost_of(&due[i], c, ceiling);
    return sum;
}

int shoald_edf_take_within(const shoald_due *due, int n, const shoald_cost *c, int ceiling,
                           int batch_frames, double limit_ns, shoald_work *work)
{
    int count = 0;
    *work = (shoald_work){ 0 };
    while (count < n) {
        shoald_work more = *work;
        shoald_work_add(&more, shoald_edf_layers(&due[count], ceiling), due[count].frames);
        if (count > 0 && (more.frames > batch_frames || shoald_cost_run_ns(c, &more) > limit_ns))
            break;
        *work = more;
        count++;
    }
    return count;
}

int shoald_edf_take(const shoald_due *due, int n, const shoald_cost *c, int ceiling,
                    int batch_frames, double run_ns, uint64_t now_ns, shoald_work *work)
{
    double third = pressing_ns(due, n, c, ceiling, now_ns) / 3, least = run_ns * c->speed;
    double limit = third < least ? least : third < 2 * least ? third : 2 * least;
    return shoald_edf_take_within(due, n, c, ceiling, batch_frames, limit, work);
}

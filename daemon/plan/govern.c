/* govern.c - see govern.h */
#include "plan/govern.h"

#include <stdlib.h>
#include <string.h>

int shoald_govern_init(shoald_governor *g, int workers, int depths)
{
    size_t n = (size_t)workers;
    *g = (shoald_governor){ .workers = workers, .depths = depths };
    g->loads = calloc(n, sizeof *g->loads);
    g->elastic = calloc(n, sizeof *g->elastic);
    g->late = calloc(n, sizeof *g->late);
    if (!g->loads || !g->elastic || !g->late) {
        shoald_govern_free(g);
        return -1;
    }
    for (int i = 0; i < workers; i++)
        shoald_elastic_init(&g->elastic[i], depths);
    return 0;
}

void shoald_govern_free(shoald_governor *g)
{
    free(g->loads);
    free(g->elastic);
    free(g->late);
    *g = (shoald_governor){ 0 };
}

void shoald_govern_deepen(shoald_governor *g, int depths)
{
    g->depths = depths;
    for (int i = 0; i < g->workers; i++)
        shoald_elastic_deepen(&g->elastic[i], depths);
    shoald_govern_clear(g);
}

/* ---- counting ------------------------------------------------------------------------ */

void shoald_govern_clear(shoald_governor *g)
{
    memset(&g->total, 0, sizeof g->total);
    memset(g->loads, 0, (size_t)g->workers * sizeof *g->loads);
}

/* Without elastic depth everybody runs as deep as asked. */
static shoald_demand as_run(const shoald_policy *policy, const shoald_demand *d)
{
    shoald_demand run = *d;
    if (!policy->elastic)
        run.depth_min = run.depth_max;
    return run;
}

void shoald_govern_count(shoald_governor *g, const shoald_policy *policy, const shoald_price *price,
                         int worker, const shoald_demand *d, int sign)
{
    shoald_demand run = as_run(policy, d);
    void (*count)(shoald_load *, const shoald_demand *, const shoald_price *) =
        sign > 0 ? shoald_load_add : shoald_load_remove;
    if (d->depth_max == 0)
        return; /* it has no options yet */
    count(&g->total, &run, price);
    if (worker >= 0)
        count(&g->loads[worker], &run, price);
}

/* ---- decisions ----------------------------------------------------------------------- */

static bool too_late_for_more(const shoald_governor *g, const shoald_policy *policy)
{
    for (int i = 0; i < g->workers; i++)
        if (shoald_late_refuses(&g->late[i], policy->late_limit_ns))
            return true;
    return false;
}

static double least_share(const shoald_policy *policy, const shoald_price *price,
                          const shoald_demand *d)
{
    shoald_demand run = as_run(policy, d);
    return shoald_price_share(price, shoald_price_layers(d->layers, run.depth_min),
                              run.chunk_frames);
}

bool shoald_govern_fits(const shoald_governor *g, const shoald_policy *policy,
                        const shoald_price *price, const shoald_demand *d, const shoald_demand *now)
{
    double more = least_share(policy, price, d) - (now ? least_share(policy, price, now) : 0);
    if (!policy->admission || (now && more <= 0))
        return true;
    return !too_late_for_more(g, policy) &&
           g->total.at[1] + more <= policy->admission_share * g->workers;
}

int shoald_govern_place(const shoald_governor *g, int stalled)
{
    int best = -1;
    for (int i = 0; i < g->workers; i++)
        if (i != stalled && (best < 0 || g->loads[i].at[g->depths] < g->loads[best].at[g->depths]))
            best = i;
    return best < 0 ? 0 : best;
}

int shoald_govern_depth(shoald_governor *g, const shoald_policy *policy, int worker, int pressed,
                        uint64_t now_ns)
{
    shoald_elastic *e = &g->elastic[worker];
    const shoald_news news = { pressed, g->late[worker].most_ns };
    if (!policy->elastic)
        shoald_elastic_init(e, e->depths);
    else
        shoald_elastic_step(e, &policy->marks, &g->loads[worker], &news, now_ns);
    return e->ceiling;
}

bool shoald_govern_late(shoald_governor *g, const shoald_policy *policy, int worker,
                        uint64_t late_ns, uint64_t now_ns)
{
    return shoald_late_step(&g->late[worker], late_ns, policy->late_limit_ns, now_ns);
}

double shoald_govern_cost(const shoald_governor *g, const shoald_policy *policy,
                          const shoald_price *price, int worker, const shoald_demand *d)
{
    shoald_demand run = as_run(policy, d);
    int depth =
        shoald_price_depth(run.layers, g->elastic[worker].ceiling, run.depth_min, run.depth_max);
    return shoald_demand_share(&run, price, depth);
}

/* ---- what is told -------------------------------------------------------------------- */

double shoald_govern_load(const shoald_governor *g)
{
    double sum = 0;
    for (int i = 0; i < g->workers; i++)
        sum += g->loads[i].at[g->elastic[i].ceiling];
    return sum / g->workers;
}

double shoald_govern_least_load(const shoald_governor *g)
{
    return g->total.at[1] / g->workers;
}

int shoald_govern_ceiling(const shoald_governor *g)
{
    int lowest = g->depths;
    for (int i = 0; i < g->workers; i++)
        lowest = g->elastic[i].ceiling < lowest ? g->elastic[i].ceiling : lowest;
    return lowest;
}

double shoald_govern_capacity(const shoald_governor *g, const shoald_price *price, int chunk_frames)
{
    double share = shoald_price_share(price, price->full, chunk_frames);
    return share > 0 ? g->workers / share : 0;
}

/* tune_choose.c - goal -> choice; pure
 *
 * Among the settings that meet the goal: the cheapest if the goal says how many errors are too
 * many, else the one with fewest errors. If none meets the goal, the one whose excess over its
 * limits, each as a share of the limit, sums to least.
 */
#include "tune/tune.h"

#include <math.h>
#include <string.h>

double tune_excess(const tune_grid *g, const tune_setting *s)
{
    double best = INFINITY;

    for (int i = 0; i < g->chunk_count * g->depth_count; i++)
        best = fmin(best, tune_error(&g->at[i]));
    return tune_error(s) - best;
}

static double over(double value, double limit)
{
    if (limit <= 0)
        return 0;
    if (!isfinite(value))
        return 1;
    return value > limit ? (value - limit) / limit : 0;
}

static double misses(const tune_grid *g, const tune_goal *goal, const tune_setting *s)
{
    return over(s->settled[1], goal->latency_ms) + over(tune_excess(g, s), goal->within) +
           over(s->cpu_ms, goal->cpu_ms);
}

/* Is a the better of two that meet the goal? */
static int better(const tune_goal *goal, const tune_setting *a, const tune_setting *b)
{
    double cheaper = b->cost - a->cost, truer = tune_error(b) - tune_error(a);
    double first = goal->within > 0 ? cheaper : truer, second = goal->within > 0 ? truer : cheaper;

    if (first != 0)
        return first > 0;
    if (second != 0)
        return second > 0;
    return a->settled[1] < b->settled[1];
}

static int dominated(const tune_setting *s, const tune_setting *by)
{
    int no_worse =
        tune_error(by) <= tune_error(s) && by->settled[1] <= s->settled[1] && by->cost <= s->cost;

    return no_worse &&
           (tune_error(by) < tune_error(s) || by->settled[1] < s->settled[1] || by->cost < s->cost);
}

static void find_front(const tune_grid *g, tune_choice *c)
{
    int n = g->chunk_count * g->depth_count;

    for (int i = 0; i < n; i++) {
        c->on_front[i] = 1;
        for (int j = 0; j < n; j++)
            c->on_front[i] &= !dominated(&g->at[i], &g->at[j]);
    }
}

tune_choice tune_choose(const tune_grid *g, const tune_goal *goal)
{
    tune_choice c = { 0 };
    double least = INFINITY;

    for (int i = 0; i < g->chunk_count * g->depth_count; i++) {
        const tune_setting *s = &g->at[i];
        double m = misses(g, goal, s);

        if (!c.best || m < least || (m == least && better(goal, s, c.best))) {
            c.best = s;
            least = m;
        }
    }
    c.met = least == 0;
    c.excess = tune_excess(g, c.best);
    find_front(g, &c);
    return c;
}

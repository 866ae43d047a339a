/* beam.c - how far below the best a path may lie and still win: a constant of a search's tables
 *
 * From any state the best one's path can be followed at a loss of at most two transitions (the
 * next two changes of phone; then the states are the same), so twice the range of what a
 * transition costs loses nothing, if staying costs the same after any phone and at any age.
 */
#include <math.h>

#include "phones/tables.h"

static void widen(float range[2], const float *p, int n, float more)
{
    for (int i = 0; i < n; i++) {
        float x = p[i] + more; /* compared, not fminf: that is a call for each of 65,000 */
        range[0] = x < range[0] ? x : range[0];
        range[1] = x > range[1] ? x : range[1];
    }
}

float shoal__search_beam(const shoal__search *s, int classes)
{
    static const float none[1] = { 0.0f };
    const shoal__ngrams *g = s->ngrams;
    int transitions = s->transition ? s->histories * classes * classes : 1;
    int ages = s->ages ? s->ages * classes : 1;
    float range[2] = { INFINITY, -INFINITY }, least[2] = { INFINITY, -INFINITY };
    widen(least, s->ages ? s->leave : none, ages, 0.0f);
    widen(range, s->ages ? s->stay : none, ages, 0.0f);
    for (int i = 0; i < 2; i++) {
        widen(range, s->transition ? s->transition : none, transitions, least[i]);
        if (g) {
            widen(range, &g->least, 1, least[i]);
            widen(range, &g->most, 1, least[i]);
        }
    }
    return 2.0f * (range[1] - range[0]) + 1e-3f;
}

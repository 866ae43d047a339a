/* load_knee.c - how many sessions hold: doubling, then bisecting
 *
 * Measurements are noisy near the knee, so the search stops at 5 %: finer steps would only
 * repeat the noise.
 */
#include "load/load.h"

enum { RESOLUTION = 20 }; /* stop when the gap is a twentieth of what holds */

/* Measure n and narrow the gap. 0, or -1 to stop. */
static int probe(load_knee *k, int n, load_measure *measure, void *user)
{
    int r = measure(user, n);

    if (r < 0)
        return -1;
    k->steps++;
    if (r)
        k->holds = n;
    else
        k->breaks = n;
    return 0;
}

static int gap_is_open(const load_knee *k)
{
    int fine = k->holds / RESOLUTION;

    return k->breaks - k->holds > (fine > 1 ? fine : 1);
}

int load_knee_find(load_knee *k, int start, int max, load_measure *measure, void *user)
{
    *k = (load_knee){ 0 };
    for (int n = start; !k->breaks && k->holds<max; n = n> max / 2 ? max : 2 * n)
        if (probe(k, n, measure, user) < 0)
            return -1;
    while (k->breaks && gap_is_open(k))
        if (probe(k, k->holds + (k->breaks - k->holds) / 2, measure, user) < 0)
            return -1;
    return 0;
}

/* balance.c - see balance.h */
#include "plan/balance.h"

#include <math.h>

bool shoald_balance_begin(shoald_balance *b, const double *loads, int workers, double least)
{
    *b = (shoald_balance){ .any = least <= 0 };
    for (int i = 1; i < workers; i++) {
        b->to = loads[i] < loads[b->to] ? i : b->to;
        b->from = loads[i] > loads[b->from] ? i : b->from;
    }
    b->difference = b->gap = loads[b->from] - loads[b->to];
    return b->from != b->to && b->difference >= least;
}

bool shoald_balance_offer(shoald_balance *b, double cost)
{
    double gap = fabs(b->difference - 2 * cost);
    if (gap >= b->gap && !b->any)
        return false;
    b->gap = gap;
    b->any = false;
    return true;
}

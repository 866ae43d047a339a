/* balance.h - which session should move from a busy worker to an idle one
 *
 *     shoald_balance b;
 *     if (shoald_balance_begin(&b, loads, workers, 0.1))
 *         for each session s of worker b.from
 *             if (shoald_balance_offer(&b, cost of s))
 *                 best = s;                              // the last one that was taken
 *
 * Pure. One session at a time; lane.h says how it changes hands.
 */
#ifndef SHOALD_BALANCE_H
#define SHOALD_BALANCE_H

#include <stdbool.h>

typedef struct shoald_balance {
    int from, to;      /* workers */
    double difference; /* of their loads, before */
    double gap;        /* and after the best move so far */
    bool any;          /* any move will do, as long as none is found that helps */
} shoald_balance;

/* loads[workers]: shares of a worker. least: the difference that makes it worth while; 0: always,
 * be it to no avail (for tests). false: all stay where they are. */
bool shoald_balance_begin(shoald_balance *b, const double *loads, int workers, double least);
/* A session that takes this share: true if its move is the best so far. */
bool shoald_balance_offer(shoald_balance *b, double cost);

#endif

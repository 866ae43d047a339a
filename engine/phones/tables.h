/* tables.h - what the decoder reads of a model: its searches
 *
 * Written while the model opens, then constant. Tables are views into the file but for the
 * longer contexts.
 */
#ifndef SHOAL_TABLES_H
#define SHOAL_TABLES_H

#include "phones/ngrams.h"
#include "shoal.h"

/* A way to decode, by its bits: what the session may leave out. */
enum { SHOAL__LM = 1, SHOAL__DURATIONS = 2, SHOAL__SEARCHES = 4, SHOAL__MAX_AGES = 64 };

/* Its tables (decoder.c). */
typedef struct shoal__search {
    int histories;               /* C with a trigram, else 1 */
    const float *transition;     /* [histories C, C] log scores: (before, phone) -> next;
                                  * NULL: all 0 */
    const shoal__ngrams *ngrams; /* of contexts longer than (before, phone); NULL: none */
    int ages;                    /* 0: leaving and staying cost nothing further */
    const float *leave, *stay;   /* [C, ages] after the phone's 1st, 2nd ... frame */
    const float *log_prior;      /* [C], subtracted; NULL: the model lacks this search */
    float exact_beam;            /* nats below the best at which no path can win (beam.c) */
} shoal__search;

/* What exact_beam should be, of the rest of the search. */
float shoal__search_beam(const shoal__search *s, int classes);

#endif

/* tables.h - what the decoder reads of a model: its searches
 *
 * Written while the model opens, then constant. Tables are views into the file but for the
 * fourgram's rows.
 */
#ifndef SHOAL_TABLES_H
#define SHOAL_TABLES_H

#include "shoal.h"

/* A way to decode, by its bits: what the session may leave out. */
enum { SHOAL__LM = 1, SHOAL__DURATIONS = 2, SHOAL__SEARCHES = 4, SHOAL__MAX_AGES = 64 };

/* Log scores of going to each phone where the phones (older, before, phone) are known and the model
 * lists what follows them. */
typedef struct shoal__fourgram {
    int *row;          /* [C^3] context (older C + before) C + phone -> its row,
                        * from 1; 0: not listed, the trigram's holds. Owned */
    float *rows;       /* [rows, C], owned */
    float least, most; /* of all rows and the trigram's first score */
} shoal__fourgram;

/* Its tables (decoder.c). */
typedef struct shoal__search {
    int histories;                   /* C with a trigram, else 1 */
    const float *transition;         /* [histories C, C] log scores: (before, phone) -> next;
                                      * NULL: all 0 */
    const shoal__fourgram *fourgram; /* NULL: none */
    int ages;                        /* 0: leaving and staying cost nothing further */
    const float *leave, *stay;       /* [C, ages] after the phone's 1st, 2nd ... frame */
    const float *log_prior;          /* [C], subtracted; NULL: the model lacks this search */
    float exact_beam;                /* nats below the best at which no path can win (beam.c) */
} shoal__search;

/* rows of the entries [count, 2] of a model file (docs/model-format.md) over a trigram
 * [C^2, C]. 0, SHOAL_EMODEL (keys) or SHOAL_ENOMEM; freed alike. C^4 at most 2^24. */
int shoal__fourgram_make(shoal__fourgram *f, const float *entries, int count, const float *trigram,
                         int C);
void shoal__fourgram_free(shoal__fourgram *f);

/* What exact_beam should be, of the rest of the search. */
float shoal__search_beam(const shoal__search *s, int classes);

#endif

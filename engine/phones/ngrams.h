/* ngrams.h - which phone follows (.., h, q), a path's last phones: what a language model knows of
 * contexts longer than a trigram's pair (h, q)
 *
 * Contexts form a tree. The pair (h, q) is node h C + q, a row of the trigram; a longer context is
 * a child of the one that lacks its oldest phone. Back-off as in ARPA files (Katz 1987): a phone
 * that a context does not list has the score of the next shorter context, plus a weight. The lists
 * and weights here reach down to the trigram, so that one context says it all.
 *
 * Constant once made; any thread.
 */
#ifndef SHOAL_NGRAMS_H
#define SHOAL_NGRAMS_H

#include <stdint.h>

enum {
    SHOAL__MAX_CLASSES = 255,    /* phones of a model */
    SHOAL__OLDER_MOST = 4,       /* phones before (h, q) that a context may have */
    SHOAL__NGRAM_KEYS = 1 << 24, /* keys lie below: a float holds them exactly */
};

typedef struct shoal__ngrams {
    int classes, count;   /* C; contexts */
    int *digits;          /* [count] ascending: node of the shorter context C + oldest phone */
    int *children;        /* [C^2 + count + 1] of a node: its first child, a context */
    float *weight;        /* [count] added to the trigram's scores of phones not listed */
    int *list;            /* [count + 1] of a context: where its list begins in */
    unsigned char *phone; /* the phones listed, ascending for each context */
    float *score;         /* and their scores */
    float least, most;    /* of all scores */
} shoal__ngrams;

/* Tables of a model file (docs/model-format.md). */
typedef struct shoal__ngram_tables {
    const float *contexts; /* [count] */
    int count;
    const float *entries; /* [entry_count, 2] */
    int entry_count;
} shoal__ngram_tables;

enum { SHOAL__NGRAM_CONTEXTS = 1, SHOAL__NGRAM_ENTRIES };

/* From these, which may be freed then, and the trigram's [C^2, C]. 0, SHOAL_ENOMEM, or which of
 * the two is not what the format says, above 0. To be freed in any case; *g is zeros before. */
int shoal__ngrams_make(shoal__ngrams *g, const shoal__ngram_tables *t, const float *trigram, int C);
void shoal__ngrams_free(shoal__ngrams *g);

/* The longest context of the pair's node after the phones `older` (the newest in the lowest byte);
 * -1: none. */
int shoal__ngrams_find(const shoal__ngrams *g, int pair, uint32_t older);

/* Its scores of all phones to row [C]; trigram: the row [C] of its pair. */
void shoal__ngrams_row(const shoal__ngrams *g, int context, const float *trigram, float *row);

/* A whole number in [low, high) as it stands in a table, or -1. */
int shoal__ngram_key(float x, int low, int high);
/* `decoder.fourgram` of older files, [count, 2], as these tables: *t with what the caller frees
 * by shoal__fourgram_free. 0, SHOAL_EMODEL (its keys) or SHOAL_ENOMEM. */
int shoal__fourgram_read(shoal__ngram_tables *t, const float *fourgram, int count, int C);
void shoal__fourgram_free(shoal__ngram_tables *t);

#endif

/* decoder_reference.h - models made by hand for tests of the decoder, and slow searches to compare
 * it with
 *
 * A few phones, any tables, for one of the four searches at a time. The slow reference tries every
 * path, or runs the textbook recursion over the whole input. The state is the test program's own:
 * one model, one input.
 */
#pragma once

#include "engine_util.h"
#include "model/model.h"

enum {
    LAG = SHOAL_DECODER_LAG,
    MOST = 600,
    MAX_C = 8,
    MAX_S = MAX_C * MAX_C,
    MAX_K = 4,
    MAX_PHONES = 2 + SHOAL__OLDER_MOST,
};

extern shoal_model model;
extern shoal__search *search;       /* the only one of the model */
extern shoal_decoder_params params; /* choose it */
extern float transition[MAX_S * MAX_C], log_prior[MAX_C], logp[MOST * MAX_C];
extern float leave[MAX_C * MAX_K], stay[MAX_C * MAX_K];
extern uint32_t rng;

/* ---- models and inputs ---- */

/* C phones; `price` for switching, staying is free; no prior. */
void plain_model(int C, float price);

/* Put what the model has where other params look for it. */
void move_search(int lm, int durations);
/* shoal_decoder_new with the model as it is now: what opening makes of its tables is made anew. */
int new_decoder(shoal_decoder **d, const shoal_decoder_params *p);

/* The trigram's model gets longer contexts, none so far. */
void give_ngrams(int C);

/* One of them, `phones` [2 + older], the newest first: `listed` (a bit each) phones have scores of
 * their own, the others those of the next shorter context and back_off. That one is known, and
 * all of fewer phones come before. */
void give_context(int C, const int *phones, int older, unsigned listed, const float *scores,
                  float back_off);
/* When all are given. */
void make_ngrams(int C);

/* As make_ngrams, by the table that older files have; no context has more than one older phone. */
void make_fourgram(int C);

/* K ages that cost nothing yet. */
void give_ages(int K);

/* Everything random, rows of posteriors normalised; sharp: how peaked they are. */
void random_problem(int C, int T, float sharp);

/* The random problem with a transition for every pair of phones; staying is free after any. Their
 * range is so small that the decoder is exact. */
void random_trigram(int C, int T, float sharp);

/* Some contexts of three phones and more say more than the trigram. */
void random_ngrams(int C, int T, float sharp);

/* One phone is left more readily than another, whatever its age; again a small range. */
void random_geometric(int C, int T, float sharp);

void random_durations(int C, int T, float sharp);

/* No language model: how long phones last, and a price. */
void random_durations_alone(int C, int T, float sharp);

/* One row that gives p to `label` and shares the rest. */
void sure(int t, int C, int label, float p);

/* The best of all C^T paths. */
void try_all(int C, int T, int *best);

/* The textbook recursion over (before, phone); with a bigram there is one `before`, with longer
 * contexts each has two paths. */
void recursion(int C, int T, int *best);

/* Runs of labels but 0; returns how many. */
int to_phones(const int *path, int C, int T, shoal_phone *out);

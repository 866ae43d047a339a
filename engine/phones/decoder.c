/* decoder.c - log posteriors to timed phones: a streaming Viterbi. Here: the search; settle.c says
 * when a part of the best path is final, tentative.c shows the part that is not yet
 *
 * A path's score is the sum over frames of
 *     log p(phone | audio) - log_prior[phone]
 *   + at a change of phone:  transition[before][phone][next] + leave[phone][age]
 *                            (in place of transition, what a longer context says: ngrams.h)
 *     else:                  transition[before][phone][phone] + stay[phone][age]
 *
 * where the tables (all scaled) come with the model, one set for each search that a session may
 * choose: with or without a language model (transition, log trigram or bigram) and durations (leave
 * and stay, learnt hazards); the price of switching is in either. before is the phone before the
 * present one, silence at the start. So a state is a pair (before, phone); without a trigram, a
 * phone. The older phones and age, how many frames the phone has lasted, are those of the best path
 * that ends in the state: a path that entered the state later or with another history is forgotten
 * even where its own would have served it better (training/README.md has what that costs).
 *
 * States too far below the best are dead. From any state the best one's path can be followed at a
 * loss of at most two transitions (the next two changes of phone; then the states are the same),
 * so twice their range loses nothing if staying costs the same after any `before` and at any age.
 * Without trigram and durations that is the bound, and all living paths count. With either it keeps
 * most of the states, which costs time: so there is a BEAM, at which no path changed over the
 * development clips, and a MARGIN below which a path does not hold the others up (settle.c;
 * measured: training/README.md). Both are in nats of posteriors at temperature 1: a model's own
 * temperature widens all differences between scores, and these bounds with them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phones/decoder.h"

#define BEAM         10.0f /* nats at temperature 1 */
#define MARGIN       4.0f
#define SURE_SILENCE -0.693f /* log 0.5 */

enum { LAG = SHOAL__LAG, STAYED = SHOAL__STAYED, NOBODY = 255 /* no class: these end at 254 */ };

static const float zeros[SHOAL__MAX_CLASSES];

/* Log scores of going from `state` to each phone, but for leave. */
static const float *transitions(const shoal_decoder *d, int state)
{
    const float *all = d->search->transition;
    return all ? all + (size_t)state * (size_t)d->classes : zeros;
}

/* The same, as the phones before those of `state` let a longer context know better; row: room. */
static const float *changes(const shoal_decoder *d, int state, float *row)
{
    const float *trigram = transitions(d, state);
    if (!d->search->ngrams || d->context[state] < 0)
        return trigram;
    shoal__ngrams_row(d->search->ngrams, d->context[state], trigram, row);
    return row;
}

shoal_decoder_params shoal_decoder_default_params(void)
{
    return (shoal_decoder_params){ .lm = 1 };
}

static const shoal__search *search_of(const shoal_model *m, const shoal_decoder_params *p)
{
    return &m->searches[(p->lm ? SHOAL__LM : 0) | (p->durations ? SHOAL__DURATIONS : 0)];
}

int shoal_decoder_new(shoal_decoder **out, const shoal_model *m, const shoal_decoder_params *p)
{
    if ((p->lm | p->durations) & ~1 || p->settle_frames < 0 || p->settle_frames > LAG ||
        p->settle_silence_frames < 0 || p->settle_silence_frames > LAG)
        return SHOAL_EINVAL;
    const shoal__search *search = search_of(m, p);
    if (!search->log_prior)
        return SHOAL_EUNSUPPORTED;
    size_t C = (size_t)m->config.classes, S = (size_t)search->histories * C;
    size_t floats = 3 * S + LAG * C, ints = 6 * S, bytes = LAG * S + 2 * S;
    shoal_decoder *d = calloc(1, sizeof *d + floats * sizeof(float) + ints * sizeof(int) + bytes);
    if (!d)
        return SHOAL_ENOMEM;
    d->search = search;
    d->settle_frames = p->settle_frames ? p->settle_frames : LAG;
    d->settle_silence_frames = p->settle_silence_frames;
    d->classes = (int)C;
    d->states = (int)S;
    d->ages = search->ages ? search->ages : 1;
    d->leave = search->ages ? search->leave : zeros;
    d->stay = search->ages ? search->stay : zeros;
    d->beam = search->exact_beam;
    d->margin = d->beam;
    if (search->histories > 1 || d->ages > 1) {
        d->beam = fminf(d->beam, BEAM / m->config.temperature);
        d->margin = fminf(d->beam, MARGIN / m->config.temperature);
    }
    d->score = (float *)(d + 1);
    d->next = d->score + S;
    d->trail_score = d->next + S;
    d->logp = d->trail_score + S;
    d->alive = (int *)(d->logp + LAG * C);
    d->trail = d->alive + S;
    d->context = d->trail + S;
    d->older = (uint32_t *)(d->context + S);
    d->was = d->older + S;
    d->known = memset(d->was + S, NOBODY, S * sizeof *d->known);
    d->from = (unsigned char *)(d->known + S);
    d->age = d->from + LAG * S;
    d->met = d->age + S;
    d->label = -1;
    *out = d;
    return 0;
}

void shoal_decoder_free(shoal_decoder *d)
{
    free(d);
}

static unsigned char *from_at(const shoal_decoder *d, int64_t frame)
{
    return d->from + (size_t)(frame % LAG) * (size_t)d->states;
}

/* Every change of phone out of `state`, where it beats what was found before. */
static void leave(shoal_decoder *d, int state, unsigned char *from)
{
    int C = d->classes, phone = shoal__decoder_phone(d, state);
    int trigram = d->search->histories > 1, first = trigram ? phone * C : 0;
    float room[SHOAL__MAX_CLASSES];
    const float *row = changes(d, state, room);
    unsigned char label = (unsigned char)(trigram ? state / C : phone);
    float *next = d->next + first;
    float score = d->score[state] + d->leave[phone * d->ages + d->age[state]];
    from += first;
    for (int p = 0; p < C; p++) {
        float s = p == phone ? -INFINITY : score + row[p];
        from[p] = s > next[p] ? label : from[p];
        next[p] = s > next[p] ? s : next[p];
    }
}

static void stay(shoal_decoder *d, int state, unsigned char *from)
{
    int phone = shoal__decoder_phone(d, state);
    float s =
        d->score[state] + transitions(d, state)[phone] + d->stay[phone * d->ages + d->age[state]];
    if (s >= d->next[state]) {
        d->next[state] = s;
        from[state] = STAYED;
    }
}

/* Best ways into all states, before the new frame's own score. */
static void advance(shoal_decoder *d)
{
    unsigned char *from = from_at(d, d->heard);
    for (int s = 0; s < d->states; s++)
        d->next[s] = d->heard || s >= d->classes ? -INFINITY : 0.0f;
    for (int i = 0; i < d->alive_count; i++)
        leave(d, d->alive[i], from);
    for (int i = 0; i < d->alive_count; i++)
        stay(d, d->alive[i], from);
}

static void add_frame(shoal_decoder *d, const float *logp)
{
    int C = d->classes;
    for (int s = 0; s < d->states; s += C)
        for (int p = 0; p < C; p++)
            d->next[s + p] += logp[p] - d->search->log_prior[p];
}

/* The phones before those of `state`, and what context the model knows them as. */
static void remember(shoal_decoder *d, int state, int from)
{
    uint32_t older = d->was[state];
    if (from != STAYED) /* `from` is before what is `before` now */
        older = d->was[from * d->classes + state / d->classes] << 8 | (uint32_t)from;
    d->older[state] = older;
    if (d->known[state] == older)
        return;
    d->known[state] = older;
    d->context[state] = shoal__ngrams_find(d->search->ngrams, state, older);
}

/* Scores below the best one, and who lives on. */
static void keep_alive(shoal_decoder *d)
{
    const unsigned char *from = from_at(d, d->heard);
    float top = -INFINITY;
    for (int s = 0; s < d->states; s++)
        top = d->next[s] > top ? d->next[s] : top;
    d->alive_count = 0;
    for (int s = 0; s < d->states; s++) {
        d->score[s] = d->next[s] - top;
        if (d->score[s] < -d->beam)
            continue;
        d->age[s] = from[s] != STAYED ? 0 : (unsigned char)(d->age[s] + (d->age[s] + 1 < d->ages));
        d->alive[d->alive_count++] = s;
    }
    if (!d->search->ngrams)
        return;
    uint32_t *was = d->was;
    d->was = d->older;
    d->older = was;
    for (int i = 0; i < d->alive_count; i++)
        remember(d, d->alive[i], from[d->alive[i]]);
}

void shoal__decoder_step(shoal_decoder *d, const float *logp)
{
    advance(d);
    add_frame(d, logp);
    keep_alive(d);
    memcpy(d->logp + d->heard % LAG * d->classes, logp, (size_t)d->classes * sizeof *logp);
    d->silent = logp[0] >= SURE_SILENCE ? d->silent + 1 : 0;
    d->heard++;
}

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
 * phone. Where longer contexts tell older phones apart, a pair has two slots, for the two best
 * paths that differ in those (of four phones). age, how many frames the phone has lasted, is that
 * of the path: one that entered the state later, or a third history, is forgotten even where it
 * would have served better in the end (training/README.md has what that costs).
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
#define MARGIN       5.0f
#define SURE_SILENCE -0.693f /* log 0.5 */

enum { LAG = SHOAL__LAG, NOBODY = 255 /* no class: these end at 254 */ };

static const float zeros[SHOAL__MAX_CLASSES];

/* Log scores of going from `state` to each phone, but for leave. */
static const float *transitions(const shoal_decoder *d, int state)
{
    const float *all = d->search->transition;
    return all ? all + (size_t)(state % d->pairs) * (size_t)d->classes : zeros;
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

/* Where the arrays of a decoder begin, all in its one allocation; NULL: no memory. */
static shoal_decoder *allocate(size_t states, size_t classes)
{
    size_t S = states, floats = 3 * S + LAG * classes, ints = 7 * S, bytes = LAG * S + 3 * S;
    shoal_decoder *d = calloc(1, sizeof *d + floats * sizeof(float) + ints * sizeof(int) + bytes);
    if (!d)
        return NULL;
    d->score = (float *)(d + 1);
    d->next = d->score + S;
    d->trail_score = d->next + S;
    d->logp = d->trail_score + S;
    d->alive = (int *)(d->logp + LAG * classes);
    d->trail = d->alive + S;
    d->reached = d->trail + S;
    d->context = d->reached + S;
    d->older = (uint32_t *)(d->context + S);
    d->came = d->older + S;
    d->known = memset(d->came + S, NOBODY, S * sizeof *d->known);
    d->from = (unsigned char *)(d->known + S);
    d->age = d->from + LAG * S;
    d->aged = d->age + S;
    d->met = d->aged + S;
    for (size_t s = 0; s < S; s++)
        d->next[s] = -INFINITY;
    return d;
}

static void set_beam(shoal_decoder *d, float temperature)
{
    d->beam = d->margin = d->search->exact_beam;
    if (d->search->histories > 1 || d->ages > 1) {
        d->beam = fminf(d->beam, BEAM / temperature);
        d->margin = fminf(d->beam, MARGIN / temperature);
    }
}

int shoal_decoder_new(shoal_decoder **out, const shoal_model *m, const shoal_decoder_params *p)
{
    if ((p->lm | p->durations) & ~1 || p->settle_frames < 0 || p->settle_frames > LAG ||
        p->settle_silence_frames < 0 || p->settle_silence_frames > LAG)
        return SHOAL_EINVAL;
    const shoal__search *search = search_of(m, p);
    if (!search->log_prior)
        return SHOAL_EUNSUPPORTED;
    int C = m->config.classes, pairs = search->histories * C;
    int slots = search->ngrams && C <= SHOAL__TWO_SLOTS_CLASSES ? 2 : 1;
    shoal_decoder *d = allocate((size_t)(slots * pairs), (size_t)C);
    if (!d)
        return SHOAL_ENOMEM;
    d->search = search;
    d->settle_frames = p->settle_frames ? p->settle_frames : LAG;
    d->settle_silence_frames = p->settle_silence_frames;
    d->classes = C;
    d->pairs = pairs;
    d->slots = slots;
    d->holding = 1;
    d->states = slots * pairs;
    d->ages = search->ages ? search->ages : 1;
    d->leave = search->ages ? search->leave : zeros;
    d->stay = search->ages ? search->stay : zeros;
    set_beam(d, m->config.temperature);
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

/* A path on its way into a pair; its score lacks the new frame's. */
struct arrival {
    float score;
    uint32_t older;
    unsigned char from, age;
};

static void take(shoal_decoder *d, int state, const struct arrival *a)
{
    if (d->next[state] == -INFINITY)
        d->reached[d->reached_count++] = state;
    d->next[state] = a->score;
    d->came[state] = a->older;
    d->aged[state] = a->age;
    from_at(d, d->heard)[state] = a->from;
}

/* The best path into the pair becomes its second. */
static void step_down(shoal_decoder *d, int pair)
{
    if (d->next[pair] > -INFINITY)
        take(d, pair + d->pairs,
             &(struct arrival){ d->next[pair], d->came[pair], from_at(d, d->heard)[pair],
                                d->aged[pair] });
}

/* Of paths with the same older phones the better one counts, of all the two best; the best comes
 * first. */
static void arrive(shoal_decoder *d, int pair, const struct arrival *a)
{
    int second = pair + d->pairs;
    if (a->score > d->next[pair]) {
        if (d->slots > 1 && d->came[pair] != a->older)
            step_down(d, pair);
        take(d, pair, a);
    } else if (d->slots > 1 && a->score > d->next[second] && d->came[pair] != a->older) {
        take(d, second, a);
    }
}

/* Every change of phone out of `state` to a phone p that scores at least least[p]. */
static void leave(shoal_decoder *d, int state, const float *least)
{
    int C = d->classes, phone = shoal__decoder_phone(d, state), before = state % d->pairs / C;
    int trigram = d->search->histories > 1, first = trigram ? phone * C : 0;
    float room[SHOAL__MAX_CLASSES];
    const float *row = changes(d, state, room),
                *worst = d->next + (d->slots - 1) * d->pairs + first;
    float score = d->score[state] + d->leave[phone * d->ages + d->age[state]];
    struct arrival a = { .older = d->older[state] << 8 | (uint32_t)before,
                         .from = (unsigned char)(trigram ? before : phone) };
    if (state >= d->pairs)
        a.from |= SHOAL__SECOND;
    int any = 0;
    for (int p = 0; p < C; p++)
        any |= (score + row[p] >= least[p]) & (score + row[p] > worst[p]);
    for (int p = 0; any && p < C; p++) {
        a.score = score + row[p];
        if (p != phone && a.score >= least[p] && a.score > worst[p])
            arrive(d, first + p, &a);
    }
}

/* Returns its score. */
static float stay(shoal_decoder *d, int state)
{
    int phone = shoal__decoder_phone(d, state), age = d->age[state];
    struct arrival a = { .older = d->older[state],
                         .from = d->slots > 1 ? SHOAL__STAYED_OF_TWO : SHOAL__STAYED,
                         .age = (unsigned char)(age + (age + 1 < d->ages)) };
    if (state >= d->pairs)
        a.from |= SHOAL__SECOND;
    a.score = d->score[state] + transitions(d, state)[phone] + d->stay[phone * d->ages + age];
    arrive(d, state % d->pairs, &a);
    return a.score;
}

/* Best ways into all states. x: what the new frame says of each phone. Nobody changes to where the
 * beam would end it: below what staying is worth at best. */
static void advance(shoal_decoder *d, const float *x)
{
    static const struct arrival first;
    float least[SHOAL__MAX_CLASSES], top = -INFINITY;
    for (int p = 0; d->heard == 0 && p < d->classes; p++)
        take(d, p, &first);
    for (int i = 0; i < d->alive_count; i++) {
        float score = stay(d, d->alive[i]) + x[shoal__decoder_phone(d, d->alive[i])];
        top = score > top ? score : top;
    }
    for (int p = 0; p < d->classes; p++)
        least[p] = top - d->beam - x[p];
    for (int i = 0; i < d->alive_count; i++)
        leave(d, d->alive[i], least);
}

/* The context that the model knows the phones up to `state` as. */
static void recognise(shoal_decoder *d, int state)
{
    if (d->known[state] == d->older[state])
        return;
    d->known[state] = d->older[state];
    d->context[state] = shoal__ngrams_find(d->search->ngrams, state % d->pairs, d->older[state]);
}

/* Scores below the best one, and who lives on. */
static void keep_alive(shoal_decoder *d, const float *x)
{
    float top = -INFINITY;
    for (int i = 0; i < d->reached_count; i++) {
        int s = d->reached[i];
        d->score[s] = d->next[s] + x[shoal__decoder_phone(d, s)];
        d->next[s] = -INFINITY;
        top = d->score[s] > top ? d->score[s] : top;
    }
    d->alive_count = 0;
    for (int i = 0; i < d->reached_count; i++) {
        int s = d->reached[i];
        d->score[s] -= top;
        if (d->score[s] < -d->beam)
            continue;
        d->older[s] = d->came[s];
        d->age[s] = d->aged[s];
        if (d->search->ngrams)
            recognise(d, s);
        d->alive[d->alive_count++] = s;
    }
    d->reached_count = 0;
}

void shoal__decoder_step(shoal_decoder *d, const float *logp)
{
    float x[SHOAL__MAX_CLASSES];
    for (int p = 0; p < d->classes; p++)
        x[p] = logp[p] - d->search->log_prior[p];
    advance(d, x);
    keep_alive(d, x);
    memcpy(d->logp + d->heard % LAG * d->classes, logp, (size_t)d->classes * sizeof *logp);
    d->silent = logp[0] >= SURE_SILENCE ? d->silent + 1 : 0;
    d->heard++;
}

/* decoder_reference.c - see decoder_reference.h */
#include "decoder_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phones/decoder.h"

shoal_model model;
shoal__search *search;
shoal_decoder_params params;
float transition[MAX_S * MAX_C], log_prior[MAX_C], logp[MOST * MAX_C];
float leave[MAX_C * MAX_K], stay[MAX_C * MAX_K];
uint32_t rng;

/* A context longer than the trigram's, as the references read it. */
struct context {
    int phones[MAX_PHONES], count; /* the newest first */
    int node, back_off;            /* its number in the tables; has it a weight of its own? */
    unsigned listed;
    float score[MAX_C], weight;
};

enum { MOST_CONTEXTS = 20000 };
static struct context contexts[MOST_CONTEXTS];
static int context_count;
static int numbered[531441]; /* (MAX_C + 1)^MAX_PHONES: of phones, its number in contexts, from 1 */
static shoal__ngrams ngrams;

void plain_model(int C, float price)
{
    memset(&model, 0, sizeof model);
    model.config.classes = model.info.classes = C;
    model.config.temperature = 1.0f;
    params = (shoal_decoder_params){ .lm = 1 };
    search = &model.searches[SHOAL__LM];
    search->histories = 1;
    search->transition = transition;
    search->log_prior = log_prior;
    for (int i = 0; i < C * C; i++)
        transition[i] = i % (C + 1) ? -price : 0.0f;
    memset(log_prior, 0, sizeof log_prior);
}

void move_search(int lm, int durations)
{
    shoal__search *to = &model.searches[(lm ? SHOAL__LM : 0) | (durations ? SHOAL__DURATIONS : 0)];
    shoal__search old = *search;
    memset(search, 0, sizeof *search);
    *to = old;
    search = to;
    params = (shoal_decoder_params){ .lm = lm, .durations = durations };
}

static int *number_of(const int *phones, int count)
{
    int key = 0;
    for (int i = 0; i < count; i++)
        key = key * (MAX_C + 1) + phones[i] + 1;
    return &numbered[key];
}

void give_ngrams(int C)
{
    context_count = 0;
    memset(numbered, 0, sizeof numbered);
    make_ngrams(C);
}

void give_context(int C, const int *phones, int older, unsigned listed, const float *scores,
                  float back_off)
{
    ck_assert_int_lt(context_count, MOST_CONTEXTS);
    struct context *c = &contexts[context_count++];
    *number_of(phones, 2 + older) = context_count;
    memset(c, 0, sizeof *c);
    c->count = 2 + older;
    memcpy(c->phones, phones, (size_t)c->count * sizeof *phones);
    c->listed = listed & ~(1u << phones[0]);
    memcpy(c->score, scores, (size_t)C * sizeof *scores);
    c->weight = back_off;
}

/* The one of these phones, or NULL. */
static struct context *context_of(const int *phones, int count)
{
    int number = *number_of(phones, count);
    return number ? &contexts[number - 1] : NULL;
}

static int node_of(int C, const int *phones, int count)
{
    return count == 2 ? phones[1] * C + phones[0] : context_of(phones, count)->node;
}

static int by_key(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Its own entries behind `at`; returns their end. */
static float *list_entries(const struct context *c, int C, float *at)
{
    for (int p = 0; p < C; p++)
        if (c->listed >> p & 1 || p == c->phones[0]) {
            *at++ = (float)(c->node * C + p);
            *at++ = p == c->phones[0] ? c->weight : c->score[p];
        }
    return at;
}

void make_ngrams(int C)
{
    static float digits[MOST_CONTEXTS], entries[2 * MAX_C * MOST_CONTEXTS];
    float *end = entries;
    for (int count = 3, first = 0; count <= MAX_PHONES; count++) {
        int n = 0;
        for (int i = 0; i < context_count; i++)
            if (contexts[i].count == count)
                digits[first + n++] = (float)(node_of(C, contexts[i].phones, count - 1) * C +
                                              contexts[i].phones[count - 1]);
        qsort(digits + first, (size_t)n, sizeof *digits, by_key);
        for (int i = 0; i < context_count; i++)
            for (int k = 0; contexts[i].count == count && k < n; k++)
                if ((int)digits[first + k] ==
                    node_of(C, contexts[i].phones, count - 1) * C + contexts[i].phones[count - 1])
                    contexts[i].node = C * C + first + k;
        first += n;
    }
    for (int i = 0; i < context_count; i++)
        end = list_entries(&contexts[i], C, end);
    qsort(entries, (size_t)(end - entries) / 2, 2 * sizeof *entries, by_key);
    shoal__ngrams_free(&ngrams);
    shoal__ngram_tables t = { digits, context_count, entries, (int)(end - entries) / 2 };
    ck_assert_int_eq(shoal__ngrams_make(&ngrams, &t, transition, C), 0);
    search->ngrams = &ngrams;
}

void make_fourgram(int C)
{
    static float entries[2 * MAX_S * MAX_S];
    float *end = entries;
    for (int i = 0; i < context_count; i++) {
        struct context c = contexts[i];
        c.node = (c.phones[2] * C + c.phones[1]) * C + c.phones[0];
        end = list_entries(&c, C, end);
    }
    qsort(entries, (size_t)(end - entries) / 2, 2 * sizeof *entries, by_key);
    shoal__ngram_tables t;
    ck_assert_int_eq(shoal__fourgram_read(&t, entries, (int)(end - entries) / 2, C), 0);
    shoal__ngrams_free(&ngrams);
    ck_assert_int_eq(shoal__ngrams_make(&ngrams, &t, transition, C), 0);
    shoal__fourgram_free(&t);
    search->ngrams = &ngrams;
}

/* What the contexts say of `next` after these phones, the newest first: back-off, as ARPA has it.
 */
static double ngram_score(int C, const int *phones, int next)
{
    double s = 0.0;
    for (int count = MAX_PHONES; count > 2; count--) {
        const struct context *c = context_of(phones, count);
        if (c && c->listed >> next & 1)
            return s + (double)c->score[next];
        s += c ? (double)c->weight : 0.0;
    }
    return s + (double)transition[(phones[1] * C + phones[0]) * C + next];
}

void give_ages(int K)
{
    search->ages = K;
    search->leave = memset(leave, 0, sizeof leave);
    search->stay = memset(stay, 0, sizeof stay);
}

void random_problem(int C, int T, float sharp)
{
    plain_model(C, 1.0f);
    for (int i = 0; i < C * C; i++)
        transition[i] = 3.0f * util_randf(&rng) - 3.0f;
    for (int i = 0; i < C; i++)
        log_prior[i] = util_randf(&rng);
    for (int t = 0; t < T; t++) {
        float sum = 0.0f, *row = logp + t * C;
        for (int c = 0; c < C; c++)
            sum += expf(row[c] = sharp * util_randf(&rng));
        for (int c = 0; c < C; c++)
            row[c] -= logf(sum);
    }
}

void random_trigram(int C, int T, float sharp)
{
    random_problem(C, T, sharp);
    search->histories = C;
    for (int i = 0; i < C * C * C; i++)
        transition[i] = i % C == i / C % C ? 0.0f : 0.9f * util_randf(&rng) - 1.0f;
}

/* Contexts of one phone more than `phones` has, and of those again. */
static void random_contexts(int C, const int *phones, int older)
{
    for (int oldest = 0; oldest < C; oldest++) {
        int longer[MAX_PHONES];
        float scores[MAX_C];
        memcpy(longer, phones, (size_t)(1 + older) * sizeof *phones);
        longer[1 + older] = oldest;
        if (util_rand(&rng) % 3 || oldest == phones[older])
            continue;
        for (int p = 0; p < C; p++)
            scores[p] = 0.9f * util_randf(&rng) - 1.0f;
        give_context(C, longer, older, util_rand(&rng) >> 8 & util_rand(&rng) >> 8, scores,
                     0.2f * util_randf(&rng) - 0.1f);
        if (older < SHOAL__OLDER_MOST)
            random_contexts(C, longer, older + 1);
    }
}

void random_ngrams(int C, int T, float sharp)
{
    random_trigram(C, T, sharp);
    give_ngrams(C);
    for (int pair = 0; pair < C * C; pair++)
        random_contexts(C, (int[]){ pair % C, pair / C }, 1);
    make_ngrams(C);
}

static void random_ages(int K)
{
    give_ages(K);
    for (int i = 0; i < MAX_C * MAX_K; i++) {
        leave[i] = 0.25f * util_randf(&rng);
        stay[i] = 0.2f * util_randf(&rng);
    }
}

void random_geometric(int C, int T, float sharp)
{
    random_trigram(C, T, sharp);
    for (int i = 0; i < C * C * C; i++)
        transition[i] *= 0.5f;
    random_ages(1);
    move_search(1, 1);
}

void random_durations(int C, int T, float sharp)
{
    random_geometric(C, T, sharp);
    random_ages(2 + C % (MAX_K - 1));
}

void random_durations_alone(int C, int T, float sharp)
{
    random_problem(C, T, sharp);
    random_ages(1 + C % MAX_K);
    for (int i = 0; i < MAX_C * MAX_K; i++)
        leave[i] -= 1.0f;
    search->transition = NULL;
    move_search(0, 1);
}

/* Score of the change (or not) from phones[0], before which were the others, to `next`, when that
 * phone has lasted `age` frames (1, 2, ...). */
static double change(int C, const int phones[MAX_PHONES], int next, int age)
{
    int phone = phones[0], before = phones[1];
    int K = search->ages, k = phone * K + (age < K ? age : K) - 1;
    double s = K ? (double)(phone == next ? stay[k] : leave[k]) : 0.0;
    if (search->ngrams && phone != next)
        s += ngram_score(C, phones, next);
    else if (search->transition)
        s += (double)transition[((search->histories > 1 ? before : 0) * C + phone) * C + next];
    return s;
}

void sure(int t, int C, int label, float p)
{
    for (int c = 0; c < C; c++)
        logp[t * C + c] = logf(c == label ? p : (1.0f - p) / (float)(C - 1));
}

/* ---- references -------------------------------------------------------------------------- */

static double path_score(const int *path, int C, int T)
{
    double s = 0.0;
    int phones[MAX_PHONES] = { path[0] };
    for (int t = 0, age = 1; t < T; t++) {
        int moved = t && path[t] != path[t - 1];
        s += (double)logp[t * C + path[t]] - (double)log_prior[path[t]];
        s += t ? change(C, phones, path[t], age) : 0.0;
        if (moved) {
            memmove(phones + 1, phones, (MAX_PHONES - 1) * sizeof *phones);
            phones[0] = path[t];
        }
        age = !t || moved ? 1 : age + 1;
    }
    return s;
}

void try_all(int C, int T, int *best)
{
    int path[16] = { 0 };
    double top = -INFINITY;
    for (;;) {
        double s = path_score(path, C, T);
        if (s > top) {
            top = s;
            memcpy(best, path, (size_t)T * sizeof *best);
        }
        int t = 0;
        while (t < T && ++path[t] == C)
            path[t++] = 0;
        if (t == T)
            return;
    }
}

/* Score of arriving at (before, p) from a state of these phones and that age; -INFINITY where that
 * is no way. */
static double arrive(int C, const int phones[MAX_PHONES], int age, int before, int p)
{
    int stays = phones[0] == p && phones[1] == before,
        moves = phones[0] != p && before == phones[0];
    return stays || moves || search->histories == 1 ? change(C, phones, p, age) : -INFINITY;
}

/* How long the best path to state p at t has been in its phone. */
static int age_at(int from[][MAX_S], int C, int t, int p)
{
    int age = 1;
    for (; t && from[t][p] % C == p % C; t--)
        age++;
    return age;
}

/* A path to a pair of phones. */
struct path {
    double score;
    int phones[MAX_PHONES]; /* the newest first */
    unsigned char labels[MOST];
};

/* Room for two that differ in older phones. */
static void keep_two(struct path two[2], const struct path *p)
{
    for (int i = 0; i < 2; i++)
        if (!memcmp(two[i].phones, p->phones, sizeof p->phones)) {
            two[i].score = fmax(two[i].score, p->score);
            if (two[i].score == p->score)
                two[i] = *p;
            return;
        }
    int worse = two[1].score < two[0].score;
    if (p->score > two[worse].score)
        two[worse] = *p;
}

/* `p` one frame on, in `label`. */
static struct path longer(const struct path *p, int C, int t, int label)
{
    struct path next = *p;
    next.score += t ? change(C, p->phones, label, 1) : 0.0;
    next.score += (double)logp[t * C + label] - (double)log_prior[label];
    if (label != p->phones[0]) {
        memmove(next.phones + 1, next.phones, (MAX_PHONES - 1) * sizeof *next.phones);
        next.phones[0] = label;
    }
    next.labels[t] = (unsigned char)label;
    return next;
}

/* With longer contexts: the two best paths to each pair. */
static void recursion_of_two(int C, int T, int *best)
{
    static struct path of[2][MAX_S][2];
    const struct path none = { .score = -INFINITY, .phones = { -1 } };
    for (int t = 0; t < T; t++) {
        struct path(*now)[2] = of[t % 2], (*before)[2] = of[(t + 1) % 2];
        for (int s = 0; s < C * C; s++)
            now[s][0] = now[s][1] = none;
        for (int s = 0; s < C; s++)
            if (t == 0)
                now[s][0] = longer(&(struct path){ .phones = { s } }, C, 0, s);
        for (int i = 0; t && i < 2 * C * C; i++)
            for (int p = 0; p < C && before[i / 2][i % 2].score > -INFINITY; p++) {
                struct path next = longer(&before[i / 2][i % 2], C, t, p);
                keep_two(now[next.phones[1] * C + next.phones[0]], &next);
            }
    }
    const struct path *top = &of[(T - 1) % 2][0][0];
    for (int i = 0; i < 2 * C * C; i++) {
        const struct path *p = &of[(T - 1) % 2][i / 2][i % 2];
        top = p->score > top->score ? p : top;
    }
    for (int t = 0; t < T; t++)
        best[t] = top->labels[t];
}

void recursion(int C, int T, int *best)
{
    if (search->ngrams) {
        recursion_of_two(C, T, best);
        return;
    }
    static int from[MOST][MAX_S];
    int S = search->histories * C;
    double score[MAX_S] = { 0 }, next[MAX_S];
    for (int t = 0; t < T; t++) {
        for (int p = 0; p < S; p++)
            next[p] = t || p >= C ? -INFINITY : 0.0;
        for (int q = 0; t && q < S; q++) {
            int age = age_at(from, C, t - 1, q);
            int phones[MAX_PHONES] = { q % C, q / C };
            for (int p = 0; p < S; p++) {
                double s = score[q] + arrive(C, phones, age, p / C, p % C);
                from[t][p] = s > next[p] ? q : from[t][p];
                next[p] = fmax(s, next[p]);
            }
        }
        for (int p = 0; p < S; p++)
            score[p] = next[p] + (double)logp[t * C + p % C] - (double)log_prior[p % C];
    }
    int p = 0;
    for (int q = 1; q < S; q++)
        p = score[q] > score[p] ? q : p;
    for (int t = T - 1; t >= 0; t--) {
        best[t] = p % C;
        p = from[t][p];
    }
}

int to_phones(const int *path, int C, int T, shoal_phone *out)
{
    int n = 0;
    for (int t = 0, end; t < T; t = end) {
        double sum = 0.0;
        for (end = t; end < T && path[end] == path[t]; end++)
            sum += (double)logp[end * C + path[t]];
        if (path[t])
            out[n++] = (shoal_phone){ path[t], t, end, (float)exp(sum / (end - t)) };
    }
    return n;
}

int new_decoder(shoal_decoder **d, const shoal_decoder_params *p)
{
    search->exact_beam = shoal__search_beam(search, model.config.classes);
    int rc = shoal_decoder_new(d, &model, p);
    if (rc == 0)
        (*d)->holding = (*d)->slots; /* as exact as the references */
    return rc;
}

/* decoder_reference.c - see decoder_reference.h */
#include "decoder_reference.h"

#include <math.h>
#include <string.h>

shoal_model model;
shoal__search *search;
shoal_decoder_params params;
float transition[MAX_S * MAX_C], log_prior[MAX_C], logp[MOST * MAX_C];
float leave[MAX_C * MAX_K], stay[MAX_C * MAX_K];
uint32_t rng;

static float fourgram_entries[2 * MAX_H * MAX_C];
static int fourgram_count;
static shoal__fourgram fourgram;
static double fourgram_score[MAX_H * MAX_C]; /* what it says, for the references */

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

static void make_fourgram(int C)
{
    shoal__fourgram_free(&fourgram);
    ck_assert_int_eq(
        shoal__fourgram_make(&fourgram, fourgram_entries, fourgram_count, transition, C), 0);
}

void give_fourgram(int C)
{
    int contexts = C * C * C;
    search->fourgram = &fourgram;
    fourgram_count = 0;
    make_fourgram(C);
    for (int i = 0; i < contexts * C; i++)
        fourgram_score[i] = (double)transition[i % contexts];
}

void give_context(int C, int context, unsigned listed, const float *scores, float back_off)
{
    int phone = context % C;
    for (int p = 0; p < C; p++) {
        int own = listed >> p & 1 && p != phone;
        float *e = fourgram_entries + 2 * fourgram_count;
        if (own || p == phone) {
            e[0] = (float)(context * C + p);
            e[1] = own ? scores[p] : back_off;
            fourgram_count++;
        }
        fourgram_score[context * C + p] =
            own ? (double)scores[p] : fourgram_score[context * C + p] + (double)back_off;
    }
    make_fourgram(C);
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

void random_fourgram(int C, int T, float sharp)
{
    random_trigram(C, T, sharp);
    give_fourgram(C);
    for (int context = 0; context < C * C * C; context++) {
        float scores[MAX_C];
        for (int p = 0; p < C; p++)
            scores[p] = 0.9f * util_randf(&rng) - 1.0f;
        if (util_rand(&rng) % 3 == 0)
            give_context(C, context, util_rand(&rng) >> 8, scores, 0.2f * util_randf(&rng));
    }
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

/* Score of the change (or not) from `phone`, before which were `older` and `before`, to `next`,
 * when the phone has lasted `age` frames (1, 2, ...). */
static double change(int C, int older, int before, int phone, int next, int age)
{
    int K = search->ages, k = phone * K + (age < K ? age : K) - 1;
    double s = K ? (double)(phone == next ? stay[k] : leave[k]) : 0.0;
    if (search->fourgram && phone != next)
        s += fourgram_score[((older * C + before) * C + phone) * C + next];
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
    for (int t = 0, older = 0, before = 0, age = 1; t < T; t++) {
        int moved = t && path[t] != path[t - 1];
        s += (double)logp[t * C + path[t]] - (double)log_prior[path[t]];
        s += t ? change(C, older, before, path[t - 1], path[t], age) : 0.0;
        older = moved ? before : older;
        before = moved ? path[t - 1] : before;
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

/* Score of arriving at (before, p) from state q of that age and history; -INFINITY where that is no
 * way. */
static double arrive(int C, int older, int q, int age, int before, int p)
{
    int last = q % C, history = q / C;
    int stays = last == p && history == before, moves = last != p && before == last;
    return stays || moves || search->histories == 1 ? change(C, older, history, last, p, age)
                                                    : -INFINITY;
}

/* How long the best path to state p at t has been in its phone. */
static int age_at(int from[][MAX_S], int C, int t, int p)
{
    int age = 1;
    for (; t && from[t][p] % C == p % C; t--)
        age++;
    return age;
}

/* What stood before the two phones of state p on the best path to it at t; with a trigram. */
static int older_at(int from[][MAX_S], int C, int t, int p)
{
    for (; t && from[t][p] == p; t--)
        ;
    return t ? from[t][p] / C : 0;
}

void recursion(int C, int T, int *best)
{
    static int from[MOST][MAX_S];
    int S = search->histories * C;
    double score[MAX_S] = { 0 }, next[MAX_S];
    for (int t = 0; t < T; t++) {
        for (int p = 0; p < S; p++)
            next[p] = t || p >= C ? -INFINITY : 0.0;
        for (int q = 0; t && q < S; q++) {
            int age = age_at(from, C, t - 1, q);
            int older = search->fourgram ? older_at(from, C, t - 1, q) : 0;
            for (int p = 0; p < S; p++) {
                double s = score[q] + arrive(C, older, q, age, p / C, p % C);
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
    return shoal_decoder_new(d, &model, p);
}

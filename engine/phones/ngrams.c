/* ngrams.c - contexts longer than a trigram's: made when a model opens, looked up while it decodes
 */
#include "phones/ngrams.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shoal.h"

/* What making needs to know of a context, beside its place in the tree. */
struct place {
    int parent; /* a context; below 0: a pair */
    int pair;   /* its two newest phones */
    int older;  /* how many phones it has before those */
};

int shoal__ngram_key(float x, int low, int high)
{
    return x >= (float)low && x < (float)high && x == floorf(x) ? (int)x : -1;
}

/* Parents stand before their children, so one pass sees all. */
static int take_contexts(shoal__ngrams *g, const float *contexts, struct place *places)
{
    int C = g->classes, pairs = C * C;
    for (int i = 0; i < g->count; i++) {
        int digits = shoal__ngram_key(contexts[i], i ? g->digits[i - 1] + 1 : 0, (pairs + i) * C);
        if (digits < 0)
            return SHOAL__NGRAM_CONTEXTS;
        struct place *p = &places[i];
        p->parent = digits / C - pairs;
        p->pair = p->parent < 0 ? digits / C : places[p->parent].pair;
        p->older = p->parent < 0 ? 1 : places[p->parent].older + 1;
        if (p->older > SHOAL__OLDER_MOST)
            return SHOAL__NGRAM_CONTEXTS;
        g->digits[i] = digits;
    }
    for (int node = 0, child = 0; node <= pairs + g->count; node++) {
        while (child < g->count && g->digits[child] / C < node)
            child++;
        g->children[node] = child;
    }
    return 0;
}

/* Keys ascend and are of contexts. own[i]: where the entries of context i begin. */
static int take_entries(const shoal__ngrams *g, const float *entries, int entry_count, int *own)
{
    int C = g->classes, next = 0;
    for (int e = 0, last = C * C * C - 1; e < entry_count; e++) {
        int key = shoal__ngram_key(entries[2 * e], last + 1, (C * C + g->count) * C);
        if (key < 0)
            return SHOAL__NGRAM_ENTRIES;
        while (next < g->count && key >= (C * C + next) * C)
            own[next++] = e;
        last = key;
    }
    while (next <= g->count)
        own[next++] = entry_count;
    return 0;
}

/* Room for all lists: one is no longer than its own entries and its parent's list. */
static int make_room(shoal__ngrams *g, const struct place *places, const int *own)
{
    size_t all = 1;
    for (int i = 0; i < g->count; i++) {
        int n = own[i + 1] - own[i] + (places[i].parent < 0 ? 0 : g->list[places[i].parent]);
        g->list[i] = n < g->classes ? n : g->classes;
        all += (size_t)g->list[i];
    }
    g->phone = malloc(all);
    g->score = malloc(all * sizeof *g->score);
    return g->phone && g->score ? 0 : SHOAL_ENOMEM;
}

/* Its own back-off weight, among its entries [e, end). */
static float weight_of(const float *e, const float *end, int key)
{
    for (; e < end; e += 2)
        if ((int)e[0] == key)
            return e[1];
    return 0.0f;
}

static void put(shoal__ngrams *g, int at, int phone, float score)
{
    g->phone[at] = (unsigned char)phone;
    g->score[at] = score;
    g->least = score < g->least ? score : g->least;
    g->most = score > g->most ? score : g->most;
}

/* Its own entries [e, end), and what its parent lists besides, less its own weight. */
static void list(shoal__ngrams *g, int i, const struct place *p, const float *e, const float *end)
{
    int C = g->classes, first = (C * C + i) * C, last = p->pair % C, n = g->list[i];
    int k = p->parent < 0 ? 0 : g->list[p->parent],
        k_end = p->parent < 0 ? 0 : g->list[p->parent + 1];
    float weight = weight_of(e, end, first + last);
    while (k < k_end || e < end) {
        int theirs = k < k_end ? g->phone[k] : C, own = e < end ? (int)e[0] - first : C;
        if (theirs < own)
            put(g, n++, theirs, g->score[k] + weight);
        else if (own != last)
            put(g, n++, own, e[1]);
        k += theirs <= own;
        e += own <= theirs ? 2 : 0;
    }
    g->list[i + 1] = n;
    g->weight[i] = weight + (p->parent < 0 ? 0.0f : g->weight[p->parent]);
}

/* What the trigram says where a context does not list a phone. */
static void note_range(shoal__ngrams *g, const float *trigram)
{
    float low = *trigram, high = *trigram, least = 0.0f, most = 0.0f;
    for (int i = 1; i < g->classes * g->classes * g->classes; i++) {
        low = trigram[i] < low ? trigram[i] : low;
        high = trigram[i] > high ? trigram[i] : high;
    }
    for (int i = 0; i < g->count; i++) {
        least = g->weight[i] < least ? g->weight[i] : least;
        most = g->weight[i] > most ? g->weight[i] : most;
    }
    g->least = low + least < g->least ? low + least : g->least;
    g->most = high + most > g->most ? high + most : g->most;
}

static int make(shoal__ngrams *g, const shoal__ngram_tables *t, const float *trigram,
                struct place *places, int *own)
{
    int rc = take_contexts(g, t->contexts, places);
    rc = rc ? rc : take_entries(g, t->entries, t->entry_count, own);
    rc = rc ? rc : make_room(g, places, own);
    if (rc)
        return rc;
    g->list[0] = 0;
    g->least = g->most = *trigram;
    for (int i = 0; i < g->count; i++)
        list(g, i, &places[i], t->entries + 2 * own[i], t->entries + 2 * own[i + 1]);
    note_range(g, trigram);
    return 0;
}

int shoal__ngrams_make(shoal__ngrams *g, const shoal__ngram_tables *t, const float *trigram, int C)
{
    if ((int64_t)C * (C * C + (int64_t)t->count) > SHOAL__NGRAM_KEYS)
        return SHOAL__NGRAM_CONTEXTS;
    size_t n = (size_t)t->count + 1;
    struct place *places = malloc(n * sizeof *places);
    int *own = malloc(n * sizeof *own);
    *g = (shoal__ngrams){ .classes = C, .count = t->count };
    g->digits = malloc(n * sizeof *g->digits);
    g->children = malloc((n + (size_t)(C * C)) * sizeof *g->children);
    g->weight = malloc(n * sizeof *g->weight);
    g->list = malloc(n * sizeof *g->list);
    int rc = places && own && g->digits && g->children && g->weight && g->list
                 ? make(g, t, trigram, places, own)
                 : SHOAL_ENOMEM;
    free(places);
    free(own);
    return rc;
}

void shoal__ngrams_free(shoal__ngrams *g)
{
    free(g->digits);
    free(g->children);
    free(g->weight);
    free(g->list);
    free(g->phone);
    free(g->score);
}

/* ---- looked up ------------------------------------------------------------------------------ */

/* The context that has the phone before those of a node; -1: none. */
static int child(const shoal__ngrams *g, int node, int phone)
{
    int digits = node * g->classes + phone, low = g->children[node], end = g->children[node + 1];
    for (int high = end; low < high;) {
        int middle = low + (high - low) / 2;
        if (g->digits[middle] < digits)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && g->digits[low] == digits ? low : -1;
}

int shoal__ngrams_find(const shoal__ngrams *g, int pair, uint32_t older)
{
    int found = child(g, pair, older & 255);
    for (int next = found; next >= 0; found = next >= 0 ? next : found) {
        older >>= 8;
        next = child(g, g->classes * g->classes + found, older & 255);
    }
    return found;
}

void shoal__ngrams_row(const shoal__ngrams *g, int context, const float *trigram, float *row)
{
    float weight = g->weight[context];
    for (int p = 0; p < g->classes; p++)
        row[p] = trigram[p] + weight;
    for (int k = g->list[context]; k < g->list[context + 1]; k++)
        row[g->phone[k]] = g->score[k];
}

/* tune_measure.c - errors, disagreement, lateness, intervals; pure */
#include "tune/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

static int grow(void **at, int *room, int count, size_t size)
{
    int more = *room ? 2 * *room : 64;
    void *p;

    if (count < *room)
        return 0;
    if (!(p = realloc(*at, (size_t)more * size)))
        return -1;
    *at = p;
    *room = more;
    return 0;
}

int tune_labels_add(tune_labels *l, int label)
{
    if (grow((void **)&l->at, &l->room, l->count, sizeof *l->at) < 0)
        return -1;
    l->at[l->count++] = (uint8_t)label;
    return 0;
}

int tune_numbers_add(tune_numbers *n, double x)
{
    if (grow((void **)&n->at, &n->room, n->count, sizeof *n->at) < 0)
        return -1;
    n->at[n->count++] = x;
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double tune_percentile(tune_numbers *n, double q)
{
    double at = q * (n->count - 1);
    int i = (int)at;

    if (!n->count)
        return NAN;
    qsort(n->at, (size_t)n->count, sizeof *n->at, ascending);
    if (i + 1 >= n->count)
        return n->at[n->count - 1];
    return n->at[i] + (at - i) * (n->at[i + 1] - n->at[i]);
}

/* ---- errors ---- */

static int least(int a, int b, int c)
{
    a = b < a ? b : a;
    return c < a ? c : a;
}

int tune_edits(const tune_labels *a, const tune_labels *b)
{
    int *row = malloc(((size_t)b->count + 1) * sizeof *row), edits;

    if (!row)
        return -1;
    for (int j = 0; j <= b->count; j++)
        row[j] = j;
    for (int i = 1; i <= a->count; i++) {
        int corner = row[0];

        row[0] = i;
        for (int j = 1; j <= b->count; j++) {
            int above = row[j], same = a->at[i - 1] == b->at[j - 1];

            row[j] = least(corner + !same, above + 1, row[j - 1] + 1);
            corner = above;
        }
    }
    edits = row[b->count];
    free(row);
    return edits;
}

/* The deepest at the longest chunk, which others are held against. */
static const tune_setting *reference(const tune_grid *g)
{
    return tune_at(g, g->chunk_count - 1, g->depth_count - 1);
}

static int count_errors(const tune_grid *g, tune_setting *s)
{
    double differs = 0, wrong = 0, heard = 0, said = 0;

    for (int i = 0; i < g->clips.count; i++) {
        const tune_clip *clip = &g->clips.at[i];

        s->differs[i] = tune_edits(&s->heard[i], &reference(g)->heard[i]);
        s->wrong[i] = clip->has_said ? tune_edits(&s->heard[i], &clip->said) : 0;
        if (s->differs[i] < 0 || s->wrong[i] < 0)
            return -1;
        differs += s->differs[i];
        heard += reference(g)->heard[i].count;
        wrong += s->wrong[i];
        said += clip->has_said ? clip->said.count : 0;
    }
    s->disagreement = heard > 0 ? 100 * differs / heard : 0;
    s->per = said > 0 ? 100 * wrong / said : -1;
    return 0;
}

int tune_measure(tune_grid *g)
{
    static const double parts[3] = { 0.5, 0.9, 0.99 };

    for (int i = 0; i < g->chunk_count * g->depth_count; i++) {
        tune_setting *s = &g->at[i];

        if (count_errors(g, s) < 0)
            return -1;
        for (int q = 0; q < 3; q++)
            s->settled[q] = tune_percentile(&s->late, parts[q]);
        s->settled_pause = tune_percentile(&s->pause, 0.9);
    }
    return 0;
}

double tune_error(const tune_setting *s)
{
    return s->per >= 0 ? s->per : s->disagreement;
}

/* ---- intervals: clips drawn again and again ---- */

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Phones that clip i is judged by; 0: it is not. */
static int judged(const tune_grid *g, int i, int by_transcript)
{
    const tune_clip *clip = &g->clips.at[i];

    if (by_transcript)
        return clip->has_said ? clip->said.count : 0;
    return reference(g)->heard[i].count;
}

static double sample(const tune_grid *g, const tune_setting *a, const tune_setting *b,
                     uint64_t *random)
{
    int by_transcript = a->per >= 0;
    double more = 0, phones = 0;

    for (int k = 0; k < g->clips.count; k++) {
        int i = random ? (int)(draw(random) % (uint64_t)g->clips.count) : k;
        int n = judged(g, i, by_transcript);

        more += n && by_transcript ? a->wrong[i] - b->wrong[i] : 0;
        more += n && !by_transcript ? a->differs[i] - b->differs[i] : 0;
        phones += n;
    }
    return phones > 0 ? 100 * more / phones : 0;
}

tune_difference tune_compare(const tune_grid *g, const tune_setting *a, const tune_setting *b)
{
    double resampled[TUNE_RESAMPLES];
    tune_numbers n = { resampled, TUNE_RESAMPLES, TUNE_RESAMPLES };
    uint64_t random = 0x9E3779B97F4A7C15; /* the same draws for every pair, and in every run */
    tune_difference d = { .mean = sample(g, a, b, NULL) };
    double half, needed;

    for (int i = 0; i < TUNE_RESAMPLES; i++)
        resampled[i] = sample(g, a, b, &random);
    d.low = tune_percentile(&n, 0.025);
    d.high = tune_percentile(&n, 0.975);
    if (d.low > 0 || d.high < 0)
        return d;
    half = (d.high - d.low) / 2;
    needed = d.mean != 0 ? g->clips.count * (half / d.mean) * (half / d.mean) : INFINITY;
    d.clips = needed < 1e6 ? (int)ceil(needed) - g->clips.count : INT32_MAX;
    d.clips = d.clips < 1 ? 1 : d.clips;
    return d;
}

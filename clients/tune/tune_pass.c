/* tune_pass.c - one clip at one chunk length, all depths as taps of one session
 *
 * A message's audio was there when what its results cover, and what the model looks ahead, had
 * been said: `processed` and the part of `latency_ms` that is not the chunk. That is when the
 * message could be sent at the earliest, however fast the clip was really streamed. Phones that
 * only the end of the clip brought about (their audio was never there) do not count as late.
 */
#include "tune/tune.h"

#include <stdlib.h>
#include <string.h>

/* What one depth has heard of the clip: pairs of (when its audio was there, s; lateness, ms). */
typedef struct heard {
    tune_numbers all, pauses;
    double end_s, came_s; /* of the phone before */
    int any;
} heard;

typedef struct pass {
    tune_grid *g;
    int chunk, clip;
    int rate, ahead_ms; /* of this session; look-ahead and window */
    heard at[TUNE_MAX_DEPTHS];
    double seconds; /* of the clip, as `done` tells */
    int failed;
} pass;

/* ---- the model ---- */

static void take_ready(void *user, const shoal_client_event *e, double now_s)
{
    tune_model *m = user;

    (void)now_s;
    if (e->type != SHOAL_CLIENT_READY)
        return;
    memcpy(m->name, e->ready->model, sizeof m->name);
    memcpy(m->sha256, e->ready->model_sha256, sizeof m->sha256);
    memcpy(m->labels, e->ready->labels, sizeof m->labels);
    m->classes = e->ready->classes;
    m->depth = e->ready->model_depth;
}

int tune_ask_model(const tune_options *o, const char *path, tune_model *model)
{
    tune_stream t = { .o = o,
                      .path = path,
                      .options = shoal_options_default(),
                      .most_s = 0.1,
                      .take = take_ready,
                      .user = model };

    return tune_stream_run(&t);
}

int tune_model_label(const tune_model *m, const char *name)
{
    for (int i = 0; i < m->classes; i++)
        if (!strcmp(m->labels[i], name))
            return i;
    return -1;
}

/* ---- results ---- */

static void add_pair(pass *p, tune_numbers *n, double came_s, double end_s)
{
    p->failed |= tune_numbers_add(n, came_s) < 0;
    p->failed |= tune_numbers_add(n, (came_s - end_s) * 1000) < 0;
}

static void take_phone(pass *p, int d, const shoal_wire_phone *phone, double came_s)
{
    heard *h = &p->at[d];
    int label = tune_model_label(&p->g->model, phone->phone);

    if (label >= 0)
        p->failed |= tune_labels_add(&tune_at(p->g, p->chunk, d)->heard[p->clip], label) < 0;
    /* the one before had a pause behind it if this one begins so late */
    if (h->any && (phone->start - h->end_s) * 1000 >= TUNE_PAUSE_MS - 0.5)
        add_pair(p, &h->pauses, h->came_s, h->end_s);
    add_pair(p, &h->all, came_s, phone->end);
    h->any = 1;
    h->end_s = phone->end;
    h->came_s = came_s;
}

static int tap_index(const tune_grid *g, int tap)
{
    for (int i = 0; i < g->depth_count; i++)
        if (g->depths[i] == tap)
            return i;
    return -1;
}

static void take(void *user, const shoal_client_event *e, double now_s)
{
    pass *p = user;
    int d;

    (void)now_s;
    if (e->type == SHOAL_CLIENT_READY) {
        p->rate = e->ready->options.rate;
        p->ahead_ms = e->ready->latency_ms - e->ready->options.chunk_ms;
    }
    if (e->type == SHOAL_CLIENT_DONE)
        p->seconds = e->done->seconds;
    if (e->type != SHOAL_CLIENT_PHONES || (d = tap_index(p->g, e->phones->tap)) < 0)
        return;
    for (int i = 0; i < e->phones->count; i++)
        take_phone(p, d, &e->phones->phones[i],
                   (double)e->phones->processed / p->rate + p->ahead_ms / 1000.0);
}

/* ---- a pass ---- */

/* What had its audio before the clip ended: live, it would have come just so. */
static void keep(pass *p, tune_numbers *to, tune_numbers *pairs)
{
    for (int i = 0; i < pairs->count; i += 2)
        if (pairs->at[i] <= p->seconds + 1e-6)
            p->failed |= tune_numbers_add(to, pairs->at[i + 1]) < 0;
    free(pairs->at);
}

static shoal_options all_depths(const tune_grid *g, int chunk)
{
    shoal_options s = shoal_options_default();

    s.given = SHOAL_OPT_CHUNK_MS | SHOAL_OPT_OUTPUT | SHOAL_OPT_DEPTH;
    s.chunk_ms = g->chunks[chunk];
    s.depth_min = s.depth_max = g->depths[g->depth_count - 1];
    s.outputs = 0;
    s.tap_count = g->depth_count;
    for (int d = 0; d < g->depth_count; d++)
        s.taps[d] = (shoal_tap){ g->depths[d], SHOAL_OUTPUT_PHONES };
    return s;
}

/* It counts as it is. */
static void say_odd(const tune_stream *t)
{
    if (t->cut)
        fprintf(stderr, "shoal-tune: %s: the file is cut off; its %.2f s count\n", t->path,
                t->seconds);
    if (t->cancels)
        fprintf(
            stderr,
            "shoal-tune: %s: its channels cancel each other out (one is inverted), so that their "
            "mean, which is what is heard, is next to nothing; leave it out, or take one of them\n",
            t->path);
}

int tune_pass(const tune_options *o, tune_grid *g, int chunk, int clip, double *seconds)
{
    pass p = { .g = g, .chunk = chunk, .clip = clip };
    tune_stream t = { .o = o,
                      .path = g->clips.at[clip].path,
                      .options = all_depths(g, chunk),
                      .take = take,
                      .user = &p };
    int r = tune_stream_run(&t);

    for (int d = 0; d < g->depth_count; d++) {
        tune_setting *s = tune_at(g, chunk, d);

        keep(&p, &s->late, &p.at[d].all);
        keep(&p, &s->pause, &p.at[d].pauses);
        s->algorithmic_ms = g->chunks[chunk] + p.ahead_ms;
    }
    if (chunk == 0)
        say_odd(&t);
    *seconds = t.seconds;
    if (p.failed && !r)
        fprintf(stderr, "shoal-tune: out of memory\n");
    return p.failed ? -1 : r;
}

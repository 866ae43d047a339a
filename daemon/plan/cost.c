/* cost.c - the cost model and its running correction; see cost.h */
#include "plan/cost.h"

#include "shoal-protocol.h"

#include <math.h>

/* Rows of a run that shares its fixed part well: matrix products near their peak. */
#define LARGE_RUN_FRAMES 64
/* How much past work is remembered, ns of expected time. */
#define MEMORY_NS 5e8
/* What the calibration weighs at the start. */
#define PRIOR_NS 2e8
/* One run (a machine that slept, a debugger) does not count for more than this much of itself. */
#define OUTLIER 4.0
/* Without runs what was measured fades: to a third in half a minute. */
#define REST_NS 3e10

static double at_least_0(double x)
{
    return x > 0 ? x : 0;
}

/* The four equations of run(), for each of the probe's runs, solved for the coefficients.
 * Noise may make one of them negative: then it is none. */
static shoald_cost_shape solve(const shoald_cost_probe *p)
{
    double n = p->streams, m = p->frames, layers = fmax(p->layers, 1);
    double others = p->layers - p->first;
    shoald_cost_shape s = { 0 };
    double layer =
        others > 0 ? (p->full - p->shallow) / others : p->full / (2 * layers); /* of full */
    if (m > 1)
        s.chunk_layer = at_least_0((p->thin - p->lone) / ((m - 1) * layers));
    s.frame = at_least_0((p->full - layers * layer) / (n * m));
    double more = (p->full - p->lone) / ((n - 1) * m); /* a frame more in a run */
    s.frame_layer = at_least_0((more - s.frame) / layers - s.chunk_layer / m);
    s.other = p->other;
    s.layer_run = at_least_0(layer - n * s.chunk_layer - n * m * s.frame_layer);
    return s;
}

void shoald_cost_init(shoald_cost *c, const shoald_cost_probe *p)
{
    *c = (shoald_cost){ .shape = solve(p), .speed = p->speed, .prior = p->speed };
    c->expected = PRIOR_NS;
    c->taken = PRIOR_NS * p->speed;
}

void shoald_work_add(shoald_work *w, double layers, int frames)
{
    w->layers = fmax(w->layers, layers);
    w->frames += frames;
    w->chunk_layers += layers;
    w->frame_layers += layers * frames;
}

static double expected_ns(const shoald_cost_shape *s, const shoald_work *w)
{
    return w->layers * s->layer_run + w->chunk_layers * s->chunk_layer + w->frames * s->frame +
           w->frame_layers * s->frame_layer;
}

double shoald_cost_run_ns(const shoald_cost *c, const shoald_work *w)
{
    return c->speed * expected_ns(&c->shape, w);
}

/* Of a chunk in a large run. */
static double layer_ns(const shoald_cost_shape *s, int frames)
{
    return s->chunk_layer + frames * (s->frame_layer + s->layer_run / LARGE_RUN_FRAMES);
}

static double frames_ns(const shoald_cost_shape *s, int frames)
{
    return frames * (s->frame + s->other);
}

double shoald_cost_chunk_ns(const shoald_cost *c, double layers, int frames)
{
    return c->speed * (layers * layer_ns(&c->shape, frames) + frames_ns(&c->shape, frames));
}

double shoald_cost_layers(const shoald_cost *c, double chunk_ns, int frames)
{
    double a_layer = layer_ns(&c->shape, frames);
    double rest_ns = at_least_0(chunk_ns / c->speed - frames_ns(&c->shape, frames));
    return a_layer > 0 ? rest_ns / a_layer : 0;
}

double shoald_cost_share(const shoald_cost *c, double layers, int chunk_frames)
{
    return shoald_cost_chunk_ns(c, layers, chunk_frames) / (chunk_frames * SHOAL_FRAME_MS * 1e6);
}

void shoald_cost_saw_run(shoald_cost *c, const shoald_work *w, double ns)
{
    double expected = expected_ns(&c->shape, w), most = OUTLIER * c->speed * expected;
    double keep = MEMORY_NS / (MEMORY_NS + expected);
    if (expected <= 0)
        return;
    c->taken = keep * (c->taken + (ns < most ? ns : most));
    c->expected = keep * (c->expected + expected);
    c->speed = c->taken / c->expected;
}

void shoald_cost_saw_rest(shoald_cost *c, double ns)
{
    double keep = exp(-ns / REST_NS);
    c->expected = keep * c->expected + (1 - keep) * PRIOR_NS;
    c->taken = keep * c->taken + (1 - keep) * PRIOR_NS * c->prior;
    c->speed = c->taken / c->expected;
}

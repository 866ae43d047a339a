/* cost.h - what a worker's work costs, as the worker itself has measured it
 *
 *   a run   = layers run x layer_run + chunk-layers x chunk_layer
 *           + frames x frame + frame-layers x frame_layer
 *   beside  = frames x other      PCM and log-mel: what each frame takes before it can run
 *                                                                    (all x speed)
 *
 * Layers are counted in layers of the calibration's kind, the mean of the first program of the
 * model that the server started with: an identity is nothing, a larger layer is more than one, and
 * another model's are as many as they cost (work/weigh.h). How many a program has up to each depth
 * is asked of the model's plan (base/service.c).
 *
 * The shape (the five coefficients) comes from a calibration at the start (calibrate.h); speed, the
 * ratio of what recent runs took and what the shape says, follows the machine: neighbours,
 * clock rate, streams unlike those of the calibration. One number is always well determined, where
 * a regression of four would not be when all sessions are alike.
 *
 * What one session's messages, options and outputs cost beside the runs is that session's affair
 * and counts in its own demand (load.h): nothing that a client does may raise the price of others'
 * frames. And nothing is remembered for ever: where no runs come, speed goes back to what the
 * calibration found, or one slow spell could shut everybody out for good. Pure: no clock, no
 * threads.
 */
#ifndef SHOALD_COST_H
#define SHOALD_COST_H

/* nanoseconds */
typedef struct shoald_cost_shape {
    double layer_run;   /* of each layer that a run goes through, whatever is in it */
    double chunk_layer; /* of each chunk and layer: attention reads the left context */
    double frame;       /* of each frame: subsampling, head */
    double frame_layer; /* of each frame and layer */
    double other;       /* of each frame, beside the runs */
} shoald_cost_shape;

typedef struct shoald_cost {
    shoald_cost_shape shape;
    double speed;           /* measured / shape; above 1: slower than calibrated */
    double prior;           /* speed as the calibration found it */
    double taken, expected; /* ns: sums behind speed, recent ones weigh most */
} shoald_cost;

/* of one run */
typedef struct shoald_work {
    double layers;       /* the deepest stream's */
    int frames;          /* sum over chunks */
    double chunk_layers; /* sum of their layers */
    double frame_layers; /* sum of frames x layers */
} shoald_work;

/* Measured times of four runs, ns; n streams of m frames stand for enough to saturate. */
typedef struct shoald_cost_probe {
    double layers; /* of `full`: n streams of m frames through so many */
    double first;  /* layers of the first depth */
    int streams, frames;
    double full;
    double shallow; /* the same at depth 1 */
    double lone;    /* one stream of m frames, all layers */
    double thin;    /* m streams of one frame, all layers */
    double other;   /* beside the runs, a frame */
    double speed;   /* time on the clock / the processor's time above */
} shoald_cost_probe;

void shoald_cost_init(shoald_cost *c, const shoald_cost_probe *p);

/* One chunk joins the run. */
void shoald_work_add(shoald_work *w, double layers, int frames);
double shoald_cost_run_ns(const shoald_cost *c, const shoald_work *w);
/* A chunk's part of a large run, and what it costs beside, ns. */
double shoald_cost_chunk_ns(const shoald_cost *c, double layers, int frames);
/* The other way round: layers of a chunk with that part; 0 where its frames alone take more. */
double shoald_cost_layers(const shoald_cost *c, double chunk_ns, int frames);
/* Share of a worker that one stream in real time takes, in large runs. */
double shoald_cost_share(const shoald_cost *c, double layers, int chunk_frames);

/* Learn from what was measured. */
void shoald_cost_saw_run(shoald_cost *c, const shoald_work *w, double ns);
/* No run for so long. */
void shoald_cost_saw_rest(shoald_cost *c, double ns);

#endif

/* calibrate.c - see calibrate.h */
#include "work/calibrate.h"

#include <time.h>
#include <uv.h>

/* Four streams tell what one more costs as well as eight, in half the time: who starts a daemon
 * waits for this. */
enum { STREAMS = 4, FRAMES = 8, AUDIO = 1024, WARM_RUNS = 8, MIN_RUNS = 2, MAX_RUNS = 8 };
#define WARM_NS 3000000u /* the left context fills, caches get warm */
#define RUN_NS  4000000u
#define LAYERS  3 /* more would tell the same, and take longer */

typedef struct bench {
    const shoal_model *model;
    shoal_batch *batch;
    shoal_stream *streams[FRAMES]; /* the most of any kind of run */
    int count;
    float audio[AUDIO];
    double feed_ns, fed_frames; /* what it takes to get audio into the streams */
} bench;

/* Of this thread: whoever else has the processor meanwhile does not distort the shape. */
static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void fill_audio(float *audio)
{
    unsigned state = 1;
    for (int i = 0; i < AUDIO; i++) {
        state = state * 1664525u + 1013904223u;
        audio[i] = (float)(state >> 8) / (float)(1 << 24) - 0.5f;
    }
}

static void close_streams(bench *b)
{
    for (int i = 0; i < b->count; i++)
        shoal_stream_free(b->streams[i]);
    b->count = 0;
}

static int open_streams(bench *b, int count, int frames, int depth)
{
    shoal_stream_params p = shoal_stream_default_params(b->model);
    p.depth = depth;
    p.chunk_frames = frames;
    for (int result; b->count < count; b->count++)
        if ((result = shoal_stream_new(&b->streams[b->count], b->model, &p)) < 0)
            return result;
    return 0;
}

/* 0 or a negative SHOAL_E* */
static int feed(bench *b)
{
    double start_ns = cpu_ns();
    for (int i = 0; i < b->count; i++) {
        while (!shoal_stream_ready(b->streams[i])) {
            ptrdiff_t taken = shoal_stream_feed(b->streams[i], b->audio, AUDIO);
            if (taken <= 0)
                return taken < 0 ? (int)taken : SHOAL_ESTATE; /* it would never be ready */
        }
        b->fed_frames += shoal_stream_ready(b->streams[i]);
    }
    b->feed_ns += cpu_ns() - start_ns;
    return 0;
}

/* ns of one run of all streams, or a negative code */
static double run(bench *b)
{
    shoal_result results[FRAMES];
    int result = feed(b);
    double start_ns = cpu_ns();
    if (result == 0)
        result = shoal_batch_run(b->batch, b->streams, b->count, results);
    return result < 0 ? result : cpu_ns() - start_ns;
}

/* The least of several: what slows a run down now does so by chance, and later work will tell. */
static double best_run(bench *b)
{
    uint64_t start_ns = uv_hrtime();
    double best = 0;
    for (int i = 0; i < WARM_RUNS && uv_hrtime() - start_ns < WARM_NS; i++)
        if ((best = run(b)) < 0)
            return best;
    start_ns = uv_hrtime();
    for (int i = 0; i < MAX_RUNS && (i < MIN_RUNS || uv_hrtime() - start_ns < RUN_NS); i++) {
        double ns = run(b);
        if (ns < best || i == 0)
            best = ns;
        if (ns < 0)
            return ns;
    }
    return best;
}

static int measure(bench *b, int count, int frames, int depth, double *ns)
{
    int result = open_streams(b, count, frames, depth);
    *ns = result < 0 ? result : best_run(b);
    close_streams(b);
    return *ns < 0 ? (int)*ns : 0;
}

/* Not all layers are necessarily alike, or anything at all. */
static int deep_enough(const double *layers, double scale, int depth)
{
    int enough = 1;
    while (enough < depth && layers[enough] < LAYERS * scale)
        enough++;
    return enough;
}

int shoald_calibrate(shoald_cost *c, const shoald_service *service, shoal_batch *batch)
{
    bench b = { .model = service->model, .batch = batch };
    const double *layers = shoald_service_layers(service, 0), scale = service->scale;
    int result, depth = deep_enough(layers, scale, service->info->depth);
    shoald_cost_probe p = { .layers = layers[depth] / scale,
                            .first = layers[1] / scale,
                            .streams = STREAMS,
                            .frames = FRAMES };
    double started_ns = cpu_ns();
    uint64_t started_wall_ns = uv_hrtime();
    fill_audio(b.audio);
    if ((result = measure(&b, STREAMS, FRAMES, depth, &p.full)) < 0 ||
        (result = measure(&b, STREAMS, FRAMES, 1, &p.shallow)) < 0 ||
        (result = measure(&b, 1, FRAMES, depth, &p.lone)) < 0 ||
        (result = measure(&b, FRAMES, 1, depth, &p.thin)) < 0)
        return result;
    p.other = b.feed_ns / b.fed_frames;
    p.speed = (double)(uv_hrtime() - started_wall_ns) / (cpu_ns() - started_ns);
    shoald_cost_init(c, &p);
    return 0;
}

/* bench_case.c - one case: streams fed with noise, CPU time a chunk; see bench.h
 *
 * The left context must be full before the clock runs, for attention over it is part of the
 * cost. Filling it at full depth would take longer than the measurement, so streams are
 * warmed at depth 1 and then deepened: a layer that wakes starts with a copy (shoal_wake).
 */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOISE = 16000 };

static float noise[NOISE];

typedef struct herd {
    shoal_stream *s[BENCH_MAX_STREAMS];
    size_t at[BENCH_MAX_STREAMS]; /* place in the loop of noise */
    shoal_result r[BENCH_MAX_STREAMS];
    shoal_batch *b;
    int n;
} herd;

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench_engine: %s: %s\n", what, shoal_strerror(rc));
    exit(1);
}

static void make_noise(void)
{
    if (noise[0] != 0.0f)
        return;
    srand(1);
    for (int i = 0; i < NOISE; i++)
        noise[i] = 0.1f * ((float)rand() / (float)RAND_MAX - 0.5f);
}

static void open_herd(herd *h, const shoal_model *m, bench_case c)
{
    shoal_stream_params p = shoal_stream_default_params(m);
    make_noise();
    h->n = c.streams;
    p.chunk_frames = c.chunk_frames;
    must(shoal_batch_new(&h->b, m, c.streams * c.chunk_frames), "batch");
    for (int i = 0; i < h->n; i++) {
        p.depth = c.depth[i & 1];
        must(shoal_stream_new(&h->s[i], m, &p), "stream");
        h->at[i] = (size_t)(i * 997 % NOISE);
    }
}

static void close_herd(herd *h)
{
    for (int i = 0; i < h->n; i++)
        shoal_stream_free(h->s[i]);
    shoal_batch_free(h->b);
}

/* Feed a stream up to a ready chunk. */
static void fill(herd *h, int i)
{
    while (!shoal_stream_ready(h->s[i])) {
        ptrdiff_t took = shoal_stream_feed(h->s[i], noise + h->at[i], NOISE - h->at[i]);
        must((int)took, "feed");
        h->at[i] = (h->at[i] + (size_t)took) % NOISE;
    }
}

static void run_once(herd *h)
{
    for (int i = 0; i < h->n; i++)
        fill(h, i);
    must(shoal_batch_run(h->b, h->s, h->n, h->r), "run");
}

static void set_depths(herd *h, int even, int odd)
{
    for (int i = 0; i < h->n; i++)
        must(shoal_stream_set_depth(h->s[i], i & 1 ? odd : even), "depth");
}

static void warm(herd *h, const shoal_model *m, bench_case c)
{
    set_depths(h, 1, 1);
    for (int frames = 0; frames < m->info.left_frames + c.chunk_frames; frames += c.chunk_frames)
        run_once(h);
    set_depths(h, c.depth[0], c.depth[1]);
    run_once(h);
}

static void run_profiled(herd *h)
{
    bench_stages_enter(BENCH_MEL);
    for (int i = 0; i < h->n; i++)
        fill(h, i);
    bench_stages_enter(BENCH_OTHER);
    must(shoal_batch_run(h->b, h->s, h->n, h->r), "run");
}

bench_outcome bench_case_run(shoal_model *m, bench_case c, double seconds, int profile)
{
    static herd h;
    bench_outcome o = { 0 };
    open_herd(&h, m, c);
    warm(&h, m, c);
    if (profile) {
        bench_stages_attach(m);
        bench_stages_begin();
    }
    double begin = bench_cpu_seconds(), spent = 0.0;
    long runs = 0;
    for (; spent < seconds; spent = bench_cpu_seconds() - begin, runs++)
        profile ? run_profiled(&h) : run_once(&h);
    if (profile) {
        o.profile = bench_stages_end();
        bench_stages_detach(m);
    }
    double chunk_s = c.chunk_frames * m->info.frame_samples / (double)m->info.rate;
    o.runs = (double)runs;
    o.cpu_per_run_s = spent / o.runs;
    o.streams_per_core = c.streams * chunk_s / o.cpu_per_run_s;
    close_herd(&h);
    return o;
}

bench_bytes bench_case_bytes(const shoal_model *m, int depth, int chunk_frames)
{
    static herd h;
    bench_bytes b;
    open_herd(&h, m, (bench_case){ { depth, depth }, chunk_frames, 1 });
    b.silent = shoal_stream_memory(h.s[0]);
    run_once(&h);
    b.speaking = shoal_stream_memory(h.s[0]);
    close_herd(&h);
    return b;
}

/* ---- does company matter? ---- */

/* Log posteriors of stream 0 over some chunks, with n - 1 others at all depths. */
static void record(const shoal_model *m, int n, int chunks, float *out)
{
    static herd h;
    int depth = m->info.depth;
    open_herd(&h, m, (bench_case){ .depth = { depth, depth }, .chunk_frames = 8, .streams = n });
    for (int i = 1; i < n; i++)
        must(shoal_stream_set_depth(h.s[i], 1 + i % depth), "depth");
    for (int k = 0; k < chunks; k++) {
        run_once(&h);
        size_t values = (size_t)h.r[0].frames * (size_t)m->info.classes;
        memcpy(out, h.r[0].logp, values * sizeof *out);
        out += values;
    }
    close_herd(&h);
}

double bench_case_independence(shoal_model *m)
{
    enum { CHUNKS = 12, COMPANY = 32 };
    size_t values = (size_t)CHUNKS * 8 * (size_t)m->info.classes;
    float *alone = calloc(values, sizeof *alone), *among = calloc(values, sizeof *among);
    double worst = 0.0;
    if (!alone || !among)
        must(SHOAL_ENOMEM, "comparison");
    record(m, 1, CHUNKS, alone);
    record(m, COMPANY, CHUNKS, among);
    for (size_t i = 0; i < values; i++)
        worst = fmax(worst, fabs((double)alone[i] - (double)among[i]));
    free(alone);
    free(among);
    return worst;
}

/* bench_engine.c - what one core serves, and where its time goes
 *
 *     bench_engine [SECONDS_PER_CASE [auto|openblas|onednn|amx [fp32|bf16|int8]]]
 *
 * Runs the built-in model on noise, one thread. For each depth and number of streams advanced
 * together: streams served in real time per core (audio seconds / CPU second), share of the
 * time in matrix products, GEMM rate, and that rate over the peak that the same library
 * reaches on a 1024 x 1024 x 1024 product in the same run. CPU time of the thread, so that a
 * busy neighbour disturbs less. Prints a table, then the same as JSON on the last line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stream.h"

enum { CHUNK = 8, MAX_STREAMS = 32, NOISE = 16000 };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A backend that counts what passes through the real one. */
static struct {
    const shoal__gemm *real;
    double seconds, flops;
} meter;

static void metered_run(const shoal__linear *l, const shoal__kern *kern, void *scratch,
                        const float *a, int rows, float *c)
{
    double t = cpu_seconds();
    meter.real->run(l, kern, scratch, a, rows, c);
    meter.seconds += cpu_seconds() - t;
    meter.flops += 2.0 * rows * l->in * l->out;
}

static void metered_pair(const shoal__linear *up, const shoal__linear *down,
                         const shoal__kern *kern, void *scratch, const float *a, int rows, float *c)
{
    double t = cpu_seconds();
    meter.real->run_pair(up, down, kern, scratch, a, rows, c);
    meter.seconds += cpu_seconds() - t;
    meter.flops += 2.0 * rows * ((double)up->in * up->out + (double)down->in * down->out);
}

static double gemm_peak(const shoal__gemm *gemm, const shoal__kern *kern)
{
    enum { N = 1024 };
    void *scratch;
    float *w = calloc(N * N, sizeof *w), *a = calloc(N * N, sizeof *a), *c = calloc(N * N, sizeof *c);
    for (int i = 0; i < N * N; i++) {
        w[i] = (float)(i % 13) * 0.01f;
        a[i] = (float)(i % 7) * 0.01f;
    }
    float *bias = calloc(N, sizeof *bias);
    shoal__linear l = { .in = N, .out = N, .weight = w, .bias = bias, .scale = 1.0f };
    shoal__linear *all[] = { &l };
    double best = 0.0;
    if (gemm->pack(&l) < 0 || gemm->scratch_new(&scratch, all, 1, N) < 0)
        exit(1);
    for (int i = 0; i < 8; i++) {
        double t = cpu_seconds();
        gemm->run(&l, kern, scratch, a, N, c);
        double rate = 2.0 * N * N * N / (cpu_seconds() - t);
        best = rate > best ? rate : best;
    }
    gemm->scratch_free(scratch);
    gemm->unpack(&l);
    free(bias);
    free(w);
    free(a);
    free(c);
    return best;
}

typedef struct outcome {
    double streams_per_core, gemm_share, gemm_rate;
} outcome;

static float noise[NOISE];

/* Feed every stream up to a ready chunk; audio is a loop of noise. */
static void fill(shoal_stream **s, int n, size_t *at)
{
    for (int i = 0; i < n; i++)
        while (!shoal_stream_ready(s[i])) {
            ptrdiff_t took = shoal_stream_feed(s[i], noise + at[i], NOISE - at[i]);
            at[i] = (at[i] + (size_t)took) % NOISE;
        }
}

static outcome measure(shoal_model *m, int depth, int n, double seconds)
{
    shoal_stream *s[MAX_STREAMS];
    shoal_result r[MAX_STREAMS];
    size_t at[MAX_STREAMS] = { 0 };
    shoal_batch *b;
    shoal_stream_params p = shoal_stream_default_params(m);
    p.depth = depth;
    p.chunk_frames = CHUNK;
    if (shoal_batch_new(&b, m, MAX_STREAMS * CHUNK) < 0)
        exit(1);
    for (int i = 0; i < n; i++)
        if (shoal_stream_new(&s[i], m, &p) < 0)
            exit(1);
    double begin = 0.0, spent = 0.0;
    long chunks = -20 * n;                      /* the caches fill up before the clock runs */
    while (spent < seconds) {
        if (chunks == 0) {
            begin = cpu_seconds();
            meter.seconds = meter.flops = 0.0;
        }
        fill(s, n, at);
        if (shoal_batch_run(b, s, n, r) < 0)
            exit(1);
        chunks += n;
        spent = chunks > 0 ? cpu_seconds() - begin : 0.0;
    }
    for (int i = 0; i < n; i++)
        shoal_stream_free(s[i]);
    shoal_batch_free(b);
    return (outcome){ (double)chunks * CHUNK * 0.02 / spent, meter.seconds / spent,
                      meter.flops / meter.seconds };
}

static const char *const backends[] = { "auto", "openblas", "onednn", "amx", NULL };
static const char *const precisions[] = { "fp32", "bf16", "int8", NULL };

static unsigned find(const char *word, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    fprintf(stderr, "bench_engine: '%s' is not known\n", word);
    exit(2);
}

int main(int argc, char **argv)
{
    static const int depths[] = { 4, 8, 12 }, counts[] = { 1, 32 };
    double seconds = argc > 1 ? atof(argv[1]) : 2.0;
    char why[256], json[1024] = "";
    size_t end = 0;
    shoal_model *m;
    shoal_model_params params = shoal_model_default_params();
    params.backend = argc > 2 ? find(argv[2], backends) : SHOAL_BACKEND_AUTO;
    params.precision = argc > 3 ? find(argv[3], precisions) : SHOAL_FP32;
    if (shoal_model_open_with(&m, NULL, &params, why, sizeof why) < 0) {
        fprintf(stderr, "bench_engine: %s\n", why);
        return 1;
    }
    srand(1);
    for (int i = 0; i < NOISE; i++)
        noise[i] = 0.1f * ((float)rand() / (float)RAND_MAX - 0.5f);
    double peak = gemm_peak(m->gemm, m->kern);
    meter.real = m->gemm;
    shoal__gemm metered = *m->gemm;
    metered.run = metered_run;
    metered.run_pair = meter.real->run_pair ? metered_pair : NULL;
    m->gemm = &metered;
    printf("model %s, %zu parameters; GEMM %s; kernels %s; GEMM peak %.0f GFLOP/s\n", m->info.name,
           m->info.parameters, m->info.backend, m->info.kernels, peak * 1e-9);
    printf("chunk %d ms, left context %d frames, one core\n\n", CHUNK * 20, m->info.left_frames);
    printf("%6s %8s %18s %11s %13s %9s\n", "depth", "streams", "streams per core", "GEMM share",
           "GEMM GFLOP/s", "of peak");
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            outcome o = measure(m, depths[d], counts[c], seconds);
            printf("%6d %8d %18.1f %10.0f%% %13.1f %8.0f%%\n", depths[d], counts[c],
                   o.streams_per_core, 100 * o.gemm_share, o.gemm_rate * 1e-9,
                   100 * o.gemm_rate / peak);
            end += (size_t)snprintf(json + end, sizeof json - end,
                                    "%s\"depth%d_streams%d\":%.1f,\"gemm_share_%d_%d\":%.3f", end ? "," : "",
                                    depths[d], counts[c], o.streams_per_core, depths[d], counts[c],
                                    o.gemm_share);
        }
    printf("\n{%s,\"gemm_peak_gflops\":%.1f}\n", json, peak * 1e-9);
    m->gemm = meter.real;
    shoal_model_close(m);
    return 0;
}

/* fidelity.c - features of recordings as bytes: see fidelity.sh
 *
 *     fidelity MODEL BACKEND PRECISION DEPTH CHUNK_MS FILE.wav... > features
 *     fidelity MODEL BACKEND PRECISION 1 80      without files: the backend's name
 *
 * Only what shoal.h of commit b01c678 has is used, for this is compiled against old trees as well.
 * Writes embedding and log posteriors of each run as floats. Exit code 3: no such backend here.
 */
#include <shoal.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAV_HEADER = 44, PIECE = 4000 };

static shoal_model *model;
static shoal_batch *batch;
static int depth, chunk_frames;

static int index_of(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    errx(2, "no %s", name);
}

static void open_model(const char *path, const char *backend, const char *precision)
{
    static const char *const backends[] = { "auto", "openblas", "onednn", "amx" };
    static const char *const precisions[] = { "fp32", "bf16", "int8" };
    shoal_model_params p = { (shoal_backend)index_of(backend, backends, 4),
                             (shoal_precision)index_of(precision, precisions, 3) };
    char why[256];
    int rc = shoal_model_open_with(&model, path, &p, why, sizeof why);
    if (rc == SHOAL_EBACKEND || rc == SHOAL_EUNSUPPORTED)
        exit(3);
    if (rc < 0 || shoal_batch_new(&batch, model, 64) < 0)
        errx(1, "%s: %s", path, why);
}

static void run_ready(shoal_stream *s)
{
    const shoal_model_info *info = shoal_model_get_info(model);
    shoal_result r;
    while (shoal_stream_ready(s)) {
        if (shoal_batch_run(batch, &s, 1, &r) < 0)
            errx(1, "run");
        fwrite(r.embedding, sizeof(float), (size_t)(r.frames * info->dim), stdout);
        fwrite(r.logp, sizeof(float), (size_t)(r.frames * info->classes), stdout);
    }
}

static void feed(shoal_stream *s, const float *pcm, ptrdiff_t n)
{
    for (ptrdiff_t used = 0; used < n;) {
        ptrdiff_t taken = shoal_stream_feed(s, pcm + used, (size_t)(n - used));
        if (taken < 0)
            errx(1, "feed: %s", shoal_strerror((int)taken));
        used += taken;
        run_ready(s);
    }
}

/* The recordings of alsa-utils: 48 kHz, 16 bit, mono, a plain header. */
static void run_file(const char *path)
{
    static float pcm[PIECE];
    static char bytes[PIECE];
    shoal_stream_params p = shoal_stream_default_params(model);
    shoal_stream *s;
    shoal_pcm *c;
    FILE *f = fopen(path, "rb");
    p.depth = depth;
    p.chunk_frames = chunk_frames;
    if (!f || fseek(f, WAV_HEADER, SEEK_SET) < 0)
        err(1, "%s", path);
    if (shoal_stream_new(&s, model, &p) < 0 || shoal_pcm_new(&c, SHOAL_PCM_S16LE, 48000, 1) < 0)
        errx(1, "no stream");
    for (size_t n, used; (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
        feed(s, pcm, shoal_pcm_convert(c, bytes, n, &used, pcm, PIECE));
    for (ptrdiff_t n; (n = shoal_pcm_drain(c, pcm, PIECE)) > 0;)
        feed(s, pcm, n);
    if (shoal_stream_finish(s) < 0)
        errx(1, "finish");
    run_ready(s);
    shoal_stream_free(s);
    shoal_pcm_free(c);
    fclose(f);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        errx(2, "usage: fidelity MODEL BACKEND PRECISION DEPTH CHUNK_MS FILE...");
    open_model(argv[1], argv[2], argv[3]);
    depth = atoi(argv[4]);
    chunk_frames = atoi(argv[5]) / 20;
    for (int i = 6; i < argc; i++)
        run_file(argv[i]);
    if (argc == 6)
        puts(shoal_model_get_info(model)->backend);
    shoal_batch_free(batch);
    shoal_model_close(model);
    return 0;
}

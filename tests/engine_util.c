/* engine_util.c - what the engine's tests share; see engine_util.h */
#include "engine_util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *util_read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "cannot read %s", path);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    void *data = malloc((size_t)n + 1);
    ck_assert_uint_eq(fread(data, 1, (size_t)n, f), (size_t)n);
    fclose(f);
    *size = (size_t)n;
    return data;
}

/* A library may not be installed, and a CPU may lack what bf16 or AMX needs; the rest is ours. */
static bool may_be_missing(const shoal_model_params *p)
{
    return p->backend == SHOAL_BACKEND_OPENBLAS || p->backend == SHOAL_BACKEND_ONEDNN ||
           p->backend == SHOAL_BACKEND_AMX || p->precision == SHOAL_BF16;
}

shoal_model *util_tiny_on(shoal_backend backend, shoal_precision precision)
{
    return util_tiny_with((shoal_model_params){ backend, precision, SHOAL_CACHE_AUTO });
}

shoal_model *util_open(const char *path, shoal_model_params p)
{
    shoal_model *m = NULL;
    char why[256] = "";
    int rc = shoal_model_open_with(&m, path, &p, why, sizeof why);
    ck_assert_msg(rc == 0 || (rc == SHOAL_EBACKEND && may_be_missing(&p)), "%d: %s", rc, why);
    return rc == 0 ? m : NULL;
}

shoal_model *util_tiny_with(shoal_model_params p)
{
    return util_open(SRCDIR "/tests/data/tiny.safetensors", p);
}

shoal_model *util_tiny(void)
{
    shoal_model *m = util_tiny_on(SHOAL_BACKEND_AUTO, SHOAL_FP32);
    ck_assert_ptr_nonnull(m);
    return m;
}

/* A triangle wave of `period` samples, in [-32768, 32768]. */
static int triangle(size_t i, size_t period)
{
    int t = (int)(i % period * 65536 / period);
    return 2 * abs(t - 32768) - 32768;
}

void util_signal(float *pcm, size_t n)
{
    uint32_t lcg = 1;
    for (size_t i = 0; i < n; i++) {
        lcg = lcg * 1664525u + 1013904223u;
        int noise = (int)(lcg >> 16) - 32768;
        int v = noise / 8 + triangle(i, 73) / 4 + triangle(i, 13) / 8;
        pcm[i] = (float)(v / (1 << 2 * (i / 1600 % 3))) / 32768.0f;
    }
}

uint32_t util_rand(uint32_t *state)
{
    uint32_t x = *state * 747796405u + 2891336453u; /* PCG-RXS-M-XS */
    *state = x;
    x = ((x >> ((x >> 28) + 4)) ^ x) * 277803737u;
    return x >> 22 ^ x;
}

float util_randf(uint32_t *state)
{
    return (float)((double)util_rand(state) / 2147483648.0 - 1.0);
}

features features_new(const shoal_model *m)
{
    const shoal_model_info *info = shoal_model_get_info(m);
    return (features){ .dim = info->dim, .classes = info->classes };
}

void features_free(features *f)
{
    free(f->embedding);
    free(f->logp);
    free(f->depth);
    *f = (features){ 0 };
}

static void make_room(features *f, int frames)
{
    if (frames <= f->room)
        return;
    f->room = 2 * frames + 64;
    size_t n = (size_t)f->room;
    f->embedding = realloc(f->embedding, n * (size_t)f->dim * sizeof(float));
    f->logp = realloc(f->logp, n * (size_t)f->classes * sizeof(float));
    f->depth = realloc(f->depth, n * sizeof(int));
    ck_assert(f->embedding && f->logp && f->depth);
}

void features_add(features *f, const shoal_result *r)
{
    size_t D = (size_t)f->dim, C = (size_t)f->classes, at = (size_t)f->frames;
    ck_assert_int_ge(r->frames, 0);
    if (!r->frames)
        return;
    ck_assert_int_eq(r->first_frame, f->frames);
    make_room(f, f->frames + r->frames);
    memcpy(f->embedding + at * D, r->embedding, (size_t)r->frames * D * sizeof(float));
    memcpy(f->logp + at * C, r->logp, (size_t)r->frames * C * sizeof(float));
    for (int i = 0; i < r->frames; i++)
        f->depth[f->frames++] = r->depth;
}

void util_run_ready(shoal_batch *b, shoal_stream *s, features *f)
{
    while (shoal_stream_ready(s)) {
        shoal_result r;
        int64_t next = shoal_stream_next_frame(s);
        ck_assert_int_eq(shoal_batch_run(b, &s, 1, &r), 0);
        ck_assert_int_eq(r.first_frame, next);
        ck_assert_int_eq(shoal_stream_next_frame(s), next + r.frames);
        ck_assert_int_le(shoal_stream_samples_done(s), shoal_stream_samples_fed(s));
        features_add(f, &r);
    }
}

void util_feed(shoal_batch *b, shoal_stream *s, const float *pcm, size_t n, slicing cut,
               features *f)
{
    uint32_t state = cut.seed;
    for (size_t at = 0; at < n;) {
        size_t part = cut.most ? 1 + util_rand(&state) % cut.most : n;
        part = part < n - at ? part : n - at;
        for (size_t used = 0; used < part;) {
            ptrdiff_t took = shoal_stream_feed(s, pcm + at + used, part - used);
            ck_assert_msg(took >= 0, "feed: %s", shoal_strerror((int)took));
            ck_assert_msg(took > 0 || shoal_stream_ready(s), "feed takes nothing, none is ready");
            used += (size_t)took;
            util_run_ready(b, s, f);
        }
        at += part;
    }
}

features util_stream(const shoal_model *m, shoal_stream_params p, const float *pcm, size_t n,
                     slicing cut)
{
    shoal_stream *s;
    shoal_batch *b;
    features f = features_new(m);
    ck_assert_int_eq(shoal_stream_new(&s, m, &p), 0);
    ck_assert_int_eq(shoal_batch_new(&b, m, p.chunk_frames), 0);
    util_feed(b, s, pcm, n, cut, &f);
    ck_assert_int_eq(shoal_stream_finish(s), 0);
    util_run_ready(b, s, &f);
    shoal_stream_free(s);
    shoal_batch_free(b);
    return f;
}

void util_run_together(shoal_batch *b, shoal_stream **s, int n, const float *pcm, size_t samples,
                       features *got)
{
    enum { MOST = 16 };
    size_t fed[MOST] = { 0 };
    ck_assert_int_le(n, MOST);
    for (int ready = 1; ready;) {
        shoal_stream *some[MOST] = { NULL };
        shoal_result r[MOST];
        int which[MOST];
        ready = 0;
        for (int i = 0; i < n; i++) {
            fed[i] += (size_t)shoal_stream_feed(s[i], pcm + fed[i], samples - fed[i]);
            if (shoal_stream_ready(s[i])) {
                which[ready] = i;
                some[ready++] = s[i];
            }
        }
        ck_assert_int_eq(shoal_batch_run(b, some, ready, r), 0);
        for (int k = 0; k < ready; k++)
            features_add(&got[which[k]], &r[k]);
    }
}

double util_max_diff(const float *a, const float *b, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        most = d > most || isnan(d) ? d : most;
        if (isnan(d))
            break;
    }
    return most;
}

void util_close(const char *what, const float *got, const float *want, size_t n, int columns,
                double tol)
{
    double most = util_max_diff(got, want, n);
    if (most <= tol)
        return;
    size_t i = 0;
    while (fabs((double)got[i] - (double)want[i]) <= tol)
        i++;
    ck_abort_msg("%s: first at [%zu, %zu]: %.8g, should be %.8g; max diff %.3g, allowed %.3g", what,
                 i / (size_t)columns, i % (size_t)columns, (double)got[i], (double)want[i], most,
                 tol);
}

static void same_floats(const char *what, const float *a, const float *b, int frames, int columns)
{
    size_t n = (size_t)frames * (size_t)columns;
    util_close(what, a, b, n, columns, 0.0);
    ck_assert_msg(!memcmp(a, b, n * sizeof(float)), "%s: bytes differ", what);
}

void util_same_bytes(const char *what, const features *a, const features *b)
{
    ck_assert_int_eq(a->frames, b->frames);
    same_floats(what, a->embedding, b->embedding, a->frames, a->dim);
    same_floats(what, a->logp, b->logp, a->frames, a->classes);
}

void util_all_finite(const char *what, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(isfinite(x[i]), "%s: value %zu is %g", what, i, (double)x[i]);
}

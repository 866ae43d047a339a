/* smooth.c - posteriors of frames, each by itself, to those of a path of phones
 *
 * Forward-backward (Rabiner 1989, equations 19 to 27) over an HMM of one state a phone, which stays
 * with probability `stay` from frame to frame and goes to each other phone alike, with
 *
 *     emission(t) = exp(scale * logp(t))
 *     ahead(t)    = emission(t) * (jump + (stay - jump) * ahead(t - 1))
 *     behind(t)   = jump * sum(e) + (stay - jump) * e,   e = emission(t + 1) * behind(t + 1)
 *
 * each scaled to the sum 1. The product of both is what comes out. As all others are alike, a frame
 * costs C steps, not C^2. `behind` runs over one call's frames; `ahead` is remembered.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "model/model.h"

struct shoal_smoother {
    shoal_smooth_params params; /* set at init, then constant */
    int classes;
    float jump;                      /* to one other phone */
    float *ahead, *behind, *emitted; /* [classes] each, behind the struct */
};

static int in(float x, float least, float most)
{
    return x >= least && x <= most; /* NaN is not */
}

static int valid(const shoal_smooth_params *p)
{
    return in(p->stay, SHOAL_SMOOTH_MIN_STAY, SHOAL_SMOOTH_MAX_STAY) &&
           in(p->scale, SHOAL_SMOOTH_MIN, SHOAL_SMOOTH_MAX) &&
           in(p->temperature, SHOAL_SMOOTH_MIN, SHOAL_SMOOTH_MAX);
}

shoal_smooth_params shoal_smoother_default_params(const shoal_model *m)
{
    return m->config.smooth;
}

int shoal_smoother_new(shoal_smoother **out, const shoal_model *m, const shoal_smooth_params *p)
{
    size_t C = (size_t)m->config.classes;
    if (!valid(p))
        return SHOAL_EINVAL;
    shoal_smoother *s = calloc(1, sizeof *s + 3 * C * sizeof(float));
    if (!s)
        return SHOAL_ENOMEM;
    s->params = *p;
    s->classes = m->config.classes;
    s->jump = (1.0f - p->stay) / (float)(C - 1);
    s->ahead = (float *)(s + 1);
    s->behind = s->ahead + C;
    s->emitted = s->behind + C;
    shoal_smoother_reset(s);
    *out = s;
    return 0;
}

void shoal_smoother_free(shoal_smoother *s)
{
    free(s);
}

void shoal_smoother_reset(shoal_smoother *s)
{
    for (int i = 0; i < s->classes; i++)
        s->ahead[i] = 1.0f / (float)s->classes;
}

static float sum_of(const float *x, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static void scale_to_one(float *x, int n)
{
    float sum = sum_of(x, n);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}

/* Relative to the likeliest phone's, which is 1: no frame is impossible. */
static void emit(shoal_smoother *s, const float *logp)
{
    float best = logp[0];
    for (int i = 1; i < s->classes; i++)
        best = logp[i] > best ? logp[i] : best;
    for (int i = 0; i < s->classes; i++)
        s->emitted[i] = expf(s->params.scale * (logp[i] - best));
}

/* From a frame to its neighbour, where all phones together have `sum`. */
static float moved(const shoal_smoother *s, float here, float sum)
{
    return s->jump * sum + (s->params.stay - s->jump) * here;
}

static void go_ahead(shoal_smoother *s, const float *logp, float *out)
{
    emit(s, logp);
    for (int i = 0; i < s->classes; i++)
        s->ahead[i] = s->emitted[i] * moved(s, s->ahead[i], 1.0f);
    scale_to_one(s->ahead, s->classes);
    for (int i = 0; i < s->classes; i++)
        out[i] = s->ahead[i];
}

static void go_back(shoal_smoother *s, const float *logp)
{
    emit(s, logp);
    for (int i = 0; i < s->classes; i++)
        s->emitted[i] *= s->behind[i];
    float sum = sum_of(s->emitted, s->classes);
    for (int i = 0; i < s->classes; i++)
        s->behind[i] = moved(s, s->emitted[i], sum) / sum;
}

/* A row of ahead to log posteriors. What underflows is as good as impossible. */
static void finish(const shoal_smoother *s, float *row)
{
    float best = -INFINITY, sum = 0.0f;
    for (int i = 0; i < s->classes; i++) {
        row[i] = logf(fmaxf(row[i] * s->behind[i], FLT_MIN)) / s->params.temperature;
        best = row[i] > best ? row[i] : best;
    }
    for (int i = 0; i < s->classes; i++)
        sum += expf(row[i] - best);
    for (int i = 0; i < s->classes; i++)
        row[i] -= best + logf(sum);
}

void shoal_smoother_run(shoal_smoother *s, const float *logp, int frames, float *out)
{
    size_t C = (size_t)s->classes;
    for (int t = 0; t < frames; t++)
        go_ahead(s, logp + (size_t)t * C, out + (size_t)t * C);
    for (size_t i = 0; i < C; i++)
        s->behind[i] = 1.0f;
    for (int t = frames - 1; t >= 0; t--) {
        finish(s, out + (size_t)t * C);
        if (t > 0)
            go_back(s, logp + (size_t)t * C);
    }
}

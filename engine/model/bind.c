/* bind.c - see bind.h; and the front and the head, which belong to no operation */
#include "model/bind.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "phones/tables.h"

/* One NaN among the weights would reach every client. */
static int all_finite(const float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(p[i]))
            return 0;
    return 1;
}

const float *shoal__bind(shoal__binder *b, int rank, int d0, int d1, const char *format, ...)
{
    char name[128];
    int shape[2] = { d0, d1 };
    va_list args;
    if (b->rc < 0)
        return NULL;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const float *p;
    b->rc = shoal__safetensors_f32(b->m->tensors, name, rank, shape, &p, b->why, b->size);
    if (b->rc == 0 && !all_finite(p, (size_t)d0 * (size_t)(rank > 1 ? d1 : 1)))
        b->rc = shoal__explain(b->why, b->size, SHOAL_EMODEL,
                               "tensor '%.80s' holds a NaN or infinity", name);
    return p;
}

/* Room for one more in the model's list; a file may have any number of them. */
static int list_linear(shoal_model *m, shoal__linear *l)
{
    size_t n = (size_t)m->linear_count;
    if ((n & (n - 1)) == 0) { /* full at every power of two */
        shoal__linear **more = realloc(m->linears, (n ? 2 * n : 1) * sizeof *more);
        if (!more)
            return SHOAL_ENOMEM;
        m->linears = more;
    }
    l->id = m->linear_count;
    m->linears[m->linear_count++] = l;
    return 0;
}

/* It is packed now: what was widened for that is not needed any more. */
static void forget_weight(shoal__binder *b, shoal__linear *l, const char *prefix)
{
    char name[128];
    snprintf(name, sizeof name, "%s.weight", prefix);
    shoal__safetensors_drop(b->m->tensors, name);
    l->weight = NULL;
}

void shoal__bind_linear(shoal__binder *b, shoal__linear *l, shoal__linear shape, const char *prefix)
{
    *l = shape;
    l->scale = l->scale == 0.0f ? 1.0f : l->scale;
    l->weight = shoal__bind(b, 2, l->out, l->in, "%s.weight", prefix);
    const float *bias = shoal__bind(b, 1, l->out, 0, "%s.bias", prefix);
    if (b->rc == 0)
        b->rc = list_linear(b->m, l);
    if (b->rc < 0)
        return;
    l->bias = malloc((size_t)l->out * sizeof *l->bias);
    b->rc = l->bias ? shoal__gemm_pack(b->m->gemm, l) : SHOAL_ENOMEM;
    for (int i = 0; b->rc == 0 && i < l->out; i++)
        l->bias[i] = l->scale * bias[i];
    forget_weight(b, l, prefix);
}

shoal__norm shoal__bind_norm(shoal__binder *b, const char *prefix, const char *name)
{
    shoal__norm n;
    n.weight = shoal__bind(b, 1, b->m->config.dim, 0, "%s.%s.weight", prefix, name);
    n.bias = shoal__bind(b, 1, b->m->config.dim, 0, "%s.%s.bias", prefix, name);
    return n;
}

static void bind_frontend(shoal__binder *b)
{
    shoal_model *m = b->m;
    const shoal__config *c = &m->config;
    m->mel.window = shoal__bind(b, 1, SHOAL__WINDOW, 0, "frontend.window");
    m->mel_filters = shoal__bind(b, 2, c->mels, SHOAL__BINS, "frontend.mel_filters");
    m->mel.mean = shoal__bind(b, 1, c->mels, 0, "frontend.mean");
    m->mel.istd = shoal__bind(b, 1, c->mels, 0, "frontend.istd");
    for (int i = 0; b->rc == 0 && i < c->mels; i++) {
        const float *row = m->mel_filters + i * SHOAL__BINS;
        int first = 0, last = SHOAL__BINS;
        while (first < last && row[first] == 0.0f)
            first++;
        while (last > first && row[last - 1] == 0.0f)
            last--;
        m->mel_first[i] = first;
        m->mel_count[i] = last - first;
    }
    if (b->rc == 0)
        b->rc = shoal__mel_make(m);
    shoal__linear conv1 = { .out = c->dim, .in = 3 * c->mels, .epilogue = SHOAL__SILU };
    shoal__linear conv2 = { .out = c->dim, .in = 3 * c->dim };
    shoal__bind_linear(b, &m->conv1, conv1, "subsample.conv1");
    shoal__bind_linear(b, &m->conv2, conv2, "subsample.conv2");
    m->subsample_norm = shoal__bind_norm(b, "subsample", "norm");
}

/* Logits are divided by the temperature, in the head's own scale: 1 changes no bit. */
static void bind_head(shoal__binder *b)
{
    const shoal__config *c = &b->m->config;
    shoal__linear head = { .out = c->classes, .in = c->dim, .scale = 1.0f / c->temperature };
    shoal__bind_linear(b, &b->m->head, head, "head");
}

/* Shares of the classes in training, which may be missing. */
static void bind_priors(shoal__binder *b)
{
    const int C = b->m->config.classes;
    if (b->rc < 0 || !shoal__safetensors_has(b->m->tensors, "head.priors") ||
        b->m->config.format < 2)
        return;
    const float *p = shoal__bind(b, 1, C, 0, "head.priors");
    double sum = 0.0;
    int positive = 1;
    for (int i = 0; b->rc == 0 && i < C; i++) {
        positive &= p[i] > 0.0f;
        sum += p[i];
    }
    if (b->rc == 0 && !(positive && fabs(sum - 1.0) < 0.01))
        b->rc =
            shoal__explain(b->why, b->size, SHOAL_EMODEL,
                           "tensor 'head.priors' must be %d numbers above 0 whose sum is 1, not "
                           "%.4g",
                           C, sum);
    b->m->priors = p;
}

int shoal__bind_all(shoal_model *m, char *why, size_t why_size)
{
    shoal__binder b = { .m = m, .why = why, .size = why_size };
    bind_frontend(&b);
    shoal__ops_bind(&b);
    bind_head(&b);
    bind_priors(&b);
    shoal__tables_bind(&b);
    const char *left = b.rc == 0 ? shoal__safetensors_unused(m->tensors) : NULL;
    return left ? shoal__explain(why, why_size, SHOAL_EMODEL,
                                 "tensor '%.80s' belongs to nothing in the configuration", left)
                : b.rc;
}

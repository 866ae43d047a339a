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
    const float *p = shoal__safetensors_f32(b->m->tensors, name, rank, shape, b->why, b->size);
    if (!p || !all_finite(p, (size_t)d0 * (size_t)(rank > 1 ? d1 : 1)))
        b->rc = p ? shoal__explain(b->why, b->size, SHOAL_EMODEL,
                                   "tensor '%.80s' holds a NaN or infinity", name)
                  : SHOAL_EMODEL;
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

int shoal__bind_all(shoal_model *m, char *why, size_t why_size)
{
    shoal__binder b = { .m = m, .why = why, .size = why_size };
    const shoal__config *c = &m->config;
    bind_frontend(&b);
    shoal__ops_bind(&b);
    shoal__bind_linear(&b, &m->head, (shoal__linear){ .out = c->classes, .in = c->dim }, "head");
    shoal__tables_bind(&b);
    const char *left = b.rc == 0 ? shoal__safetensors_unused(m->tensors) : NULL;
    return left ? shoal__explain(why, why_size, SHOAL_EMODEL,
                                 "tensor '%.80s' belongs to nothing in the configuration", left)
                : b.rc;
}

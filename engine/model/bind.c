/* bind.c - see bind.h */
#include "model/bind.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
    shoal__bind_linear_end(b, l, shape, shape.out, prefix);
}

void shoal__bind_linear_end(shoal__binder *b, shoal__linear *l, shoal__linear shape, int rows,
                            const char *prefix)
{
    *l = shape;
    l->scale = l->scale == 0.0f ? 1.0f : l->scale;
    l->weight = shoal__bind(b, 2, rows, l->in, "%s.weight", prefix);
    const float *bias = shoal__bind(b, 1, rows, 0, "%s.bias", prefix);
    if (b->rc == 0)
        b->rc = list_linear(b->m, l);
    if (b->rc < 0)
        return;
    l->weight += (size_t)(rows - l->out) * (size_t)l->in;
    bias += rows - l->out;
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

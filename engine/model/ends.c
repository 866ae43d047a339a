/* ends.c - what lies before the first layer and after the last, and belongs to no operation */
#include <math.h>

#include "model/bind.h"

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
        b->rc = shoal__explain(b->why, b->size, SHOAL_EMODEL,
                               "tensor 'head.priors' must be %d numbers above 0 whose sum is 1, "
                               "not %.4g",
                               C, sum);
    b->m->priors = p;
}

void shoal__ends_bind(shoal__binder *b)
{
    bind_frontend(b);
    bind_head(b);
    bind_priors(b);
}

/* mimic_linear.c - a row of the inner width between two products; see mimic.h
 *
 * There is no residual: what it makes of a row has nothing of the row but what it learnt to keep.
 */
#include "ops/mimic.h"

#include <stdio.h>
#include <stdlib.h>

#include "run/arena.h"
#include "run/batch.h"

typedef struct mimic {
    shoal__linear up, down; /* [inner, D], [D, inner] */
    shoal__norm norm;       /* [inner] */
} mimic;

void shoal__mimic_configure(shoal__reader *r, const json_t *root, const char *key, shoal__mimics *m)
{
    const json_t *widths = json_object_get(root, key);
    size_t count = json_array_size(widths);
    if (widths && (count < 1 || count > SHOAL__MAX_POOL))
        shoal__reader_fail(r, "configuration: '%s' must list 1 to %d inner widths", key,
                           SHOAL__MAX_POOL);
    for (size_t i = 0; i < count && !r->failed; i++) {
        json_int_t width = json_integer_value(json_array_get(widths, i));
        if (width < 1 || width > SHOAL__MAX_FFN)
            shoal__reader_fail(r, "configuration: '%s' %zu must be an integer from 1 to %d", key, i,
                               SHOAL__MAX_FFN);
        m->inner[i] = (int)width;
    }
    m->count = r->failed ? 0 : (int)count;
}

void shoal__mimic_parse(shoal__reader *r, const shoal__mimics *has, const char *op,
                        const json_t *entry, shoal__layer *l)
{
    if (!has->count)
        shoal__reader_fail(r, "%s: the configuration lists no '%s'", r->where, op);
    else
        l->takes[SHOAL__TAKES_MIMIC] = shoal__reader_int(r, entry, "mimic", 0, has->count - 1);
}

void *shoal__mimic_pool(shoal__binder *b, void **pool, const shoal__mimics *has, size_t size)
{
    *pool = has->count && b->rc == 0 ? calloc((size_t)has->count, size) : NULL;
    if (has->count && b->rc == 0 && !*pool)
        b->rc = SHOAL_ENOMEM;
    return *pool;
}

shoal__norm shoal__mimic_norm(shoal__binder *b, int n, const char *prefix)
{
    shoal__norm norm;
    norm.weight = shoal__bind(b, 1, n, 0, "%s.weight", prefix);
    norm.bias = shoal__bind(b, 1, n, 0, "%s.bias", prefix);
    return norm;
}

static void configure(shoal__reader *r, shoal__config *c, const json_t *root)
{
    shoal__mimic_configure(r, root, "mimic_linear", &c->mimic_linear);
}

static void parse(shoal__reader *r, const shoal__config *c, const json_t *entry, shoal__layer *l)
{
    shoal__mimic_parse(r, &c->mimic_linear, "mimic_linear", entry, l);
}

static void bind(shoal__binder *b)
{
    const shoal__mimics *has = &b->m->config.mimic_linear;
    int D = b->m->config.dim;
    mimic *pool = shoal__mimic_pool(b, &b->m->pools[SHOAL__MIMIC_LINEAR], has, sizeof *pool);
    for (int i = 0; pool && i < has->count; i++) {
        char name[64];
        int inner = has->inner[i];
        snprintf(name, sizeof name, "mimic_linear.%d.up", i);
        shoal__bind_linear(b, &pool[i].up, (shoal__linear){ .out = inner, .in = D }, name);
        snprintf(name, sizeof name, "mimic_linear.%d.down", i);
        shoal__bind_linear(b, &pool[i].down, (shoal__linear){ .out = D, .in = inner }, name);
        snprintf(name, sizeof name, "mimic_linear.%d.norm", i);
        pool[i].norm = shoal__mimic_norm(b, inner, name);
    }
}

static void unbind(shoal_model *m)
{
    free(m->pools[SHOAL__MIMIC_LINEAR]);
}

/* [R, the widest] rows between the products. */
static void scratch(shoal_batch *b, unsigned char *base, size_t *at)
{
    size_t widest = (size_t)shoal__mimics_widest(&b->model->config.mimic_linear);
    b->scratch[SHOAL__MIMIC_LINEAR] =
        shoal__carve_floats(base, at, (size_t)b->room.frames * widest);
}

static void run(shoal_batch *b, const shoal__layer *l, int place, const shoal__rows *rows)
{
    const mimic *pool = b->model->pools[SHOAL__MIMIC_LINEAR];
    const mimic *k = &pool[l->takes[SHOAL__TAKES_MIMIC]];
    float *inner = b->scratch[SHOAL__MIMIC_LINEAR];
    (void)place;
    shoal__batch_linear(b, &k->up, b->x, rows, inner);
    for (int i = 0, count, first; i < rows->count; i += count) {
        count = shoal__rows_span(rows, i, &first);
        float *y = inner + (size_t)first * (size_t)k->up.out;
        b->model->kern->layer_norm_silu(y, y, k->norm.weight, k->norm.bias, count, k->up.out);
    }
    shoal__batch_linear(b, &k->down, inner, rows, b->x);
}

static double flops(const shoal_model *m, const shoal__layer *l, double frames, double context)
{
    (void)context;
    return 4.0 * frames * m->config.dim *
           m->config.mimic_linear.inner[l->takes[SHOAL__TAKES_MIMIC]];
}

const shoal__op shoal__op_mimic_linear = {
    .name = "mimic_linear",
    .takes = { [SHOAL__TAKES_MIMIC] = "mimic" },
    .keys = "mimic",
    .config = "mimic_linear",
    .configure = configure,
    .parse = parse,
    .bind = bind,
    .unbind = unbind,
    .scratch = scratch,
    .run = run,
    .flops = flops,
};

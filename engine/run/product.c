/* product.c - rows of a batch through products and norms
 *
 * The one place where a list of rows meets the matrix library, which takes it as it is.
 */
#include "run/batch.h"

void shoal__batch_linear(const shoal_batch *b, const shoal__linear *l, const float *a,
                         const shoal__rows *rows, float *c)
{
    const shoal_model *m = b->model;
    m->gemm->run(l, m->kern, b->gemm_scratch, a, rows->count, rows->index, NULL, c);
}

void shoal__batch_pair(const shoal_batch *b, const shoal__linear *up, const shoal__linear *down,
                       const float *a, const shoal__rows *rows, const float *scale, float *inner,
                       float *c)
{
    const shoal_model *m = b->model;
    if (!m->gemm->run_pair) {
        shoal__batch_linear(b, up, a, rows, inner);
        m->gemm->run(down, m->kern, b->gemm_scratch, inner, rows->count, rows->index, scale, c);
        return;
    }
    m->gemm->run_pair(up, down, m->kern, b->gemm_scratch, a, rows->count, rows->index, scale, c);
}

void shoal__batch_norm(const shoal_batch *b, float *y, const float *x, shoal__norm n,
                       const shoal__rows *rows)
{
    size_t D = (size_t)b->model->config.dim;
    for (int i = 0, count, first; i < rows->count; i += count) {
        count = shoal__rows_span(rows, i, &first);
        b->model->kern->layer_norm(y + (size_t)first * D, x + (size_t)first * D, n.weight, n.bias,
                                   count, (int)D);
    }
}

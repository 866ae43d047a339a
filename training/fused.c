/* fused.c - one virtual layer (model.py: Block + Norms), forward and backward, for training on a
 * CPU with AMX or AVX512_BF16.
 *
 * PyTorch spends two thirds of such a step on copies, casts and element-wise passes between the
 * products. Here a group of 128 frames passes through a whole run of row-wise steps (LayerNorm,
 * product, bias, SiLU, product, residual add, ...) while it lies in the cache. Products take bf16
 * and sum in fp32; the residual stream and its gradient stay in fp32; what backward needs is kept
 * in bf16.
 *
 *   forward    1  FFN1, LN, qkv, rope    2  attention    3  out, LN, pw1, GLU
 *              4  depthwise, LN, SiLU, pw2, FFN2, LN (a stem, as shape has it, ends before FFN2)
 *   backward   the same four in reverse; operands of the weight gradients are left behind packed
 *              (fused_tiles.h), and after 1024 frames their products are added to fp32 buffers
 *
 * A frame's neighbours are needed only by 2 and by the depthwise convolution: a barrier before
 * each. fused.py compiles this file, owns all memory and calls the five functions at the end.
 * Tensors are contiguous, [N, D] means N = B T frames, weights are [out, in] as in PyTorch.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fused_backward.h"
#include "fused_forward.h"

/* 1 if this process may use what it was compiled for (Linux grants AMX's tile registers on
 * request).
 */
int fused_available(void)
{
#ifdef __AMX_BF16__
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
#else
    return 1;
#endif
}

/* Bytes of: packed weights, what a layer saves, scratch memory. */
void fused_sizes(const struct shape *s, size_t sizes[3])
{
    char *weights = NULL, *saved = NULL, *work = NULL, *shared = NULL;
    carve_weights(s, &weights);
    carve_saved(s, &saved);
    carve_work(s, &work, 1);
    carve_shared(s, &shared);
    sizes[0] = (size_t)weights;
    sizes[1] = (size_t)saved;
    sizes[2] = (size_t)work * s->threads + (size_t)shared;
}

/* Ask for huge pages: the buffers are tens of megabytes and live for the whole run. */
void fused_advise(void *p, size_t bytes)
{
    uintptr_t from = ((uintptr_t)p + 4095) & ~(uintptr_t)4095,
              to = ((uintptr_t)p + bytes) & ~(uintptr_t)4095;
    if (to > from)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
}

/* Block parameters -> packed weights, once a step. */
void fused_pack(const struct shape *s, const float *const *block, void *weights)
{
    char *p = weights;
    struct weights w = carve_weights(s, &p);
    bf16 *row_major = malloc(sizeof(bf16) * s->D * widest(s));
    for (int i = 0; i < PARAMS; i++) {
        int rows, cols;
        matrix_size(s, i, &rows, &cols);
        for (long j = 0; j < (long)rows * cols; j += 16)
            stb(row_major + j, ld(block[i] + j));
        pack_right_cols(w.forward[i], row_major, cols, rows, cols);
        pack_right_rows(w.back[i], rows / 32, 0, row_major, cols, rows, cols);
    }
    for (int k = 0; k < s->taps; k++)
        for (int d = 0; d < s->D; d++)
            w.taps[k * s->D + d] = block[DW][d * s->taps + k];
    free(row_major);
}

static const bf16 *qk_of(const struct shape *s, void *source)
{
    char *p = source;
    return source ? carve_saved(s, &p).qkv : NULL;
}

/* x [N, D] -> y [N, D], both fp32. source: what the layer whose attention map is taken saved; NULL:
 * it makes its own. */
void fused_forward(const struct shape *s, void *weights, const float *const *block,
                   const float *const *norm, const float *cos, const float *sin, const float *x,
                   float *y, void *saved, void *scratch, void *source)
{
    struct layer l = make_layer(s, weights, block, norm, cos, sin, saved);
    l.qk = qk_of(s, source);
#pragma omp parallel num_threads(s->threads)
    {
        struct work w = thread_work(s, scratch);
        tiles_begin();
        layer_forward(&l, x, y, &w);
        tiles_end();
    }
}

/* dx [N, D]: gradient of y in, of x out; adds to the gradients of all parameters. source: as in
 * fused_forward; carry [N, 2D]: where users of a map leave what its maker takes, zeros at first and
 * after; NULL: nobody else uses its map. */
void fused_backward(const struct shape *s, void *weights, const float *const *block,
                    const float *const *norm, const float *cos, const float *sin, float *dx,
                    float *const *block_grads, float *const *norm_grads, void *saved, void *scratch,
                    void *source, float *carry)
{
    struct layer l = make_layer(s, weights, block, norm, cos, sin, saved);
    l.qk = qk_of(s, source), l.carry = carry;
    char *none = NULL, *p = scratch;
    carve_work(s, &none, 1);
    p += (size_t)none * s->threads;
    l.m = carve_shared(s, &p);
#pragma omp parallel num_threads(s->threads)
    {
        struct work w = thread_work(s, scratch);
        memset(w.grads, 0, w.grads_end - w.grads);
        for (int i = 0; i < PARAMS; i++)
            if (omp_get_thread_num() == 0 && is_matrix(s, i))
                w.block[i] = block_grads[i];
        tiles_begin();
        layer_back(&l, dx, &w);
        tiles_end();
#pragma omp barrier
#pragma omp critical
        add_gradients(s, &w, block_grads, norm_grads);
    }
}

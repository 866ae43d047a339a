/* kern.h - the elementwise kernels between matrix products
 *
 * One body (kern_body.h) in plain C, written so that the compiler vectorises it; compiled once
 * for each instruction set (kern_scalar.c, kern_avx2.c, kern_avx512.c), chosen at run time. The
 * scalar build is the oracle in tests/check_kern.c. All matrices are row-major float.
 */
#ifndef SHOAL_KERN_H
#define SHOAL_KERN_H

#include <stdint.h>

typedef struct shoal__kern {
    const char *name;
    /* y[r] = (x[r] - mean) / sqrt(var + 1e-5) * w + b for rows of length n; y may be x */
    void (*layer_norm)(float *y, const float *x, const float *w, const float *b, int rows, int n);
    /* the same, then SiLU */
    void (*layer_norm_silu)(float *y, const float *x, const float *w, const float *b, int rows,
                            int n);
    /* c[r] = b (add 0) or c[r] += b (add 1) */
    void (*bias_rows)(float *c, const float *b, int rows, int n, int add);
    /* x = silu(x) = x / (1 + e^-x) */
    void (*silu)(float *x, int n);
    /* y [rows, n] = a * sigmoid(g) where x [rows, 2n] = (a, g) */
    void (*glu)(float *y, const float *x, int rows, int n);
    /* y[t] = b + sum_k w[k] * x[t + k]: depthwise, x [rows + taps - 1, n], w [taps, n] */
    void (*depthwise)(float *y, const float *x, const float *w, const float *b, int rows, int n,
                      int taps);
    /* rotate a row of heads * dim floats, pairs (i, i + dim/2); cs, sn [dim/2] */
    void (*rope)(float *x, const float *cs, const float *sn, int heads, int dim);
    /* s[r][j] = scale * q[r] . k[j]: keys as rows, `stride` floats apart; any n */
    void (*scores)(float *s, int s_stride, const float *q, int q_stride, int rows, const float *k,
                   int stride, int n, int dim, float scale);
    /* the same with keys as columns, kt [dim, stride]; writes up to n rounded up to 16 columns,
     * which kt must have too */
    void (*scores_columns)(float *s, int s_stride, const float *q, int q_stride, int rows,
                           const float *kt, int stride, int n, int dim, float scale);
    /* in place e^(s - max) / sum over n */
    void (*softmax)(float *s, int n);
    /* y[r] += sum_j p[r][j] * v[j] */
    void (*mix)(float *y, int y_stride, const float *p, int p_stride, int rows, const float *v,
                int stride, int n, int dim);
    /* rows of log posteriors from logits, in place */
    void (*log_softmax)(float *x, int rows, int n);
    /* p = re^2 + im^2 of n interleaved complex numbers */
    void (*power)(float *p, const float *complex_pairs, int n);
    /* round to bfloat16, ties to even */
    void (*to_bf16)(uint16_t *y, const float *x, int n);
    /* q = round(x / scale), scale = max |x| / 127 of each row [rows, n] */
    void (*quantize)(int8_t *q, float *scale, const float *x, int rows, int n);
    /* y = sums * row_scale * column_scale + bias [rows, n]; c = y, silu(y) or c + y by epilogue
     * (shoal__epilogue) */
    void (*finish_int8)(float *c, const int32_t *sums, const float *row_scale,
                        const float *column_scale, const float *bias, int rows, int n,
                        int epilogue);
    float (*dot)(const float *a, const float *b, int n);
} shoal__kern;

extern const shoal__kern shoal__kern_scalar;
extern const shoal__kern shoal__kern_avx2;
extern const shoal__kern shoal__kern_avx512;

/* The best for this CPU; environment SHOAL_KERNELS=scalar|avx2|avx512 forces a lower level. */
const shoal__kern *shoal__kern_choose(void);

#endif

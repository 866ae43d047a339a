/* attend_body.h - bodies of the attention kernels; see kern.h
 *
 * A part of kern_body.h. For a few query rows and one head at a time:
 *
 *   scores of past and own, side by side [rows, wide] -> softmax -> mixed values [rows, dim]
 *
 * attend does both halves tile by tile; attend_scores and attend_mix are the halves, for a map that
 * others will read: the same steps on the same rows, so the same bytes.
 *
 * Scores and sums stay in registers while keys and values stream by, once for all the rows. A
 * memory's scores take a multiple of 16 places; those that stand for no frame hold 0 after the
 * softmax.
 */

/* One step of turning a 16 x 16 block over: rows i and i + s swap the s columns that lie on each
 * other's side. From a on: 0 .. 15 taken from both rows (16 and up: the second). */
#define TURN(v, s, a, b, c, d, e, f, g, h, j, k, l, m, n, o, p, q)                                 \
    for (int i = 0; i < 16; i++)                                                                   \
        if (!(i & (s))) {                                                                          \
            KERN(v16) x = v[i], y = v[i + (s)];                                                    \
            v[i] = __builtin_shufflevector(x, y, a, b, c, d, e, f, g, h, j, k, l, m, n, o, p, q);  \
            v[i + (s)] = __builtin_shufflevector(x, y, a + s, b + s, c + s, d + s, e + s, f + s,   \
                                                 g + s, h + s, j + s, k + s, l + s, m + s, n + s,  \
                                                 o + s, p + s, q + s);                             \
        }

static inline __attribute__((always_inline)) void KERN(transpose16)(KERN(v16) * v)
{
    TURN(v, 8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
    TURN(v, 4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
    TURN(v, 2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
    TURN(v, 1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
}

static void KERN(columns)(uint32_t *to, const uint32_t *from, int stride, int rows, int words)
{
    for (; rows > 0; rows -= 16, from += 16 * stride, to += 16 * words) {
        int n = rows < 16 ? rows : 16, w = 0;
        for (; w + 16 <= words; w += 16) {
            KERN(v16) v[16] = { 0 };
            for (int r = 0; r < n; r++)
                v[r] = LOAD16(from + r * stride + w);
            KERN(transpose16)(v);
            for (int i = 0; i < 16; i++)
                STORE16(to + (w + i) * 16, v[i]);
        }
        for (; w < words; w++)
            for (int r = 0; r < 16; r++)
                to[w * 16 + r] = r < n ? from[r * stride + w] : 0;
    }
}

static void KERN(pair_bf16)(uint32_t *restrict to, const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = KERN(round_bits)(a[i]) >> 16 | (KERN(round_bits)(b[i]) & 0xffff0000u);
}

static void KERN(round_to_bf16)(float *x, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t u = KERN(round_bits)(x[i]) & 0xffff0000u;
        memcpy(&x[i], &u, sizeof u);
    }
}

/* Place of a vector of a block's word: w vectors from the first block on, word d of each. */
static inline int KERN(place)(int w, int d, int words)
{
    const int L = KERN(lanes);
    return (w * L / 16 * words + d) * 16 + w * L % 16;
}

/* Scores of R query rows with the keys of W vectors; R and W are constants. */
static inline __attribute__((always_inline)) void KERN(score_tile)(float *p, int wide,
                                                                   const float *q, int q_stride,
                                                                   const float *keys, int dim,
                                                                   const int R, const int W)
{
    KERN(vec) sum[8][4] = { 0 };
    for (int d = 0; d < dim; d++)
        for (int w = 0; w < W; w++) {
            KERN(vec) key = LOAD(keys + KERN(place)(w, d, dim));
            for (int r = 0; r < R; r++)
                sum[r][w] += q[r * q_stride + d] * key;
        }
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++)
            STORE(p + r * wide + KERN(lanes) * w, sum[r][w]);
}

/* The same with two elements of a key in a word. */
static inline __attribute__((always_inline)) void KERN(score_tile_bf16)(
    float *p, int wide, const float *q, int q_stride, const uint32_t *keys, int dim, const int R,
    const int W)
{
    KERN(vec) sum[8][4] = { 0 };
    for (int d = 0; d < dim / 2; d++)
        for (int w = 0; w < W; w++) {
            KERN(words) pair = LOADW(keys + KERN(place)(w, d, dim / 2));
            KERN(vec) even = (KERN(vec))(pair << 16), odd = (KERN(vec))(pair & 0xffff0000u);
            for (int r = 0; r < R; r++)
                sum[r][w] += q[r * q_stride + 2 * d] * even + q[r * q_stride + 2 * d + 1] * odd;
        }
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++)
            STORE(p + r * wide + KERN(lanes) * w, sum[r][w]);
}

/* One memory's scores of one head. */
static inline __attribute__((always_inline)) void KERN(score_rows)(float *p, int wide,
                                                                   const float *q, int q_stride,
                                                                   const shoal__memory *m, int head,
                                                                   int dim, const int bf16,
                                                                   const int R)
{
    const int W = KERN(tile_columns), ONE = 16 / KERN(lanes), words = bf16 ? dim / 2 : dim;
    const uint32_t *keys = (const uint32_t *)m->keys + (ptrdiff_t)head * m->blocks * words * 16;
    int blocks = (m->frames + 15) / 16, j = 0;
    for (; j + W / ONE <= blocks; j += W / ONE, p += 16 * W / ONE, keys += 16 * W / ONE * words)
        if (bf16)
            KERN(score_tile_bf16)(p, wide, q, q_stride, keys, dim, R, W);
        else
            KERN(score_tile)(p, wide, q, q_stride, (const float *)(const void *)keys, dim, R, W);
    for (; j < blocks; j++, p += 16, keys += 16 * words)
        if (bf16)
            KERN(score_tile_bf16)(p, wide, q, q_stride, keys, dim, R, ONE);
        else
            KERN(score_tile)(p, wide, q, q_stride, (const float *)(const void *)keys, dim, R, ONE);
}

/* Softmax of one row over `past` scores from 0 and `own` scores from own_at, in place; the other
 * places up to `wide`, a multiple of 16, become 0. Weights below e^-80 of the largest stay there,
 * because products of smaller ones would be denormal, which costs more than all the rest. */
static void KERN(soften)(float *p, int past, int own_at, int own, int wide)
{
    float top, sum = 0.0f;
    wide &= ~15; /* as the compiler should know */
    for (int i = past; i < own_at; i++)
        p[i] = -1e30f;
    for (int i = own_at + own; i < wide; i++)
        p[i] = -1e30f;
    top = KERN(largest)(p, wide);
    for (int i = 0; i < wide; i++) {
        float below = p[i] - top;
        p[i] = KERN(exp)(below > -80.0f ? below : -80.0f);
    }
    for (int i = past; i < own_at; i++)
        p[i] = 0.0f;
    for (int i = own_at + own; i < wide; i++)
        p[i] = 0.0f;
    for (int i = 0; i < wide; i++)
        sum += p[i];
    float inverse = 1.0f / sum;
    for (int i = 0; i < wide; i++)
        p[i] *= inverse;
}

/* sum += p [R, frames] times the values of one memory, W vectors of columns; R and W are constants.
 */
static inline __attribute__((always_inline)) void KERN(mix_memory)(KERN(vec) (*sum)[4],
                                                                   const float *p, int wide,
                                                                   const shoal__memory *m, int head,
                                                                   int at, const int bf16,
                                                                   const int R, const int W)
{
    const uint32_t *values = (const uint32_t *)m->values + head * m->value_head + at;
    for (int j = 0; j < m->frames; j += bf16 ? 2 : 1, values += m->value_stride)
        for (int w = 0; w < W; w++) {
            KERN(words) pair = LOADW(values + KERN(lanes) * w);
            KERN(vec) even = (KERN(vec))(bf16 ? pair << 16 : pair);
            KERN(vec) odd = (KERN(vec))(pair & 0xffff0000u);
            for (int r = 0; r < R; r++) {
                sum[r][w] += p[r * wide + j] * even;
                if (bf16)
                    sum[r][w] += p[r * wide + j + 1] * odd;
            }
        }
}

static inline __attribute__((always_inline)) void KERN(mix_tile)(
    float *y, int y_stride, const float *p, int wide, const shoal__memory *past,
    const shoal__memory *own, int own_at, int head, int at, const int bf16, const int R,
    const int W)
{
    KERN(vec) sum[8][4] = { 0 };
    KERN(mix_memory)(sum, p, wide, past, head, at, bf16, R, W);
    KERN(mix_memory)(sum, p + own_at, wide, own, head, at, bf16, R, W);
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++)
            STORE(y + r * y_stride + at + KERN(lanes) * w, sum[r][w]);
}

/* One mixed value, for what is left of heads whose size is no multiple of 16. */
static float KERN(mix_one)(const float *p, const shoal__memory *m, int head, int at, int bf16)
{
    const uint32_t *values = (const uint32_t *)m->values + head * m->value_head + at;
    float sum = 0.0f;
    for (int j = 0; j < m->frames; j++) {
        uint32_t u = values[(bf16 ? j / 2 : j) * m->value_stride];
        if (bf16)
            u = j % 2 ? u & 0xffff0000u : u << 16;
        float v;
        memcpy(&v, &u, sizeof v);
        sum += p[j] * v;
    }
    return sum;
}

/* Weights of R queries of one head over both memories: p [R, wide]. */
static inline __attribute__((always_inline)) void KERN(weigh_rows)(
    float *p, const float *q, int q_stride, const shoal__memory *past, const shoal__memory *own,
    int head, int dim, const int bf16, const int R)
{
    int own_at = (past->frames + 15) & ~15, wide = own_at + ((own->frames + 15) & ~15);
    q += head * dim;
    KERN(score_rows)(p, wide, q, q_stride, past, head, dim, bf16, R);
    KERN(score_rows)(p + own_at, wide, q, q_stride, own, head, dim, bf16, R);
    for (int r = 0; r < R; r++)
        KERN(soften)(p + r * wide, past->frames, own_at, own->frames, wide);
    if (bf16)
        KERN(round_to_bf16)(p, R * wide);
}

/* What they see: y [R, dim] of one head from p [R, wide]. */
static inline __attribute__((always_inline)) void KERN(mix_rows)(
    float *y, int y_stride, const float *p, const shoal__memory *past, const shoal__memory *own,
    int head, int dim, const int bf16, const int R)
{
    const int W = KERN(tile_columns), L = KERN(lanes);
    int own_at = (past->frames + 15) & ~15, wide = own_at + ((own->frames + 15) & ~15);
    int at = 0;
    y += head * dim;
    for (; at + W * L <= dim; at += W * L)
        KERN(mix_tile)(y, y_stride, p, wide, past, own, own_at, head, at, bf16, R, W);
    for (; at + 16 <= dim; at += 16)
        KERN(mix_tile)(y, y_stride, p, wide, past, own, own_at, head, at, bf16, R, 16 / L);
    for (; at < dim; at++)
        for (int r = 0; r < R; r++)
            y[r * y_stride + at] = KERN(mix_one)(p + r * wide, past, head, at, bf16) +
                                   KERN(mix_one)(p + r * wide + own_at, own, head, at, bf16);
}

/* R queries of one head; p [R, wide] is scratch. */
static inline __attribute__((always_inline)) void KERN(attend_tile)(
    float *y, int y_stride, const float *q, int q_stride, const shoal__memory *past,
    const shoal__memory *own, int head, int dim, float *p, const int bf16, const int R)
{
    KERN(weigh_rows)(p, q, q_stride, past, own, head, dim, bf16, R);
    KERN(mix_rows)(y, y_stride, p, past, own, head, dim, bf16, R);
}

static void KERN(attend)(float *y, const float *q, int q_stride, const shoal__memory *past,
                         const shoal__memory *own, int heads, int dim, float *scratch)
{
    const int R = KERN(tile_rows), y_stride = heads * dim;
    int rows = own->frames;
    for (; rows >= R; rows -= R, y += R * y_stride, q += R * q_stride)
        for (int h = 0; h < heads; h++)
            KERN(attend_tile)(y, y_stride, q, q_stride, past, own, h, dim, scratch, 0, R);
    for (; rows > 0; rows--, y += y_stride, q += q_stride)
        for (int h = 0; h < heads; h++)
            KERN(attend_tile)(y, y_stride, q, q_stride, past, own, h, dim, scratch, 0, 1);
}

static void KERN(attend_bf16)(float *y, const float *q, int q_stride, const shoal__memory *past,
                              const shoal__memory *own, int heads, int dim, float *scratch)
{
    const int R = KERN(tile_rows), D = heads * dim;
    float *rounded = scratch + shoal__attend_scratch(past->frames, own->frames, 0);
    for (int rows = own->frames; rows > 0; rows -= R, y += R * D, q += R * q_stride) {
        int n = rows < R ? rows : R;
        for (int r = 0; r < n; r++)
            memcpy(rounded + r * D, q + r * q_stride, (size_t)D * sizeof *q);
        KERN(round_to_bf16)(rounded, n * D);
        for (int h = 0; h < heads; h++)
            if (n == R)
                KERN(attend_tile)(y, D, rounded, D, past, own, h, dim, scratch, 1, R);
            else
                for (int r = 0; r < n; r++)
                    KERN(attend_tile)
        (y + r * D, D, rounded + r * D, D, past, own, h, dim, scratch, 1, 1);
    }
}

/* One head's weights of all rows, R at a time as attend has them. */
static inline __attribute__((always_inline)) void KERN(weigh_head)(
    float *p, const float *q, int q_stride, const shoal__memory *past, const shoal__memory *own,
    int head, int dim, const int bf16)
{
    const int R = KERN(tile_rows), wide = shoal__attend_wide(past->frames, own->frames);
    int rows = own->frames;
    for (; rows >= R; rows -= R, p += R * wide, q += R * q_stride)
        KERN(weigh_rows)(p, q, q_stride, past, own, head, dim, bf16, R);
    for (; rows > 0; rows--, p += wide, q += q_stride)
        KERN(weigh_rows)(p, q, q_stride, past, own, head, dim, bf16, 1);
}

static inline __attribute__((always_inline)) void KERN(mix_head)(float *y, int y_stride,
                                                                 const float *p,
                                                                 const shoal__memory *past,
                                                                 const shoal__memory *own, int head,
                                                                 int dim, const int bf16)
{
    const int R = KERN(tile_rows), wide = shoal__attend_wide(past->frames, own->frames);
    int rows = own->frames;
    for (; rows >= R; rows -= R, p += R * wide, y += R * y_stride)
        KERN(mix_rows)(y, y_stride, p, past, own, head, dim, bf16, R);
    for (; rows > 0; rows--, p += wide, y += y_stride)
        KERN(mix_rows)(y, y_stride, p, past, own, head, dim, bf16, 1);
}

static void KERN(attend_scores)(float *map, float *q, int q_stride, const shoal__memory *past,
                                const shoal__memory *own, int heads, int dim, int bf16)
{
    size_t head = (size_t)(own->frames * shoal__attend_wide(past->frames, own->frames));
    for (int r = 0; bf16 && r < own->frames; r++)
        KERN(round_to_bf16)(q + r * q_stride, heads * dim);
    for (int h = 0; h < heads; h++, map += head)
        if (bf16)
            KERN(weigh_head)(map, q, q_stride, past, own, h, dim, 1);
        else
            KERN(weigh_head)(map, q, q_stride, past, own, h, dim, 0);
}

static void KERN(attend_mix)(float *y, const float *map, const shoal__memory *past,
                             const shoal__memory *own, int heads, int dim, int bf16)
{
    size_t head = (size_t)(own->frames * shoal__attend_wide(past->frames, own->frames));
    for (int h = 0; h < heads; h++, map += head)
        if (bf16)
            KERN(mix_head)(y, heads * dim, map, past, own, h, dim, 1);
        else
            KERN(mix_head)(y, heads * dim, map, past, own, h, dim, 0);
}

/* attend_body.h - bodies of the attention kernels; see kern.h
 *
 * A part of kern_body.h. For a few query rows and one head at a time:
 *
 *   scores of past and own, side by side [rows, wide] -> softmax -> mixed values [rows, dim]
 *
 * attend does both halves head by head; attend_scores and attend_mix are the halves, for a map that
 * others will read: the same functions on the same rows, so the same bytes.
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

/* The same of 8 x 8. */
#define TURN8(v, s, a, b, c, d, e, f, g, h)                                                        \
    for (int i = 0; i < 8; i++)                                                                    \
        if (!(i & (s))) {                                                                          \
            KERN(vec) x = v[i], y = v[i + (s)];                                                    \
            v[i] = __builtin_shufflevector(x, y, a, b, c, d, e, f, g, h);                          \
            v[i + (s)] = __builtin_shufflevector(x, y, a + s, b + s, c + s, d + s, e + s, f + s,   \
                                                 g + s, h + s);                                    \
        }

static inline __attribute__((always_inline)) void KERN(transpose16)(KERN(v16) * v)
{
    TURN(v, 8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
    TURN(v, 4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
    TURN(v, 2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
    TURN(v, 1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
}

/* Up to L rows of L words, turned over, where a vector has L. */
static inline __attribute__((always_inline)) void KERN(turn_square)(uint32_t *to,
                                                                    const uint32_t *from,
                                                                    int stride, int rows)
{
    enum { L = KERN(lanes) };
    KERN(vec) v[L] = { 0 };
    for (int r = 0; r < rows; r++)
        v[r] = LOAD(from + r * stride);
#if defined(__AVX512F__)
    KERN(transpose16)(v);
#elif defined(__AVX2__)
    TURN8(v, 4, 0, 1, 2, 3, 8, 9, 10, 11)
    TURN8(v, 2, 0, 1, 8, 9, 4, 5, 12, 13)
    TURN8(v, 1, 0, 8, 2, 10, 4, 12, 6, 14)
#else
    for (int r = 0; r < L; r++)
        for (int i = 0; i < r; i++) {
            float x = v[r][i];
            v[r][i] = v[i][r];
            v[i][r] = x;
        }
#endif
    for (int i = 0; i < L; i++)
        STORE(to + i * 16, v[i]);
}

/* Sixteen rows, of which n are there: `to` [words, 16]. */
static void KERN(turn_block)(uint32_t *to, const uint32_t *from, int stride, int n, int words)
{
    const int L = KERN(lanes);
    int w = 0;
    for (; w + L <= words; w += L)
        for (int r = 0; r < 16; r += L) {
            const uint32_t *square = from + (r < n ? r * stride : 0) + w;
            if (r + L <= n)
                KERN(turn_square)(to + w * 16 + r, square, stride, L);
            else
                KERN(turn_square)(to + w * 16 + r, square, stride, r < n ? n - r : 0);
        }
    for (; w < words; w++)
        for (int r = 0; r < 16; r++)
            to[w * 16 + r] = r < n ? from[r * stride + w] : 0;
}

static void KERN(columns)(uint32_t *to, const uint32_t *from, int stride, int rows, int words)
{
    for (; rows > 0; rows -= 16, from += 16 * stride, to += 16 * words)
        KERN(turn_block)(to, from, stride, rows < 16 ? rows : 16, words);
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

/* Place of a vector of a block's words: w vectors from the first block on, word d of each. */
static inline int KERN(place)(int w, int d, int words)
{
    const int L = KERN(lanes);
    return (w * L / 16 * words + d) * 16 + w * L % 16;
}

static inline __attribute__((always_inline)) void KERN(clear)(KERN(vec) (*sum)[4], const int R,
                                                              const int W)
{
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++)
            sum[r][w] = (KERN(vec)){ 0 };
}

/* Scores of R query rows with the keys of W vectors; R and W are constants. */
static inline __attribute__((always_inline)) void KERN(score_tile)(KERN(vec) (*sum)[4],
                                                                   const float *q, int q_stride,
                                                                   const void *keys, int dim,
                                                                   const int kind, const int R,
                                                                   const int W)
{
    for (int d = 0; d < dim; d++)
        for (int w = 0; w < W; w++) {
            KERN(vec) key = KERN(widen)(keys, KERN(place)(w, d, dim), kind);
            for (int r = 0; r < R; r++)
                sum[r][w] += q[r * q_stride + d] * key;
        }
}

/* The same with two elements of a key in a word. */
static inline __attribute__((always_inline)) void KERN(score_tile_bf16)(
    KERN(vec) (*sum)[4], const float *q, int q_stride, const uint32_t *keys, int dim, const int R,
    const int W)
{
    for (int d = 0; d < dim / 2; d++)
        for (int w = 0; w < W; w++) {
            KERN(words) pair = LOADW(keys + KERN(place)(w, d, dim / 2));
            KERN(vec) even = (KERN(vec))(pair << 16), odd = (KERN(vec))(pair & 0xffff0000u);
            for (int r = 0; r < R; r++)
                sum[r][w] += q[r * q_stride + 2 * d] * even + q[r * q_stride + 2 * d + 1] * odd;
        }
}

/* Scores with W vectors of keys from block `first` on: p [R, wide]. */
static inline __attribute__((always_inline)) void KERN(score_blocks)(
    float *p, int wide, const float *q, int q_stride, const shoal__memory *m, int head, int first,
    int dim, const int kind, const int R, const int W)
{
    KERN(vec) sum[8][4];
    const int bytes = kind == SHOAL__F32 ? 4 : kind == SHOAL__I8 ? 1 : 2;
    ptrdiff_t block = (ptrdiff_t)head * m->blocks + first;
    const unsigned char *keys = (const unsigned char *)m->keys + block * 16 * dim * bytes;
    KERN(clear)(sum, R, W);
    if (kind == SHOAL__BF16)
        KERN(score_tile_bf16)(sum, q, q_stride, (const uint32_t *)(const void *)keys, dim, R, W);
    else
        KERN(score_tile)(sum, q, q_stride, keys, dim, kind, R, W);
    for (int w = 0; w < W; w++)
        for (int r = 0; r < R; r++) {
            if (kind == SHOAL__I8)
                sum[r][w] *= KERN(scales)(m->key_scales + block * 16 + KERN(lanes) * w);
            STORE(p + r * wide + 16 * first + KERN(lanes) * w, sum[r][w]);
        }
}

/* One memory's scores of one head. */
static inline __attribute__((always_inline)) void KERN(score_rows)(float *p, int wide,
                                                                   const float *q, int q_stride,
                                                                   const shoal__memory *m, int head,
                                                                   int dim, const int kind,
                                                                   const int R)
{
    const int W = KERN(tile_columns), ONE = 16 / KERN(lanes);
    int blocks = (m->frames + 15) / 16, j = 0;
    for (; j + W / ONE <= blocks; j += W / ONE)
        KERN(score_blocks)(p, wide, q, q_stride, m, head, j, dim, kind, R, W);
    for (; j < blocks; j++)
        KERN(score_blocks)(p, wide, q, q_stride, m, head, j, dim, kind, R, ONE);
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
                                                                   int at, const int kind,
                                                                   const int R, const int W)
{
    const uint16_t *scales = m->value_scales + head * m->blocks * 16;
    for (int j = 0; j < m->frames; j++)
        for (int w = 0; w < W; w++) {
            ptrdiff_t place = head * m->value_head + j * m->value_stride + at + KERN(lanes) * w;
            KERN(vec) value = KERN(widen)(m->values, place, kind);
            if (kind == SHOAL__I8)
                value *= KERN(scale)(scales[j]);
            for (int r = 0; r < R; r++)
                sum[r][w] += p[r * wide + j] * value;
        }
}

/* The same with values of two frames in a word. */
static inline __attribute__((always_inline)) void KERN(mix_memory_bf16)(KERN(vec) (*sum)[4],
                                                                        const float *p, int wide,
                                                                        const shoal__memory *m,
                                                                        int head, int at,
                                                                        const int R, const int W)
{
    const uint32_t *values = (const uint32_t *)m->values + head * m->value_head + at;
    for (int j = 0; j < m->frames; j += 2, values += m->value_stride)
        for (int w = 0; w < W; w++) {
            KERN(words) pair = LOADW(values + KERN(lanes) * w);
            KERN(vec) even = (KERN(vec))(pair << 16), odd = (KERN(vec))(pair & 0xffff0000u);
            for (int r = 0; r < R; r++) {
                sum[r][w] += p[r * wide + j] * even;
                sum[r][w] += p[r * wide + j + 1] * odd;
            }
        }
}

static inline __attribute__((always_inline)) void KERN(mix_tile)(
    float *y, int y_stride, const float *p, int wide, const shoal__memory *past,
    const shoal__memory *own, int own_at, int head, int at, const int kind, const int R,
    const int W)
{
    KERN(vec) sum[8][4];
    KERN(clear)(sum, R, W);
    if (kind == SHOAL__BF16) {
        KERN(mix_memory_bf16)(sum, p, wide, past, head, at, R, W);
        KERN(mix_memory_bf16)(sum, p + own_at, wide, own, head, at, R, W);
    } else {
        KERN(mix_memory)(sum, p, wide, past, head, at, kind, R, W);
        KERN(mix_memory)(sum, p + own_at, wide, own, head, at, SHOAL__F32, R, W);
    }
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++)
            STORE(y + r * y_stride + at + KERN(lanes) * w, sum[r][w]);
}

/* One value of a frame. */
static inline float KERN(value)(const shoal__memory *m, int head, int frame, int at)
{
    int row = m->kind == SHOAL__BF16 ? frame / 2 : frame;
    ptrdiff_t place = (ptrdiff_t)head * m->value_head + row * m->value_stride + at;
    uint32_t u;
    float v;
    if (m->kind == SHOAL__F16)
        return KERN(from_half)(((const uint16_t *)m->values)[place]);
    if (m->kind == SHOAL__I8)
        return ((const int8_t *)m->values)[place] *
               KERN(scale)(m->value_scales[head * m->blocks * 16 + frame]);
    u = ((const uint32_t *)m->values)[place];
    if (m->kind == SHOAL__BF16)
        u = frame % 2 ? u & 0xffff0000u : u << 16;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* One mixed value, for what is left of heads whose size is no multiple of 16. */
static float KERN(mix_one)(const float *p, const shoal__memory *m, int head, int at)
{
    float sum = 0.0f;
    for (int j = 0; j < m->frames; j++)
        sum += p[j] * KERN(value)(m, head, j, at);
    return sum;
}

/* Of the chunk's own keys and values, given the past's. */
static inline int KERN(own_kind)(const int past)
{
    return past == SHOAL__BF16 ? SHOAL__BF16 : SHOAL__F32;
}

/* Weights of R queries of one head over both memories: p [R, wide]. */
static inline __attribute__((always_inline)) void KERN(weigh_rows)(
    float *p, const float *q, int q_stride, const shoal__memory *past, const shoal__memory *own,
    int head, int dim, const int kind, const int R)
{
    int own_at = (past->frames + 15) & ~15, wide = own_at + ((own->frames + 15) & ~15);
    q += head * dim;
    KERN(score_rows)(p, wide, q, q_stride, past, head, dim, kind, R);
    KERN(score_rows)(p + own_at, wide, q, q_stride, own, head, dim, KERN(own_kind)(kind), R);
    for (int r = 0; r < R; r++)
        KERN(soften)(p + r * wide, past->frames, own_at, own->frames, wide);
    if (kind == SHOAL__BF16)
        KERN(round_to_bf16)(p, R * wide);
}

/* What they see: y [R, dim] of one head from p [R, wide]. */
static inline __attribute__((always_inline)) void KERN(mix_rows)(
    float *y, int y_stride, const float *p, const shoal__memory *past, const shoal__memory *own,
    int head, int dim, const int kind, const int R)
{
    const int W = KERN(tile_columns), L = KERN(lanes);
    int own_at = (past->frames + 15) & ~15, wide = own_at + ((own->frames + 15) & ~15);
    int at = 0;
    y += head * dim;
    for (; at + W * L <= dim; at += W * L)
        KERN(mix_tile)(y, y_stride, p, wide, past, own, own_at, head, at, kind, R, W);
    for (; at + 16 <= dim; at += 16)
        KERN(mix_tile)(y, y_stride, p, wide, past, own, own_at, head, at, kind, R, 16 / L);
    for (; at < dim; at++)
        for (int r = 0; r < R; r++)
            y[r * y_stride + at] = KERN(mix_one)(p + r * wide, past, head, at) +
                                   KERN(mix_one)(p + r * wide + own_at, own, head, at);
}

/* One head's weights of all rows, R at a time as attend has them. */
static inline __attribute__((always_inline)) void KERN(weigh_head)(
    float *p, const float *q, int q_stride, int rows, const shoal__memory *past,
    const shoal__memory *own, int head, int dim, const int kind)
{
    const int R = KERN(tile_rows), wide = shoal__attend_wide(past->frames, own->frames);
    for (; rows >= R; rows -= R, p += R * wide, q += R * q_stride)
        KERN(weigh_rows)(p, q, q_stride, past, own, head, dim, kind, R);
    for (; rows > 0; rows--, p += wide, q += q_stride)
        KERN(weigh_rows)(p, q, q_stride, past, own, head, dim, kind, 1);
}

static inline __attribute__((always_inline)) void KERN(mix_head)(float *y, int y_stride,
                                                                 const float *p, int rows,
                                                                 const shoal__memory *past,
                                                                 const shoal__memory *own, int head,
                                                                 int dim, const int kind)
{
    const int R = KERN(tile_rows), wide = shoal__attend_wide(past->frames, own->frames);
    for (; rows >= R; rows -= R, p += R * wide, y += R * y_stride)
        KERN(mix_rows)(y, y_stride, p, past, own, head, dim, kind, R);
    for (; rows > 0; rows--, p += wide, y += y_stride)
        KERN(mix_rows)(y, y_stride, p, past, own, head, dim, kind, 1);
}

/* One head's map, by a constant kind. */
static void KERN(weigh)(float *p, const float *q, int q_stride, int rows, const shoal__memory *past,
                        const shoal__memory *own, int head, int dim)
{
    switch (past->kind) {
    case SHOAL__F32:
        KERN(weigh_head)(p, q, q_stride, rows, past, own, head, dim, SHOAL__F32);
        break;
    case SHOAL__F16:
        KERN(weigh_head)(p, q, q_stride, rows, past, own, head, dim, SHOAL__F16);
        break;
    case SHOAL__I8: KERN(weigh_head)(p, q, q_stride, rows, past, own, head, dim, SHOAL__I8); break;
    case SHOAL__BF16:
        KERN(weigh_head)(p, q, q_stride, rows, past, own, head, dim, SHOAL__BF16);
        break;
    }
}

static void KERN(mix)(float *y, int y_stride, const float *p, int rows, const shoal__memory *past,
                      const shoal__memory *own, int head, int dim)
{
    switch (past->kind) {
    case SHOAL__F32: KERN(mix_head)(y, y_stride, p, rows, past, own, head, dim, SHOAL__F32); break;
    case SHOAL__F16: KERN(mix_head)(y, y_stride, p, rows, past, own, head, dim, SHOAL__F16); break;
    case SHOAL__I8: KERN(mix_head)(y, y_stride, p, rows, past, own, head, dim, SHOAL__I8); break;
    case SHOAL__BF16:
        KERN(mix_head)(y, y_stride, p, rows, past, own, head, dim, SHOAL__BF16);
        break;
    }
}

/* Up to SHOAL__ATTEND_ROWS queries, head by head: what the first tile of them reads stays near for
 * the others. */
static void KERN(attend_group)(float *y, const float *q, int q_stride, int rows,
                               const shoal__memory *past, const shoal__memory *own, int heads,
                               int dim, float *p)
{
    int D = heads * dim;
    if (past->kind == SHOAL__BF16) {
        float *rounded = p + shoal__attend_scratch(past->frames, own->frames, 0);
        for (int r = 0; r < rows; r++)
            memcpy(rounded + r * D, q + r * q_stride, (size_t)D * sizeof *q);
        KERN(round_to_bf16)(rounded, rows * D);
        q = rounded;
        q_stride = D;
    }
    for (int h = 0; h < heads; h++) {
        KERN(weigh)(p, q, q_stride, rows, past, own, h, dim);
        KERN(mix)(y, D, p, rows, past, own, h, dim);
    }
}

static void KERN(attend)(float *y, const float *q, int q_stride, const shoal__memory *past,
                         const shoal__memory *own, int heads, int dim, float *scratch)
{
    for (int at = 0, n; at < own->frames; at += n, y += n * heads * dim, q += n * q_stride) {
        n = own->frames - at < SHOAL__ATTEND_ROWS ? own->frames - at : SHOAL__ATTEND_ROWS;
        KERN(attend_group)(y, q, q_stride, n, past, own, heads, dim, scratch);
    }
}

static void KERN(attend_scores)(float *map, float *q, int q_stride, const shoal__memory *past,
                                const shoal__memory *own, int heads, int dim)
{
    size_t head = (size_t)(own->frames * shoal__attend_wide(past->frames, own->frames));
    for (int r = 0; past->kind == SHOAL__BF16 && r < own->frames; r++)
        KERN(round_to_bf16)(q + r * q_stride, heads * dim);
    for (int h = 0; h < heads; h++, map += head)
        KERN(weigh)(map, q, q_stride, own->frames, past, own, h, dim);
}

static void KERN(attend_mix)(float *y, const float *map, const shoal__memory *past,
                             const shoal__memory *own, int heads, int dim)
{
    size_t head = (size_t)(own->frames * shoal__attend_wide(past->frames, own->frames));
    for (int h = 0; h < heads; h++, map += head)
        KERN(mix)(y, heads * dim, map, own->frames, past, own, h, dim);
}

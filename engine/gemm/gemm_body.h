/* gemm_body.h - body of our own fp32 products; see gemm_own.h
 *
 * Included by each gemm_<isa>.c after gemm_end_body.h, with OWN_ROWS defined: rows of a tile of
 * sums, so that OWN_ROWS x 2 registers of sums and three more are what the CPU has. Every tile,
 * whatever its rows, must add in the same order.
 *
 * With few rows a product is as fast as its weights come out of L3, and L3 is shared: each panel is
 * asked for while the one before it is multiplied for the last time, a line an input.
 */
/* Up to here a tile takes several panels, else too few sums are under way. */
#define OWN_FEW_ROWS 3

/* Into L2: L1 is full of what is being multiplied. With more rows than these the CPU's own
 * prefetching has time enough; so it has with int8, a quarter as long. */
#define OWN_FETCH(p)   __builtin_prefetch(p, 0, 2)
#define OWN_FETCH_ROWS 48

/* R rows from number `row` on times P panels from output n on, both constant: all sums stay in
 * registers. */
OWN_INLINE void OWN(tile)(const shoal__own_block *b, int row, int n, const int R, const int P,
                          const int fetch)
{
    OWN(vec) sum[OWN_ROWS][8] = { 0 };
    const size_t panel = (size_t)b->depth * OWN_WIDTH;
    const float *w = b->weight + (size_t)n * (size_t)b->depth, *a[OWN_ROWS];
    for (int r = 0; r < R; r++)
        a[r] = b->a + OWN(place)(b->a_index, row + r, b->a_stride);
    OWN(ahead)(&b->to, row, n, R);
    for (int k = 0; k < b->depth; k++, w += OWN_WIDTH) {
        OWN(vec) column[8];
        if (fetch)
            OWN_FETCH(w + panel);
#pragma GCC unroll 8
        for (int v = 0; v < 2 * P; v++)
            column[v] = OWN_FROM(w + (size_t)(v / 2) * panel + v % 2 * OWN_LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 8
            for (int v = 0; v < 2 * P; v++)
                sum[r][v] += column[v] * a[r][k];
    }
    float sums[OWN_ROWS * 2 * OWN_WIDTH]; /* R x P is least at few rows */
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < 2 * P; v++)
            OWN_AT(sums + (2 * P * r + v) * OWN_LANES) = sum[r][v];
    OWN(end)(sums, &b->to, row, n, R, P);
}

#define OWN_CASE(R)                                                                                \
    case R: OWN(tile)(b, row, n, R, 1, 0); break;                                                  \
    case R + OWN_ROWS: OWN(tile)(b, row, n, R, 1, 1); break;

/* Some rows times one panel; fetch: and the next panel comes to L2. */
static void OWN(rows)(const shoal__own_block *b, int row, int n, int rows, int fetch)
{
    switch (rows + (fetch ? OWN_ROWS : 0)) {
        OWN_CASE(1)
        OWN_CASE(2)
        OWN_CASE(3)
        OWN_CASE(4)
        OWN_CASE(5)
        OWN_CASE(6)
#if OWN_ROWS > 6
        OWN_CASE(7)
        OWN_CASE(8)
        OWN_CASE(9)
        OWN_CASE(10)
        OWN_CASE(11)
        OWN_CASE(12)
#endif
    default: break;
    }
}

/* All rows times one panel, in tiles of about the same size. */
static void OWN(panel)(const shoal__own_block *b, int n)
{
    for (int row = 0, count; row < b->to.rows; row += count) {
        int left = b->to.rows - row, tiles = (left + OWN_ROWS - 1) / OWN_ROWS;
        count = (left + tiles - 1) / tiles;
        OWN(rows)(b, row, n, count, row + count == b->to.rows && b->to.rows <= OWN_FETCH_ROWS);
    }
}

/* A few rows: panels go several at once. */
static int OWN(few)(const shoal__own_block *b, int n)
{
    int panels = (b->to.outputs - n) / OWN_WIDTH;
    if (b->to.rows == 1 && panels >= 4)
        return OWN(tile)(b, 0, n, 1, 4, 0), 4;
    if (b->to.rows == 2 && panels >= 2)
        return OWN(tile)(b, 0, n, 2, 2, 0), 2;
    if (b->to.rows == 3 && panels >= 2)
        return OWN(tile)(b, 0, n, 3, 2, 0), 2;
    return 0;
}

#if OWN_ROWS == 6
/* Half of three panels: as `tile`, to sums [.., 6 registers]. */
OWN_INLINE void OWN(half)(const shoal__own_block *b, int row, int n, const int R, const int half,
                          const size_t next, float *sums)
{
    OWN(vec) sum[4][3] = { 0 };
    const size_t panel = (size_t)b->depth * OWN_WIDTH;
    const float *w = b->weight + (size_t)n * (size_t)b->depth, *a[4];
    for (int r = 0; r < R; r++)
        a[r] = b->a + OWN(place)(b->a_index, row + r, b->a_stride);
    for (int k = 0; k < b->depth; k++, w += OWN_WIDTH) {
        OWN(vec) column[3];
        if (next)
            OWN_FETCH(w + next * panel);
#pragma GCC unroll 3
        for (int v = 3 * half; v < 3 * half + 3; v++)
            column[v % 3] = OWN_FROM(w + (size_t)(v / 2) * panel + v % 2 * OWN_LANES);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 3
            for (int v = 0; v < 3; v++)
                sum[r][v] += column[v] * a[r][k];
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 3
        for (int v = 0; v < 3; v++)
            OWN_AT(sums + (6 * (row + r) + 3 * half + v) * OWN_LANES) = sum[r][v];
}

/* 4 + R rows times three panels. Tiles of 4 x 2 registers would have 8 sums under way, which is
 * just what the latency of a multiplication takes; 4 x 3 have 12. */
OWN_INLINE void OWN(threes)(const shoal__own_block *b, int n, const int R)
{
    float sums[8 * 6 * OWN_LANES];
    OWN(ahead)(&b->to, 0, n, 4 + R);
    OWN(half)(b, 0, n, 4, 0, 0, sums);
    OWN(half)(b, 4, n, R, 0, 3, sums);
    OWN(half)(b, 0, n, 4, 1, 4, sums);
    OWN(half)(b, 4, n, R, 1, 5, sums);
    OWN(end)(sums, &b->to, 0, n, 4 + R, 3);
}

/* A lone stream's chunk of 160 ms has 8 rows. Returns how many outputs are done. */
static int OWN(seven_or_eight)(const shoal__own_block *b)
{
    int n = 0;
    for (; b->to.rows == 8 && n + 3 * OWN_WIDTH <= b->to.outputs; n += 3 * OWN_WIDTH)
        OWN(threes)(b, n, 4);
    for (; b->to.rows == 7 && n + 3 * OWN_WIDTH <= b->to.outputs; n += 3 * OWN_WIDTH)
        OWN(threes)(b, n, 3);
    return n;
}
#else
static int OWN(seven_or_eight)(const shoal__own_block *b)
{
    (void)b; /* one tile */
    return 0;
}
#endif

static void OWN(block)(const shoal__own_block *b)
{
    for (int n = OWN(seven_or_eight)(b), step; n < b->to.outputs; n += step * OWN_WIDTH) {
        step = b->to.rows <= OWN_FEW_ROWS ? OWN(few)(b, n) : 0;
        if (step > 0)
            continue;
        step = 1;
        OWN(panel)(b, n);
    }
}

#define OWN_LEVEL(at, level)                                                                       \
    {                                                                                              \
        .face = { "own " level " fp32", at, OWN_WIDTH, NULL }, .block = OWN(block)                 \
    }

/* gemm_body.h - body of our own fp32 products; see gemm_own.h
 *
 * Included by each gemm_<isa>.c after gemm_end_body.h, with OWN_ROWS defined: rows of a tile of
 * sums, so that OWN_ROWS x 2 registers of sums and three more are what the CPU has. Every tile,
 * whatever its rows, must add in the same order.
 */
#define OWN_FEW_ROWS                                                                               \
    3 /* up to here a tile takes several panels, else too few sums are under way                   \
       */

/* R rows from number `row` on times P panels from output n on, both constant: all sums stay in
 * registers. */
OWN_INLINE void OWN(tile)(const shoal__own_block *b, int row, int n, const int R, const int P)
{
    OWN(vec) sum[OWN_ROWS][8] = { 0 };
    const size_t panel = (size_t)b->depth * OWN_WIDTH;
    const float *w = b->weight + (size_t)n * (size_t)b->depth, *a[OWN_ROWS];
    for (int r = 0; r < R; r++)
        a[r] = b->a + OWN(place)(b->a_index, row + r, b->a_stride);
    OWN(ahead)(&b->to, row, n, R);
    for (int k = 0; k < b->depth; k++, w += OWN_WIDTH) {
        OWN(vec) column[8];
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
    case R: OWN(tile)(b, row, n, R, 1); break;

/* Some rows times one panel. */
static void OWN(rows)(const shoal__own_block *b, int row, int n, int rows)
{
    switch (rows) {
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
        OWN(rows)(b, row, n, count);
    }
}

/* A few rows: panels go several at once. */
static int OWN(few)(const shoal__own_block *b, int n)
{
    int panels = (b->to.outputs - n) / OWN_WIDTH;
    if (b->to.rows == 1 && panels >= 4)
        return OWN(tile)(b, 0, n, 1, 4), 4;
    if (b->to.rows == 2 && panels >= 2)
        return OWN(tile)(b, 0, n, 2, 2), 2;
    if (b->to.rows == 3 && panels >= 2)
        return OWN(tile)(b, 0, n, 3, 2), 2;
    return 0;
}

static void OWN(block)(const shoal__own_block *b)
{
    for (int n = 0, step; n < b->to.outputs; n += step * OWN_WIDTH) {
        step = b->to.rows <= OWN_FEW_ROWS ? OWN(few)(b, n) : 0;
        if (step > 0)
            continue;
        step = 1;
        OWN(panel)(b, n);
    }
}

#define OWN_LEVEL(level)                                                                           \
    {                                                                                              \
        .face = { "own " level " fp32", level, OWN_WIDTH, NULL }, .block = OWN(block)              \
    }

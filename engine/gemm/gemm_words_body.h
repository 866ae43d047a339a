/* gemm_words_body.h - body of our own products of int8 and bf16; see gemm_own.h
 *
 * Included by each gemm_<isa>.c after gemm_end_body.h, with these defined:
 *
 *   OWN_SUMS             the type of a register of sums: OWN(ints) or OWN(vec)
 *   OWN_DOT(sum, a, w)   sum + the products in each word: four of bytes, or two of bf16
 *   OWN_WORDS_ROWS       rows of a tile, so that twice as many sums, and what OWN_DOT needs, are in
 *                        registers
 *
 * All of a row's inputs are summed in registers, in their order, whatever there is beside it: 1,024
 * inputs of a panel are 16 KiB of bytes at AVX2.
 */

/* R rows times P panels from output n on; both constant. */
OWN_INLINE void OWN(words_tile)(const shoal__own_words *b, int row, int n, const int R, const int P)
{
    OWN_SUMS sum[OWN_WORDS_ROWS][8];
    const size_t panel = (size_t)b->words * 4 * OWN_WIDTH;
    const unsigned char *a = b->a + (size_t)row * b->stride;
    const unsigned char *w = b->weight + (size_t)n / OWN_WIDTH * panel;
    OWN(ahead)(&b->to, row, n, R);
    for (int r = 0; r < R; r++)
        for (int v = 0; v < 2 * P; v++)
            sum[r][v] = (OWN_SUMS)OWN_INTS(b->start + n + v * OWN_LANES);
    for (int k = 0; k < b->words; k++, a += 4, w += 4 * OWN_WIDTH) {
        OWN(ints) column[8];
#pragma GCC unroll 8
        for (int v = 0; v < 2 * P; v++)
            column[v] = OWN_INTS(w + (size_t)(v / 2) * panel + v % 2 * 4 * OWN_LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            int32_t word;
            memcpy(&word, a + (size_t)r * b->stride, sizeof word);
            OWN(ints) all = (OWN(ints)){ 0 } + word;
#pragma GCC unroll 8
            for (int v = 0; v < 2 * P; v++)
                sum[r][v] = OWN_DOT(sum[r][v], all, column[v]);
        }
    }
    float sums[OWN_WORDS_ROWS * 2 * OWN_WIDTH]; /* R x P is least at few rows */
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < 2 * P; v++) {
            OWN(vec) unit = OWN_FROM(b->unit + n + v * OWN_LANES) * b->row_unit[row + r];
            OWN_AT(sums + (2 * P * r + v) * OWN_LANES) =
                __builtin_convertvector(sum[r][v], OWN(vec)) * unit;
        }
    OWN(end)(sums, &b->to, row, n, R, P);
}

#define OWN_WORDS_CASE(R)                                                                          \
    case R: OWN(words_tile)(b, row, n, R, 1); break;

static void OWN(words_rows)(const shoal__own_words *b, int row, int n, int rows)
{
    switch (rows) {
        OWN_WORDS_CASE(1)
        OWN_WORDS_CASE(2)
        OWN_WORDS_CASE(3)
        OWN_WORDS_CASE(4)
#if OWN_WORDS_ROWS > 4
        OWN_WORDS_CASE(5)
        OWN_WORDS_CASE(6)
#endif
#if OWN_WORDS_ROWS > 6
        OWN_WORDS_CASE(7)
        OWN_WORDS_CASE(8)
        OWN_WORDS_CASE(9)
        OWN_WORDS_CASE(10)
        OWN_WORDS_CASE(11)
        OWN_WORDS_CASE(12)
#endif
    default: break;
    }
}

/* One row takes several panels at once, else too few sums are under way. */
static void OWN(words_product)(const shoal__own_words *b)
{
    for (int n = 0; n < b->to.outputs; n += OWN_WIDTH) {
        if (b->to.rows == 1 && b->to.outputs - n >= 4 * OWN_WIDTH) {
            OWN(words_tile)(b, 0, n, 1, 4);
            n += 3 * OWN_WIDTH;
            continue;
        }
        for (int row = 0, count; row < b->to.rows; row += count) {
            int left = b->to.rows - row, tiles = (left + OWN_WORDS_ROWS - 1) / OWN_WORDS_ROWS;
            count = (left + tiles - 1) / tiles;
            OWN(words_rows)(b, row, n, count);
        }
    }
}

/* gemm_int8_body.h - body of our own int8 products; see gemm_own.h
 *
 * Included by each gemm_<isa>.c after gemm_end_body.h, with these defined:
 *
 *   OWN_DOT(sum, a, w)   sum + the four products of bytes in each place of 32 bits, a unsigned and
 * w signed: exact where the sums of two neighbours keep within 16 bits, which packing sees to
 * (gemm_int8_pack.c) OWN_INT8_ROWS        rows of a tile, so that twice as many sums, and what
 * OWN_DOT needs, are in registers OWN_QUANTIZE         (q, x, n, inverse) x times inverse, rounded,
 * clamped and lifted by 128 OWN_LARGEST          (x, n) the largest absolute value
 *
 * All of a row's inputs are summed in registers, whatever there is beside it: 1,024 inputs of a
 * panel are 16 KiB at AVX2. The sums fit into 32 bits up to 66,000 inputs.
 */

/* R rows times P panels from output n on; both constant. */
OWN_INLINE void OWN(bytes_tile)(const shoal__own_bytes *b, int row, int n, const int R, const int P)
{
    OWN(ints) sum[OWN_INT8_ROWS][8];
    const size_t panel = (size_t)b->quads * 4 * OWN_WIDTH;
    const uint8_t *a = b->a + (size_t)row * b->stride;
    const int8_t *w = b->weight + (size_t)n / OWN_WIDTH * panel;
    OWN(ahead)(&b->to, row, n, R);
    for (int r = 0; r < R; r++)
        for (int v = 0; v < 2 * P; v++)
            sum[r][v] = OWN_INTS(b->start + n + v * OWN_LANES);
    for (int k = 0; k < b->quads; k++, a += 4, w += 4 * OWN_WIDTH) {
        OWN(ints) column[8];
#pragma GCC unroll 8
        for (int v = 0; v < 2 * P; v++)
            column[v] = OWN_INTS(w + (size_t)(v / 2) * panel + v % 2 * 4 * OWN_LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            int32_t quad;
            memcpy(&quad, a + (size_t)r * b->stride, sizeof quad);
            OWN(ints) all = (OWN(ints)){ 0 } + quad;
#pragma GCC unroll 8
            for (int v = 0; v < 2 * P; v++)
                sum[r][v] = OWN_DOT(sum[r][v], all, column[v]);
        }
    }
    float sums[OWN_INT8_ROWS * 2 * OWN_WIDTH]; /* R x P is least at few rows */
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

#define OWN_BYTES_CASE(R)                                                                          \
    case R: OWN(bytes_tile)(b, row, n, R, 1); break;

static void OWN(bytes_rows)(const shoal__own_bytes *b, int row, int n, int rows)
{
    switch (rows) {
        OWN_BYTES_CASE(1)
        OWN_BYTES_CASE(2)
        OWN_BYTES_CASE(3)
        OWN_BYTES_CASE(4)
#if OWN_INT8_ROWS > 4
        OWN_BYTES_CASE(5)
        OWN_BYTES_CASE(6)
#endif
#if OWN_INT8_ROWS > 6
        OWN_BYTES_CASE(7)
        OWN_BYTES_CASE(8)
        OWN_BYTES_CASE(9)
        OWN_BYTES_CASE(10)
        OWN_BYTES_CASE(11)
        OWN_BYTES_CASE(12)
#endif
    default: break;
    }
}

/* One row takes several panels at once, else too few sums are under way. */
static void OWN(bytes_product)(const shoal__own_bytes *b)
{
    for (int n = 0; n < b->to.outputs; n += OWN_WIDTH) {
        if (b->to.rows == 1 && b->to.outputs - n >= 4 * OWN_WIDTH) {
            OWN(bytes_tile)(b, 0, n, 1, 4);
            n += 3 * OWN_WIDTH;
            continue;
        }
        for (int row = 0, count; row < b->to.rows; row += count) {
            int left = b->to.rows - row, tiles = (left + OWN_INT8_ROWS - 1) / OWN_INT8_ROWS;
            count = (left + tiles - 1) / tiles;
            OWN(bytes_rows)(b, row, n, count);
        }
    }
}

/* The integers of kern->quantize, lifted; numbers below 1e-30 count as zeros. */
static float OWN(quantize)(uint8_t *q, const float *x, int n)
{
    float top = OWN_LARGEST(x, n);
    OWN_QUANTIZE(q, x, n, top > 1e-30f ? 127.0f / top : 0.0f);
    for (; n % 4; n++)
        q[n] = 128;
    return top / 127.0f;
}

#define OWN_INT8(level, title, has)                                                                \
    {                                                                                              \
        .face = { "own " title " int8", level, OWN_WIDTH, has }, .product = OWN(bytes_product),    \
        .quantize = OWN(quantize)                                                                  \
    }

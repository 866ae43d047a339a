/* gemm_bf16_scalar.c - bf16 products for any CPU: the oracle of the level above it
 *
 * Slower than fp32, so nobody is served with them (gemm_own_narrow.c).
 */
#define OWN(name) shoal__own_bf16_scalar_##name
#define OWN_LANES 4
#include "gemm/gemm_end_body.h"

/* The numbers in the lower and the upper halves of words. */
#define LOWER(x) ((OWN(vec))((x) << 16))
#define UPPER(x) ((OWN(vec))((x) & -65536))

#define OWN_SUMS           OWN(vec)
#define OWN_DOT(sum, a, w) ((sum) + LOWER(a) * LOWER(w) + UPPER(a) * UPPER(w))
#define OWN_WORDS_ROWS     4
#include "gemm/gemm_words_body.h"

static float narrow(void *words, const float *x, int n)
{
    uint16_t *to = words;
    shoal__kern_scalar.to_bf16(to, x, n);
    if (n % 2)
        to[n] = 0;
    return 1.0f;
}

const shoal__own_narrow shoal__bf16_scalar = {
    .face = { "own scalar bf16", SHOAL__SCALAR, OWN_WIDTH, NULL },
    .product = OWN(words_product),
    .narrow = narrow,
};

/* gemm_scalar.c - our products for any CPU: the oracle of the other levels */
#define OWN(name) shoal__own_scalar_##name
#define OWN_LANES 4
#define OWN_ROWS  6
#include "gemm/gemm_body.h"

const shoal__own_level shoal__own_scalar = OWN_LEVEL("scalar");

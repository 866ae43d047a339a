/* kern_scalar.c - kernels for any CPU: the oracle */
#define KERN(name) shoal__scalar_##name
#include "kern/kern_body.h"

const shoal__kern shoal__kern_scalar = KERN_TABLE(SHOAL__SCALAR, "scalar");

/* kern_neon.c - the kernels for 64-bit ARM, where NEON is always there */
#ifndef __aarch64__
#error "this file is for aarch64"
#endif
#define KERN(name) shoal__neon_##name
#include "kern/kern_body.h"

const shoal__kern shoal__kern_neon = KERN_TABLE(SHOAL__NEON, "neon");

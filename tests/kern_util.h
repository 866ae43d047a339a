/* kern_util.h - what the tests of elementwise kernels share: the tables, random inputs, a judge
 *
 * A case takes random sizes and inputs, computes with the table under test into `out`, with the
 * scalar one into `scalar`, and with the formula in double precision into `want`.
 */
#ifndef KERN_UTIL_H
#define KERN_UTIL_H

#include "engine_util.h"
#include "kern/kern.h"

enum { MOST = 4096, GUARD = 16 };

/* Tables that this build and CPU have; the scalar one first. */
extern const shoal__kern *tables[4];
extern int table_count;
void find_tables(void);

extern float a[MOST], b[MOST], c[MOST], d[MOST], out[MOST + GUARD], scalar[MOST + GUARD];
extern double want[MOST];
extern uint32_t seed;

/* A random number of low..high. */
int pick(int low, int high);
/* Fresh random inputs a..d up to `size`; poisoned outputs, so that a write past the end shows. */
void prepare(float size);
/* out against want and against scalar, n values, tolerance relative to max(1, |want|). */
void verify(const shoal__kern *k, const char *what, int n, double tol);
/* Every table goes through case number `number` some times, all with the same random numbers. */
void run_rounds(void (*one)(const shoal__kern *), int number);

#endif

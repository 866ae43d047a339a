/* bind.h - the tensors of a file to what reads them, by name, type and exact shape
 *
 * Sticky error: after the first failure every bind is a no-op, so that callers need no error
 * paths. What is bound is a view into the file (or what a narrow type was widened to) that the
 * model owns, but for what a product packs. Each operation binds its own pools (ops/), the
 * decoder's tables are in tables_bind.c.
 */
#ifndef SHOAL_BIND_H
#define SHOAL_BIND_H

#include "model/model.h"

struct shoal__binder {
    shoal_model *m;
    char *why; /* receives the first failure's reason */
    size_t size;
    int rc; /* 0, or the first failure's code */
};

/* The tensor of that name and shape [d0] or [d0, d1], finite. NULL after a failure. */
__attribute__((format(printf, 5, 6))) const float *shoal__bind(shoal__binder *b, int rank, int d0,
                                                               int d1, const char *format, ...);
/* prefix.weight and prefix.bias to a packed product; shape: in, out, epilogue, and a scale that
 * may be missing. l must stay where it is while the model is open. */
void shoal__bind_linear(shoal__binder *b, shoal__linear *l, shoal__linear shape,
                        const char *prefix);
/* The last rows of a matrix that has `rows`. */
void shoal__bind_linear_end(shoal__binder *b, shoal__linear *l, shoal__linear shape, int rows,
                            const char *prefix);
/* prefix.name.weight and .bias [D] */
shoal__norm shoal__bind_norm(shoal__binder *b, const char *prefix, const char *name);

/* Front, head and priors (ends.c). */
void shoal__ends_bind(shoal__binder *b);
/* The decoder's searches (tables_bind.c); free what that took, in any state of it. */
void shoal__tables_bind(shoal__binder *b);
void shoal__tables_free(shoal_model *m);

#endif

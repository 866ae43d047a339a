/* golden_util.h - what the oracle says: a file of tensors that training/golden.py wrote
 *
 * Aborts the running Check test where the file, or a tensor in it, is not as asked.
 */
#ifndef GOLDEN_UTIL_H
#define GOLDEN_UTIL_H

#include <stdlib.h>

#include "engine_util.h"
#include "model/safetensors.h"

typedef struct golden_file {
    void *bytes;
    shoal__safetensors *tensors;
} golden_file;

static inline golden_file golden_open(const char *path)
{
    size_t size;
    char why[200] = "";
    golden_file g = { .bytes = util_read_file(path, &size) };
    int rc = shoal__safetensors_parse(&g.tensors, g.bytes, size, why, sizeof why);
    ck_assert_msg(rc == 0, "%s", why);
    return g;
}

static inline void golden_close(golden_file *g)
{
    shoal__safetensors_free(g->tensors);
    free(g->bytes);
}

/* [rows, columns], or [rows] where columns is 0; as long as g is open. */
static inline const float *golden_tensor(const golden_file *g, const char *name, int rows,
                                         int columns)
{
    char why[200] = "";
    int shape[2] = { rows, columns };
    const float *want = NULL;
    shoal__safetensors_f32(g->tensors, name, columns ? 2 : 1, shape, &want, why, sizeof why);
    ck_assert_msg(want != NULL, "%s", why);
    return want;
}

#endif

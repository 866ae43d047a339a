/* mimic.h - small layers that stand in for a span of layers (arXiv 2409.16302)
 *
 *   mimic_linear        x = down(SiLU(LN(up(x))))
 *   mimic_transformer   x += out(attend(qkv(LN(x)))); x += down(SiLU(up(LN(x)))); x = LN(x)
 *
 * Each of a pool has an inner width of its own (the configuration lists them). The first works row
 * by row and remembers nothing; the second is made of the conformer's modules, works in its scratch
 * and keeps keys and values as its attention does.
 */
#ifndef SHOAL_MIMIC_H
#define SHOAL_MIMIC_H

#include "model/bind.h"

/* The pool's place in a layer's takes. */
enum { SHOAL__TAKES_MIMIC };

/* mimic_linear.c: the member `key` of the configuration: the inner widths of a pool, none where it
 * is missing. */
void shoal__mimic_configure(shoal__reader *r, const json_t *root, const char *key,
                            shoal__mimics *m);
/* The member "mimic" of an entry of operation `op`, whose pool has these. */
void shoal__mimic_parse(shoal__reader *r, const shoal__mimics *has, const char *op,
                        const json_t *entry, shoal__layer *l);
/* Memory for a pool of that many, at *pool; NULL where there are none or no memory (b->rc). */
void *shoal__mimic_pool(shoal__binder *b, void **pool, const shoal__mimics *has, size_t size);
/* prefix.weight and .bias [n] */
shoal__norm shoal__mimic_norm(shoal__binder *b, int n, const char *prefix);

#endif

/* explain.h - what a model is made of and what each part costs, for people: --explain */
#ifndef SHOALD_EXPLAIN_H
#define SHOALD_EXPLAIN_H

#include "base/settings.h"

#include <stdio.h>

/* Open this file, "" is the built-in model, with c->backend and c->precision and print, of each
 * program, every virtual layer: its operation, what it takes from the pools, its share in the
 * embedding, bytes that a stream keeps of it, flops a frame. Of streams with the default chunk and
 * left context. 0, or -1 with a reason in why. */
int shoald_explain_print(FILE *out, const char *path, const shoald_settings *c, char *why,
                         size_t why_size);

#endif

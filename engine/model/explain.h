/* explain.h - why a model cannot be opened, in words */
#ifndef SHOAL_EXPLAIN_H
#define SHOAL_EXPLAIN_H

#include <stddef.h>

/* Text to why (which may be NULL), and rc back. */
__attribute__((format(printf, 4, 5))) int shoal__explain(char *why, size_t size, int rc,
                                                         const char *format, ...);

#endif

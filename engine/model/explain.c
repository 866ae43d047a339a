/* explain.c - see explain.h */
#include "model/explain.h"

#include <stdarg.h>
#include <stdio.h>

int shoal__explain(char *why, size_t size, int rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (why && size)
        vsnprintf(why, size, format, args);
    va_end(args);
    return rc;
}

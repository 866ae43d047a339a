/* reader.c - see reader.h */
#include "model/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shoal.h"

void shoal__reader_fail(shoal__reader *r, const char *format, ...)
{
    va_list args;
    if (r->failed)
        return;
    r->failed = 1;
    va_start(args, format);
    if (r->why && r->size)
        vsnprintf(r->why, r->size, format, args);
    va_end(args);
}

void shoal__reader_fail_memory(shoal__reader *r)
{
    r->failed = r->no_memory = 1;
}

int shoal__reader_result(const shoal__reader *r)
{
    return r->no_memory ? SHOAL_ENOMEM : r->failed ? SHOAL_EMODEL : 0;
}

int shoal__reader_int(shoal__reader *r, const json_t *object, const char *key, int low, int high)
{
    const json_t *v = json_object_get(object, key);
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < low || n > high) {
        shoal__reader_fail(r, "%s: '%s' must be an integer from %d to %d", r->where, key, low,
                           high);
        return low;
    }
    return (int)n;
}

const char *shoal__reader_string(shoal__reader *r, const json_t *object, const char *key,
                                 size_t most)
{
    const json_t *v = json_object_get(object, key);
    const char *s = json_string_value(v);
    if (!s || !*s || strlen(s) > most) {
        shoal__reader_fail(r, "%s: '%s' must be a string of 1 to %zu characters", r->where, key,
                           most);
        return "";
    }
    return s;
}

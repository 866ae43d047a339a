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

double shoal__reader_number(shoal__reader *r, const json_t *object, const char *key, double low,
                            double high)
{
    double v = json_number_value(json_object_get(object, key));
    if (v > low && v <= high)
        return v;
    shoal__reader_fail(r, "configuration: '%s' must be a number above %g, at most %g", key, low,
                       high);
    return high;
}

/* Is key one of the words of keys? */
static int is_listed(const char *keys, const char *key)
{
    size_t n = strlen(key);
    for (const char *at = keys; (at = strstr(at, key)); at += n)
        if ((at == keys || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return 1;
    return 0;
}

void shoal__reader_only(shoal__reader *r, const json_t *object, const char *where, const char *keys)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (!*key || strchr(key, ' ') || !is_listed(keys, key))
            shoal__reader_fail(r, "%s: unknown key '%.40s'; there are: %s", where, key, keys);
    }
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

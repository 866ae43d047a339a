/* json_in.c - JSON in, with strict limits and a sticky-error cursor
 *
 * Nesting is counted before jansson sees the text: its parser recurses, and a message of this
 * protocol is never more than three levels deep. Size is bounded by the caller's limit, which
 * bounds the memory of the DOM too.
 */
#include "protocol-internal.h"

#include <stdio.h>
#include <string.h>

/* Deepest nesting outside strings. Malformed text only has to be bounded, not understood. */
static int nesting(const char *s, size_t n)
{
    int depth = 0, deepest = 0, in_string = 0;

    for (size_t i = 0; i < n; i++) {
        if (in_string) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                in_string = 0;
        } else if (s[i] == '"') {
            in_string = 1;
        } else if (s[i] == '{' || s[i] == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (s[i] == '}' || s[i] == ']') {
            depth--;
        }
    }
    return deepest;
}

static void fail_parse(shoal_error *err, const json_error_t *why)
{
    char shown[JSON_ERROR_TEXT_LENGTH];

    if (json_error_code(why) == json_error_out_of_memory) {
        shoal_error_set(err, SHOAL_CODE_INTERNAL, NULL, "out of memory");
        return;
    }
    shoal__printable(shown, sizeof shown, why->text, strlen(why->text));
    shoal_error_set(err, SHOAL_CODE_BAD_MESSAGE, NULL,
                    "the message is not correct JSON: %s (byte %d)", shown, why->position);
}

json_t *shoal__json_load(const char *text, size_t n, size_t max, shoal_error *err)
{
    json_error_t why;

    if (n > max) {
        shoal_error_set(err, SHOAL_CODE_MESSAGE_TOO_LARGE, NULL,
                        "a text message of %zu bytes is too large: at most %zu are allowed", n,
                        max);
        return NULL;
    }
    if (nesting(text, n) > SHOAL_MAX_NESTING) {
        shoal_error_set(err, SHOAL_CODE_BAD_MESSAGE, NULL,
                        "the message nests arrays or objects more than %d deep", SHOAL_MAX_NESTING);
        return NULL;
    }
    json_t *obj = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!obj) {
        fail_parse(err, &why);
        return NULL;
    }
    if (!json_is_object(obj)) {
        json_decref(obj);
        shoal_error_set(err, SHOAL_CODE_BAD_MESSAGE, NULL,
                        "the message must be a JSON object with a \"type\"");
        return NULL;
    }
    return obj;
}

/* ---- cursor ---- */

void shoal__in_fail(shoal__in *in, const char *key, const char *expected)
{
    if (in->failed)
        return;
    in->failed = 1;
    in->obj = NULL;
    shoal_error_set(in->err, SHOAL_CODE_BAD_MESSAGE, key, "\"%s\" must be %s", key, expected);
}

int shoal__in_int(shoal__in *in, const char *key, int min, int max)
{
    char expected[64];
    const json_t *j = json_object_get(in->obj, key);
    json_int_t v = json_integer_value(j);

    if (json_is_integer(j) && v >= min && v <= max)
        return (int)v;
    snprintf(expected, sizeof expected, "an integer in %d..%d", min, max);
    shoal__in_fail(in, key, expected);
    return min;
}

uint64_t shoal__in_count(shoal__in *in, const char *key, uint64_t max)
{
    char expected[64];
    const json_t *j = json_object_get(in->obj, key);
    json_int_t v = json_integer_value(j);

    if (json_is_integer(j) && v >= 0 && (uint64_t)v <= max)
        return (uint64_t)v;
    snprintf(expected, sizeof expected, "an integer in 0..%llu", (unsigned long long)max);
    shoal__in_fail(in, key, expected);
    return 0;
}

double shoal__in_real(shoal__in *in, const char *key, double min, double max)
{
    char expected[64];
    const json_t *j = json_object_get(in->obj, key);
    double v = json_number_value(j);

    if (json_is_number(j) && v >= min && v <= max)
        return v;
    snprintf(expected, sizeof expected, "a number in %.0f..%.0f", min, max);
    shoal__in_fail(in, key, expected);
    return min;
}

int shoal__in_bool(shoal__in *in, const char *key)
{
    const json_t *j = json_object_get(in->obj, key);

    if (!json_is_boolean(j))
        shoal__in_fail(in, key, "true or false");
    return json_is_true(j);
}

void shoal__in_string(shoal__in *in, const char *key, char *dst, size_t size)
{
    char expected[64];
    const json_t *j = json_object_get(in->obj, key);

    dst[0] = '\0';
    if (json_is_string(j) && json_string_length(j) < size) {
        memcpy(dst, json_string_value(j), json_string_length(j) + 1);
        return;
    }
    snprintf(expected, sizeof expected, "a string of at most %zu bytes", size - 1);
    shoal__in_fail(in, key, expected);
}

int64_t shoal__in_t0(shoal__in *in)
{
    if (!json_object_get(in->obj, "t0"))
        return 0;
    return (int64_t)(shoal__in_real(in, "t0", 0, (double)SHOAL_MAX_T0_MS / 1000) * 1000 + 0.5);
}

shoal__in shoal__in_object(shoal__in *in, const char *key)
{
    json_t *j = json_object_get(in->obj, key);

    if (!json_is_object(j))
        shoal__in_fail(in, key, "an object");
    return (shoal__in){ in->failed ? NULL : j, in->err, in->failed };
}

json_t *shoal__in_array(shoal__in *in, const char *key)
{
    json_t *j = json_object_get(in->obj, key);

    if (!json_is_array(j))
        shoal__in_fail(in, key, "an array");
    return in->failed ? NULL : j;
}

/* errors.c - the table of error codes, and error messages that name the remedy
 *
 * A message shows what the client sent. That text is hostile until proven otherwise: it is
 * made printable and cut before it enters a message, a log or a terminal.
 */
#include "protocol-internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const shoal_code_info infos[SHOAL_CODE_COUNT] = {
    { "unknown", 1008, 0, 0, 0, "the server gives a reason that this client does not know" },
#define SHOAL_X(NAME, code, close, http, fatal, retry, text)                                       \
    { code, close, http, fatal, retry, text },
    SHOAL_WIRE_ERRORS(SHOAL_X)
#undef SHOAL_X
};

const shoal_code_info *shoal_code_get_info(shoal_code code)
{
    return &infos[(unsigned)code < SHOAL_CODE_COUNT ? code : SHOAL_CODE_UNKNOWN];
}

shoal_code shoal_code_from_name(const char *name)
{
    for (int i = 1; i < SHOAL_CODE_COUNT; i++)
        if (strcmp(infos[i].name, name) == 0)
            return (shoal_code)i;
    return SHOAL_CODE_UNKNOWN;
}

void shoal__printable(char *dst, size_t size, const char *s, size_t n)
{
    size_t len = n < size ? n : size - 1;

    for (size_t i = 0; i < len; i++)
        dst[i] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
    dst[len] = '\0';
    if (len < n && len >= 3)
        memcpy(dst + len - 3, "...", 3);
}

void shoal_error_set(shoal_error *err, shoal_code code, const char *ref, const char *fmt, ...)
{
    const shoal_code_info *info = shoal_code_get_info(code);
    va_list ap;

    *err = (shoal_error){ .code = code, .fatal = info->fatal, .retry = info->retry };
    snprintf(err->name, sizeof err->name, "%s", info->name);
    if (ref)
        shoal__printable(err->ref, sizeof err->ref, ref, strlen(ref));
    if (!fmt) {
        snprintf(err->message, sizeof err->message, "%s", info->message);
        return;
    }
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
}

void shoal_error_set_option(shoal_error *err, const char *option, const char *value,
                            const char *allowed)
{
    char name[48], shown[48];

    shoal__printable(name, sizeof name, option, strlen(option));
    shoal__printable(shown, sizeof shown, value, strlen(value));
    shoal_error_set(err, SHOAL_CODE_BAD_OPTION, name, "%s: %s%s%s is not allowed, use %s", name,
                    *shown ? "" : "\"", shown, *shown ? "" : "\"", allowed);
}

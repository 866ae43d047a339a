/* version.c - version and error texts */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "shoal.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

const char *shoal_version(void)
{
    return PACKAGE_VERSION;
}

const char *shoal_strerror(int code)
{
    switch (code) {
#define X(value, name, text)                                                                       \
    case value: return text;
        SHOAL_ERRORS(X)
#undef X
    default: return code >= 0 ? "success" : "unknown error";
    }
}

const char *shoal_errname(int code)
{
    switch (code) {
#define X(value, name, text)                                                                       \
    case value: return #name;
        SHOAL_ERRORS(X)
#undef X
    default: return code >= 0 ? "SHOAL_OK" : "SHOAL_EUNKNOWN";
    }
}

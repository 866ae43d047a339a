/* sites.c - see sites.h */
#include "base/sites.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct span {
    const char *at;
    size_t size;
} span;

/* name[:port], [v6][:port] */
typedef struct authority {
    span name; /* with its brackets, without a dot at its end */
    span port; /* size 0: none */
} authority;

static bool equal(span a, span b)
{
    return a.size == b.size && strncasecmp(a.at, b.at, a.size) == 0;
}

static span span_of(const char *text)
{
    return (span){ text, strlen(text) };
}

static bool ends_with(span s, const char *end)
{
    size_t n = strlen(end);
    return s.size >= n && strncasecmp(s.at + s.size - n, end, n) == 0;
}

static authority split(span s)
{
    authority a = { s, { s.at + s.size, 0 } };
    for (size_t i = s.size; i > 0 && s.at[i - 1] != ']'; i--)
        if (s.at[i - 1] == ':') {
            a.name.size = i - 1;
            a.port = (span){ s.at + i, s.size - i };
            break;
        }
    if (a.name.size > 1 && ends_with(a.name, "."))
        a.name.size--;
    return a;
}

/* 4 or 6; 0: it is none. */
static int address_of(span name, unsigned char ip[16])
{
    char text[64];
    if (name.size >= sizeof text)
        return 0;
    bool six = name.size > 2 && name.at[0] == '[' && name.at[name.size - 1] == ']';
    snprintf(text, sizeof text, "%.*s", (int)name.size - (six ? 2 : 0), name.at + six);
    return inet_pton(six ? AF_INET6 : AF_INET, text, ip) == 1 ? (six ? 6 : 4) : 0;
}

static bool is_localhost(span name)
{
    return equal(name, span_of("localhost")) || ends_with(name, ".localhost");
}

static bool is_loopback(span name)
{
    static const unsigned char six[16] = { [15] = 1 };
    unsigned char ip[16];
    int family = address_of(name, ip);
    return family == 4 ? ip[0] == 127 : family ? memcmp(ip, six, 16) == 0 : is_localhost(name);
}

/* The next of "a, b c"; false: there is none. */
static bool next(const char **list, span *one)
{
    *list += strspn(*list, ", \t");
    *one = (span){ *list, strcspn(*list, ", \t") };
    *list += one->size;
    return one->size > 0;
}

/* ---- hosts ----------------------------------------------------------------------------- */

static bool is_name(span s)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    unsigned char ip[16];
    return address_of(s, ip) || (s.size > 0 && strspn(s.at, chars) >= s.size);
}

static bool is_authority(span s)
{
    authority a = split(s);
    bool colon = a.name.size < s.size && s.at[s.size - a.port.size - 1] == ':';
    return is_name(a.name) && strspn(a.port.at, "0123456789") >= a.port.size && a.port.size <= 5 &&
           colon == (a.port.size > 0);
}

int shoald_sites_check_hosts(const char *list, char *why, size_t why_size)
{
    for (span one; next(&list, &one);)
        if (!equal(one, span_of("*")) && !is_authority(one)) {
            snprintf(why, why_size, "\"%.*s\" is neither NAME, nor NAME:PORT, nor *", (int)one.size,
                     one.at);
            return -1;
        }
    return 0;
}

bool shoald_sites_has_host(const char *list, const char *host)
{
    unsigned char ip[16];
    authority asked = split(span_of(host));
    if (!*host || address_of(asked.name, ip) || is_localhost(asked.name))
        return true;
    for (span one; next(&list, &one);) {
        authority a = split(one);
        if (equal(one, span_of("*")) ||
            (equal(a.name, asked.name) && (a.port.size == 0 || equal(a.port, asked.port))))
            return true;
    }
    return false;
}

/* ---- origins --------------------------------------------------------------------------- */

/* Where SCHEME:// ends; 0: there is none. */
static size_t scheme_of(span origin)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-";
    size_t n = strspn(origin.at, chars);
    return n && n + 3 < origin.size && memcmp(origin.at + n, "://", 3) == 0 ? n + 3 : 0;
}

int shoald_sites_check_origins(const char *list, char *why, size_t why_size)
{
    for (span one; next(&list, &one);) {
        size_t n = scheme_of(one);
        if (equal(one, span_of("*")) || equal(one, span_of("null")) ||
            (n && is_authority((span){ one.at + n, one.size - n })))
            continue;
        snprintf(why, why_size,
                 "\"%.*s\" is neither SCHEME://HOST[:PORT] (without a path), nor null, nor *",
                 (int)one.size, one.at);
        return -1;
    }
    return 0;
}

/* A port that the scheme has anyway may be left out. Whether the server was asked by http or https
 * it cannot know behind a proxy; the name and port are its own either way. */
static bool is_same(authority page, const char *usual, authority asked)
{
    span port = span_of(usual);
    return asked.name.size > 0 && equal(page.name, asked.name) &&
           equal(page.port.size ? page.port : port, asked.port.size ? asked.port : port);
}

bool shoald_sites_has_origin(const char *list, const char *origin, const char *host)
{
    span whole = span_of(origin);
    size_t n = scheme_of(whole);
    bool tls = strncasecmp(origin, "https://", 8) == 0;
    authority page = split((span){ origin + n, whole.size - n }), asked = split(span_of(host));
    if (tls || strncasecmp(origin, "http://", 7) == 0)
        if (is_same(page, tls ? "443" : "80", asked) ||
            (is_loopback(page.name) && is_loopback(asked.name)))
            return true;
    for (span one; next(&list, &one);)
        if (equal(one, span_of("*")) || equal(one, whole))
            return true;
    return false;
}

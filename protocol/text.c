/* text.c - growable buffers, and JSON text written straight into them
 *
 * Encoders do not build a DOM: messages are flat and written once, some of them for every
 * chunk of every client. Memory comes from the caller (shoal_buf); a buffer with room is never
 * reallocated, which is how the daemon's hot path stays free of malloc.
 *
 * Numbers do not depend on the locale: a client library lives in programs that have called
 * setlocale, where printf writes 0,12.
 */
#include "protocol-internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shoal_buf ---- */

void shoal_buf_wrap(shoal_buf *b, void *memory, size_t cap)
{
    *b = (shoal_buf){ .data = memory, .cap = cap, .fixed = 1 };
}

void shoal_buf_free(shoal_buf *b)
{
    if (!b->fixed)
        free(b->data);
    *b = (shoal_buf){ 0 };
}

int shoal_buf_reserve(shoal_buf *b, size_t extra)
{
    if (extra <= b->cap - b->size)
        return 0;
    if (b->fixed || extra > SIZE_MAX / 2 - b->size)
        return -1;
    size_t cap = b->cap < 256 ? 256 : b->cap;
    while (cap - b->size < extra)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data)
        return -1;
    b->data = data;
    b->cap = cap;
    return 0;
}

int shoal_buf_append(shoal_buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return 0;
    if (shoal_buf_reserve(b, n) < 0)
        return -1;
    memcpy(b->data + b->size, bytes, n);
    b->size += n;
    return 0;
}

/* ---- text ---- */

void shoal__text_begin(shoal__text *t, shoal_buf *out)
{
    *t = (shoal__text){ .b = out, .start = out->size };
}

int shoal__text_end(shoal__text *t)
{
    if (!t->failed && shoal_buf_reserve(t->b, 1) < 0)
        t->failed = 1;
    if (t->failed) {
        t->b->size = t->start;
        return -1;
    }
    t->b->data[t->b->size] = '\0';
    return 0;
}

static void append(shoal__text *t, const char *s, size_t n)
{
    if (!t->failed && shoal_buf_append(t->b, s, n) < 0)
        t->failed = 1;
}

void shoal__text_char(shoal__text *t, char c)
{
    append(t, &c, 1);
}

void shoal__text_printf(shoal__text *t, const char *fmt, ...)
{
    char line[512]; /* the longest format of this library with all its integers is below 400 */
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line)
        t->failed = 1;
    else
        append(t, line, (size_t)n);
}

void shoal__text_member(shoal__text *t, const char *key)
{
    int first = t->b->size > t->start && t->b->data[t->b->size - 1] == '{';

    shoal__text_printf(t, "%s\"%s\":", first ? "" : ",", key);
}

size_t shoal__utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80   ? 1
               : s[0] < 0xc2 ? 0
               : s[0] < 0xe0 ? 2
               : s[0] < 0xf0 ? 3
               : s[0] < 0xf5 ? 4
                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

size_t shoal_text_control(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    if ((*p && *p < 0x20) || *p == 0x7f)
        return 1;
    return p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0 ? 2 : 0;
}

int shoal_text_tame(char *text)
{
    int found = 0;

    for (size_t n; *text; text += n ? n : 1) {
        n = shoal_text_control(text);
        memset(text, ' ', n);
        found += n > 0;
    }
    return found;
}

void shoal__text_string(shoal__text *t, const char *s)
{
    shoal__text_char(t, '"');
    while (*s) {
        unsigned char c = (unsigned char)*s;
        size_t n = shoal__utf8_length((const unsigned char *)s);

        if (n == 0)
            append(t, "\xef\xbf\xbd", 3);
        else if (c == '"' || c == '\\')
            shoal__text_printf(t, "\\%c", c);
        else if (c < 0x20)
            shoal__text_printf(t, "\\u%04x", c);
        else
            append(t, s, n);
        s += n ? n : 1;
    }
    shoal__text_char(t, '"');
}

void shoal__text_decimal(shoal__text *t, double x, int decimals)
{
    static const int scale[] = { 1, 10, 100, 1000, 10000 };

    if (!(x >= 0 && x <= 1e9)) {
        t->failed = 1;
        return;
    }
    long long v = llround(x * scale[decimals]);
    if (decimals == 0)
        shoal__text_printf(t, "%lld", v);
    else
        shoal__text_printf(t, "%lld.%0*lld", v / scale[decimals], decimals, v % scale[decimals]);
}

void shoal__text_float(shoal__text *t, float x)
{
    char s[32];
    size_t n = 0;

    if (!isfinite(x)) {
        append(t, "null", 4);
        return;
    }
    if (x == 0 && signbit(x)) { /* JSON readers take "-0" for an integer without a sign */
        append(t, "-0.0", 4);
        return;
    }
    snprintf(s, sizeof s, "%.9g", (double)x);
    for (const char *p = s; *p; p++) { /* the locale's decimal point, of any length, is '.' */
        if (strchr("+-0123456789e", *p))
            s[n++] = *p;
        else if (n && s[n - 1] != '.')
            s[n++] = '.';
    }
    append(t, s, n);
}

void shoal__text_ms(shoal__text *t, int64_t ms)
{
    shoal__text_printf(t, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
}

void shoal__text_t0(shoal__text *t, int64_t t0_ms)
{
    if (t0_ms <= 0 || t0_ms > SHOAL_MAX_T0_MS)
        return;
    shoal__text_member(t, "t0");
    shoal__text_ms(t, t0_ms);
}

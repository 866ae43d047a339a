/* close.c - what the Close of a peer may say (RFC 6455, sections 5.5.1, 7.4 and 8.1) */
#include "protocol-internal.h"

#include <string.h>

enum { NORMAL = 1000, WRONG_FRAME = 1002, WRONG_TEXT = 1007, MOST = 125 };

/* 1004 to 1006 and 1015 are reserved: no Close may hold them. */
static int may_be_sent(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int is_utf8(const unsigned char *s, size_t n)
{
    size_t at = 0, step;
    while (at < n && (step = shoal__utf8_length(s + at)) > 0)
        at += step;
    return at == n;
}

int shoal_close_answer(const void *payload, size_t n)
{
    unsigned char reason[MOST + 1] = { 0 }; /* ends in 0, as a sequence that is cut off must not */
    const unsigned char *p = payload;
    unsigned code;
    if (n == 0)
        return NORMAL;
    if (n == 1 || n > MOST)
        return WRONG_FRAME;
    code = (unsigned)p[0] << 8 | p[1];
    memcpy(reason, p + 2, n - 2);
    if (!may_be_sent(code))
        return WRONG_FRAME;
    return is_utf8(reason, n - 2) ? (int)code : WRONG_TEXT;
}

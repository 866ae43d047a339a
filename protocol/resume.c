/* resume.c - the query by which a client comes back to its session: resume=TICKET&got=N
 *
 * Stricter than options: both are there, once and alone, and need no percent-encoding. A ticket
 * opens a session, so no message that is made here repeats one.
 */
#include "protocol-internal.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";
static const char no_ticket[] = "send what the last ready called \"resume\", 32 hex digits";

int shoal__ticket_valid(const char *ticket)
{
    size_t n = strspn(ticket, digits);

    return ticket[n] == 0 && (n == 0 || n == SHOAL_TICKET_DIGITS);
}

static int is(shoal__span w, const char *name)
{
    return strlen(name) == w.n && memcmp(w.at, name, w.n) == 0;
}

static int next_pair(shoal__span *rest, shoal__span *name, shoal__span *value)
{
    shoal__span pair;

    if (!shoal__query_next(rest, &pair))
        return 0;
    const char *eq = memchr(pair.at, '=', pair.n);
    *name = (shoal__span){ pair.at, eq ? (size_t)(eq - pair.at) : pair.n };
    *value = (shoal__span){ pair.at + name->n + !!eq, pair.n - name->n - !!eq };
    return 1;
}

static int has_resume(shoal__span rest)
{
    shoal__span name, value;

    while (next_pair(&rest, &name, &value))
        if (is(name, "resume"))
            return 1;
    return 0;
}

static int fail(shoal_error *err, const char *ref, const char *why)
{
    shoal_error_set(err, SHOAL_CODE_BAD_OPTION, ref, "%s: %s", ref, why);
    return -1;
}

static int read_ticket(shoal_resume *r, shoal__span value, shoal_error *err)
{
    if (*r->ticket)
        return fail(err, "resume", "it is given twice");
    if (value.n != SHOAL_TICKET_DIGITS)
        return fail(err, "resume", no_ticket);
    memcpy(r->ticket, value.at, value.n);
    r->ticket[value.n] = 0;
    return strspn(r->ticket, digits) == SHOAL_TICKET_DIGITS ? 0 : fail(err, "resume", no_ticket);
}

static int read_got(uint64_t *got, int *given, shoal__span value, shoal_error *err)
{
    if (*given)
        return fail(err, "got", "it is given twice");
    *given = 1;
    *got = 0;
    for (size_t i = 0; i < value.n && *got <= SHOAL_MAX_COUNT; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return fail(err, "got", "it is not a whole number");
        *got = *got * 10 + (uint64_t)(value.at[i] - '0');
    }
    return value.n && *got <= SHOAL_MAX_COUNT ? 0 : fail(err, "got", "it is not 0..2^53");
}

static int read_pair(shoal_resume *r, int *given, shoal__span name, shoal__span value,
                     shoal_error *err)
{
    if (is(name, "resume"))
        return read_ticket(r, value, err);
    if (is(name, "got"))
        return read_got(&r->got, given, value, err);
    return fail(err, "resume", "only got may stand beside it: the session has its options");
}

int shoal_resume_parse_query(shoal_resume *r, const char *query, size_t n, shoal_error *err)
{
    shoal__span rest = shoal__query_begin(query, n), name, value;
    int given = 0;

    memset(r, 0, sizeof *r);
    if (!has_resume(rest))
        return 0;
    while (next_pair(&rest, &name, &value))
        if (read_pair(r, &given, name, value, err) < 0)
            return -1;
    return given ? 1 : fail(err, "got", "say how many messages of the session you have");
}

int shoal_resume_encode_query(shoal_buf *out, const shoal_resume *r)
{
    shoal__text t;

    if (!*r->ticket || !shoal__ticket_valid(r->ticket) || r->got > SHOAL_MAX_COUNT)
        return -1;
    shoal__text_begin(&t, out);
    shoal__text_printf(&t, "resume=%s&got=%llu", r->ticket, (unsigned long long)r->got);
    return shoal__text_end(&t);
}

/* journal.c - see journal.h */
#include "base/journal.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- fields ---------------------------------------------------------------------------- */

enum { MAX_NAME = 64 }; /* of a field, by journald */

typedef struct writer {
    char *at, *end;
} writer;

static void put(writer *w, const char *bytes, size_t n)
{
    n = n < (size_t)(w->end - w->at) ? n : (size_t)(w->end - w->at);
    memcpy(w->at, bytes, n);
    w->at += n;
}

static void put_field(writer *w, const char *name, const char *value, size_t n)
{
    if (strlen(name) + n + 2 > (size_t)(w->end - w->at))
        return;
    put(w, name, strlen(name));
    put(w, "=", 1);
    put(w, value, n);
    put(w, "\n", 1);
}

/* A value of the line: up to a blank, or in quotes, from which \" and \\ are taken back as
 * shoald_log_quote made them. *n: how long it is there. Returns how long it is in to. */
static size_t take_value(char *to, const char *from, const char *end, size_t *n)
{
    bool quoted = from < end && *from == '"';
    const char *p = from + quoted;
    size_t size = 0;

    while (p < end && *p != (quoted ? '"' : ' ')) {
        if (quoted && *p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\'))
            p++;
        to[size++] = *p++;
    }
    *n = (size_t)(p - from) + (quoted && p < end);
    return size;
}

/* "session" -> "SHOAL_SESSION"; false: it is no key. */
static bool name_field(char name[MAX_NAME + 1], const char *key, size_t n)
{
    static const char prefix[] = "SHOAL_";
    size_t at = sizeof prefix - 1;

    if (!n || n > MAX_NAME - at)
        return false;
    memcpy(name, prefix, at);
    for (size_t i = 0; i < n; i++) {
        if (!islower((unsigned char)key[i]) && !isdigit((unsigned char)key[i]) && key[i] != '_')
            return false;
        name[at++] = (char)toupper((unsigned char)key[i]);
    }
    name[at] = '\0';
    return true;
}

/* The word at p, key=value or whatever else. Returns its end. */
static const char *put_word(writer *w, const char *p, const char *end)
{
    char name[MAX_NAME + 1], value[SHOALD_JOURNAL_BYTES];
    const char *equals = p;
    size_t n;

    while (equals < end && *equals != '=' && *equals != ' ')
        equals++;
    if (equals == end || *equals == ' ')
        return equals;
    size_t size = take_value(value, equals + 1, end, &n);
    if (name_field(name, p, (size_t)(equals - p)))
        put_field(w, name, value, size);
    return equals + 1 + n;
}

size_t shoald_journal_encode(char to[SHOALD_JOURNAL_BYTES], int level, const char *line, size_t n)
{
    writer w = { to, to + SHOALD_JOURNAL_BYTES };
    const char *end = line + (n < SHOALD_JOURNAL_BYTES / 2 ? n : SHOALD_JOURNAL_BYTES / 2), *p;
    char digit = (char)('0' + level);

    put_field(&w, "MESSAGE", line, (size_t)(end - line));
    put_field(&w, "PRIORITY", &digit, 1);
    put_field(&w, "SYSLOG_IDENTIFIER", "shoald", 6);
    for (p = line; p < end && *p != ' '; p++)
        ;
    put_field(&w, "SHOAL_EVENT", line, (size_t)(p - line));
    while (p < end)
        p = *p == ' ' ? p + 1 : put_word(&w, p, end);
    return (size_t)(w.at - to);
}

/* ---- socket ---------------------------------------------------------------------------- */

/* set by shoald_journal_open, then constant */
static struct sockaddr_un address;
static int fd = -1;

void shoald_journal_open(const char *path)
{
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* By its name each time, for systemd may make it anew. */
shoald_journal_result shoald_journal_send(int level, const char *line, size_t n)
{
    char datagram[SHOALD_JOURNAL_BYTES];

    if (fd < 0)
        return SHOALD_JOURNAL_ABSENT;
    n = shoald_journal_encode(datagram, level, line, n);
    if (sendto(fd, datagram, n, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) >= 0)
        return SHOALD_JOURNAL_TAKEN;
    return errno == EAGAIN || errno == ENOBUFS ? SHOALD_JOURNAL_BUSY : SHOALD_JOURNAL_ABSENT;
}

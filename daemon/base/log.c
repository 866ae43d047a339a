/* log.c - structured log lines; see log.h */
#include "base/log.h"

#include "base/journal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic int threshold = SHOALD_LOG_INFO;

static const char *const level_names[] = {
    /* index: shoald_log_level */
    [SHOALD_LOG_ERROR] = "error", [SHOALD_LOG_WARNING] = "warning", [SHOALD_LOG_NOTICE] = "notice",
    [SHOALD_LOG_INFO] = "info",   [SHOALD_LOG_DEBUG] = "debug",
};

void shoald_log_set_level(int level)
{
    atomic_store(&threshold, level);
}

int shoald_log_level_from_name(const char *name)
{
    for (int i = SHOALD_LOG_ERROR; i <= SHOALD_LOG_DEBUG; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

/* ---- where lines go -------------------------------------------------------------------- */

typedef enum { PLAIN, NEVER_WAITS, SOCKET, ASK_FIRST } sink_kind;

/* set by shoald_log_open, then constant */
static struct {
    sink_kind kind;
    int fd;
    bool journal; /* it leads to journald, which takes fields as well */
} sink = { PLAIN, STDERR_FILENO, false };

static _Atomic uint64_t lost, untold;

/* JOURNAL_STREAM is inherited by whoever is started from a unit, wherever its stderr goes. */
static bool is_journal(const struct stat *st)
{
    const char *text = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 && device == st->st_dev &&
           inode == st->st_ino;
}

/* O_NONBLOCK would hold for everybody who shares the open pipe with us, the shell for instance.
 * Opened once more it is ours alone. */
static int open_again(void)
{
    return open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void shoald_log_open(const char *journal_socket)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    sink.journal = is_journal(&st);
    if (sink.journal)
        shoald_journal_open(journal_socket);
    if (S_ISSOCK(st.st_mode)) {
        sink.kind = SOCKET;
    } else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        int fd = open_again();
        sink.kind = fd < 0 ? ASK_FIRST : NEVER_WAITS;
        sink.fd = fd < 0 ? STDERR_FILENO : fd;
    }
}

/* A line is shorter than PIPE_BUF: a pipe takes it whole or not at all. */
static bool write_text(const char *line, size_t n)
{
    struct pollfd p = { .fd = sink.fd, .events = POLLOUT };
    if (sink.kind == SOCKET)
        return send(sink.fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
    if (sink.kind == ASK_FIRST && (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT)))
        return false;
    return write(sink.fd, line, n) == (ssize_t)n;
}

/* A line as text, and what of it is prefix; level of no use without one. */
typedef struct line {
    int level;
    size_t prefix, size; /* with its newline */
    char text[4096];
} line;

/* Where journald is not to be had, stderr still leads to it. */
static bool write_line(const line *l)
{
    if (!sink.journal || !l->prefix)
        return write_text(l->text, l->size);
    switch (shoald_journal_send(l->level, l->text + l->prefix, l->size - l->prefix - 1)) {
    case SHOALD_JOURNAL_TAKEN: return true;
    case SHOALD_JOURNAL_BUSY: return false;
    default: return write_text(l->text, l->size);
    }
}

static void begin_line(line *l, int level);
static void add(line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What could not be said is said to have been lost, as soon as anything gets through again. */
static void put_line(const line *l)
{
    line notice;
    uint64_t count = atomic_exchange(&untold, 0);
    if (count) {
        begin_line(&notice, SHOALD_LOG_WARNING);
        add(&notice, "log_lost lines=%llu\n", (unsigned long long)count);
        if (!write_line(&notice)) {
            atomic_fetch_add(&untold, count + 1);
            atomic_fetch_add(&lost, 1);
            return;
        }
    }
    if (write_line(l))
        return;
    atomic_fetch_add(&untold, 1);
    atomic_fetch_add(&lost, 1);
}

uint64_t shoald_log_lost(void)
{
    return atomic_load(&lost);
}

/* ---- lines ----------------------------------------------------------------------------- */

enum { LINE_BYTES = 2048 }; /* of an event, with its newline */

static void add_text(line *l, const char *format, va_list args)
{
    size_t room = LINE_BYTES - 1 - l->size; /* one for the newline */
    int m = vsnprintf(l->text + l->size, room, format, args);
    l->size += m < 0 ? 0 : (size_t)m < room ? (size_t)m : room - 1;
}

static void add(line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_text(l, format, args);
    va_end(args);
}

/* "2026-11-22T01:20:00.123Z info " or, for journald, "<6>" */
static void begin_line(line *l, int level)
{
    l->level = level;
    l->size = 0;
    if (sink.journal) {
        add(l, "<%d>", level);
    } else {
        struct timeval now;
        struct tm utc;
        gettimeofday(&now, NULL);
        gmtime_r(&now.tv_sec, &utc);
        l->size = strftime(l->text, LINE_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
        add(l, ".%03dZ %s ", (int)(now.tv_usec / 1000), level_names[level]);
    }
    l->prefix = l->size;
}

void shoald_log(int level, const char *event, const char *format, ...)
{
    if (level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    line l;
    begin_line(&l, level);
    add(&l, "%s ", event);
    va_list args;
    va_start(args, format);
    add_text(&l, format, args);
    va_end(args);
    l.text[l.size++] = '\n';
    put_line(&l);
}

void shoald_log_say(const char *text)
{
    line l = { .prefix = 0 };
    int n = snprintf(l.text, sizeof l.text, "%s\n", text);
    l.size = (size_t)n < sizeof l.text ? (size_t)n : sizeof l.text - 1;
    put_line(&l);
}

/* ---- values ---------------------------------------------------------------------------- */

static int needs_quotes(const char *value)
{
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == '"' || *c == '\\' || *c == '=' || *c == 127)
            return 1;
    return *value == '\0';
}

const char *shoald_log_quote(char *to, size_t size, const char *value)
{
    if (!needs_quotes(value)) {
        snprintf(to, size, "%s", value);
        return to;
    }
    size_t n = 0;
    to[n++] = '"';
    for (const char *c = value; *c && n + 6 < size; c++) {
        if ((unsigned char)*c < ' ' || *c == 127)
            n += (size_t)snprintf(to + n, size - n, "\\x%02x", (unsigned char)*c);
        else if (*c == '"' || *c == '\\')
            n += (size_t)snprintf(to + n, size - n, "\\%c", *c);
        else
            to[n++] = *c;
    }
    to[n++] = '"';
    to[n] = '\0';
    return to;
}

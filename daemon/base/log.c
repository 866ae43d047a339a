/* log.c - structured log lines; see log.h */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

const char *shoald_log_level_name(int level)
{
    return level_names[level];
}

/* "2026-11-22T01:20:00.123Z info " or, for journald, "<6>" */
static int write_prefix(char *to, size_t size, int level)
{
    if (getenv("JOURNAL_STREAM"))
        return snprintf(to, size, "<%d>", level);
    struct timeval now;
    struct tm utc;
    gettimeofday(&now, NULL);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(to, size, "%Y-%m-%dT%H:%M:%S", &utc);
    return (int)n +
           snprintf(to + n, size - n, ".%03dZ %s ", (int)(now.tv_usec / 1000), level_names[level]);
}

void shoald_log(int level, const char *event, const char *format, ...)
{
    if (level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    char line[2048];
    size_t size = sizeof line - 1; /* room for the newline */
    size_t n = (size_t)write_prefix(line, size, level);
    n += (size_t)snprintf(line + n, size - n, "%s ", event);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, size - n, format, args);
    va_end(args);
    n = m < 0 ? n : n + (size_t)m < size ? n + (size_t)m : size - 1;
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0)
        return; /* nowhere left to complain */
}

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

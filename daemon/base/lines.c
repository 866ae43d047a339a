/* lines.c - see lines.h */
#include "base/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The opened file, or -1 with errno; 0 there: it is of a kind that has to be waited for. */
static int open_at_once(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
        return fd;
    close(fd);
    errno = 0;
    return -1;
}

FILE *shoald_lines_open(const char *path, char *why, size_t why_size)
{
    int fd = open_at_once(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (f)
        return f;
    snprintf(why, why_size, "%s",
             errno ? strerror(errno) : "it is a pipe, which SIGHUP could not read again");
    if (fd >= 0)
        close(fd);
    return NULL;
}

static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, which some editors put in front */

/* Up to its end, or to what it may not have. Returns that, or EOF. */
static int read_text(FILE *f, char *line, size_t most, size_t *n)
{
    int c;
    *n = 0;
    while ((c = getc(f)) != EOF && c != '\n' && c != '\0' && *n < most)
        line[(*n)++] = (char)c;
    line[*n] = '\0';
    return c;
}

int shoald_lines_next(FILE *f, int *number, char *line, size_t size, char *why, size_t why_size)
{
    size_t n, most = size - 2;
    int end = read_text(f, line, most, &n);
    if (end == EOF && n == 0)
        return 0;
    ++*number;
    if (end == '\0') {
        snprintf(why, why_size, "there is a NUL in it: write the file as plain text, in UTF-8");
        return -1;
    }
    if (end != EOF && end != '\n') {
        snprintf(why, why_size, "it is longer than %zu bytes", most);
        return -1;
    }
    if (*number == 1 && strncmp(line, mark, sizeof mark - 1) == 0)
        memmove(line, line + sizeof mark - 1, n - (sizeof mark - 1) + 1);
    return 1;
}

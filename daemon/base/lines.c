/* lines.c - see lines.h */
#include "base/lines.h"

#include <string.h>

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

/* client_token.c - where our own programs get their token from; see shoal-client.h
 *
 * Never from the command line, which every user of the machine can read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shoal-client.h"

static int complain(char *why, size_t why_size, const char *where, const char *what)
{
    if (why && why_size)
        snprintf(why, why_size, "%s: %s", where, what);
    return SHOAL_CLIENT_EINVAL;
}

/* Without blanks and line ends around it. */
static char *trim(char *s)
{
    size_t n;

    s += strspn(s, " \t\r\n");
    n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1]))
        n--;
    s[n] = '\0';
    return s;
}

/* Its first line: what shoald --new-token prints may be kept as it is. */
static int read_file(char *line, size_t size, const char *path, char *why, size_t why_size)
{
    FILE *f = fopen(path, "re");
    char *got = f ? fgets(line, (int)size, f) : NULL;
    int error = errno;

    if (f)
        fclose(f);
    if (!f)
        return complain(why, why_size, path, strerror(error));
    return got && *trim(line)
               ? 0
               : complain(why, why_size, path, "its first line should be the token, and is empty");
}

int shoal_client_read_token(char *token, size_t size, const char *path, char *why, size_t why_size)
{
    char line[SHOAL_CLIENT_TOKEN_SIZE + 64];
    const char *said = getenv("SHOAL_TOKEN"), *where = path ? path : "SHOAL_TOKEN";
    int code = 0;

    line[0] = token[0] = '\0';
    if (path)
        code = read_file(line, sizeof line, path, why, why_size);
    else if (said)
        snprintf(line, sizeof line, "%s", said);
    if (!code && strlen(trim(line)) >= size)
        code = complain(why, why_size, where, "it is longer than any token");
    if (!code)
        strcpy(token, trim(line));
    explicit_bzero(line, sizeof line);
    return code;
}

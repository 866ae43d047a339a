/* tool_paths.c - see tool_paths.h */
#include "tool/tool_paths.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "out/out_screen.h"

static int complain(const char *program, const char *option, const char *path, const char *why)
{
    char plain[512];

    out_screen_plain(plain, sizeof plain, path);
    fprintf(stderr, "%s: %s %s: cannot write there: %s\n", program, option, plain, why);
    return TOOL_EXIT_FAILED;
}

static int is_folder(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Those above it, too. Somebody else may make them at the same time. */
static int make_all(char *path)
{
    for (char *p = path + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            mkdir(path, 0777); /* what fails here fails below, too */
            *p = '/';
        }
    if (mkdir(path, 0777) == 0 || is_folder(path))
        return 0;
    if (errno == EEXIST)
        errno = ENOTDIR;
    return -1;
}

int tool_make_folder(const char *program, const char *option, const char *path)
{
    char *copy;
    int r;

    if (!path)
        return -1;
    if (!*path)
        return complain(program, option, "''", "it is no name; . is this folder");
    if (!(copy = strdup(path)))
        return complain(program, option, path, "out of memory");
    r = make_all(copy);
    free(copy);
    if (r == 0)
        r = access(path, W_OK | X_OK);
    return r == 0 ? -1 : complain(program, option, path, strerror(errno));
}

/* NULL, or why not. */
static const char *why_not(const char *path)
{
    char *copy;
    int r;

    if (is_folder(path))
        return "it is a folder; name a file in it";
    if (access(path, F_OK) == 0)
        return access(path, W_OK) == 0 ? NULL : strerror(errno);
    if (!(copy = strdup(path)))
        return "out of memory";
    r = access(dirname(copy), W_OK | X_OK);
    free(copy);
    if (r == 0)
        return NULL;
    return errno == ENOENT ? "its folder is not there" : strerror(errno);
}

int tool_check_file(const char *program, const char *option, const char *path)
{
    const char *why = path && strcmp(path, "-") != 0 ? why_not(path) : NULL;

    return why ? complain(program, option, path, why) : -1;
}

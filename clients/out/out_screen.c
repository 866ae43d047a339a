/* out_screen.c - see out_screen.h */
#include "out/out_screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shoal-protocol.h"

enum { USUAL_WIDTH = 80, EXIT_FAILED = 1, WIDE = 0xe3 /* from there on letters may be two wide */ };

int out_screen_is_live(int fd)
{
    const char *term = getenv("TERM");

    return isatty(fd) && !(term && !strcmp(term, "dumb"));
}

int out_screen_width(int fd)
{
    struct winsize size;

    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : USUAL_WIDTH;
}

size_t out_screen_fitting(const char *text, size_t columns)
{
    size_t bytes = 0, used = 0;

    while (text[bytes]) {
        size_t letter = bytes + 1;

        used += (unsigned char)text[bytes] >= WIDE ? 2 : 1;
        if (used > columns)
            break;
        while (((unsigned char)text[letter] & 0xc0) == 0x80)
            letter++;
        bytes = letter;
    }
    return bytes;
}

void out_screen_progress(const char *text)
{
    size_t columns = (size_t)out_screen_width(STDERR_FILENO) - 1;

    if (text)
        fprintf(stderr, "\r%.*s\033[K", (int)out_screen_fitting(text, columns), text);
    else
        fputs("\r\033[K", stderr);
    fflush(stderr);
}

void out_screen_plain(char *to, size_t size, const char *from)
{
    size_t used = 0, n;

    for (; *from && used + 9 < size; from += n ? n : 1) {
        n = shoal_text_control(from);
        if (!n)
            to[used++] = *from;
        for (size_t i = 0; i < n; i++)
            used += (size_t)sprintf(to + used, "\\x%02x", (unsigned char)from[i]);
    }
    to[used] = '\0';
}

int out_screen_end(const char *program, int error, int code)
{
    if (error == EPIPE)
        return OUT_EXIT_UNREAD;
    if (!error)
        return code;
    fprintf(stderr, "%s: cannot write the output: %s\n", program, strerror(error));
    return code ? code : EXIT_FAILED;
}

int out_screen_end_stdout(const char *program, int code)
{
    int error = 0;

    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout))
        error = errno ? errno : EIO;
    return out_screen_end(program, error, code);
}

/* out_screen.h - what the programs put before people: lines on a terminal, words that others chose,
 * and an exit code when nobody reads
 *
 * A progress line is one row: it never reaches the last column, so that no terminal wraps it. A
 * terminal that cannot erase (TERM=dumb) has none.
 */
#ifndef OUT_SCREEN_H
#define OUT_SCREEN_H

#include <stddef.h>

enum { OUT_EXIT_UNREAD = 141 }; /* as of a program that SIGPIPE has ended */

/* 1: that is a terminal, and can rewrite its line. */
int out_screen_is_live(int fd);
/* Columns of the terminal; 80 where it does not say. */
int out_screen_width(int fd);
/* Bytes of text that fit into so many columns, letters whole. */
size_t out_screen_fitting(const char *text, size_t columns);

/* Show it on stderr in place of the progress line before; NULL: take that away. */
void out_screen_progress(const char *text);

/* Control characters become \x1b and so on, of UTF-8 too; what has no room is left out. */
void out_screen_plain(char *to, size_t size, const char *from);

/* error: errno of a failed write to stdout, 0: none. A reader that has gone is no failure worth a
 * line. Returns the program's exit code, with code for what else there was. */
int out_screen_end(const char *program, int error, int code);
/* The same, where stdout was written with stdio. */
int out_screen_end_stdout(const char *program, int code);

#endif

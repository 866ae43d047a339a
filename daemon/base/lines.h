/* lines.h - files of settings, a line at a time; what an editor leaves in them that is no text of
 * ours is skipped or told, never read as something else */
#ifndef SHOALD_LINES_H
#define SHOALD_LINES_H

#include <stddef.h>
#include <stdio.h>

/* For reading. NULL and why: it cannot be opened, or is a pipe or a socket, whose writer the whole
 * daemon would wait for; a terminal is not waited for, either. */
FILE *shoald_lines_open(const char *path, char *why, size_t why_size);

/* The next line, without its end and, of the first, without a byte order mark. *number counts them,
 * from 0. 1; 0: there is no more, or ferror(f); -1: it is longer than size - 2, or not text, and
 * why says so. */
int shoald_lines_next(FILE *f, int *number, char *line, size_t size, char *why, size_t why_size);

#endif

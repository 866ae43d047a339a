/* process.h - what a daemon asks of the system before anything else */
#ifndef SHOALD_PROCESS_H
#define SHOALD_PROCESS_H

#include <stddef.h>

/* First of all in main: descriptors 0, 1 and 2 exist (else the next sockets would get their numbers
 * and be written to as if they were stderr), memory goes back to the system, the log knows
 * where it goes. */
void shoald_process_prepare(void);
/* Last of all in main: what was to be printed has been, or the status is 1 and stderr says why. */
int shoald_process_finish_output(int status);
/* Many small blocks that lived side by side have gone: their pages go back to the system, too.
 * Takes milliseconds. */
void shoald_process_return_pages(void);
/* That many descriptors. 0 or -1, and why says cause and remedy. */
int shoald_process_want_descriptors(size_t need, char *why, size_t why_size);

/* Write path with one line in it, whole or not at all. 0 or -1 (errno). */
typedef struct shoald_owned_file {
    const char *path; /* NULL: none */
    unsigned long long device, inode;
} shoald_owned_file;
int shoald_process_write_file(shoald_owned_file *file, const char *path, const char *line);
/* Could it be? What is there stays as it is. 0 or -1 (errno). */
int shoald_process_try_file(const char *path);
/* Remove it, unless somebody else has put another in its place. */
void shoald_process_remove_file(shoald_owned_file *file);

#endif

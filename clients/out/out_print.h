/* out_print.h - a stream to stdout that never waits for who reads it
 *
 *     program -> FILE (memory) -> queue -> thread -> write(2)
 *
 * A pipe whose reader pauses blocks the one who writes to it, so that is a thread of its own, which
 * waits for nobody but the reader. The queue grows as need be; the program looks at how much waits
 * and makes no more results while that is too much.
 *
 * All calls are the program's thread's. The thread takes no signals.
 */
#ifndef OUT_PRINT_H
#define OUT_PRINT_H

#include <stddef.h>
#include <stdio.h>

typedef struct out_print out_print;

/* fd stays the caller's and must outlive everything. NULL: out of memory. */
out_print *out_print_open(int fd);
FILE *out_print_file(const out_print *p); /* to print to, and to flush; closed by close */
size_t out_print_waiting(out_print *p);   /* bytes that were flushed and nobody has taken yet */
int out_print_error(out_print *p);        /* errno of a write that failed; 0: none did */
/* Wait at most ms until nothing waits. 1: so it is; 0: not in time; -1: a write failed. */
int out_print_drain(out_print *p, int ms);
/* What still waits is dropped. NULL is fine. */
void out_print_close(out_print *p);

#endif

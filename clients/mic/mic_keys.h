/* mic_keys.h - the keyboard of a terminal: single keys, and the terminal as it was before
 *
 * Ctrl-C stays a signal, so that it works whatever the program does.
 */
#ifndef MIC_KEYS_H
#define MIC_KEYS_H

/* Take keys one by one, not echoed. -1: fd is no terminal. It is put back by mic_keys_restore, and
 * before the process dies of a signal of its own making (SIGSEGV, SIGABRT ...). */
int mic_keys_begin(int fd);
void mic_keys_restore(void); /* any time, also in a signal handler */
void mic_keys_again(void);   /* after a stop (Ctrl-Z, fg) */

#endif

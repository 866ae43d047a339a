/* out_thread.h - how the programs start theirs (the library has none) */
#ifndef OUT_THREAD_H
#define OUT_THREAD_H

#include <pthread.h>
#include <signal.h>

/* Starts a thread that takes no signals: they are the program's. 0, or an error number. */
static inline int out_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a new thread has the mask of its maker */
    r = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

#endif

/* out_print.c - see out_print.h
 *
 * Two blocks of memory: the program appends to one, the thread writes the other and takes the first
 * when it is done. A thread that sits in write(2) cannot be joined without waiting for the
 * reader, so program and thread each own a share and the last one frees.
 */
#include "out/out_print.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "out/out_thread.h"

typedef struct block {
    char *data;
    size_t size, cap;
} block;

struct out_print {
    int fd;     /* set at open, then constant */
    FILE *file; /* program's thread only */
    pthread_mutex_t lock;
    pthread_cond_t news;  /* to the thread: there is something to write, or it shall end */
    pthread_cond_t empty; /* to the program: nothing waits, or a write failed */
    /* under lock: */
    block filling;
    size_t writing; /* bytes that the thread has taken and not written */
    int error, closed, shares;
};

static void leave(out_print *p)
{
    int last;

    pthread_mutex_lock(&p->lock);
    last = --p->shares == 0;
    pthread_mutex_unlock(&p->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->news);
    pthread_cond_destroy(&p->empty);
    free(p->filling.data);
    free(p);
}

/* ---- the thread ---- */

/* Swap an empty block for one with something to write. 0: it shall end. */
static int take(out_print *p, block *b)
{
    block full;
    int more;

    pthread_mutex_lock(&p->lock);
    p->writing = 0;
    while (!p->filling.size && !p->closed) {
        pthread_cond_signal(&p->empty);
        pthread_cond_wait(&p->news, &p->lock);
    }
    full = p->filling;
    b->size = 0;
    p->filling = *b;
    *b = full;
    p->writing = full.size;
    more = !p->closed;
    pthread_mutex_unlock(&p->lock);
    return more;
}

static void note_error(out_print *p, int error)
{
    pthread_mutex_lock(&p->lock);
    p->error = error;
    p->writing = p->filling.size = 0;
    pthread_cond_signal(&p->empty);
    pthread_mutex_unlock(&p->lock);
}

/* -1: it cannot be written. */
static int write_block(out_print *p, const block *b)
{
    for (size_t done = 0; done < b->size;) {
        ssize_t n = write(p->fd, b->data + done, b->size - done);

        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            note_error(p, errno);
            return -1;
        }
        if (n < 0)
            usleep(10000); /* somebody made it non-blocking */
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static void *work(void *user)
{
    out_print *p = user;
    block b = { 0 };

    while (take(p, &b) && write_block(p, &b) == 0)
        ;
    free(b.data);
    leave(p);
    return NULL;
}

/* ---- the program ---- */

static int append(block *b, const char *bytes, size_t n)
{
    size_t cap = b->cap ? b->cap : 4096;
    char *more;

    while (cap < b->size + n)
        cap *= 2;
    more = cap > b->cap ? realloc(b->data, cap) : b->data;
    if (!more)
        return -1;
    b->data = more;
    b->cap = cap;
    memcpy(b->data + b->size, bytes, n);
    b->size += n;
    return 0;
}

/* What stdio calls to write; 0 and errno when it cannot. */
static ssize_t enqueue(void *user, const char *bytes, size_t n)
{
    out_print *p = user;
    int error;

    pthread_mutex_lock(&p->lock);
    error = p->error ? p->error : append(&p->filling, bytes, n) < 0 ? ENOMEM : 0;
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
    errno = error;
    return error ? 0 : (ssize_t)n;
}

static int start_thread(out_print *p)
{
    pthread_t thread;

    return out_thread_start(&thread, work, p) ? -1 : pthread_detach(thread);
}

out_print *out_print_open(int fd)
{
    out_print *p = calloc(1, sizeof *p);
    pthread_condattr_t monotonic;

    if (!p)
        return NULL;
    p->fd = fd;
    p->shares = 1;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->news, NULL);
    pthread_cond_init(&p->empty, &monotonic);
    pthread_condattr_destroy(&monotonic);
    p->file = fopencookie(p, "w", (cookie_io_functions_t){ .write = enqueue });
    p->shares = 2;
    if (p->file && start_thread(p) == 0)
        return p;
    p->shares = 1;
    out_print_close(p);
    return NULL;
}

FILE *out_print_file(const out_print *p)
{
    return p->file;
}

size_t out_print_waiting(out_print *p)
{
    size_t n;

    pthread_mutex_lock(&p->lock);
    n = p->filling.size + p->writing;
    pthread_mutex_unlock(&p->lock);
    return n;
}

int out_print_error(out_print *p)
{
    int error;

    pthread_mutex_lock(&p->lock);
    error = p->error;
    pthread_mutex_unlock(&p->lock);
    return error;
}

int out_print_drain(out_print *p, int ms)
{
    struct timespec t;
    int r = 0, left;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000 + (t.tv_nsec + ms % 1000 * 1000000L) / 1000000000L;
    t.tv_nsec = (t.tv_nsec + ms % 1000 * 1000000L) % 1000000000L;
    pthread_mutex_lock(&p->lock);
    while (p->filling.size + p->writing && !p->error && r == 0)
        r = pthread_cond_timedwait(&p->empty, &p->lock, &t);
    left = p->filling.size + p->writing > 0;
    r = p->error ? -1 : !left;
    pthread_mutex_unlock(&p->lock);
    return r;
}

void out_print_close(out_print *p)
{
    if (!p)
        return;
    if (p->file)
        fclose(p->file);
    pthread_mutex_lock(&p->lock);
    p->closed = 1;
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
    leave(p);
}

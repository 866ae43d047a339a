/* mic_load.c - see mic_load.h
 *
 * Program and thread each own a share; the last one frees, so that nobody waits for a thread that
 * sits in a request.
 */
#include "mic/mic_load.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/client_get.h"
#include "out/out_thread.h"
#include "shoal-client.h"

enum { ASK_S = 5, TIMEOUT_MS = 2000, MAX_PAGE_BYTES = 256 << 10 };

struct mic_load {
    char url[512]; /* set at the start, then constant; the token, too */
    char token[SHOAL_CLIENT_TOKEN_SIZE];
    atomic_int percent;
    pthread_mutex_t lock;
    pthread_cond_t news; /* to the thread: it shall end */
    int closed, shares;  /* under lock */
};

int mic_load_of_page(const char *page)
{
    json_t *all = json_loads(page, 0, NULL), *load = json_object_get(all, "load");
    double share = json_is_number(load) ? json_number_value(load) : -1;

    json_decref(all);
    return share >= 0 && share < 1000 ? (int)(100 * share + 0.5) : -1;
}

static void leave(mic_load *l)
{
    int last;

    pthread_mutex_lock(&l->lock);
    last = --l->shares == 0;
    pthread_mutex_unlock(&l->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->news);
    free(l);
}

/* 0: the end. */
static int sleep_on(mic_load *l)
{
    struct timespec until;
    int closed;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ASK_S;
    pthread_mutex_lock(&l->lock);
    while (!l->closed && pthread_cond_clockwait(&l->news, &l->lock, CLOCK_MONOTONIC, &until) == 0)
        ;
    closed = l->closed;
    pthread_mutex_unlock(&l->lock);
    return !closed;
}

static void *work(void *user)
{
    mic_load *l = user;
    const shoal__server server = { .url = l->url, .token = *l->token ? l->token : NULL };

    do {
        char why[256];
        char *page = shoal__get(&server, "/v1/depths", MAX_PAGE_BYTES, TIMEOUT_MS, why, sizeof why);

        atomic_store(&l->percent, page ? mic_load_of_page(page) : -1);
        free(page);
    } while (sleep_on(l));
    leave(l);
    return NULL;
}

mic_load *mic_load_start(const char *url, const char *token)
{
    mic_load *l = strncmp(url, "ws://", 5) ? NULL : calloc(1, sizeof *l);
    pthread_t thread;

    if (!l)
        return NULL;
    snprintf(l->url, sizeof l->url, "%s", url);
    snprintf(l->token, sizeof l->token, "%s", token);
    atomic_init(&l->percent, -1);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->news, NULL);
    l->shares = 2;
    if (out_thread_start(&thread, work, l) == 0 && pthread_detach(thread) == 0)
        return l;
    l->shares = 1;
    leave(l);
    return NULL;
}

int mic_load_percent(const mic_load *l)
{
    return l ? atomic_load(&l->percent) : -1;
}

void mic_load_stop(mic_load *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->closed = 1;
    pthread_cond_signal(&l->news);
    pthread_mutex_unlock(&l->lock);
    leave(l);
}

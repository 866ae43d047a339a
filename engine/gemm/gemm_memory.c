/* gemm_memory.c - see gemm_memory.h */
#ifdef HAVE_CONFIG_H
#include "config.h" /* madvise */
#endif

#include "gemm/gemm_memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define LINE   ((size_t)64)
#define LARGE  ((size_t)2 << 20) /* a large page of x86-64, and of ARM with small ones of 4 KiB */
#define REGION ((size_t)8 << 20) /* what is not touched takes no memory */

typedef struct region {
    struct region *next;
    char *base;
    size_t size, used;
    int weights; /* that lie in it */
} region;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static region *regions; /* under the lock; the newest first */

static size_t up_to(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static region *region_new(size_t bytes)
{
    region *r = malloc(sizeof *r);
#ifdef __SANITIZE_ADDRESS__
    size_t begin = LINE, size = bytes; /* each by itself, so that ASan sees where one ends */
#else
    size_t begin = LARGE, size = up_to(bytes > REGION ? bytes : REGION, LARGE);
#endif
    char *base = r ? aligned_alloc(begin, size) : NULL;
    if (!base) {
        free(r);
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (begin == LARGE)
        madvise(base, size, MADV_HUGEPAGE);
#endif
    *r = (region){ .next = regions, .base = base, .size = size };
    regions = r;
    return r;
}

void *shoal__weights_new(size_t bytes)
{
    void *weights = NULL;
    bytes = up_to(bytes ? bytes : 1, LINE);
    pthread_mutex_lock(&lock);
    region *r = regions;
    if (!r || r->size - r->used < bytes)
        r = region_new(bytes);
    if (r) {
        weights = r->base + r->used;
        r->used += bytes;
        r->weights++;
    }
    pthread_mutex_unlock(&lock);
    return weights;
}

static int holds(const region *r, const char *weights)
{
    return weights >= r->base && weights < r->base + r->size;
}

void shoal__weights_free(void *weights)
{
    pthread_mutex_lock(&lock);
    for (region **at = &regions; weights && *at; at = &(*at)->next) {
        region *r = *at;
        if (!holds(r, weights))
            continue;
        if (--r->weights == 0) {
            *at = r->next;
            free(r->base);
            free(r);
        }
        break;
    }
    pthread_mutex_unlock(&lock);
}

/* cache.c - what a stream remembers of its layers: memory by place in the program, contents by
 * operation (ops/op.h)
 */
#include <stdlib.h>
#include <string.h>

#include "run/stream.h"

static size_t bytes_of(const shoal_stream *s, int place)
{
    return shoal__layer_cache_bytes(s->model, &s->program->layers[place], &s->params);
}

size_t shoal__cache_memory(const shoal_stream *s)
{
    size_t bytes = 0;
    for (int i = 0; i < s->reserved; i++)
        bytes += bytes_of(s, i);
    return bytes;
}

/* Zeroed, that is, really there: the batch's run will wait for no page. */
int shoal__cache_reserve(shoal_stream *s, int depth)
{
    for (; s->reserved < depth; s->reserved++) {
        size_t bytes = shoal__aligned(bytes_of(s, s->reserved));
        unsigned char *cache = bytes ? aligned_alloc(64, bytes) : NULL;
        if (bytes && !cache)
            return SHOAL_ENOMEM;
        if (cache)
            memset(cache, 0, bytes);
        s->caches[s->reserved] = cache;
    }
    return 0;
}

void shoal__cache_release(shoal_stream *s)
{
    while (s->reserved > 0) {
        free(s->caches[--s->reserved]);
        s->caches[s->reserved] = NULL;
    }
}

void shoal__cache_wake(shoal_stream *s)
{
    int awake = s->depth_used;
    for (int i = awake; i < s->params.depth; i++) {
        int from = -1;
        if (s->params.wake == SHOAL_WAKE_COPY)
            from = shoal__layer_wake_from(s->program, i, awake);
        if (from >= 0)
            memcpy(s->caches[i], s->caches[from], bytes_of(s, i));
        else
            shoal__layer_cache_empty(s->model, &s->program->layers[i], s->caches[i]);
    }
    s->depth_used = s->params.depth;
}

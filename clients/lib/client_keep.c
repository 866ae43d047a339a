/* client_keep.c - see client_keep.h */
#include "lib/client_keep.h"

void shoal__keep_init(shoal__keep *k, size_t max)
{
    *k = (shoal__keep){ .messages = { .max = max } };
}

void shoal__keep_free(shoal__keep *k)
{
    shoal__queue_free(&k->messages);
}

/* 0 if there is none. */
static size_t oldest(const shoal__keep *k)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    return shoal__queue_front(&k->messages, &kind, &bytes, &n) ? n : 0;
}

static void drop_oldest(shoal__keep *k)
{
    k->from += oldest(k);
    shoal__queue_pop(&k->messages);
}

void shoal__keep_push(shoal__keep *k, const void *bytes, size_t n)
{
    if (!n)
        return;
    while (shoal__queue_push(&k->messages, SHOAL__BINARY, bytes, n) < 0) {
        if (!oldest(k)) { /* larger than all there is room for, or out of memory */
            k->from = k->to += n;
            return;
        }
        drop_oldest(k);
    }
    k->to += n;
}

void shoal__keep_forget(shoal__keep *k, uint64_t before)
{
    while (oldest(k) && k->from + oldest(k) <= before)
        drop_oldest(k);
}

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
static int oldest(const shoal__keep *k, size_t *n)
{
    const uint8_t *bytes;
    int kind;

    return shoal__queue_front(&k->messages, &kind, &bytes, n) ? kind : 0;
}

static void count_drop(shoal__keep *k, int kind, size_t n)
{
    int sort = shoal__ask_of(kind);

    if (kind == SHOAL__BINARY)
        k->from += n;
    else if (sort >= 0 && sort < SHOAL__ASKED)
        k->dropped[sort]++;
}

static void drop_oldest(shoal__keep *k)
{
    size_t n = 0;
    int kind = oldest(k, &n);

    count_drop(k, kind, n);
    shoal__queue_pop(&k->messages);
}

void shoal__keep_push(shoal__keep *k, int kind, const void *bytes, size_t n)
{
    size_t was;

    if (kind == SHOAL__TEXT || (kind == SHOAL__BINARY && !n))
        return;
    while (shoal__queue_push(&k->messages, kind, bytes, n) < 0) {
        if (!oldest(k, &was)) { /* larger than all there is room for, or out of memory */
            count_drop(k, kind, n);
            k->to += kind == SHOAL__BINARY ? n : 0;
            return;
        }
        drop_oldest(k);
    }
    k->to += kind == SHOAL__BINARY ? n : 0;
}

void shoal__keep_forget(shoal__keep *k, uint64_t before)
{
    size_t n;
    int kind;

    while ((kind = oldest(k, &n)) != 0 && k->from + (kind == SHOAL__BINARY ? n : 1) <= before)
        drop_oldest(k);
}

/* queue.c - one-writer one-reader rings; see queue.h for who does what */
#include "queue.h"

#include <stdlib.h>
#include <string.h>

static size_t power_of_two_from(size_t n)
{
    size_t p = 64;
    while (p < n)
        p *= 2;
    return p;
}

int shoald_queue_init(shoald_queue *q, size_t capacity)
{
    memset(q, 0, sizeof *q);
    q->capacity = power_of_two_from(capacity);
    q->data = malloc(q->capacity);
    return q->data ? 0 : -1;
}

void shoald_queue_free(shoald_queue *q)
{
    free(q->data);
    q->data = NULL;
}

size_t shoald_queue_fill(const shoald_queue *q)
{
    size_t tail = atomic_load(&q->tail); /* first: head is then never behind it */
    return atomic_load(&q->head) - tail;
}

size_t shoald_queue_room(const shoald_queue *q)
{
    return q->capacity - shoald_queue_fill(q);
}

/* Where in data the byte with this count lies. */
static size_t place_of(const shoald_queue *q, size_t count)
{
    return (count - q->base) & (q->capacity - 1);
}

static void copy_in(shoald_queue *q, size_t at, const void *from, size_t n)
{
    size_t offset = place_of(q, at);
    size_t first = n < q->capacity - offset ? n : q->capacity - offset;
    memcpy(q->data + offset, from, first);
    if (n > first)
        memcpy(q->data, (const unsigned char *)from + first, n - first);
}

bool shoald_queue_put(shoald_queue *q, const shoald_record *r, const void *payload)
{
    size_t fill = shoald_queue_fill(q);
    if (q->capacity - fill < SHOALD_RECORD_BYTES + r->size)
        return false;
    size_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    if (fill == 0)
        q->base = head;
    copy_in(q, head, r, SHOALD_RECORD_BYTES);
    if (r->size)
        copy_in(q, head + SHOALD_RECORD_BYTES, payload, r->size);
    atomic_store(&q->head, head + SHOALD_RECORD_BYTES + r->size);
    return true;
}

bool shoald_queue_peek(const shoald_queue *q, shoald_record *r)
{
    if (shoald_queue_fill(q) == 0)
        return false;
    shoald_queue_copy(q, 0, r, SHOALD_RECORD_BYTES);
    return true;
}

size_t shoald_queue_view(const shoald_queue *q, size_t offset, size_t n, const void **bytes)
{
    size_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    size_t at = place_of(q, tail + offset);
    *bytes = q->data + at;
    return n < q->capacity - at ? n : q->capacity - at;
}

void shoald_queue_copy(const shoald_queue *q, size_t offset, void *to, size_t n)
{
    const void *piece;
    size_t first = shoald_queue_view(q, offset, n, &piece);
    memcpy(to, piece, first);
    if (n > first)
        memcpy((unsigned char *)to + first, q->data, n - first);
}

void shoald_queue_drop(shoald_queue *q, size_t n)
{
    size_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    atomic_store(&q->tail, tail + n);
}

int shoald_mailbox_init(shoald_mailbox *m, size_t count)
{
    memset(m, 0, sizeof *m);
    m->count = power_of_two_from(count);
    m->slots = calloc(m->count, sizeof *m->slots);
    return m->slots ? 0 : -1;
}

void shoald_mailbox_free(shoald_mailbox *m)
{
    free(m->slots);
    m->slots = NULL;
}

bool shoald_mailbox_put(shoald_mailbox *m, void *what)
{
    size_t head = atomic_load_explicit(&m->head, memory_order_relaxed);
    if (head - atomic_load(&m->tail) == m->count)
        return false;
    m->slots[head & (m->count - 1)] = what;
    atomic_store(&m->head, head + 1);
    return true;
}

void *shoald_mailbox_take(shoald_mailbox *m)
{
    size_t tail = atomic_load_explicit(&m->tail, memory_order_relaxed);
    if (tail == atomic_load(&m->head))
        return NULL;
    void *what = m->slots[tail & (m->count - 1)];
    atomic_store(&m->tail, tail + 1);
    return what;
}

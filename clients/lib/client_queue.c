/* client_queue.c - first-in first-out of whole messages in one block of memory
 *
 *     data: | free | size kind bytes | size kind bytes | open message ... | free |
 *             head                                     tail
 *
 * The block starts small and doubles up to max. When the end is reached but there is room in
 * front, everything moves down: each byte moves at most about once for each block it passes.
 */
#include "lib/client_queue.h"

#include <stdlib.h>
#include <string.h>

int shoal__queue_init(shoal__queue *q, size_t initial, size_t max)
{
    *q = (shoal__queue){ .data = initial ? malloc(initial) : NULL, .cap = initial, .max = max };
    return q->data || !initial ? 0 : -1;
}

void shoal__queue_free(shoal__queue *q)
{
    free(q->data);
    *q = (shoal__queue){ 0 };
}

size_t shoal__queue_used(const shoal__queue *q)
{
    return q->tail - q->head + q->open;
}

static int grow(shoal__queue *q, size_t need)
{
    size_t cap = q->cap * 2 > need ? q->cap * 2 : need;
    uint8_t *more;

    if (cap > q->max)
        cap = q->max;
    more = realloc(q->data, cap);
    if (!more)
        return -1;
    q->data = more;
    q->cap = cap;
    return 0;
}

/* Room for n more bytes after the open message. */
static int reserve(shoal__queue *q, size_t n)
{
    size_t used = shoal__queue_used(q);

    if (n > q->max || used > q->max - n)
        return -1;
    if (q->tail + q->open + n <= q->cap)
        return 0;
    if (used)
        memmove(q->data, q->data + q->head, used);
    q->tail -= q->head;
    q->head = 0;
    return used + n <= q->cap ? 0 : grow(q, used + n);
}

int shoal__queue_append(shoal__queue *q, const void *bytes, size_t n)
{
    size_t record = q->open ? 0 : SHOAL__RECORD_BYTES;

    if (n > q->max || reserve(q, record + n) < 0)
        return -1;
    q->open += record;
    if (n)
        memcpy(q->data + q->tail + q->open, bytes, n);
    q->open += n;
    return 0;
}

int shoal__queue_commit(shoal__queue *q, int kind)
{
    uint32_t record[2];

    if (!q->open && shoal__queue_append(q, NULL, 0) < 0)
        return -1;
    record[0] = (uint32_t)(q->open - SHOAL__RECORD_BYTES);
    record[1] = (uint32_t)kind;
    memcpy(q->data + q->tail, record, sizeof record);
    q->tail += q->open;
    q->open = 0;
    return 0;
}

int shoal__queue_push(shoal__queue *q, int kind, const void *bytes, size_t n)
{
    return shoal__queue_append(q, bytes, n) < 0 ? -1 : shoal__queue_commit(q, kind);
}

int shoal__queue_walk(const shoal__queue *q, size_t *at, int *kind, const uint8_t **bytes,
                      size_t *n)
{
    const uint8_t *message;
    uint32_t record[2];

    if (q->head + *at == q->tail)
        return 0;
    message = q->data + q->head + *at;
    memcpy(record, message, sizeof record);
    *n = record[0];
    *kind = (int)record[1];
    *bytes = message + SHOAL__RECORD_BYTES;
    *at += SHOAL__RECORD_BYTES + *n;
    return 1;
}

int shoal__queue_front(const shoal__queue *q, int *kind, const uint8_t **bytes, size_t *n)
{
    size_t at = 0;

    return shoal__queue_walk(q, &at, kind, bytes, n);
}

void shoal__queue_mark(shoal__queue *q, size_t at, int kind)
{
    uint32_t word = (uint32_t)kind;

    memcpy(q->data + q->head + at + sizeof word, &word, sizeof word);
}

void shoal__queue_pop(shoal__queue *q)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    if (!shoal__queue_front(q, &kind, &bytes, &n))
        return;
    q->head += SHOAL__RECORD_BYTES + n;
    if (q->head == q->tail && !q->open)
        q->head = q->tail = 0;
}

void shoal__queue_clear(shoal__queue *q)
{
    q->head = q->tail = q->open = 0;
}

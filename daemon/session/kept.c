/* kept.c - see kept.h */
#include "session/kept.h"

#include <string.h>

int shoald_kept_init(shoald_kept *k, size_t bytes)
{
    memset(k, 0, sizeof *k);
    return bytes ? shoald_queue_init(&k->ring, bytes) : 0;
}

void shoald_kept_free(shoald_kept *k)
{
    shoald_queue_free(&k->ring);
}

static void drop_oldest(shoald_kept *k)
{
    shoald_record r;
    shoald_queue_peek(&k->ring, &r);
    shoald_queue_drop(&k->ring, SHOALD_RECORD_BYTES + r.size);
    k->from++;
}

/* One that is larger than the ring leaves nothing of what lay before it, either. */
void shoald_kept_add(shoald_kept *k, const shoald_record *r, const void *payload)
{
    k->sent++;
    k->next = k->sent;
    while (k->ring.data && !shoald_queue_put(&k->ring, r, payload)) {
        if (shoald_queue_fill(&k->ring) == 0)
            break;
        drop_oldest(k);
    }
    if (!k->ring.data || shoald_queue_fill(&k->ring) == 0)
        k->from = k->sent;
}

static size_t size_at(const shoald_kept *k, size_t at)
{
    shoald_record r;
    shoald_queue_copy(&k->ring, at, &r, SHOALD_RECORD_BYTES);
    return SHOALD_RECORD_BYTES + r.size;
}

void shoald_kept_rewind(shoald_kept *k, uint64_t got)
{
    k->next = got;
    k->next_at = 0;
    for (uint64_t i = k->from; i < got; i++)
        k->next_at += size_at(k, k->next_at);
}

bool shoald_kept_take(shoald_kept *k, shoald_record *r, void *payload)
{
    if (!shoald_kept_goes_again(k))
        return false;
    shoald_queue_copy(&k->ring, k->next_at, r, SHOALD_RECORD_BYTES);
    shoald_queue_copy(&k->ring, k->next_at + SHOALD_RECORD_BYTES, payload, r->size);
    k->next_at += SHOALD_RECORD_BYTES + r->size;
    k->next++;
    return true;
}

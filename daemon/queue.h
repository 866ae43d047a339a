/* queue.h - what the loop thread and a worker hand each other, without locks
 *
 *   shoald_queue    ring of bytes holding records (header + payload). One a direction and
 *                   session: input (loop -> worker) and output (worker -> loop).
 *   shoald_mailbox  ring of pointers: "look at this session". One a direction and worker.
 *
 * Each has one writing and one reading thread. Memory is allocated once, at init, and never
 * grows: a full ring refuses, and what must then wait is the writer's affair. head is written
 * by the writer alone, tail by the reader alone; both count bytes (slots) since the start and
 * never wrap in practice. They are sequentially consistent because the wake-up flags around
 * them (lane.h: in_inbox, blocked, rx_paused) rely on "I stored mine, then I read yours".
 *
 * A ring that is kept empty touches only its first pages, which is most of what it costs: the
 * writer that finds it empty puts the next record at the start of data. That is base, the count
 * that lies there. The reader does not mind, for it looks at base only while there is something
 * to read, and then the writer leaves base alone; head and tail order the accesses.
 */
#ifndef SHOALD_QUEUE_H
#define SHOALD_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHOALD_CACHE_LINE 64

typedef struct shoald_record {
    uint32_t size;    /* bytes of payload that follow */
    uint16_t kind;    /* enum of the queue's owner */
    uint16_t code;    /* output: WebSocket close code after this record, 0 = stay open */
    uint64_t time_ns; /* uv_hrtime() when it was put */
} shoald_record;

typedef struct shoald_queue {
    unsigned char *data; /* [capacity]; set at init, then constant, as is capacity */
    size_t capacity;     /* power of two */
    _Alignas(SHOALD_CACHE_LINE) _Atomic size_t head; /* bytes ever put; writer */
    size_t base; /* the count of the byte at data[0]; writer, while it is empty */
    _Alignas(SHOALD_CACHE_LINE) _Atomic size_t tail; /* bytes ever dropped; reader */
} shoald_queue;

/* capacity is rounded up to a power of two. 0 or -1 (no memory, nothing to free). */
int shoald_queue_init(shoald_queue *q, size_t capacity);
void shoald_queue_free(shoald_queue *q);         /* a zeroed queue is fine */
size_t shoald_queue_fill(const shoald_queue *q); /* bytes in use, headers included */
size_t shoald_queue_room(const shoald_queue *q); /* bytes free */

/* Writer. All or nothing: false when record and payload do not fit. */
bool shoald_queue_put(shoald_queue *q, const shoald_record *r, const void *payload);

/* Reader. The first record's header; false when empty. Its payload begins at
 * SHOALD_RECORD_BYTES. Offsets below count from the first byte not dropped yet. */
#define SHOALD_RECORD_BYTES sizeof(shoald_record)
bool shoald_queue_peek(const shoald_queue *q, shoald_record *r);
/* View of up to n bytes from offset; returns how many lie there in one piece. */
size_t shoald_queue_view(const shoald_queue *q, size_t offset, size_t n, const void **bytes);
void shoald_queue_copy(const shoald_queue *q, size_t offset, void *to, size_t n);
void shoald_queue_drop(shoald_queue *q, size_t n);

typedef struct shoald_mailbox {
    void **slots;                                    /* set at init, then constant, as is count */
    size_t count;                                    /* power of two */
    _Alignas(SHOALD_CACHE_LINE) _Atomic size_t head; /* writer */
    _Alignas(SHOALD_CACHE_LINE) _Atomic size_t tail; /* reader */
} shoald_mailbox;

int shoald_mailbox_init(shoald_mailbox *m, size_t count);
void shoald_mailbox_free(shoald_mailbox *m);
/* Writer; false: full. */
__attribute__((warn_unused_result)) bool shoald_mailbox_put(shoald_mailbox *m, void *what);
void *shoald_mailbox_take(shoald_mailbox *m); /* reader; NULL: empty */

#endif

/* client_out.c - see client_out.h */
#include "lib/client_out.h"

#include <string.h>

enum { HELLO_BYTES = 32 << 10, FIRST_BYTES = 4 << 10 };

int shoal__out_init(shoal__out *o, size_t tx_bytes, size_t keep_bytes)
{
    memset(o, 0, sizeof *o);
    shoal__keep_init(&o->kept, keep_bytes);
    if (shoal__queue_init(&o->hello, 0, HELLO_BYTES) == 0 &&
        shoal__queue_init(&o->tx, FIRST_BYTES, tx_bytes) == 0)
        return 0;
    shoal__out_free(o);
    return -1;
}

void shoal__out_free(shoal__out *o)
{
    shoal__queue_free(&o->hello);
    shoal__queue_free(&o->tx);
    shoal__keep_free(&o->kept);
}

/* ---- the cursor: what of kept goes again ---- */

/* The message of kept at the cursor; 0: all have gone again. *next: the place behind it. */
static int look(const shoal__out *o, int *kind, const uint8_t **bytes, size_t *n, size_t *next)
{
    *next = o->at;
    return o->again && shoal__queue_walk(&o->kept.messages, next, kind, bytes, n);
}

static int number_of(int kind)
{
    return kind >> SHOAL__NUMBER_SHIFT;
}

static int numbered(int kind, unsigned number)
{
    return (kind & SHOAL__UNNUMBERED) | (int)(number << SHOAL__NUMBER_SHIFT);
}

/* A set or a ping that was answered has done its work, and pings of our own are for their time; a
 * flush cuts its chunk again. */
static int goes_again(const shoal__out *o, int kind)
{
    int sort = shoal__ask_of(kind);

    if (o->exact)
        return number_of(kind) != SHOAL__NO_NUMBER;
    if (sort == SHOAL__ASK_ALIVE)
        return 0;
    if (sort != SHOAL__ASK_SET && sort != SHOAL__ASK_PING)
        return 1;
    return o->kept.dropped[sort] + o->nth[sort] >= o->answered[sort];
}

static void pass(shoal__out *o, int kind, size_t next)
{
    int sort = shoal__ask_of(kind);

    if (sort >= 0 && sort < SHOAL__ASKED)
        o->nth[sort]++;
    o->at = next;
    o->skip = 0;
}

/* What the server will not hear has no number in its session. */
static void pass_what_stays(shoal__out *o)
{
    const uint8_t *bytes;
    size_t n, next;
    int kind;

    while (look(o, &kind, &bytes, &n, &next) && !goes_again(o, kind)) {
        shoal__queue_mark(&o->kept.messages, o->at, numbered(kind, SHOAL__NO_NUMBER));
        pass(o, kind, next);
    }
}

/* The server gets the request at the cursor. */
static void number(shoal__out *o, int kind)
{
    if (shoal__ask_of(kind) >= 0)
        shoal__queue_mark(&o->kept.messages, o->at, numbered(kind, ++o->asked));
}

/* ---- to the wire ---- */

int shoal__out_front(const shoal__out *o, int *kind, const uint8_t **bytes, size_t *n)
{
    size_t next;
    int r = shoal__queue_front(&o->hello, kind, bytes, n);

    if (r || (o->again && !o->open))
        return r;
    if (look(o, kind, bytes, n, &next)) {
        *bytes += o->skip;
        *n -= o->skip;
        *n = *kind == SHOAL__BINARY && *n > o->most ? o->most : *n;
        r = 1;
    } else {
        r = shoal__queue_front(&o->tx, kind, bytes, n);
    }
    *kind &= SHOAL__KIND_MASK;
    return r;
}

/* tx -> kept, as what the wire has taken. */
static void move_on(shoal__out *o)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    if (!shoal__queue_front(&o->tx, &kind, &bytes, &n))
        return;
    if (shoal__ask_of(kind) >= 0)
        kind = numbered(kind, ++o->asked);
    shoal__keep_push(&o->kept, kind, bytes, n);
    shoal__queue_pop(&o->tx);
    if (o->again) /* it was at the end of kept, and what is new there has just gone */
        o->at = o->kept.messages.tail - o->kept.messages.head;
}

void shoal__out_sent(shoal__out *o)
{
    const uint8_t *bytes;
    size_t n, next;
    int kind;

    if (shoal__queue_front(&o->hello, &kind, &bytes, &n)) {
        shoal__queue_pop(&o->hello);
    } else if (!look(o, &kind, &bytes, &n, &next)) {
        move_on(o);
    } else if (kind == SHOAL__BINARY && n - o->skip > o->most) {
        o->skip += o->most;
    } else {
        number(o, kind);
        pass(o, kind, next);
        pass_what_stays(o);
    }
}

int shoal__out_answered(shoal__out *o, int ask)
{
    if (ask == SHOAL__ASK_FLUSH && o->owed) {
        o->owed--;
        return 0;
    }
    o->answered[ask]++;
    return 1;
}

/* ---- a new connection ---- */

/* Flushes of what goes again whose answers the program has. */
static unsigned count_owed(const shoal__out *o)
{
    unsigned passed = o->kept.dropped[SHOAL__ASK_FLUSH] + o->nth[SHOAL__ASK_FLUSH];

    return o->answered[SHOAL__ASK_FLUSH] > passed ? o->answered[SHOAL__ASK_FLUSH] - passed : 0;
}

/* The server begins anew: those behind the cursor have no number any more, those before it none
 * yet. */
static void number_anew(shoal__out *o)
{
    const uint8_t *bytes;
    size_t n, at = 0, next = 0;
    int kind;

    o->asked = 0;
    for (; shoal__queue_walk(&o->kept.messages, &next, &kind, &bytes, &n); at = next)
        if (shoal__ask_of(kind) >= 0)
            shoal__queue_mark(&o->kept.messages, at,
                              numbered(kind, at < o->at ? SHOAL__NO_NUMBER : 0));
}

void shoal__out_again(shoal__out *o, uint64_t from)
{
    const uint8_t *bytes;
    size_t n, next;
    uint64_t at;
    int kind;

    o->again = 1;
    o->open = o->exact = 0;
    while (o->kept.to < from && shoal__queue_used(&o->tx))
        move_on(o);
    o->at = o->skip = 0;
    memset(o->nth, 0, sizeof o->nth);
    at = o->kept.from;
    while (at < from && look(o, &kind, &bytes, &n, &next)) {
        if (kind == SHOAL__BINARY && at + n > from) {
            o->skip = (size_t)(from - at);
            break;
        }
        at += kind == SHOAL__BINARY ? n : 0;
        pass(o, kind, next);
    }
    o->base = from;
    number_anew(o);
    o->owed = count_owed(o);
    if (!o->skip)
        pass_what_stays(o);
}

void shoal__out_wait(shoal__out *o)
{
    o->again = 1;
    o->open = 0;
}

/* 1: the message is the server's already, of `at` bytes before it; 0: it is the first that goes;
 * -1: what the server says cannot be. */
static int is_there(int kind, uint64_t at, size_t n, uint64_t bytes, uint64_t requests)
{
    unsigned number = (unsigned)number_of(kind);

    if (kind == SHOAL__BINARY)
        return at + n <= bytes;
    if (number == SHOAL__NO_NUMBER || (number && number <= requests))
        return 1;
    return at < bytes ? -1 : 0;
}

int shoal__out_continue(shoal__out *o, uint64_t bytes, uint64_t requests)
{
    uint64_t at = o->kept.from, end = o->base + bytes;
    const uint8_t *view;
    size_t n, next;
    int kind, there = 1;

    o->exact = 1;
    o->at = o->skip = 0;
    memset(o->nth, 0, sizeof o->nth);
    if (end < at || end > o->kept.to || requests > o->asked)
        return -1;
    while (look(o, &kind, &view, &n, &next) &&
           (there = is_there(kind, at, n, end, requests)) == 1) {
        at += kind == SHOAL__BINARY ? n : 0;
        pass(o, kind, next);
    }
    if (there == 0 && kind == SHOAL__BINARY)
        o->skip = (size_t)(end - at);
    o->asked = (unsigned)requests;
    if (!o->skip)
        pass_what_stays(o);
    return there < 0 ? -1 : 0;
}

void shoal__out_open(shoal__out *o, size_t most)
{
    o->open = 1;
    o->most = most ? most : 1;
}

/* The cursor is behind what is forgotten: its place is counted from the head. */
void shoal__out_forget(shoal__out *o, uint64_t before)
{
    const shoal__queue *q = &o->kept.messages;
    size_t used = q->tail - q->head, gone;
    unsigned dropped[SHOAL__ASKED];

    memcpy(dropped, o->kept.dropped, sizeof dropped);
    shoal__keep_forget(&o->kept, before);
    gone = used - (q->tail - q->head);
    o->at -= gone < o->at ? gone : o->at;
    for (int i = 0; i < SHOAL__ASKED; i++) {
        unsigned less = o->kept.dropped[i] - dropped[i];

        o->nth[i] -= less < o->nth[i] ? less : o->nth[i];
    }
}

int shoal__out_walk(const shoal__out *o, size_t *at, const uint8_t **bytes, size_t *n)
{
    size_t kept = o->kept.messages.tail - o->kept.messages.head, in_tx;
    int kind;

    while (*at < kept) {
        if (!shoal__queue_walk(&o->kept.messages, at, &kind, bytes, n))
            return 0;
        if (kind == SHOAL__BINARY)
            return 1;
    }
    for (in_tx = *at - kept; shoal__queue_walk(&o->tx, &in_tx, &kind, bytes, n);)
        if (kind == SHOAL__BINARY) {
            *at = kept + in_tx;
            return 1;
        }
    return 0;
}

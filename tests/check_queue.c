/* check_queue.c - the rings between the loop and a worker: order, limits, what they touch */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"
#include "suite.h"

enum { CAPACITY = 4096, ROUNDS = 5000, LARGEST = 1000 };

static void put(shoald_queue *q, unsigned number, uint32_t size)
{
    unsigned char payload[CAPACITY];
    shoald_record r = { size, (uint16_t)number, 0, number };

    memset(payload, (int)(number & 0xff), size);
    ck_assert(shoald_queue_put(q, &r, payload));
}

/* Takes the first record in pieces as the daemon does: its header first. */
static void take(shoald_queue *q, unsigned number, uint32_t size)
{
    unsigned char payload[CAPACITY];
    shoald_record r;

    ck_assert(shoald_queue_peek(q, &r));
    ck_assert_uint_eq(r.size, size);
    ck_assert_uint_eq(r.time_ns, number);
    shoald_queue_drop(q, SHOALD_RECORD_BYTES);
    shoald_queue_copy(q, 0, payload, size);
    for (uint32_t i = 0; i < size; i++)
        ck_assert_uint_eq(payload[i], number & 0xff);
    shoald_queue_drop(q, size);
}

START_TEST(a_full_queue_refuses_and_loses_nothing)
{
    const uint32_t size = CAPACITY / 4 - SHOALD_RECORD_BYTES;
    shoald_record small = { 0, 0, 0, 0 };
    shoald_queue q;

    ck_assert_int_eq(shoald_queue_init(&q, CAPACITY), 0);
    put(&q, 1, 100);
    take(&q, 1, 100); /* so that it does not begin where data begins */
    for (unsigned i = 0; i < 4; i++)
        put(&q, i, size);
    ck_assert_uint_eq(shoald_queue_room(&q), 0);
    ck_assert(!shoald_queue_put(&q, &small, NULL));
    take(&q, 0, size);
    put(&q, 4, size);
    for (unsigned i = 1; i < 5; i++)
        take(&q, i, size);
    ck_assert_uint_eq(shoald_queue_fill(&q), 0);
    shoald_queue_free(&q);
}
END_TEST

/* Never empty, so it goes round; records are split at the end of data. */
START_TEST(records_that_wrap_stay_whole)
{
    shoald_queue q;

    ck_assert_int_eq(shoald_queue_init(&q, CAPACITY), 0);
    put(&q, 0, 7);
    for (unsigned i = 1; i < 1000; i++) {
        put(&q, i, i * 37 % LARGEST);
        take(&q, i - 1, i == 1 ? 7 : (i - 1) * 37 % LARGEST);
    }
    shoald_queue_free(&q);
}
END_TEST

/* What one megabyte of records leaves of a ring that its reader keeps empty. */
START_TEST(kept_empty_it_touches_only_its_beginning)
{
    const uint32_t size = 600;
    shoald_queue q;

    ck_assert_int_eq(shoald_queue_init(&q, CAPACITY), 0);
    memset(q.data, 0xee, CAPACITY);
    for (unsigned i = 0; i < 1700; i++) {
        put(&q, i & 0x7f, size);
        take(&q, i & 0x7f, size);
    }
    for (size_t i = SHOALD_RECORD_BYTES + size; i < CAPACITY; i++)
        ck_assert_uint_eq(q.data[i], 0xee);
    shoald_queue_free(&q);
}
END_TEST

static void *write_all(void *opaque)
{
    shoald_queue *q = opaque;
    unsigned char payload[LARGEST];

    for (unsigned i = 0; i < ROUNDS; i++) {
        shoald_record r = { i * 37 % LARGEST, 0, 0, i };

        memset(payload, (int)(i & 0xff), r.size);
        while (!shoald_queue_put(q, &r, payload))
            sched_yield();
    }
    return NULL;
}

/* The reader finds it empty again and again, and full, with the writer on another core. */
START_TEST(two_threads_see_the_same_records)
{
    pthread_t writer;
    shoald_queue q;
    shoald_record r;

    ck_assert_int_eq(shoald_queue_init(&q, CAPACITY), 0);
    ck_assert(!pthread_create(&writer, NULL, write_all, &q));
    for (unsigned i = 0; i < ROUNDS; i++) {
        while (!shoald_queue_peek(&q, &r))
            sched_yield();
        take(&q, i, i * 37 % LARGEST);
    }
    pthread_join(writer, NULL);
    ck_assert_uint_eq(shoald_queue_fill(&q), 0);
    shoald_queue_free(&q);
}
END_TEST

START_TEST(a_mailbox_keeps_order_and_refuses_when_full)
{
    int mail[64];
    shoald_mailbox m;

    ck_assert_int_eq(shoald_mailbox_init(&m, 64), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 64; i++)
            ck_assert(shoald_mailbox_put(&m, &mail[i]));
        ck_assert(!shoald_mailbox_put(&m, &mail[0]));
        for (int i = 0; i < 64; i++)
            ck_assert_ptr_eq(shoald_mailbox_take(&m), &mail[i]);
        ck_assert_ptr_null(shoald_mailbox_take(&m));
    }
    shoald_mailbox_free(&m);
}
END_TEST

static Suite *queue_suite(void)
{
    Suite *s = suite_create("queue");
    TCase *t = tcase_create("queue");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_full_queue_refuses_and_loses_nothing);
    tcase_add_test(t, records_that_wrap_stay_whole);
    tcase_add_test(t, kept_empty_it_touches_only_its_beginning);
    tcase_add_test(t, two_threads_see_the_same_records);
    tcase_add_test(t, a_mailbox_keeps_order_and_refuses_when_full);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(queue_suite());
}

/* check_park.c - sessions whose links broke: how many are kept and how long, what of their results,
 * and the query of a client that comes back */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ticket.h"
#include "plan/parking.h"
#include "session/kept.h"
#include "shoal-protocol.h"
#include "suite.h"

/* ---- bounds -------------------------------------------------------------------------------- */

START_TEST(the_bounds_of_parking)
{
    const shoald_parking_limits l = { .window_ms = 30000, .sessions = 3, .bytes = 1600 };
    const shoald_parking_limits off = { .window_ms = 0, .sessions = 3, .bytes = 1600 };
    const shoald_parking_limits none = { .window_ms = 30000, .sessions = 0, .bytes = 1600 };

    ck_assert(shoald_parking_takes(&l, 100)); /* a sixteenth */
    ck_assert(!shoald_parking_takes(&l, 101));
    ck_assert(!shoald_parking_takes(&off, 1));
    ck_assert(!shoald_parking_takes(&none, 1));
    ck_assert(!shoald_parking_is_over(&l, &(shoald_parked){ 3, 1600 }, 1));
    ck_assert(shoald_parking_is_over(&l, &(shoald_parked){ 4, 1600 }, 1));
    ck_assert(shoald_parking_is_over(&l, &(shoald_parked){ 3, 1601 }, 1));
    ck_assert(shoald_parking_is_over(&l, &(shoald_parked){ 1, 1 }, 0));
    ck_assert(shoald_parking_is_over(&off, &(shoald_parked){ 1, 1 }, 9)); /* turned off since */
    ck_assert(!shoald_parking_is_over(&l, &(shoald_parked){ 0, 0 }, 0));  /* nobody can go */
    const shoald_parking_limits shared = { .sessions = 8, .bytes = 1600, .percent = 25 };
    ck_assert(!shoald_parking_is_greedy(&shared, &(shoald_parked){ 2, 400 }));
    ck_assert(shoald_parking_is_greedy(&shared, &(shoald_parked){ 3, 3 }));
    ck_assert(shoald_parking_is_greedy(&shared, &(shoald_parked){ 2, 401 }));
    ck_assert(!shoald_parking_is_greedy(&shared, &(shoald_parked){ 1, 401 })); /* one has to fit */
    ck_assert(!shoald_parking_is_past(&l, 7, 7 + 29999999999u));
    ck_assert(shoald_parking_is_past(&l, 7, 7 + 30000000000u));
    ck_assert(!shoald_parking_is_past(&l, 7, 6));
}
END_TEST

START_TEST(how_much_of_the_results_is_kept)
{
    const shoald_parking_limits l = { .window_ms = 30000 }, off = { .window_ms = 0 };

    ck_assert_uint_eq(shoald_parking_kept_bytes(&l, 2000, 1 << 18), 60000);
    ck_assert_uint_eq(shoald_parking_kept_bytes(&l, 1000000, 1 << 18), 1 << 18);
    ck_assert_uint_eq(shoald_parking_kept_bytes(&l, 1, 1 << 18), 8 << 10);
    ck_assert_uint_eq(shoald_parking_kept_bytes(&off, 2000, 1 << 18), 0);
    ck_assert_int_eq(shoald_parking_covers(10, 4, 4), SHOALD_COVERED);
    ck_assert_int_eq(shoald_parking_covers(10, 4, 10), SHOALD_COVERED);
    ck_assert_int_eq(shoald_parking_covers(10, 4, 3), SHOALD_FORGOTTEN);
    ck_assert_int_eq(shoald_parking_covers(10, 4, 11), SHOALD_NEVER_SENT);
    ck_assert_int_eq(shoald_parking_covers(10, 4, SHOAL_MAX_COUNT), SHOALD_NEVER_SENT);
}
END_TEST

START_TEST(tickets_are_compared_whole)
{
    unsigned char a[SHOALD_TICKET_BYTES], b[SHOALD_TICKET_BYTES];
    char digits[SHOAL_TICKET_DIGITS + 1];

    ck_assert(shoald_ticket_draw(a, digits));
    ck_assert_uint_eq(strspn(digits, "0123456789abcdef"), SHOAL_TICKET_DIGITS);
    shoald_ticket_read(b, digits);
    ck_assert(shoald_ticket_is(a, b));
    for (int i = 0; i < SHOALD_TICKET_BYTES; i++)
        a[i] = b[i] = (unsigned char)(i * 17);
    ck_assert(shoald_ticket_is(a, b));
    for (int i = 0; i < SHOALD_TICKET_BYTES * 8; i++) {
        b[i / 8] ^= (unsigned char)(1 << i % 8);
        ck_assert(!shoald_ticket_is(a, b));
        b[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    for (uint32_t chance = 0; chance < 3000; chance += 7) {
        ck_assert_int_ge(shoald_spread_ms(5000, chance), 5000);
        ck_assert_int_le(shoald_spread_ms(5000, chance), 7500);
    }
    ck_assert_int_ne(shoald_spread_ms(5000, 1), shoald_spread_ms(5000, 500));
    ck_assert_int_eq(shoald_spread_ms(3600000, 1000), 5400000);
}
END_TEST

/* ---- what was given ------------------------------------------------------------------------ */

/* Message i has i % 7 + 1 bytes, all of them i. */
static void give(shoald_kept *k, int i)
{
    unsigned char payload[8];
    shoald_record r = { (uint32_t)(i % 7 + 1), (uint16_t)(i & 1), (uint16_t)(i == 40 ? 1000 : 0),
                        0 };

    memset(payload, i, sizeof payload);
    shoald_kept_add(k, &r, payload);
}

static void expect_again(shoald_kept *k, int first, int end)
{
    unsigned char payload[8];
    shoald_record r;

    for (int i = first; i < end; i++) {
        ck_assert(shoald_kept_goes_again(k));
        ck_assert(shoald_kept_take(k, &r, payload));
        ck_assert_uint_eq(r.size, i % 7 + 1);
        ck_assert_uint_eq(r.kind, i & 1);
        ck_assert_uint_eq(r.code, i == 40 ? 1000 : 0);
        for (uint32_t j = 0; j < r.size; j++)
            ck_assert_uint_eq(payload[j], i);
    }
    ck_assert(!shoald_kept_goes_again(k));
    ck_assert(!shoald_kept_take(k, &r, payload));
}

START_TEST(the_last_messages_are_kept)
{
    shoald_kept k;

    ck_assert_int_eq(shoald_kept_init(&k, 256), 0);
    expect_again(&k, 0, 0);
    shoald_kept_rewind(&k, 0);
    for (int i = 0; i < 40; i++)
        give(&k, i);
    ck_assert_uint_eq(k.sent, 40);
    ck_assert_uint_gt(k.from, 20); /* 17..23 bytes each with their records */
    ck_assert_uint_lt(k.from, 35);
    for (int from = (int)k.from; from <= 40; from++) {
        shoald_kept_rewind(&k, (uint64_t)from);
        expect_again(&k, from, 40);
    }
    shoald_kept_rewind(&k, 38); /* cut once more while they go */
    unsigned char payload[8];
    shoald_record r;
    ck_assert(shoald_kept_take(&k, &r, payload));
    shoald_kept_rewind(&k, 37);
    expect_again(&k, 37, 40);
    give(&k, 40); /* and on */
    expect_again(&k, 41, 41);
    shoald_kept_rewind(&k, 39);
    expect_again(&k, 39, 41);
    shoald_kept_free(&k);
}
END_TEST

START_TEST(a_message_larger_than_the_ring)
{
    static unsigned char large[1000];
    shoald_record r = { sizeof large, 0, 0, 0 };
    shoald_kept k;

    ck_assert_int_eq(shoald_kept_init(&k, 256), 0);
    give(&k, 0);
    shoald_kept_add(&k, &r, large);
    ck_assert_uint_eq(k.sent, 2);
    ck_assert_uint_eq(k.from, 2);
    give(&k, 2);
    ck_assert_uint_eq(k.from, 2);
    shoald_kept_rewind(&k, 2);
    expect_again(&k, 2, 3);
    shoald_kept_free(&k);
    ck_assert_int_eq(shoald_kept_init(&k, 0), 0); /* where nobody comes back */
    give(&k, 0);
    ck_assert_uint_eq(k.sent, 1);
    ck_assert_uint_eq(k.from, 1);
    expect_again(&k, 1, 1);
    shoald_kept_free(&k);
}
END_TEST

/* ---- the query ----------------------------------------------------------------------------- */

#define TICKET "6b1f0e94c6a2d7583fd0a94e1b7c2385"

static const struct {
    const char *query;
    int is_one;
    uint64_t got;
    const char *ref;
} queries[] = {
    { "resume=" TICKET "&got=57", 1, 57, NULL },
    { "?got=0&&resume=" TICKET, 1, 0, NULL },
    { "resume=" TICKET "&got=9007199254740992", 1, SHOAL_MAX_COUNT, NULL },
    { "resume=" TICKET "&got=9007199254740993", -1, 0, "got" },
    { "resume=" TICKET "&got=99999999999999999999999999", -1, 0, "got" },
    { "resume=" TICKET "&got=-1", -1, 0, "got" },
    { "resume=" TICKET "&got=", -1, 0, "got" },
    { "resume=" TICKET "&got", -1, 0, "got" },
    { "resume=" TICKET, -1, 0, "got" },
    { "resume=" TICKET "&got=1&got=1", -1, 0, "got" },
    { "resume=" TICKET "&resume=" TICKET "&got=1", -1, 0, "resume" },
    { "resume=" TICKET "0&got=1", -1, 0, "resume" },
    { "resume=" TICKET "&got=1&depth=3", -1, 0, "resume" },
    { "resume=&got=1", -1, 0, "resume" },
    { "resume&got=1", -1, 0, "resume" },
    { "resume=6B1F0E94C6A2D7583FD0A94E1B7C2385&got=1", -1, 0, "resume" },
    { "got=1", 0, 0, NULL },
    { "depth=3", 0, 0, NULL },
    { "resumes=1&got=1", 0, 0, NULL },
    { "", 0, 0, NULL },
};

START_TEST(the_query_of_one_who_comes_back)
{
    const char *query = queries[_i].query;
    shoal_error err = { 0 };
    shoal_buf b = { 0 };
    shoal_resume r;

    ck_assert_int_eq(shoal_resume_parse_query(&r, query, strlen(query), &err), queries[_i].is_one);
    if (queries[_i].is_one == 1) {
        ck_assert_str_eq(r.ticket, TICKET);
        ck_assert_uint_eq(r.got, queries[_i].got);
        ck_assert_int_eq(shoal_resume_encode_query(&b, &r), 0);
        ck_assert_int_eq(shoal_resume_parse_query(&r, b.data, b.size, &err), 1);
        ck_assert_uint_eq(r.got, queries[_i].got);
    } else if (queries[_i].is_one < 0) {
        ck_assert_int_eq(err.code, SHOAL_CODE_BAD_OPTION);
        ck_assert_str_eq(err.ref, queries[_i].ref);
        ck_assert_ptr_null(strstr(err.message, TICKET));
    }
    shoal_buf_free(&b);
}
END_TEST

/* A key whose first byte ends a string is no key of nothing, which sessions have that are not kept.
 */
START_TEST(a_key_is_whole)
{
    char query[] = "resume=" TICKET "&got=1";
    shoal_error err;
    shoal_resume r;

    for (size_t at = 7; at < 7 + SHOAL_TICKET_DIGITS; at++) {
        char digit = query[at];
        query[at] = 0;
        ck_assert_int_eq(shoal_resume_parse_query(&r, query, sizeof query - 1, &err), -1);
        ck_assert_str_eq(err.ref, "resume");
        query[at] = digit;
    }
    ck_assert_int_eq(shoal_resume_parse_query(&r, query, sizeof query - 1, &err), 1);
}
END_TEST

static Suite *park_suite(void)
{
    Suite *s = suite_create("park");
    TCase *plan = tcase_create("plan"), *kept = tcase_create("kept"),
          *query = tcase_create("query");

    tcase_add_test(plan, the_bounds_of_parking);
    tcase_add_test(plan, how_much_of_the_results_is_kept);
    tcase_add_test(plan, tickets_are_compared_whole);
    tcase_add_test(kept, the_last_messages_are_kept);
    tcase_add_test(kept, a_message_larger_than_the_ring);
    tcase_add_loop_test(query, the_query_of_one_who_comes_back, 0,
                        sizeof queries / sizeof *queries);
    tcase_add_test(query, a_key_is_whole);
    suite_add_tcase(s, plan);
    suite_add_tcase(s, kept);
    suite_add_tcase(s, query);
    return s;
}

int main(void)
{
    return suite_run(park_suite());
}

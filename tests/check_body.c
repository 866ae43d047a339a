/* check_body.c - bodies of requests: what is payload, where they end, what is refused; in any cut
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "net/body.h"
#include "suite.h"

typedef struct taken {
    char payload[256];
    size_t size, used; /* of payload; of the bytes given */
    shoald_body_state state;
    const char *why;
} taken;

/* In pieces of cut bytes, and no more than room of payload at a time. */
static taken take(bool chunked, uint64_t length, const char *bytes, size_t n, size_t cut,
                  size_t room)
{
    taken t = { .state = SHOALD_BODY_MORE };
    shoald_body b;
    shoald_body_init(&b, chunked, length);
    while (t.state == SHOALD_BODY_MORE) {
        size_t framing, payload, rest = n - t.used < cut ? n - t.used : cut;
        t.state = shoald_body_next(&b, bytes + t.used, rest, &framing, &payload);
        t.used += framing;
        if (t.state != SHOALD_BODY_MORE || (payload == 0 && t.used == n))
            break;
        size_t k = payload < room ? payload : room;
        memcpy(t.payload + t.size, bytes + t.used, k);
        shoald_body_take(&b, k);
        t.size += k;
        t.used += k;
    }
    ck_assert_uint_eq(b.taken, t.size);
    t.why = b.why;
    return t;
}

static taken take_chunked(const char *text, size_t cut, size_t room)
{
    return take(true, 0, text, strlen(text), cut, room);
}

START_TEST(a_length_is_kept_to)
{
    const char *text = "0123456789GET / HTTP";
    for (size_t cut = 1; cut < 12; cut++)
        for (size_t room = 1; room < 4; room++) {
            taken t = take(false, 10, text, strlen(text), cut, room);
            ck_assert_int_eq(t.state, SHOALD_BODY_WHOLE);
            ck_assert_uint_eq(t.used, 10);
            ck_assert_mem_eq(t.payload, "0123456789", 10);
        }
    ck_assert_int_eq(take(false, 0, text, 5, 5, 5).state, SHOALD_BODY_WHOLE);
    ck_assert_int_eq(take(false, 10, text, 9, 9, 9).state, SHOALD_BODY_MORE);
}
END_TEST

START_TEST(chunks_are_put_together)
{
    const char *text = "3\r\nabc\r\n00A;name=\"v;\\\" x\";q\r\n0123456789\r\n1 \r\nz\r\n"
                       "0;last\r\nX-Trailer: a\r\nY: b\r\n\r\nGET / HTTP";
    for (size_t cut = 1; cut <= strlen(text); cut++)
        for (size_t room = 1; room < 12; room += 5) {
            taken t = take_chunked(text, cut, room);
            ck_assert_msg(t.state == SHOALD_BODY_WHOLE, "cut %zu: %s", cut, t.why);
            ck_assert_uint_eq(t.used, strlen(text) - strlen("GET / HTTP"));
            ck_assert_uint_eq(t.size, 14);
            ck_assert_mem_eq(t.payload, "abc0123456789z", 14);
        }
}
END_TEST

START_TEST(the_empty_body_is_whole)
{
    taken t = take_chunked("0\r\n\r\n", 1, 1);
    ck_assert(t.state == SHOALD_BODY_WHOLE && t.size == 0 && t.used == 5);
}
END_TEST

static const char *const unfinished[] = { "",         "3",          "3\r\n",
                                          "3\r\nabc", "3\r\nabc\r", "3\r\nabc\r\n",
                                          "0\r\n",    "0\r\n\r",    "0\r\nX: y\r\n" };

START_TEST(what_is_not_at_its_end_is_not_whole)
{
    taken t = take_chunked(unfinished[_i], 100, 100);
    ck_assert_int_eq(t.state, SHOALD_BODY_MORE);
    ck_assert_uint_eq(t.used, strlen(unfinished[_i]));
}
END_TEST

static const char *const broken[] = {
    "\r\n",          "g\r\n",         ";x\r\n",        "-1\r\n",        "0x3\r\nabc\r\n",
    "3\nabc\r\n",    "3\r\nabcd\r\n", "3\r\nabc\n",    "3\r\nabc\rx",   "3\rabc\r\n",
    "3;a\nb\r\n",    "3;a\x01\r\n",   "0\r\nX: y\n\n", "0\r\nX\ry\r\n", "fffffffffffffffff\r\n",
    " 3\r\nabc\r\n", "0\r\n\n",
};

START_TEST(what_is_no_chunk_is_refused)
{
    for (size_t cut = 1; cut < 8; cut++) {
        taken t = take_chunked(broken[_i], cut, 100);
        ck_assert_msg(t.state == SHOALD_BODY_BROKEN && t.why, "%s: taken, cut %zu", broken[_i],
                      cut);
    }
}
END_TEST

START_TEST(framing_without_end_is_refused)
{
    static char bytes[SHOALD_MAX_TRAILERS + 64];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "1;", 2);
    ck_assert_int_eq(take(true, 0, bytes, SHOALD_MAX_CHUNK_LINE, 4096, 1).state, SHOALD_BODY_MORE);
    ck_assert_int_eq(take(true, 0, bytes, SHOALD_MAX_CHUNK_LINE + 1, 4096, 1).state,
                     SHOALD_BODY_BROKEN);
    memcpy(bytes, "0\r\n", 3);
    ck_assert_int_eq(take(true, 0, bytes, sizeof bytes, 4096, 1).state, SHOALD_BODY_BROKEN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("body");
    TCase *t = tcase_create("body");
    tcase_add_test(t, a_length_is_kept_to);
    tcase_add_test(t, chunks_are_put_together);
    tcase_add_test(t, the_empty_body_is_whole);
    tcase_add_loop_test(t, what_is_not_at_its_end_is_not_whole, 0,
                        sizeof unfinished / sizeof unfinished[0]);
    tcase_add_loop_test(t, what_is_no_chunk_is_refused, 0, sizeof broken / sizeof broken[0]);
    tcase_add_test(t, framing_without_end_is_refused);
    suite_add_tcase(s, t);
    return suite_run(s);
}

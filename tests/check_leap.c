/* check_leap.c - over what in a file a reader of a stream may leap */
#include <check.h>
#include <string.h>

#include "net/leap.h"
#include "suite.h"

enum { BYTES = 64 };

/* A file that begins with `head` and of which `last` came last, at byte `from`. */
static bool may_leap(const char *head, const char *last, size_t last_size, int64_t from, int64_t to)
{
    unsigned char start[BYTES] = { 0 }, end[2 * BYTES] = { 0 };
    const size_t room = sizeof end - last_size;

    memcpy(start, head, strlen(head));
    memcpy(end + room, last, last_size);
    return shoald_leap_is_beside_sound(&(shoald_leap){
        .head = start, .last = end, .last_size = sizeof end, .from = from, .to = to });
}

START_TEST(over_notes_and_pictures)
{
    const char *const kinds[] = { "RIFF....WAVE", "RF64....WAVE", "FORM....AIFF", "caff", "riff" };

    for (int i = 0; i < 5; i++)
        ck_assert(may_leap(kinds[i], "LIST\0\0\1\0", 8, 44, 65580));
}
END_TEST

START_TEST(not_over_the_sound)
{
    ck_assert(!may_leap("RIFF....WAVE", "data\0\0\1\0", 8, 44, 65580));
    ck_assert(!may_leap("FORM....AIFF", "SSND\0\1\0\0\0\0\0\0\0\0\0\0", 16, 54, 65580));
    ck_assert(!may_leap("FORM....8SVX", "BODY\0\1\0\0", 8, 54, 65580));
    ck_assert(!may_leap("caff", "data\0\0\0\0\0\1\0\0\0\0\0\0", 16, 54, 65580));
    ck_assert(!may_leap("riff", /* the last 8 are the size */
                        "data\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a\0\0\1\0\0\0\0\0", 24,
                        112, 65580));
}
END_TEST

START_TEST(within_a_tag_and_no_further)
{
    unsigned char head[BYTES] = { 'I', 'D', '3', 3, 0, 0, 0, 0, 2, 1 }; /* 257 bytes */
    shoald_leap l = { .head = head, .last = head, .last_size = 10, .from = 10, .to = 267 };

    ck_assert(shoald_leap_is_beside_sound(&l));
    l.to = 268;
    ck_assert(!shoald_leap_is_beside_sound(&l));
}
END_TEST

START_TEST(not_where_nobody_knows)
{
    ck_assert(!may_leap("fLaC", "\1\0\1\0", 4, 44, 65580));
    ck_assert(!may_leap("OggS", "\1\0\1\0", 4, 44, 65580));
    ck_assert(!may_leap("RIFF", "RIFF", 4, 4, 65580)); /* its beginning is not there */
    ck_assert(!may_leap("RIFF....WAVE", "LIST\xff\xff\xff\xff", 8, 44, 44 + INT64_C(0xffffffff)));
}
END_TEST

static Suite *leap_suite(void)
{
    Suite *s = suite_create("leap");
    TCase *t = tcase_create("leap");

    tcase_add_test(t, over_notes_and_pictures);
    tcase_add_test(t, not_over_the_sound);
    tcase_add_test(t, within_a_tag_and_no_further);
    tcase_add_test(t, not_where_nobody_knows);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(leap_suite());
}

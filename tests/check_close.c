/* check_close.c - what a Close may say, and what answers it */
#include <check.h>
#include <string.h>

#include "shoal-protocol.h"
#include "suite.h"

static int answer(unsigned code, const char *reason)
{
    unsigned char payload[160] = { (unsigned char)(code >> 8), (unsigned char)code };
    size_t n = strlen(reason);
    memcpy(payload + 2, reason, n);
    return shoal_close_answer(payload, n + 2);
}

START_TEST(codes_that_may_be_sent_are_sent_back)
{
    static const unsigned good[] = { 1000, 1001, 1002, 1003, 1007, 1011,
                                     1014, 3000, 3999, 4000, 4999 };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_int_eq(answer(good[i], "bye"), (int)good[i]);
    ck_assert_int_eq(shoal_close_answer(NULL, 0), 1000);
}
END_TEST

START_TEST(codes_that_may_not_are_1002)
{
    static const unsigned bad[] = { 0,    1,    999,  1004, 1005, 1006, 1015,
                                    1016, 1100, 2000, 2999, 5000, 65535 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(answer(bad[i], ""), 1002);
}
END_TEST

START_TEST(a_payload_of_no_length_that_it_may_have_is_1002)
{
    static const unsigned char one = 3;
    char longest[124];
    memset(longest, '*', sizeof longest);
    longest[123] = '\0';
    ck_assert_int_eq(shoal_close_answer(&one, 1), 1002);
    ck_assert_int_eq(answer(1000, longest), 1000);
    char payload[126] = { 3, (char)0xe8 }; /* more than a control frame takes */
    ck_assert_int_eq(shoal_close_answer(payload, sizeof payload), 1002);
}
END_TEST

START_TEST(a_reason_that_is_no_utf8_is_1007)
{
    static const char *const bad[] = { "\x80", "\xc0\xaf", "\xce\xba\xed\xa0\x80",
                                       "cut off \xe2\x82", "\xf4\x90\x80\x80" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(answer(1000, bad[i]), 1007);
    ck_assert_int_eq(answer(1000, "\xce\xba\xf0\x90\x80\x80"), 1000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("close");
    TCase *t = tcase_create("close");

    tcase_add_test(t, codes_that_may_be_sent_are_sent_back);
    tcase_add_test(t, codes_that_may_not_are_1002);
    tcase_add_test(t, a_payload_of_no_length_that_it_may_have_is_1002);
    tcase_add_test(t, a_reason_that_is_no_utf8_is_1007);
    suite_add_tcase(s, t);
    return suite_run(s);
}

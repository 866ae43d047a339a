/* check_answer.c - the bytes of HTTP answers */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "net/answer.h"
#include "suite.h"

static shoald_answer a;
static shoal_buf out;

static void stop(void)
{
    shoald_answer_free(&a);
    shoal_buf_free(&out);
    memset(&out, 0, sizeof out);
}

static const char *head(shoald_connection connection)
{
    out.size = 0;
    ck_assert_int_eq(shoald_answer_write_head(&out, &a, connection), 0);
    ck_assert_int_eq(shoal_buf_append(&out, "", 1), 0);
    return out.data;
}

START_TEST(a_text)
{
    ck_assert_int_eq(shoald_answer_text(&a, 200, "text/plain", "ok\n"), 0);
    ck_assert_str_eq(head(SHOALD_KEEPS),
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                     "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(head(SHOALD_CLOSES), "\r\nConnection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(head(SHOALD_KEEPS_1_0), "\r\nConnection: keep-alive\r\n"));
}
END_TEST

START_TEST(no_body_has_no_length)
{
    a.status = 204;
    ck_assert_ptr_null(strstr(head(SHOALD_KEEPS), "\r\nContent-"));
}
END_TEST

START_TEST(static_bytes_and_a_cache_of_its_own)
{
    size_t n;
    a.status = 200;
    a.type = "text/css";
    a.fixed = "a{}";
    a.fixed_size = 3;
    shoald_answer_add_line(&a, "Cache-Control: %s", "no-cache");
    ck_assert_str_eq(shoald_answer_body(&a, &n), "a{}");
    ck_assert_uint_eq(n, 3);
    ck_assert_ptr_nonnull(strstr(head(SHOALD_KEEPS), "Content-Length: 3\r\n"));
    ck_assert_ptr_nonnull(strstr(head(SHOALD_KEEPS), "Cache-Control: no-cache\r\n"));
    ck_assert_ptr_null(strstr(head(SHOALD_KEEPS), "no-store"));
}
END_TEST

START_TEST(an_error_has_its_status_and_when_to_come_again)
{
    shoal_error err;
    shoal_error_set(&err, SHOAL_CODE_OVERLOADED, NULL, NULL);
    err.retry_after_ms = 1001; /* whole seconds, upwards */
    ck_assert_int_eq(shoald_answer_error(&a, 0, &err), 0);
    ck_assert_ptr_eq(strstr(head(SHOALD_CLOSES), "HTTP/1.1 503 Service Unavailable\r\n"), out.data);
    ck_assert_ptr_nonnull(strstr(out.data, "Retry-After: 2\r\n"));
    ck_assert_ptr_nonnull(strstr(out.data, "Content-Type: application/json\r\n"));
    shoald_answer_free(&a);
    shoal_error_set(&err, SHOAL_CODE_BAD_REQUEST, NULL, NULL);
    ck_assert_int_eq(shoald_answer_error(&a, 414, &err), 0);
    ck_assert_ptr_eq(strstr(head(SHOALD_CLOSES), "HTTP/1.1 414 URI Too Long\r\n"), out.data);
}
END_TEST

START_TEST(a_line_that_does_not_fit_is_left_out_whole)
{
    char word[600];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    a.status = 204;
    shoald_answer_add_line(&a, "A: %s", word);
    shoald_answer_add_line(&a, "B: %s", word);
    shoald_answer_add_line(&a, "C: c");
    const char *text = head(SHOALD_KEEPS);
    ck_assert_ptr_nonnull(strstr(text, "\r\nA: xx"));
    ck_assert_ptr_null(strstr(text, "B: "));
    ck_assert_ptr_nonnull(strstr(text, "x\r\nC: c\r\n\r\n"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("answer");
    TCase *tc = tcase_create("answer");
    tcase_add_checked_fixture(tc, NULL, stop);
    tcase_add_test(tc, a_text);
    tcase_add_test(tc, no_body_has_no_length);
    tcase_add_test(tc, static_bytes_and_a_cache_of_its_own);
    tcase_add_test(tc, an_error_has_its_status_and_when_to_come_again);
    tcase_add_test(tc, a_line_that_does_not_fit_is_left_out_whole);
    suite_add_tcase(s, tc);
    return suite_run(s);
}

/* check_head.c - request heads: what is taken, what is refused and with which status; in any cut */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/head.h"
#include "suite.h"

#define KEY  "dGhlIHNhbXBsZSBub25jZQ=="
#define HOST "Host: x\r\n"

static shoald_head take(const char *bytes, size_t n)
{
    shoald_head h = { 0 };
    shoald_head_take(&h, bytes, n);
    return h;
}

static shoald_head take_text(const char *text)
{
    return take(text, strlen(text));
}

/* ---- what is taken ------------------------------------------------------------------- */

START_TEST(a_plain_request)
{
    const char *text = "GET /v1/model?a=b&c HTTP/1.1\r\nHost: a.b:7350\r\nX-Y: z\r\n\r\nGET /";
    shoald_head h = take_text(text);

    ck_assert_int_eq(h.status, 0);
    ck_assert_uint_eq(h.size, strlen(text) - 5);
    ck_assert_int_eq(h.method, SHOALD_GET);
    ck_assert_int_eq(h.minor, 1);
    ck_assert_str_eq(h.path, "/v1/model");
    ck_assert_str_eq(h.host, "a.b:7350");
    ck_assert_uint_eq(h.query_length, 5);
    ck_assert_mem_eq(text + h.query_at, "a=b&c", 5);
    ck_assert(!h.close && !h.has_body && !h.upgrade && !*h.key);
}
END_TEST

START_TEST(an_upgrade)
{
    shoald_head h = take_text("GET /v1/stream HTTP/1.1\r\nhost: x\r\nUPGRADE: WebSocket\r\n"
                              "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key:" KEY
                              " \r\nSec-WebSocket-Version:\t13\r\n"
                              "Sec-WebSocket-Protocol: a, shoal.v1\r\n"
                              "Sec-WebSocket-Protocol: b\r\n\r\n");
    ck_assert_int_eq(h.status, 0);
    ck_assert(h.upgrade && h.offers_any && h.offers_ours);
    ck_assert_str_eq(h.key, KEY);
    ck_assert_int_eq(h.websocket_version, 13);
    h = take_text("GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n");
    ck_assert_msg(h.status == 0 && !h.upgrade, "without Connection: Upgrade it is none");
    h = take_text("GET / HTTP/1.1\r\n" HOST "Sec-WebSocket-Protocol: SHOAL.V1, xshoal.v1\r\n\r\n");
    ck_assert(h.offers_any && !h.offers_ours);
}
END_TEST

static const struct {
    const char *target, *path, *query;
} targets[] = {
    { "/", "/", "" },
    { "/?", "/", "" },
    { "/v1/%6dodel", "/v1/model", "" },
    { "/a%2Fb?x=%41", "/a/b", "x=%41" },
    { "/a?b?c", "/a", "b?c" },
    { "http://host:80/v1/stream?depth=3", "/v1/stream", "depth=3" },
    { "WS://host", "/", "" },
    { "ws://host?depth=3", "/", "depth=3" },
    { "*", "", "" },
};

START_TEST(targets_are_taken_apart)
{
    char text[256];
    snprintf(text, sizeof text, "OPTIONS %s HTTP/1.1\r\n" HOST "\r\n", targets[_i].target);
    shoald_head h = take_text(text);
    ck_assert_msg(h.status == 0, "%s: %s", targets[_i].target, h.why);
    ck_assert_str_eq(h.path, targets[_i].path);
    ck_assert_uint_eq(h.query_length, strlen(targets[_i].query));
    ck_assert_mem_eq(text + h.query_at, targets[_i].query, h.query_length);
}
END_TEST

START_TEST(pages_and_tokens_are_found)
{
    static const char text[] =
        "GET / HTTP/1.1\r\n" HOST "origin: http://a.example:80 \r\n"
        "Authorization: Basic YTpi\r\nAuthorization: Bearer  secret \r\n\r\n";
    shoald_head h = take_text(text);
    ck_assert_str_eq(h.origin, "http://a.example:80");
    ck_assert_int_eq(h.origins, 1);
    ck_assert_uint_eq(h.token_length, 6);
    ck_assert_mem_eq(text + h.token_at, "secret", 6);
    ck_assert(!h.token_encoded);
    h = take_text("GET / HTTP/1.1\r\n" HOST "\r\n");
    ck_assert(!h.origins && !h.token_length);
}
END_TEST

/* As many subprotocols as a head has room for, the token and ours behind all of them. */
START_TEST(a_list_of_subprotocols_may_be_long)
{
    char text[SHOALD_MAX_HEAD] = "GET / HTTP/1.1\r\n" HOST "Sec-WebSocket-Protocol: ";
    size_t n = strlen(text);
    while (n < SHOALD_MAX_HEADERS - 64)
        n += (size_t)sprintf(text + n, "p%zu,", n);
    strcpy(text + n, "shoal.token.c2VjcmV0,shoal.v1\r\n\r\n");
    shoald_head h = take_text(text);
    ck_assert_msg(h.status == 0 && h.offers_ours && h.token_encoded, "%s", h.why);
    ck_assert_uint_eq(h.token_length, 8);
    ck_assert_mem_eq(text + h.token_at, "c2VjcmV0", 8);
}
END_TEST

START_TEST(a_path_longer_than_any_page_is_none)
{
    char text[400] = "GET /";
    memset(text + 5, 'a', 300);
    strcpy(text + 305, " HTTP/1.1\r\n" HOST "\r\n");
    shoald_head h = take_text(text);
    ck_assert_int_eq(h.status, 0);
    ck_assert_str_eq(h.path, "");
}
END_TEST

START_TEST(connections_stay_or_close)
{
    ck_assert(!take_text("GET / HTTP/1.1\r\n" HOST "\r\n").close);
    ck_assert(take_text("GET / HTTP/1.1\r\n" HOST "Connection: a, Close\r\n\r\n").close);
    ck_assert(take_text("GET / HTTP/1.0\r\n\r\n").close);
    ck_assert(!take_text("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").close);
    ck_assert(!take_text("GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n").has_body);
    ck_assert(take_text("GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n").has_body);
    ck_assert(take_text("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n").has_body);
}
END_TEST

START_TEST(what_is_said_of_a_body)
{
    shoald_head h = take_text("POST /v1/phones HTTP/1.1\r\n" HOST "Content-Length: 12\r\n"
                              "Expect: 100-Continue\r\nAccept: text/html, application/x-npy;q=1\r\n"
                              "Content-Type: Multipart/form-data; boundary=x\r\n"
                              "Content-Encoding: gzip\r\n\r\n");
    ck_assert_int_eq(h.method, SHOALD_POST);
    ck_assert(h.has_length && h.body_bytes == 12 && h.awaits_100 && h.is_form && h.is_packed);
    ck_assert_int_eq(h.taste, SHOALD_NPY);
    h = take_text("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\nAccept: */*\r\n\r\n");
    ck_assert(h.chunked && !h.has_length && !h.is_form && !h.is_packed && !h.awaits_100);
    ck_assert_int_eq(h.taste, SHOALD_ANY_FORM);
    ck_assert(
        !take_text("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n").chunked);
    ck_assert(!take_text("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n")
                   .chunked);
    ck_assert_int_eq(take_text("POST / HTTP/1.1\r\n" HOST "Expect: a\r\n\r\n").status, 417);
}
END_TEST

START_TEST(keys_are_16_bytes_in_base64)
{
    static const char *const bad[] = { "abc",
                                       "",
                                       "aaaaaaaaaaaaaaaaaaaaaaaa",
                                       "dGhlIHNhbXBsZSBub25jZQ=",
                                       "!!!!!!!!!!!!!!!!!!!!!!==",
                                       KEY "=" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "Sec-WebSocket-Key: %s\r\n\r\n",
                 bad[i]);
        shoald_head h = take_text(text);
        ck_assert_int_eq(h.status, 0);
        ck_assert_msg(!*h.key, "%s", bad[i]);
    }
}
END_TEST

START_TEST(versions_of_websocket)
{
    static const struct {
        const char *lines;
        int version;
    } cases[] = {
        { "", 0 },
        { "Sec-WebSocket-Version: 13\r\n", 13 },
        { "Sec-WebSocket-Version: 8\r\n", -1 },
        { "Sec-WebSocket-Version: 013\r\n", -1 },
        { "Sec-WebSocket-Version: 13, 8\r\n", -1 },
        { "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "%s\r\n", cases[i].lines);
        ck_assert_msg(take_text(text).websocket_version == cases[i].version, "%s", cases[i].lines);
    }
}
END_TEST

/* ---- what is refused ----------------------------------------------------------------- */

static const struct {
    int status;
    const char *text;
} refusals[] = {
    { 400, "\r\n\r\n" },
    { 400, "hello\r\n" },
    { 400, "GET\r\n" },
    { 400, "GET /healthz\r\n" },
    { 400, "GET /healthz HTTP/1.1 \r\n" },
    { 400, "GET  / HTTP/1.1\r\n" },
    { 400, " GET / HTTP/1.1\r\n" },
    { 400, "GET / http/1.1\r\n" },
    { 400, "GET / HTTP/1.1x\r\n" },
    { 400, "GET / HTTP/11\r\n" },
    { 505, "GET / HTTP/2.0\r\n" },
    { 505, "GET / HTTP/9.9\r\n" },
    { 400, "G{T / HTTP/1.1\r\n" },
    { 400, "GET x HTTP/1.1\r\n" },
    { 400, "GET ftp://host/ HTTP/1.1\r\n" },
    { 400, "GET /a b HTTP/1.1\r\n" },
    { 400, "GET /#a HTTP/1.1\r\n" },
    { 400, "GET /\xc3\xa4 HTTP/1.1\r\n" },
    { 400, "GET /%zz HTTP/1.1\r\n" },
    { 400, "GET /a?b=%4 HTTP/1.1\r\n" },
    { 400, "GET /% HTTP/1.1\r\n" },
    { 400, "GET /%00 HTTP/1.1\r\n" },
    { 400, "GET / HTTP/1.1\n" },
    { 400, "GET / HTTP/1.1\r\r\n" },
    { 400, "GET /\x01" },
    { 400, "\x16\x03\x01" },
    { 400, "GET / HTTP/1.1\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a b\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost: a\"b\r\n" },
    { 400, "GET / HTTP/1.1\r\nHost : x\r\n" },
    { 400, "GET / HTTP/1.1\r\n Host: x\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "X\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST ": x\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "X: \x7f\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Origin: http://a\r\nOrigin: http://a\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST
           "Authorization: Bearer a\r\nSec-WebSocket-Protocol: shoal.v1, shoal.token.YQ\r\n" },
    { 400, "GET / HTTP/1.1\r\n" HOST "Sec-WebSocket-Protocol: shoal.token.YQ, shoal.token.YQ\r\n" },
    { 400,
      "GET / HTTP/1.1\r\n" HOST "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Key: " KEY "\r\n" },
};

START_TEST(what_is_no_request_is_refused)
{
    shoald_head h = take_text(refusals[_i].text);
    ck_assert_msg(h.status == refusals[_i].status, "%s: %d", refusals[_i].text, h.status);
    ck_assert_ptr_nonnull(h.why);
}
END_TEST

START_TEST(a_nul_is_refused)
{
    ck_assert_int_eq(take("GET /\0 HTTP/1.1\r\n", 17).status, 400);
    ck_assert_int_eq(take("GET / HTTP/1.1\r\nX: \0\r\n", 22).status, 400);
}
END_TEST

/* In front, then so many of one byte, then the end. */
static int status_of_long(const char *front, size_t count, const char *back)
{
    size_t n = strlen(front) + count + strlen(back);
    char *text = malloc(n + 1);
    strcpy(text, front);
    memset(text + strlen(front), 'a', count);
    strcpy(text + strlen(front) + count, back);
    shoald_head h = take(text, n);
    free(text);
    return h.status ? h.status : h.size == n ? 0 : -1;
}

START_TEST(sizes_have_limits)
{
    static const char get[] = "GET /", host[] = " HTTP/1.1\r\n" HOST "\r\n",
                      header[] = "GET / HTTP/1.1\r\n" HOST "X: ";
    int room = SHOALD_MAX_HEADERS - (int)strlen(HOST "X: \r\n\r\n");

    ck_assert_int_eq(status_of_long(get, SHOALD_MAX_URL - 1, host), 0);
    ck_assert_int_eq(status_of_long(get, SHOALD_MAX_URL, host), 414);
    ck_assert_int_eq(status_of_long(get, 9000, ""), 414); /* before its end has come */
    ck_assert_int_eq(status_of_long(header, (size_t)room, "\r\n\r\n"), 0);
    ck_assert_int_eq(status_of_long(header, (size_t)room + 1, "\r\n\r\n"), 431);
    ck_assert_int_eq(status_of_long(header, 9000, ""), 431);
}
END_TEST

/* ---- in any cut ---------------------------------------------------------------------- */

static const char whole[] = "\r\nGET /v1/stream?depth=3 HTTP/1.1\r\n" HOST
                            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY
                            "\r\nSec-WebSocket-Version: 13\r\n\r\nmore";

START_TEST(byte_by_byte_is_the_same)
{
    shoald_head at_once, h;
    memset(&at_once, 0, sizeof h); /* with the padding */
    memset(&h, 0, sizeof h);
    shoald_head_take(&at_once, whole, strlen(whole));
    for (size_t n = 1; n <= strlen(whole); n++) {
        shoald_head_state state = shoald_head_take(&h, whole, n);
        ck_assert_int_eq(state, n < strlen(whole) - 4 ? SHOALD_HEAD_PARTIAL : SHOALD_HEAD_WHOLE);
    }
    ck_assert_mem_eq(&h, &at_once, sizeof h);
}
END_TEST

START_TEST(refusals_do_not_depend_on_the_cut)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        shoald_head h = { 0 };
        for (size_t n = 1; n <= strlen(refusals[i].text); n++)
            shoald_head_take(&h, refusals[i].text, n);
        ck_assert_int_eq(h.status, refusals[i].status);
    }
}
END_TEST

static Suite *head_suite(void)
{
    Suite *s = suite_create("head");
    TCase *tc = tcase_create("head");
    tcase_add_test(tc, a_plain_request);
    tcase_add_test(tc, an_upgrade);
    tcase_add_loop_test(tc, targets_are_taken_apart, 0, sizeof targets / sizeof targets[0]);
    tcase_add_test(tc, pages_and_tokens_are_found);
    tcase_add_test(tc, a_list_of_subprotocols_may_be_long);
    tcase_add_test(tc, a_path_longer_than_any_page_is_none);
    tcase_add_test(tc, connections_stay_or_close);
    tcase_add_test(tc, what_is_said_of_a_body);
    tcase_add_test(tc, keys_are_16_bytes_in_base64);
    tcase_add_test(tc, versions_of_websocket);
    tcase_add_loop_test(tc, what_is_no_request_is_refused, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(tc, a_nul_is_refused);
    tcase_add_test(tc, sizes_have_limits);
    tcase_add_test(tc, byte_by_byte_is_the_same);
    tcase_add_test(tc, refusals_do_not_depend_on_the_cut);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(head_suite());
}

/* check_load_bytes.c - what shoal-load puts on the wire and takes from it: WebSocket, audio */
#include "load/load.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

/* ---- WebSocket -------------------------------------------------------------------------- */

/* 0x82 final, binary; 0xfe masked, 16-bit length; 640; key 0 */
START_TEST(ws_header)
{
    static const uint8_t audio[] = { 0x82, 0xfe, 0x02, 0x80, 0, 0, 0, 0 };
    static const uint8_t end[] = { 0x81, 0x8e, 0, 0, 0, 0 }; /* text, masked, 14 bytes */
    uint8_t header[LOAD_WS_HEADER];

    ck_assert_uint_eq(load_ws_header(header, LOAD_WS_BINARY, 640), sizeof audio);
    ck_assert_mem_eq(header, audio, sizeof audio);
    ck_assert_uint_eq(load_ws_header(header, LOAD_WS_TEXT, 14), sizeof end);
    ck_assert_mem_eq(header, end, sizeof end);
}
END_TEST

/* Text "abc", binary of 300, binary of 70000, cut anywhere. */
START_TEST(ws_parse)
{
    static const struct {
        uint8_t head[10];
        size_t head_size, size;
    } t[] = {
        { { 0x81, 3 }, 2, 3 },
        { { 0x82, 126, 1, 44 }, 4, 300 },
        { { 0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70 }, 10, 70000 },
    };

    for (int i = 0; i < COUNT(t); i++) {
        size_t all = t[i].head_size + t[i].size;
        uint8_t *bytes = calloc(1, all);
        load_frame f;

        memcpy(bytes, t[i].head, t[i].head_size);
        for (size_t n = 0; n < all; n += n < 16 ? 1 : 97)
            ck_assert_int_eq(load_ws_parse(&f, bytes, n), 0);
        ck_assert_int_eq(load_ws_parse(&f, bytes, all), (ptrdiff_t)all);
        ck_assert_uint_eq(f.size, t[i].size);
        ck_assert_ptr_eq(f.data, bytes + t[i].head_size);
        free(bytes);
    }
}
END_TEST

START_TEST(ws_parse_bad)
{
    static const uint8_t bad[][10] = {
        { 0x01, 3 },                              /* a fragment */
        { 0x80, 3 },                              /* a continuation */
        { 0xc1, 3 },                              /* compressed */
        { 0x81, 0x83 },                           /* masked by a server */
        { 0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0 }, /* enormous */
    };
    load_frame f;

    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(load_ws_parse(&f, bad[i], sizeof bad[i]) == -1, "case %d", i);
}
END_TEST

static int answer(const char *text, size_t *head)
{
    shoal_buf b = { .data = (char *)(uintptr_t)text, .size = strlen(text) };

    return load_ws_answer(&b, head);
}

START_TEST(ws_answer)
{
    size_t head;

    ck_assert_int_eq(answer("HTTP/1.1 101 Switching\r\nA: b\r\n\r\nxyz", &head), 101);
    ck_assert_uint_eq(head, 32);
    ck_assert_int_eq(answer("HTTP/1.1 503 X\r\n\r\n", &head), 503);
    ck_assert_int_eq(answer("HTTP/1.1 503 X\r\n", &head), 0);
    ck_assert_int_eq(answer("HT", &head), 0);
    ck_assert_int_eq(answer("", &head), 0);
    ck_assert_int_eq(answer("SSH-2.0-OpenSSH\r\n", &head), -1);
    ck_assert_int_eq(answer("HTTP/1.1 x\r\n\r\n", &head), -1);
}
END_TEST

/* The query is what the server's own parser understands. */
START_TEST(ws_request)
{
    load_options o = { .host = "::1", .path = "/v1/stream", .port = 7350 };
    shoal_options s = shoal_options_default(), back;
    shoal_buf b = { 0 };
    shoal_error err;
    const char *query, *end;

    s.depth_min = 3;
    s.depth_max = 12;
    s.given = SHOAL_OPT_DEPTH | SHOAL_OPT_RATE;
    ck_assert_int_eq(load_ws_request(&b, &o, &s), 0);
    ck_assert_ptr_nonnull(strstr(b.data, "\r\nHost: [::1]:7350\r\n"));
    query = strstr(b.data, "\r\nSec-WebSocket-Key: ");
    ck_assert_ptr_nonnull(query); /* 16 bytes: 22 digits of base64 and two signs that fill up */
    ck_assert_uint_eq(strspn(query + 21, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789+/"),
                      22);
    ck_assert_int_eq(strncmp(query + 43, "==\r\n", 4), 0);
    query = strchr(b.data, '?');
    end = strstr(b.data, " HTTP/1.1\r\n");
    ck_assert_int_eq(shoal_options_parse_query(&back, query, (size_t)(end - query), &err), 0);
    ck_assert_int_eq(back.depth_min, 3);
    ck_assert_int_eq(back.depth_max, 12);
    shoal_buf_free(&b);
}
END_TEST

/* ---- audio ------------------------------------------------------------------------------ */

/* Packets of a session are pieces of one endless loop. */
START_TEST(audio_goes_round)
{
    load_options o = { .session = shoal_options_default(), .seed = 1 };
    load_plan p = { .packet_ms = 300, .audio_ms = 19900 };
    load_audio a;
    char why[256];
    uint64_t at = p.audio_ms * 16;

    ck_assert_int_eq(load_audio_open(&a, &o, why, sizeof why), 0);
    for (int64_t k = 0; k < 200; k++) {
        const uint8_t *packet = load_audio_view(&a, &p, k);

        for (int i = 0; i < 4800; i++, at++)
            ck_assert_mem_eq(packet + 2 * i, a.bytes + 2 * (at % a.samples), 2);
    }
    load_audio_free(&a);
}
END_TEST

START_TEST(audio_missing)
{
    load_options o = { .audio_file = "/does/not/exist.wav" };
    load_audio a;
    char why[256];

    ck_assert_int_eq(load_audio_open(&a, &o, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "/does/not/exist.wav"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load_bytes");
    TCase *t = tcase_create("load_bytes");

    tcase_add_test(t, ws_header);
    tcase_add_test(t, ws_parse);
    tcase_add_test(t, ws_parse_bad);
    tcase_add_test(t, ws_answer);
    tcase_add_test(t, ws_request);
    tcase_add_test(t, audio_goes_round);
    tcase_add_test(t, audio_missing);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

/* test_wire.c - what a wrong client gets: an error that says how to do it right, and a close
 *
 * Through raw sockets, because libshoal-client does none of this. Each refusal is one error
 * message with a stable code and a remedy, then a close frame with the code of docs/protocol.md;
 * before the upgrade it is an HTTP status.
 */
#include "integration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM SHOAL_PATH "?rate=16000&format=s16le&depth=2&output=phones"

static raw_ws open_stream(const char *path)
{
    raw_ws w;
    int status = raw_ws_open(&w, shared.port, path, SHOAL_SUBPROTOCOL);

    ck_assert_msg(status == 101, "%s: HTTP status %d", path, status);
    return w;
}

/* Read to the end of the connection: the last error on the way, and the close code or 1006. */
static int read_to_end(raw_ws *w, shoal_error *last)
{
    static shoal_server_msg m;
    shoal_error bad;
    raw_frame f;
    int r, code = 1006;

    memset(last, 0, sizeof *last);
    while ((r = raw_ws_recv(w, &f, PATIENCE_MS)) == 1) {
        ck_assert_int_eq(f.masked, 0);
        ck_assert_msg(code == 1006, "frame %d after close", f.opcode);
        if (f.opcode == RAW_CLOSE) {
            code = raw_frame_close_code(&f);
            raw_ws_send(w, RAW_CLOSE, f.data, f.size < 2 ? 0 : 2);
        }
        if (f.opcode != RAW_TEXT)
            continue;
        ck_assert_msg(shoal_server_msg_decode(&m, (const char *)f.data, f.size, &bad) == 0,
                      "%s: %.*s", bad.message, (int)f.size, (const char *)f.data);
        if (m.type == SHOAL_MSG_ERROR)
            *last = m.u.error;
        shoal_server_msg_free(&m);
    }
    ck_assert_msg(r == 0, "the server keeps the connection open");
    raw_ws_close(w);
    return code;
}

/* The session ends with this error and its close code, and its message holds remedy. */
static void expect_error(raw_ws *w, shoal_code code, const char *remedy)
{
    const shoal_code_info *info = shoal_code_get_info(code);
    shoal_error e;
    int close_code = read_to_end(w, &e);

    ck_assert_msg(e.code == code, "%s instead of %s: %s", e.name, info->name, e.message);
    ck_assert_msg(strstr(e.message, remedy) != NULL, "\"%s\" is not in: %s", remedy, e.message);
    ck_assert_int_eq(close_code, info->close_code);
}

static void send_text(raw_ws *w, const char *text)
{
    ck_assert_int_eq(raw_ws_send(w, RAW_TEXT, text, strlen(text)), 0);
}

/* ---- the same session by URL and by start ---- */

/* Audio, end, and every frame the server sends until its close. Caller frees. */
static uint8_t *stream_raw(raw_ws *w, const void *audio, size_t size, size_t *got)
{
    uint8_t *all = NULL;
    raw_frame f;

    ck_assert_int_eq(raw_ws_send(w, RAW_BINARY, audio, size), 0);
    send_text(w, "{\"type\":\"end\"}");
    *got = 0;
    while (raw_ws_recv(w, &f, PATIENCE_MS) == 1 && f.opcode != RAW_CLOSE)
        if (f.opcode == RAW_BINARY && f.size > SHOAL_PACKET_HEADER) {
            size_t n = f.size - SHOAL_PACKET_HEADER; /* the header holds times */

            all = realloc(all, *got + n);
            memcpy(all + *got, f.data + SHOAL_PACKET_HEADER, n);
            *got += n;
        }
    raw_ws_close(w);
    return all;
}

START_TEST(url_and_start_give_the_same_session)
{
    raw_ws by_url = open_stream(SHOAL_PATH "?rate=8000&depth=1-3&chunk_ms=320&left_ms=640"
                                           "&output=posteriors&encoding=f32");
    raw_ws by_start = open_stream(SHOAL_PATH);
    int16_t *audio = make_audio(16000, 20);
    size_t a_size, b_size;

    send_text(&by_start, "{\"type\":\"start\",\"rate\":8000,\"depth\":[1,3],\"chunk_ms\":320,"
                         "\"left_ms\":640,\"output\":[\"posteriors\"],\"encoding\":\"f32\"}");
    shoal_ready *a = read_ready(&by_url), *b = read_ready(&by_start);
    ck_assert_str_ne(a->ticket, b->ticket); /* each its own */
    memcpy(a->ticket, b->ticket, sizeof a->ticket);
    ck_assert(!memcmp(a, b, sizeof *a));
    uint8_t *a_bytes = stream_raw(&by_url, audio, 32000, &a_size);
    uint8_t *b_bytes = stream_raw(&by_start, audio, 32000, &b_size);
    ck_assert_uint_gt(a_size, 90 * 40 * 4);
    ck_assert_uint_eq(a_size, b_size);
    ck_assert(!memcmp(a_bytes, b_bytes, a_size));
    free(a_bytes);
    free(b_bytes);
    free(audio);
    free(a);
    free(b);
}
END_TEST

/* ---- wrong audio ---- */

static void put_wav(uint8_t h[44], uint32_t rate)
{
    static const uint8_t wav[44] = "RIFF\x24\x7d\0\0WAVEfmt \x10\0\0\0\1\0\1\0\0\0\0\0\0\0\0\0"
                                   "\2\0\x10\0data\0\x7d\0";

    memcpy(h, wav, sizeof wav);
    for (int i = 0; i < 4; i++) {
        h[24 + i] = (uint8_t)(rate >> 8 * i);
        h[28 + i] = (uint8_t)(2 * rate >> 8 * i);
    }
}

START_TEST(an_empty_message_means_end)
{
    raw_ws w = open_stream(SHOAL_PATH "?depth=1&output=posteriors");
    int16_t *audio = make_audio(16000, 21);
    char last[512] = "";
    raw_frame f;

    ck_assert_int_eq(raw_ws_send(&w, RAW_BINARY, audio, 32000), 0);
    ck_assert_int_eq(raw_ws_send(&w, RAW_BINARY, "", 0), 0);
    while (raw_ws_recv(&w, &f, PATIENCE_MS) == 1 && f.opcode != RAW_CLOSE)
        if (f.opcode == RAW_TEXT)
            snprintf(last, sizeof last, "%.*s", (int)f.size, (const char *)f.data);
    ck_assert_ptr_nonnull(strstr(last, "\"done\",\"received\":16000,\"processed\":16000"));
    ck_assert_int_eq(f.opcode, RAW_CLOSE);
    ck_assert_int_eq(raw_frame_close_code(&f), 1000);
    raw_ws_close(&w);
    free(audio);
}
END_TEST

/* What was left out has to be a frame at least, and the session no longer than three years. */
START_TEST(skips_out_of_range_are_refused)
{
    static const char *const texts[] = {
        "{\"type\":\"skip\",\"samples\":319}", "{\"type\":\"skip\",\"samples\":1600000000001}",
        "{\"type\":\"skip\",\"samples\":1600000000000}", /* with what has been heard */
    };
    static uint8_t audio[32000];
    raw_ws w = open_stream(SHOAL_PATH "?depth=1");

    raw_ws_send(&w, RAW_BINARY, audio, sizeof audio);
    raw_ws_send(&w, RAW_TEXT, texts[_i], strlen(texts[_i]));
    expect_error(&w, SHOAL_CODE_BAD_MESSAGE, "use 320 at least, a frame");
}
END_TEST

START_TEST(a_wav_header_is_refused_with_a_remedy)
{
    raw_ws w = open_stream(STREAM);
    uint8_t audio[3200] = { 0 };

    put_wav(audio, _i ? 44100 : 16000);
    for (size_t i = 0; i < sizeof audio; i += 20) /* the header in pieces */
        if (raw_ws_send(&w, RAW_BINARY, audio + i, 20) < 0)
            break;
    expect_error(&w, _i ? SHOAL_CODE_RATE_MISMATCH : SHOAL_CODE_BAD_AUDIO_FORMAT,
                 _i ? "44100" : "samples");
}
END_TEST

START_TEST(not_a_number_is_refused)
{
    raw_ws w = open_stream(SHOAL_PATH "?format=f32le");
    static float audio[16000];

    audio[9000] = _i == 2 ? 3e38f : _i ? NAN : INFINITY;
    raw_ws_send(&w, RAW_BINARY, audio, sizeof audio);
    expect_error(&w, SHOAL_CODE_AUDIO_NOT_FINITE, "format");
}
END_TEST

START_TEST(a_broken_opus_packet_is_refused_or_opus_is_not_there)
{
    raw_ws w = open_stream(SHOAL_PATH "?format=opus");
    static uint8_t rubbish[200];
    shoal_error e;

    memset(rubbish, 0xff, sizeof rubbish);
    raw_ws_send(&w, RAW_BINARY, rubbish, sizeof rubbish);
    read_to_end(&w, &e);
    ck_assert_msg(e.code == SHOAL_CODE_BAD_AUDIO_PACKET || e.code == SHOAL_CODE_UNSUPPORTED, "%s",
                  e.name);
}
END_TEST

/* ---- wrong messages ---- */

static const struct {
    const char *path, *text;
    shoal_code code;
    const char *remedy;
} wrong_texts[] = {
    { STREAM, "hello", SHOAL_CODE_BAD_MESSAGE, "" },
    { STREAM, "", SHOAL_CODE_BAD_MESSAGE, "" },
    { STREAM, "[1,2]", SHOAL_CODE_BAD_MESSAGE, "" },
    { STREAM, "{\"type\":\"stop\"}", SHOAL_CODE_BAD_MESSAGE, "" },
    { STREAM, "{\"type\":\"end\"} {\"type\":\"end\"}", SHOAL_CODE_BAD_MESSAGE, "" },
    { SHOAL_PATH, "{\"type\":\"start\",\"rate\":4000}", SHOAL_CODE_BAD_OPTION, "8000" },
    { SHOAL_PATH, "{\"type\":\"start\",\"depth\":200}", SHOAL_CODE_BAD_OPTION, "depth" },
    { SHOAL_PATH, "{\"type\":\"start\",\"sampel_rate\":16000}", SHOAL_CODE_BAD_OPTION, "sampel" },
    { SHOAL_PATH, "{\"type\":\"flush\",\"id\":\"x\"}", SHOAL_CODE_NOT_STARTED, "start" },
};

START_TEST(a_wrong_text_is_refused)
{
    raw_ws w = open_stream(wrong_texts[_i].path);

    send_text(&w, wrong_texts[_i].text);
    expect_error(&w, wrong_texts[_i].code, wrong_texts[_i].remedy);
}
END_TEST

START_TEST(audio_before_start_is_refused)
{
    raw_ws w = open_stream(SHOAL_PATH);

    raw_ws_send(&w, RAW_BINARY, "1234", 4);
    expect_error(&w, SHOAL_CODE_NOT_STARTED, "start");
}
END_TEST

START_TEST(an_oversized_text_is_refused)
{
    raw_ws w = open_stream(STREAM);
    static char text[40000];

    memset(text, ' ', sizeof text);
    raw_ws_send(&w, RAW_TEXT, text, sizeof text);
    expect_error(&w, SHOAL_CODE_MESSAGE_TOO_LARGE, "");
}
END_TEST

/* A header that claims 2^40 bytes: refused from the header, not after buffering. */
START_TEST(an_oversized_message_is_refused_at_once)
{
    raw_ws w = open_stream(STREAM);
    static uint8_t audio[4000];

    raw_ws_send_frame(&w, RAW_FIN | RAW_BINARY, 1, audio, sizeof audio, (uint64_t)1 << 40);
    expect_error(&w, SHOAL_CODE_MESSAGE_TOO_LARGE, "smaller");
}
END_TEST

START_TEST(an_oversized_message_in_fragments_is_refused)
{
    raw_ws w = open_stream(STREAM);
    static uint8_t audio[1 << 16];

    raw_ws_send_frame(&w, RAW_BINARY, 1, audio, sizeof audio, sizeof audio);
    for (int i = 0; i < 20; i++)
        if (raw_ws_send_frame(&w, RAW_CONTINUATION, 1, audio, sizeof audio, sizeof audio) < 0)
            break;
    expect_error(&w, SHOAL_CODE_MESSAGE_TOO_LARGE, "smaller");
}
END_TEST

START_TEST(an_unmasked_frame_ends_the_connection)
{
    raw_ws w = open_stream(STREAM);
    shoal_error e;

    raw_ws_send_frame(&w, RAW_FIN | RAW_TEXT, 0, "{\"type\":\"end\"}", 14, 14);
    int code = read_to_end(&w, &e);
    ck_assert_msg(code == 1002 || code == 1006 || code == 1000, "close code %d", code);
}
END_TEST

/* ---- before the upgrade ---- */

static const struct {
    const char *path, *subprotocol;
    int status;
} wrong_requests[] = {
    { "/v1/nonsense", SHOAL_SUBPROTOCOL, 404 },
    { "/", SHOAL_SUBPROTOCOL, 404 },
    { SHOAL_PATH "/more", SHOAL_SUBPROTOCOL, 404 },
};

START_TEST(a_wrong_request_is_not_upgraded)
{
    raw_ws w;
    int status =
        raw_ws_open(&w, shared.port, wrong_requests[_i].path, wrong_requests[_i].subprotocol);

    ck_assert_int_eq(status, wrong_requests[_i].status);
    raw_ws_close(&w);
}
END_TEST

/* lws hangs up on a subprotocol that nobody speaks before anybody can answer. */
START_TEST(a_wrong_subprotocol_is_not_upgraded)
{
    raw_ws w;
    int status = raw_ws_open(&w, shared.port, STREAM, "chat");

    ck_assert_msg(status == 400 || status == 0, "status %d", status);
    raw_ws_close(&w);
}
END_TEST

START_TEST(no_subprotocol_is_fine)
{
    raw_ws w;

    ck_assert_int_eq(raw_ws_open(&w, shared.port, STREAM, NULL), 101);
    free(read_ready(&w));
    raw_ws_close(&w);
}
END_TEST

START_TEST(wrong_options_in_the_url_are_explained)
{
    raw_ws w;
    int status = raw_ws_open(&w, shared.port, SHOAL_PATH "?depth=0", SHOAL_SUBPROTOCOL);

    if (status == 101)
        expect_error(&w, SHOAL_CODE_BAD_OPTION, "depth");
    else
        ck_assert_int_eq(status, 400);
    raw_ws_close(&w);
}
END_TEST

/* What lws cuts out of the query must all be seen, whatever stands before it. */
START_TEST(no_option_of_the_url_is_overlooked)
{
    static const char *const queries[] = { "rate=8000&&bogus=1", "&bogus=1", "bogus=1&" };
    char path[1400];
    raw_ws w;

    snprintf(path, sizeof path, SHOAL_PATH "?%s", queries[_i % 3]);
    if (_i == 3) /* longer than a query may be */
        snprintf(path, sizeof path, SHOAL_PATH "?depth=1&bogus=%01100d&rate=8000", 1);
    ck_assert_int_eq(raw_ws_open(&w, shared.port, path, SHOAL_SUBPROTOCOL), 101);
    expect_error(&w, SHOAL_CODE_BAD_OPTION, _i == 3 ? "1024" : "bogus");
    raw_ws_close(&w);
}
END_TEST

START_TEST(empty_pieces_of_the_query_mean_nothing)
{
    raw_ws w;

    ck_assert_int_eq(
        raw_ws_open(&w, shared.port, SHOAL_PATH "?&depth=1&&rate=8000&", SHOAL_SUBPROTOCOL), 101);
    shoal_ready *r = read_ready(&w);
    ck_assert_int_eq(r->depth, 1);
    ck_assert_int_eq(r->options.rate, 8000);
    free(r);
    raw_ws_close(&w);
}
END_TEST

START_TEST(http_pages_answer)
{
    static const char *const paths[] = { "/healthz", "/readyz", "/v1/model", "/metrics" };
    static char body[1 << 18];

    ck_assert_int_eq(raw_http_get(shared.port, paths[_i], body, sizeof body), 200);
    ck_assert_uint_gt(strlen(body), 0);
    ck_assert_int_eq(raw_http_get(shared.port, "/no/such/page", body, sizeof body), 404);
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

TCase *wire_case(void)
{
    TCase *t = tcase_create("wire");

    tcase_set_timeout(t, PATIENCE_MS / 1000.0);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_test(t, url_and_start_give_the_same_session);
    tcase_add_loop_test(t, skips_out_of_range_are_refused, 0, 3);
    tcase_add_test(t, an_empty_message_means_end);
    tcase_add_loop_test(t, a_wav_header_is_refused_with_a_remedy, 0, 2);
    tcase_add_loop_test(t, not_a_number_is_refused, 0, 3);
    tcase_add_test(t, a_broken_opus_packet_is_refused_or_opus_is_not_there);
    tcase_add_loop_test(t, a_wrong_text_is_refused, 0, COUNT(wrong_texts));
    tcase_add_test(t, audio_before_start_is_refused);
    tcase_add_test(t, an_oversized_text_is_refused);
    tcase_add_test(t, an_oversized_message_is_refused_at_once);
    tcase_add_test(t, an_oversized_message_in_fragments_is_refused);
    tcase_add_test(t, an_unmasked_frame_ends_the_connection);
    tcase_add_loop_test(t, a_wrong_request_is_not_upgraded, 0, COUNT(wrong_requests));
    tcase_add_test(t, a_wrong_subprotocol_is_not_upgraded);
    tcase_add_test(t, no_subprotocol_is_fine);
    tcase_add_test(t, wrong_options_in_the_url_are_explained);
    tcase_add_loop_test(t, no_option_of_the_url_is_overlooked, 0, 4);
    tcase_add_test(t, empty_pieces_of_the_query_mean_nothing);
    tcase_add_loop_test(t, http_pages_answer, 0, 4);
    return t;
}

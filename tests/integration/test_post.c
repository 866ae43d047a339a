/* test_post.c - POST /v1/OUTPUT with a file's bytes: the same results as a session's, in lines,
 * packets and arrays, however the body comes. test_post_wrong.c has what is wrong. */
#include "post.h"

#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- answers ---- */

/* Rows of an answer of packets, all of one depth. Caller frees. */
static float *rows_of(const http_answer *a, size_t *frames, int *dim)
{
    float *rows = NULL;

    *frames = 0;
    for (size_t at = 0; at < a->size;) {
        shoal_packet p;
        shoal_error err;
        const unsigned char *b = (const unsigned char *)a->body + at;
        ck_assert_uint_ge(a->size - at, SHOAL_PACKET_HEADER);
        size_t value = b[6] == SHOAL_ENCODING_F16 ? 2 : 4;
        size_t n = (size_t)(b[8] | b[9] << 8) +
                   (size_t)(b[48] | b[49] << 8) * (size_t)(b[50] | b[51] << 8) * value;

        ck_assert_msg(shoal_packet_decode(&p, b, n, &err) == 0, "%s", err.message);
        ck_assert_uint_eq(p.first_frame, *frames);
        *dim = p.dim;
        rows = realloc(rows, (*frames + (size_t)p.frames + 1) * (size_t)p.dim * sizeof *rows);
        shoal_packet_values(&p, rows + *frames * (size_t)p.dim);
        *frames += (size_t)p.frames;
        at += n;
    }
    return rows;
}

static void check_same_rows(const http_answer *a, const stream_rows *want)
{
    stream_rows got = { 0 };
    unsigned char depths[4096];

    ck_assert_msg(a->status == 200 && a->whole, "%s%s", a->head, a->body);
    got.rows = rows_of(a, &got.frames, &got.dim);
    ck_assert_uint_le(got.frames, sizeof depths);
    memset(depths, want->depths[0], sizeof depths);
    got.depths = depths;
    stream_check_same(&got, want);
    free(got.rows);
}

/* ---- what comes back ---- */

/* The same audio by WebSocket. */
static stream_result by_session(const char *query, const void *audio, size_t size)
{
    stream_result r;
    stream_plan plan = { .query = query, .audio = audio, .size = size };

    stream_run(&r, shared.port, &plan);
    return r;
}

START_TEST(raw_samples_give_the_sessions_rows)
{
    int16_t *audio = make_audio(2 * SECOND + 77, 51);
    size_t n = (2 * SECOND + 77) * sizeof *audio;
    stream_result want = by_session("depth=2&output=posteriors", audio, n);
    http_answer a = http_post_once(shared.port, "/v1/posteriors" RAW, PACKETS, audio, n);

    check_same_rows(&a, &want.posteriors);
    http_free(&a);
    stream_free(&want);
    want = by_session("output=embedding@1", audio, n);
    a = http_post_once(shared.port, "/v1/embedding@1?format=s16le&rate=16000", PACKETS, audio, n);
    check_same_rows(&a, &stream_get_tap(&want, 1)->embedding);
    http_free(&a);
    stream_free(&want);
    free(audio);
}
END_TEST

/* Every name that `output` takes is a path; 1 s is 50 frames, and 100 rows of mel. */
START_TEST(layers_and_mel_have_paths_too)
{
    int16_t *audio = make_audio(SECOND, 57);
    stream_result want = by_session("output=hidden@1,hidden@0", audio, 2 * SECOND);
    http_answer a = http_post_once(shared.port, "/v1/hidden@1?format=s16le&rate=16000", PACKETS,
                                   audio, 2 * SECOND);
    check_same_rows(&a, &stream_get_tap(&want, 1)->hidden);
    http_free(&a);
    a = http_post_once(shared.port, "/v1/hidden@0?format=s16le&rate=16000", PACKETS, audio,
                       2 * SECOND);
    check_same_rows(&a, &want.front);
    http_free(&a);
    a = http_post_once(shared.port, "/v1/mel?format=s16le&rate=16000", NPY, audio, 2 * SECOND);
    ck_assert_int_eq(a.status, 200);
    ck_assert_ptr_nonnull(memmem(a.body, 128, "'shape': (100, 80)", 18));
    ck_assert_uint_eq(a.size, 128 + 100 * 80 * 4);
    http_free(&a);
    stream_free(&want);
    free(audio);
}
END_TEST

static const struct {
    int format, rate, lossy;
} formats[] = {
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 0 },
    { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 0 },
    { SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 44100, 0 },
    { SF_FORMAT_AU | SF_FORMAT_PCM_16, 8000, 0 },
    { SF_FORMAT_W64 | SF_FORMAT_PCM_16, 22050, 0 },
    { SF_FORMAT_CAF | SF_FORMAT_PCM_16, 16000, 0 },
    { SF_FORMAT_OGG | SF_FORMAT_VORBIS, 16000, 1 },
};

START_TEST(files_give_the_sessions_rows)
{
    int16_t *audio = make_audio(SECOND, 52);
    bytes file = post_make_file(formats[_i].format, formats[_i].rate, audio, SECOND);
    char query[96];

    snprintf(query, sizeof query, "depth=2&output=posteriors&rate=%d", formats[_i].rate);
    stream_result want = by_session(query, audio, SECOND * sizeof *audio);
    http_answer a =
        http_post_once(shared.port, "/v1/posteriors?depth=2", PACKETS, file.at, file.size);
    if (!formats[_i].lossy) {
        check_same_rows(&a, &want.posteriors);
    } else {
        size_t frames;
        int dim;
        ck_assert_int_eq(a.status, 200);
        free(rows_of(&a, &frames, &dim));
        ck_assert_uint_eq(frames, want.posteriors.frames);
    }
    http_free(&a);
    stream_free(&want);
    free(file.at);
    free(audio);
}
END_TEST

/* 96 kHz is more than a session takes: it is resampled, and no sample is lost. */
START_TEST(rates_beyond_a_sessions_are_converted)
{
    int16_t *audio = make_audio(96000, 53);
    bytes file = post_make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 96000, audio, 96000);
    http_answer a = http_post_once(shared.port, "/v1/phones", "", file.at, file.size);

    post_expect_done(&a, SECOND);
    http_free(&a);
    free(file.at);
    free(audio);
}
END_TEST

START_TEST(lines_are_the_sessions_messages)
{
    bytes wav = post_make_wav(2 * SECOND);
    http_answer a =
        http_post_once(shared.port, "/v1/phones?depth=2&tentative=on", "", wav.at, wav.size);
    stream_result want = by_session("depth=2", wav.at + 44, wav.size - 44);

    post_expect_done(&a, 2 * SECOND);
    ck_assert(strstr(a.head, "Content-Type: application/x-ndjson\r\n"));
    ck_assert(strstr(a.body, "\"tentative\":["));
    ck_assert_uint_eq(post_last(&a)->u.done.phones, want.phone_count);
    http_free(&a);
    a = http_post_once(shared.port, "/v1/embedding?depth=2", "", wav.at, wav.size);
    post_expect_done(&a, 2 * SECOND);
    ck_assert(strstr(a.body, "{\"type\":\"features\",\"kind\":\"embedding\""));
    http_free(&a);
    a = http_post_once(shared.port, "/v1/activity,phones@1?depth=2", "", wav.at, wav.size);
    post_expect_done(&a, 2 * SECOND);
    http_free(&a);
    stream_free(&want);
    free(wav.at);
}
END_TEST

START_TEST(an_array_holds_the_packets_rows)
{
    bytes wav = post_make_wav(SECOND);
    http_answer p =
        http_post_once(shared.port, "/v1/posteriors?depth=2", PACKETS, wav.at, wav.size);
    http_answer a = http_post_once(shared.port, "/v1/posteriors?depth=2", NPY, wav.at, wav.size);
    size_t frames;
    int dim;
    float *want = rows_of(&p, &frames, &dim);
    char shape[160];

    ck_assert_int_eq(a.status, 200);
    snprintf(shape, sizeof shape, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %d), }",
             frames, dim);
    ck_assert_uint_eq(frames, 50);
    ck_assert_uint_eq(a.size, 128 + frames * (size_t)dim * 4);
    ck_assert_mem_eq(a.body, "\x93NUMPY\x01\x00\x76\x00", 10);
    ck_assert_mem_eq(a.body + 10, shape, strlen(shape));
    ck_assert_int_eq(a.body[127], '\n');
    ck_assert_mem_eq(a.body + 128, want, frames * (size_t)dim * 4);
    free(want);
    http_free(&p);
    http_free(&a);
    free(wav.at);
}
END_TEST

/* ---- how it may come ---- */

START_TEST(split_at_every_byte_of_the_head)
{
    static const char head[] = "POST /v1/phones" RAW " HTTP/1.1\r\nHost: localhost\r\n"
                               "Content-Length: 3200\r\nAccept: */*\r\n\r\n";
    int16_t *audio = make_audio(1600, 54);
    http h = http_open(shared.port);

    for (size_t cut = 1; cut < sizeof head - 1; cut++) { /* and keep-alive after each */
        ck_assert_int_eq(http_send(&h, head, cut), 0);
        usleep(200);
        ck_assert_int_eq(http_send(&h, head + cut, sizeof head - 1 - cut), 0);
        ck_assert_int_eq(http_send(&h, audio, 3200), 0);
        http_answer a = http_read(&h);
        post_expect_done(&a, 1600);
        http_free(&a);
    }
    http_close(&h);
    free(audio);
}
END_TEST

START_TEST(a_file_may_come_byte_by_byte)
{
    bytes wav = post_make_wav(800);
    http h = http_open(shared.port);
    char head[128];

    snprintf(head, sizeof head,
             "POST /v1/phones?depth=1 HTTP/1.1\r\nHost: localhost\r\n"
             "Content-Length: %zu\r\n\r\n",
             wav.size);
    http_send(&h, head, strlen(head));
    for (size_t i = 0; i < wav.size; i++) {
        http_send(&h, wav.at + i, 1);
        if (i < 100)
            usleep(200);
    }
    http_answer a = http_read(&h);
    post_expect_done(&a, 800);
    http_free(&a);
    http_close(&h);
    free(wav.at);
}
END_TEST

/* Chunks of odd sizes, with extensions and a trailer, after 100 Continue; and a request behind. */
START_TEST(chunked_with_all_that_may_be)
{
    static const char head[] = "POST /v1/phones?depth=2 HTTP/1.1\r\nHost: localhost\r\n"
                               "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    bytes wav = post_make_wav(SECOND);
    http h = http_open(shared.port);

    http_send(&h, head, sizeof head - 1);
    http_answer a = http_read(&h);
    ck_assert_int_eq(a.status, 100);
    http_free(&a);
    for (size_t at = 0, n = 1; at < wav.size; at += n, n = n * 3 % 4099) {
        char size[64];

        n = n < wav.size - at ? n : wav.size - at;
        snprintf(size, sizeof size, "%05zX; a=\"%zu\"\r\n", n, at);
        http_send(&h, size, strlen(size));
        http_send(&h, wav.at + at, n);
        http_send(&h, "\r\n", 2);
    }
    static const char end[] =
        "0\r\nX-Sum: none\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    http_send(&h, end, sizeof end - 1);
    a = http_read(&h);
    post_expect_done(&a, SECOND);
    http_free(&a);
    a = http_read(&h);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(a.body, "ok\n");
    http_free(&a);
    http_close(&h);
    free(wav.at);
}
END_TEST

START_TEST(pipelined_posts_are_answered_in_order)
{
    bytes wav = post_make_wav(SECOND);
    http h = http_open(shared.port);

    for (int i = 1; i < 4; i++) { /* the WAV says itself how long it is: the rest is silence */
        char target[64];
        snprintf(target, sizeof target, "/v1/phones?depth=%d", i);
        http_post(&h, target, "", wav.at, wav.size);
    }
    for (int i = 1; i < 4; i++) {
        http_answer a = http_read(&h);
        char member[32];
        snprintf(member, sizeof member, "\"depth\":%d,\"received\"", i);
        post_expect_done(&a, SECOND);
        ck_assert_ptr_nonnull(strstr(a.body, member));
        http_free(&a);
    }
    http_close(&h);
    free(wav.at);
}
END_TEST

START_TEST(http_1_0_gets_lines_until_the_end)
{
    static const char head[] = "POST /v1/phones" RAW " HTTP/1.0\r\nContent-Length: 32000\r\n\r\n";
    int16_t *audio = make_audio(SECOND, 55);
    http h = http_open(shared.port);

    http_send(&h, head, sizeof head - 1);
    http_send(&h, audio, 32000);
    http_answer a = http_read(&h);
    ck_assert(!strstr(a.head, "chunked"));
    post_expect_done(&a, SECOND);
    http_free(&a);
    http_close(&h);
    free(audio);
}
END_TEST

/* Phones come while the body does. */
START_TEST(results_come_before_the_end_of_the_body)
{
    int16_t *audio = make_audio(2 * SECOND, 56);
    char head[128];
    http h = http_open(shared.port);
    char first[4096] = "";

    snprintf(head, sizeof head,
             "POST /v1/phones" RAW " HTTP/1.1\r\nHost: localhost\r\n"
             "Content-Length: 64000\r\n\r\n");
    http_send(&h, head, strlen(head));
    http_send(&h, audio, 32000);
    for (size_t n = 0; !strstr(first, "\"type\":\"phones\"") && n < sizeof first - 1;) {
        ssize_t k = read(h.fd, first + n, sizeof first - 1 - n);
        ck_assert_int_gt(k, 0);
        n += (size_t)k;
    }
    http_send(&h, (char *)audio + 32000, 32000);
    while (read(h.fd, first, sizeof first) > 0 && !memmem(first, sizeof first, "\"done\"", 6))
        ;
    http_close(&h);
    free(audio);
}
END_TEST

TCase *post_case(void)
{
    TCase *t = tcase_create("post");

    tcase_set_timeout(t, 4 * PATIENCE_MS / 1000);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_test(t, raw_samples_give_the_sessions_rows);
    tcase_add_test(t, layers_and_mel_have_paths_too);
    tcase_add_loop_test(t, files_give_the_sessions_rows, 0, sizeof formats / sizeof formats[0]);
    tcase_add_test(t, rates_beyond_a_sessions_are_converted);
    tcase_add_test(t, lines_are_the_sessions_messages);
    tcase_add_test(t, an_array_holds_the_packets_rows);
    tcase_add_test(t, split_at_every_byte_of_the_head);
    tcase_add_test(t, a_file_may_come_byte_by_byte);
    tcase_add_test(t, chunked_with_all_that_may_be);
    tcase_add_test(t, pipelined_posts_are_answered_in_order);
    tcase_add_test(t, http_1_0_gets_lines_until_the_end);
    tcase_add_test(t, results_come_before_the_end_of_the_body);
    return t;
}

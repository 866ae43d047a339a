/* test_post_wrong.c - POST: what is said to bodies that are wrong, and that they hold nothing */
#include "post.h"

#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(wrong_bodies_are_told_why)
{
    static const struct {
        const char *target, *lines, *body;
        int status;
        const char *code, *remedy;
    } wrong[] = {
        { "/v1/phones", "", "{\"what\": \"is this\"}", 415, "bad_audio_format", "ffmpeg" },
        { "/v1/phones", "", "#!AMR and what it is not read for", 415, "bad_audio_format",
          "is AMR" },
        { "/v1/phones", "", "", 400, "bad_request", "--data-binary" },
        { "/v1/phones?rate=8000", "", "x", 400, "bad_option", "format" },
        { "/v1/phones?format=opus", "", "x", 400, "bad_option", "Ogg" },
        { "/v1/phones?depth=99", "", "x", 400, "bad_option", "1..12" },
        { "/v1/phones?output=phones", "", "x", 400, "bad_option", "twice" },
        { "/v1/phones,posteriors?encoding=f16", "", "x", 400, "bad_option", "Accept" },
        { "/v1/phones@0", "", "x", 400, "bad_option", "phones@4" },
        { "/v1/phones", NPY, "x", 406, "bad_request", "Accept" },
        { "/v1/phones,posteriors", PACKETS, "x", 406, "bad_request", "Accept" },
        { "/v1/posteriors,embedding", NPY, "x", 406, "bad_request", "one" },
        { "/v1/posteriors?encoding=json", NPY, "x", 400, "bad_option", "Accept" },
        { "/v1/phones", "Content-Type: multipart/form-data; boundary=b\r\n", "x", 415,
          "bad_request", "--data-binary" },
        { "/v1/phones", "Content-Encoding: gzip\r\n", "x", 415, "bad_request", "as they are" },
        { "/v1/phones&depth=2", "", "x", 404, "not_found", "" },
        { "/v1/phonesx", "", "x", 404, "not_found", "/v1/posteriors" },
        { "/v1/model", "", "x", 405, "bad_request", "GET" },
        { "/v1/phones" RAW, "", "fLaC, and more bytes than are looked at", 415, "bad_audio_format",
          "FLAC" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        http_answer a = http_post_once(shared.port, wrong[i].target, wrong[i].lines, wrong[i].body,
                                       strlen(wrong[i].body));
        post_expect_refusal(&a, wrong[i].status, wrong[i].code, wrong[i].remedy);
        http_free(&a);
    }
    daemon_wait_empty(&shared);
}
END_TEST

static http_answer ask(const char *request)
{
    http h = http_open(shared.port);
    http_send(&h, request, strlen(request));
    http_answer a = http_read(&h);
    http_close(&h);
    return a;
}

START_TEST(wrong_framing_is_refused)
{
    static const struct {
        const char *rest;
        int status;
    } wrong[] = {
        { "\r\n", 411 },
        { "Transfer-Encoding: gzip\r\n\r\n", 501 },
        { "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
        { "Transfer-Encoding: chunked\r\n\r\nnot a size\r\n", 400 },
        { "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400 },
        { "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400 },
        { "Expect: miracles\r\nContent-Length: 3\r\n\r\nabc", 417 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char request[256];
        snprintf(request, sizeof request,
                 "POST /v1/phones" RAW " HTTP/1.1\r\nHost: localhost\r\n%s", wrong[i].rest);
        http_answer a = ask(request);
        post_expect_refusal(&a, wrong[i].status, "bad_request", "");
        ck_assert_ptr_nonnull(strstr(a.head, "Connection: close"));
        http_free(&a);
    }
    http_answer a = ask("GET /v1/phones HTTP/1.1\r\nHost: localhost\r\n\r\n");
    post_expect_refusal(&a, 405, "bad_request", "--data-binary");
    ck_assert_ptr_nonnull(strstr(a.head, "Allow: POST, OPTIONS"));
    http_free(&a);
    daemon_wait_empty(&shared);
}
END_TEST

/* What there is is told, and that it is not all. */
START_TEST(a_file_cut_off_is_told)
{
    bytes wav = post_make_wav(2 * SECOND);
    http_answer a = http_post_once(shared.port, "/v1/phones?depth=2", "", wav.at, wav.size / 2);

    ck_assert_int_eq(a.status, 200);
    ck_assert_msg(!a.whole, "its end came");
    ck_assert_ptr_nonnull(strstr(a.body, "{\"type\":\"done\""));
    const shoal_server_msg *m = post_last(&a);
    ck_assert_int_eq(m->type, SHOAL_MSG_ERROR);
    ck_assert_int_eq(m->u.error.code, SHOAL_CODE_BAD_AUDIO_FORMAT);
    ck_assert_ptr_nonnull(strstr(m->u.error.message, "2.00 s"));
    http_free(&a);
    a = http_post_once(shared.port, "/v1/posteriors", NPY, wav.at, wav.size / 2);
    post_expect_refusal(&a, 415, "bad_audio_format", "2.00 s");
    http_free(&a);
    free(wav.at);
}
END_TEST

/* Of packed sound that ends too early libsndfile makes silence for ever. */
START_TEST(packed_sound_cut_off_is_no_silence)
{
    int16_t *audio = make_audio(4 * SECOND, 7);
    bytes au = post_make_file(SF_FORMAT_AU | SF_FORMAT_G721_32, SECOND, audio, 4 * SECOND);
    http_answer a = http_post_once(shared.port, "/v1/phones?depth=2", "", au.at, au.size / 2);
    const char *done = strstr(a.body, "{\"type\":\"done\",\"received\":");

    ck_assert_ptr_nonnull(done);
    ck_assert_int_lt(atoi(done + 26), 5 * SECOND / 2);
    ck_assert_int_eq(post_last(&a)->type, SHOAL_MSG_ERROR);
    ck_assert_msg(strstr(post_last(&a)->u.error.message, "cut off"), "%s",
                  post_last(&a)->u.error.message);
    http_free(&a);
    free(au.at);
    free(audio);
}
END_TEST

static void expect_last_words(const bytes *file, size_t size, const char *words)
{
    http_answer a = http_post_once(shared.port, "/v1/phones?depth=2", "", file->at, size);
    const shoal_server_msg *m = post_last(&a);

    ck_assert_int_eq(a.status, 200);
    ck_assert_int_eq(m->type, SHOAL_MSG_ERROR);
    ck_assert_int_eq(m->u.error.code, SHOAL_CODE_BAD_AUDIO_FORMAT);
    ck_assert_msg(strstr(m->u.error.message, words), "%s", m->u.error.message);
    http_free(&a);
}

/* Of two recordings in one the first is heard, of an Ogg file with damage what is whole, and of a
 * WAV what its header knows of. */
START_TEST(files_that_are_not_heard_whole)
{
    static const int twice[] = { SF_FORMAT_OGG | SF_FORMAT_VORBIS,
                                 SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                                 SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III };
    int16_t *audio = make_audio(4 * SECOND, 7);

    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++) {
        bytes one = post_make_file(twice[i], SECOND, audio, 4 * SECOND);
        bytes two = { malloc(2 * one.size), 2 * one.size };
        memcpy(two.at, one.at, one.size);
        memcpy((char *)two.at + one.size, one.at, one.size);
        expect_last_words(&two, two.size, "more sound follows the 4.00 s");
        if (i == 0) {
            memset((char *)one.at + one.size / 2, 0, 8);
            expect_last_words(&one, one.size, "is damaged");
        }
        free(one.at);
        free(two.at);
    }
    bytes w64 = post_make_file(SF_FORMAT_W64 | SF_FORMAT_PCM_16, SECOND, audio, 4 * SECOND);
    expect_last_words(&w64, w64.size / 2, "2.00 s");
    free(w64.at);
    bytes wav = post_make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, SECOND, audio, 4 * SECOND);
    memcpy((char *)wav.at + 40, "\0\x7d\0\0", 4); /* 32000 bytes */
    expect_last_words(&wav, wav.size, "more sound follows the 1.00 s");
    free(wav.at);
    free(audio);
}
END_TEST

/* Ogg has no length, but an end; and a recorder that was killed leaves 0 in a WAV header. */
START_TEST(files_that_do_not_say_how_long_they_are)
{
    int16_t *audio = make_audio(4 * SECOND, 7);
    bytes ogg = post_make_file(SF_FORMAT_OGG | SF_FORMAT_VORBIS, SECOND, audio, 4 * SECOND);
    bytes wav = post_make_wav(2 * SECOND);

    http_answer a = http_post_once(shared.port, "/v1/phones?depth=2", "", ogg.at, ogg.size);
    ck_assert_int_eq(post_last(&a)->type, SHOAL_MSG_DONE);
    http_free(&a);
    expect_last_words(&ogg, ogg.size - 1, "without its end mark");
    expect_last_words(&ogg, ogg.size / 2, "without its end mark");
    memset(wav.at + 40, 0, 4);
    expect_last_words(&wav, wav.size, " bytes follow");
    free(ogg.at);
    free(wav.at);
    free(audio);
}
END_TEST

START_TEST(clients_that_leave_hold_nothing)
{
    bytes wav = post_make_wav(2 * SECOND);

    for (int i = 0; i < 40; i++) {
        http h = http_open(shared.port);
        char head[128];
        snprintf(head, sizeof head,
                 "POST /v1/phones%s HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Length: 100000\r\n\r\n",
                 i & 1 ? RAW : "");
        http_send(&h, head, strlen(head));
        http_send(&h, wav.at + (i & 1 ? 44 : 0), (size_t)(i * 1100));
        if (i & 2)
            http_reset(&h);
        else
            http_close(&h);
    }
    daemon_wait_empty(&shared);
    free(wav.at);
}
END_TEST

TCase *post_wrong_case(void)
{
    TCase *t = tcase_create("post, wrong");

    tcase_set_timeout(t, 4 * PATIENCE_MS / 1000);
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_test(t, wrong_bodies_are_told_why);
    tcase_add_test(t, wrong_framing_is_refused);
    tcase_add_test(t, a_file_cut_off_is_told);
    tcase_add_test(t, packed_sound_cut_off_is_no_silence);
    tcase_add_test(t, files_that_are_not_heard_whole);
    tcase_add_test(t, files_that_do_not_say_how_long_they_are);
    tcase_add_test(t, clients_that_leave_hold_nothing);
    return t;
}

/* check_client_resume.c - a session over several connections, without a socket and without a clock
 *
 * Messages of two servers in, events of one session out: what goes again, from where, what is
 * dropped, and when a session cannot go on. The same with a server that is killed:
 * integration/test_resume.c.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session_util.h"
#include "suite.h"

static void open_session(void)
{
    open_session_of(shoal_options_default());
    server.options.outputs |= SHOAL_OUTPUT_PHONES;
}

static void hear_phones(uint32_t seq, uint64_t frames, const char *phones)
{
    char text[600];

    snprintf(text, sizeof text,
             "{\"type\":\"phones\",\"seq\":%u,\"depth\":1,\"received\":%llu,\"processed\":%llu,"
             "\"lag_ms\":0,\"phones\":[%s]}",
             seq, (unsigned long long)frames * 320, (unsigned long long)frames * 320, phones);
    hear(text);
}

/* What the wire takes: texts one after the other, and the audio. */
static struct {
    char text[8192];
    size_t audio, largest;
    uint64_t first; /* byte of the audio, once told by its content */
    uint8_t bytes[sizeof audio];
} wire;

static void take_out(void)
{
    const uint8_t *bytes;
    size_t n;
    int kind;

    memset(&wire, 0, sizeof wire);
    for (; shoal__session_front(&s, &kind, &bytes, &n); shoal__session_sent(&s)) {
        if (kind == SHOAL__TEXT) {
            size_t at = strlen(wire.text);

            snprintf(wire.text + at, sizeof wire.text - at, "%.*s\n", (int)n, (const char *)bytes);
            continue;
        }
        ck_assert_int_eq(kind, SHOAL__BINARY);
        memcpy(wire.bytes + wire.audio, bytes, n);
        wire.audio += n;
        wire.largest = n > wire.largest ? n : wire.largest;
    }
}

/* As far as byte `to`. */
static void send_audio(size_t to)
{
    size_t from = (size_t)s.audio_taken, taken = shoal__session_send(&s, audio + from, to - from);

    ck_assert_uint_eq(taken, to - from);
}

/* A session of 10 s that has rows and phones up to frame 400 of 500. */
static void first_half(void)
{
    hear_ready();
    expect(SHOAL_CLIENT_READY);
    send_audio(320000);
    take_out();
    for (uint32_t i = 0; i < 50; i++) {
        hear_rows(2 * i, 8 * i, 8, 0);
        expect(SHOAL_CLIENT_FEATURES);
        hear_phones(2 * i + 1, 8 * i + 8,
                    i == 48 ? "{\"phone\":\"AH\",\"start\":7.600,\"end\":7.700,\"confidence\":0.5}"
                            : "");
        expect(SHOAL_CLIENT_PHONES);
    }
}

/* One layer of 160 + 320 ms, 235 of latency, the decoder's 2560 and the hangover's 300 are 3575 ms
 * or 179 frames; the chunk boundary before frame 400 - 179 is 216. */
enum { BASE = 216 };

START_TEST(what_the_next_results_depend_on_goes_again)
{
    first_half();
    break_connection();
    send_audio(350000); /* nobody has to wait */
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    take_out();
    ck_assert_msg(strstr(wire.text, "\"start\"") && strstr(wire.text, "\"left_ms\":160"), "%s",
                  wire.text);
    ck_assert_uint_eq(wire.audio, 0); /* not before it is known to be the same model */
    hear_ready();
    shoal_client_event e = expect(SHOAL_CLIENT_RESUMED);
    ck_assert_uint_eq(e.gap->samples, 0);
    ck_assert_uint_eq(e.gap->replayed, 160000 - BASE * 320);
    take_out();
    ck_assert_uint_eq(wire.audio, 350000 - BASE * 640);
    ck_assert_mem_eq(wire.bytes, audio + BASE * 640, wire.audio);
    ck_assert_uint_eq(wire.largest, 8000);
}
END_TEST

static void resume(void)
{
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    hear_ready();
    expect(SHOAL_CLIENT_RESUMED);
    take_out();
}

START_TEST(results_join_without_gap_or_copy)
{
    shoal_client_event e;

    first_half();
    break_connection();
    resume();
    hear_rows(0, 0, 60, BASE);
    hear_rows(1, 60, 60, BASE);
    hear_phones(2, 120, "{\"phone\":\"AH\",\"start\":3.280,\"end\":3.400,\"confidence\":0.5}");
    expect_nothing(); /* all of it was given: frames up to 336, AH at 7.6 */
    hear_rows(3, 120, 64, BASE);
    expect_nothing(); /* up to 400 */
    hear_rows(4, 180, 10, BASE);
    e = expect(SHOAL_CLIENT_FEATURES); /* 396..406: four of them are old */
    ck_assert_uint_eq(e.packet->first_frame, 400);
    ck_assert_int_eq(e.packet->frames, 6);
    ck_assert_uint_eq(e.packet->start_sample, 400 * 320);
    ck_assert_uint_eq(e.packet->processed, 406 * 320);
    ck_assert_uint_eq(e.packet->seq, 100);
    ck_assert_float_eq(e.rows[0], 400);
    ck_assert_float_eq(e.rows[5], 405);
    hear_phones(5, 190, "{\"phone\":\"EH\",\"start\":3.360,\"end\":3.480,\"confidence\":0.5}");
    e = expect(SHOAL_CLIENT_PHONES);
    ck_assert_uint_eq(e.phones->seq, 101);
    ck_assert_double_eq_tol(e.phones->phones[0].start, 7.7, 1e-9); /* AH ends there */
    ck_assert_double_eq_tol(e.phones->phones[0].end, 7.8, 1e-9);
    ck_assert_uint_eq(shoal__session_stats(&s).frames, 406);
    ck_assert_uint_eq(shoal__session_stats(&s).seq_gaps, 0);
}
END_TEST

START_TEST(totals_are_of_all_connections)
{
    shoal_client_event e;

    first_half();
    break_connection();
    resume();
    hear_rows(0, 0, 60, BASE);
    hear_phones(1, 60, "{\"phone\":\"AH\",\"start\":3.280,\"end\":3.400,\"confidence\":0.5}");
    expect_nothing();
    hear("{\"type\":\"done\",\"received\":90880,\"processed\":90880,\"frames\":284,\"phones\":1,"
         "\"packets\":1,\"seconds\":5.680}");
    e = expect(SHOAL_CLIENT_DONE);
    ck_assert_uint_eq(e.done->received, 160000);
    ck_assert_uint_eq(e.done->frames, 500);
    ck_assert_uint_eq(e.done->packets, 50);
    ck_assert_uint_eq(e.done->phones, 1);
    ck_assert_double_eq_tol(e.done->seconds, 10, 1e-9);
    shoal__session_close(&s, 1000, "", 0);
    shoal__session_gone(&s);
    ck_assert(expect(SHOAL_CLIENT_CLOSED).failure == NULL);
}
END_TEST

/* A flush cuts its chunk again, its answer comes once; a set and a ping go again until answered. */
START_TEST(requests_go_again_at_their_places)
{
    shoal_options o = { .given = SHOAL_OPT_OUTPUT, .outputs = SHOAL_OUTPUT_POSTERIORS };
    const char *flush, *ping, *end;

    hear_ready();
    expect(SHOAL_CLIENT_READY);
    send_audio(20000);
    ck_assert_int_eq(shoal__session_flush(&s, "a"), 0);
    ck_assert_int_eq(shoal__session_set(&s, &o), 0);
    ck_assert_int_eq(shoal__session_ping(&s, "b"), 0);
    send_audio(40000);
    ck_assert_int_eq(shoal__session_ping(&s, "c"), 0);
    ck_assert_int_eq(shoal__session_end(&s), 0);
    take_out();
    hear("{\"type\":\"flushed\",\"id\":\"a\",\"received\":10000,\"processed\":9280,\"frames\":29}");
    ck_assert_str_eq(expect(SHOAL_CLIENT_FLUSHED).flushed->id, "a");
    hear("{\"type\":\"pong\",\"id\":\"b\"}");
    expect(SHOAL_CLIENT_PONG);
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    hear_ready();
    expect(SHOAL_CLIENT_RESUMED);
    take_out();
    ck_assert_uint_eq(wire.audio, 40000);
    flush = strstr(wire.text, "\"flush\"");
    ping = strstr(wire.text, "\"c\"");
    end = strstr(wire.text, "\"end\"");
    ck_assert_msg(flush && ping && end && flush < ping && ping < end, "%s", wire.text);
    ck_assert_msg(strstr(wire.text, "\"set\"") && !strstr(wire.text, "\"b\""), "%s", wire.text);
    hear("{\"type\":\"flushed\",\"id\":\"a\",\"received\":10000,\"processed\":9280,\"frames\":29}");
    hear("{\"type\":\"pong\",\"id\":\"c\"}");
    ck_assert_str_eq(expect(SHOAL_CLIENT_PONG).id, "c");
}
END_TEST

/* What is given again is no progress; what is new, or a ping that was answered behind all of it,
 * is. */
START_TEST(results_that_were_there_are_no_progress)
{
    first_half();
    ck_assert_int_eq(s.advanced, 1);
    s.advanced = 0;
    break_connection();
    resume();
    hear_rows(0, 0, 60, BASE);
    hear_rows(1, 60, 60, BASE);
    hear_phones(2, 120, "");
    expect_nothing();
    ck_assert_int_eq(s.advanced, 0);
    hear_rows(3, 120, 64, BASE);
    hear_rows(4, 184, 2, BASE);
    expect(SHOAL_CLIENT_FEATURES);
    ck_assert_int_eq(s.advanced, 1);
    s.advanced = 0;
    ck_assert_int_eq(shoal__session_ping(&s, "a"), 0);
    take_out();
    hear("{\"type\":\"pong\",\"id\":\"a\"}");
    expect(SHOAL_CLIENT_PONG);
    ck_assert_int_eq(s.advanced, 1);
}
END_TEST

/* Means of frames may not end where a connection did: their session is not gone on with. */
START_TEST(means_are_not_joined)
{
    server.options.every = 4;
    first_half();
    shoal__session_gone(&s);
    ck_assert_str_eq(expect(SHOAL_CLIENT_ERROR).error->name, "connection_lost");
    expect(SHOAL_CLIENT_CLOSED);
}
END_TEST

/* Nor is one whose chunks no longer count from its start. */
START_TEST(another_length_of_chunks_is_not_joined)
{
    shoal_options o = { .given = SHOAL_OPT_CHUNK_MS, .chunk_ms = 80 };

    first_half();
    ck_assert_int_eq(shoal__session_set(&s, &o), 0);
    shoal__session_gone(&s);
    ck_assert_str_eq(expect(SHOAL_CLIENT_ERROR).error->name, "connection_lost");
    expect(SHOAL_CLIENT_CLOSED);
}
END_TEST

/* ---- when not ---- */

static void another_model(shoal_ready *r)
{
    snprintf(r->model_sha256, sizeof r->model_sha256, "%064d", 2);
}

static void another_precision(shoal_ready *r)
{
    snprintf(r->precision, sizeof r->precision, "int8");
}

static void other_kernels(shoal_ready *r)
{
    snprintf(r->kernels, sizeof r->kernels, "avx512");
}

static const struct {
    const char *name;
    void (*change)(shoal_ready *);
} changes[3] = { { "other_model", another_model },
                 { "other_precision", another_precision },
                 { "other_kernels", other_kernels } };

START_TEST(another_server_is_refused_by_name)
{
    shoal_client_event e;

    first_half();
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    changes[_i].change(&server);
    hear_ready();
    e = expect(SHOAL_CLIENT_ERROR);
    ck_assert_str_eq(e.error->name, changes[_i].name);
    ck_assert_int_eq(e.failure->cause, SHOAL_CLIENT_REJECTED);
    ck_assert_ptr_nonnull(expect(SHOAL_CLIENT_CLOSED).failure);
    expect_nothing();
}
END_TEST

START_TEST(with_gaps_allowed_it_goes_on_and_says_so)
{
    shoal_client_event e;

    s.params.gaps = 1;
    first_half();
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    another_model(&server);
    hear_ready();
    e = expect(SHOAL_CLIENT_RESUMED);
    ck_assert_str_eq(e.gap->name, "other_model");
    ck_assert_uint_eq(e.gap->samples, 0);
}
END_TEST

START_TEST(forgotten_audio_is_a_gap_of_known_size)
{
    shoal_client_event e;

    s.params.gaps = 1;
    s.out.kept.messages.max = 40000; /* 1.25 s, of 2 s that have no results yet */
    first_half();
    break_connection();
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    hear_ready();
    e = expect(SHOAL_CLIENT_RESUMED);
    ck_assert_str_eq(e.gap->name, "audio_forgotten");
    ck_assert_uint_eq(e.gap->from_frame, 400);
    ck_assert_uint_eq(e.gap->from_sample, 128000);
    ck_assert_uint_eq(e.gap->samples, e.gap->frames * 320);
    take_out();
    ck_assert_uint_eq(wire.audio, 320000 - (400 + e.gap->frames) * 640);
    ck_assert_mem_eq(wire.bytes, audio + (400 + e.gap->frames) * 640, wire.audio);
    hear_rows(0, 0, 8, 400 + e.gap->frames);
    ck_assert_uint_eq(expect(SHOAL_CLIENT_FEATURES).packet->first_frame, 400 + s.gap.frames);
}
END_TEST

START_TEST(before_ready_nothing_is_tried_again)
{
    shoal__session_gone(&s);
    ck_assert_str_eq(expect(SHOAL_CLIENT_ERROR).error->name, "connection_lost");
    expect(SHOAL_CLIENT_CLOSED);
}
END_TEST

START_TEST(what_will_not_help_is_not_tried)
{
    first_half();
    hear("{\"type\":\"error\",\"code\":\"audio_not_finite\",\"message\":\"NaN\",\"fatal\":true,"
         "\"retry\":false}");
    ck_assert_str_eq(expect(SHOAL_CLIENT_ERROR).error->name, "audio_not_finite");
    shoal__session_gone(&s);
    expect(SHOAL_CLIENT_CLOSED);
}
END_TEST

START_TEST(a_server_that_restarts_or_is_full_is_waited_for)
{
    first_half();
    hear("{\"type\":\"error\",\"code\":\"draining\",\"message\":\"restarts\",\"fatal\":true,"
         "\"retry\":true}");
    expect_nothing(); /* the connection's end is what counts */
    shoal__session_close(&s, 1012, "", 0);
    shoal__session_gone(&s);
    ck_assert_int_eq(expect(SHOAL_CLIENT_AWAY).failure->cause, SHOAL_CLIENT_RESTARTING);
    ck_assert_int_eq(shoal__resume_begin(&s), 0);
    hear("{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"full\",\"fatal\":true,"
         "\"retry\":true,\"retry_after_ms\":3000}");
    shoal__session_gone(&s);
    shoal_client_event e = expect(SHOAL_CLIENT_AWAY);
    ck_assert_int_eq(e.failure->cause, SHOAL_CLIENT_FULL);
    ck_assert_int_eq(e.failure->retry_ms, 3000);
    shoal__session_give_up(&s);
    ck_assert_str_eq(expect(SHOAL_CLIENT_ERROR).error->name, "overloaded");
    expect(SHOAL_CLIENT_CLOSED);
}
END_TEST

static Suite *resume_suite(void)
{
    Suite *suite = suite_create("client_resume");
    TCase *t = tcase_create("resume");

    tcase_add_checked_fixture(t, open_session, close_session);
    tcase_add_test(t, what_the_next_results_depend_on_goes_again);
    tcase_add_test(t, results_join_without_gap_or_copy);
    tcase_add_test(t, totals_are_of_all_connections);
    tcase_add_test(t, requests_go_again_at_their_places);
    tcase_add_loop_test(t, another_server_is_refused_by_name, 0, 3);
    tcase_add_test(t, results_that_were_there_are_no_progress);
    tcase_add_test(t, means_are_not_joined);
    tcase_add_test(t, with_gaps_allowed_it_goes_on_and_says_so);
    tcase_add_test(t, forgotten_audio_is_a_gap_of_known_size);
    tcase_add_test(t, before_ready_nothing_is_tried_again);
    tcase_add_test(t, another_length_of_chunks_is_not_joined);
    tcase_add_test(t, what_will_not_help_is_not_tried);
    tcase_add_test(t, a_server_that_restarts_or_is_full_is_waited_for);
    suite_add_tcase(suite, t);
    return suite;
}

int main(void)
{
    return suite_run(resume_suite());
}

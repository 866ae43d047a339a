/* check_dump.c - the list of live sessions: a made-up house, its figures in JSON */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/dump.h"
#include "session/state.h"
#include "suite.h"

static shoald_house house;
static shoald_session waiting, streaming;
static shoald_port port = { .index = 3 };
static shoald_link link_of_both;

static void add(shoald_session *s, const char *id, const char *peer)
{
    memset(s, 0, sizeof *s);
    snprintf(s->lane.id, sizeof s->lane.id, "%s", id);
    snprintf(s->peer.name, sizeof s->peer.name, "%s", peer);
    s->house = &house;
    s->link = &link_of_both;
    s->opened_ns = s->heard_ns = uv_hrtime() - 2000000000u;
    s->next = house.sessions;
    house.sessions = s;
    house.session_count++;
}

/* Three seconds have come, two are done, and half a second waits in the queue. */
static void start(shoald_session *s)
{
    static const char audio[16000];
    const shoald_record r = { sizeof audio, SHOALD_IN_AUDIO, 0, 0 };

    s->phase = SHOALD_STREAMING;
    s->port = &port;
    s->lane.options = shoal_options_default();
    atomic_store(&s->lane.received_bytes, 3 * 32000);
    atomic_store(&s->lane.totals.samples, 2 * 16000);
    atomic_store(&s->lane.totals.depth, 6);
    ck_assert_int_eq(shoald_queue_init(&s->lane.in, 1 << 15), 0);
    ck_assert(shoald_queue_put(&s->lane.in, &r, audio));
}

static json_t *dump(void)
{
    shoal_buf b = { 0 };

    ck_assert_int_eq(shoald_session_dump_json(&b, &house), 0);
    json_t *all = json_loadb(b.data, b.size, 0, NULL);
    ck_assert_ptr_nonnull(all);
    shoal_buf_free(&b);
    return all;
}

static void check_number(const json_t *one, const char *key, double want, double tolerance)
{
    ck_assert_msg(json_is_number(json_object_get(one, key)), "no number %s", key);
    ck_assert_double_eq_tol(json_number_value(json_object_get(one, key)), want, tolerance);
}

static void check_text(const json_t *one, const char *key, const char *want)
{
    ck_assert_str_eq(json_string_value(json_object_get(one, key)), want);
}

START_TEST(each_session_is_listed_with_its_figures)
{
    add(&waiting, "00000000000000aa", "192.0.2.1:7");
    add(&streaming, "00000000000000bb", "[2001:db8::1]:9");
    start(&streaming);
    json_t *all = dump(), *list = json_object_get(all, "sessions");
    ck_assert_uint_eq(json_array_size(list), 2);
    const json_t *one = json_array_get(list, 0);
    check_text(one, "session", "00000000000000bb");
    check_text(one, "peer", "[2001:db8::1]:9");
    check_text(one, "phase", "streaming");
    check_number(one, "worker", 3, 1e-6);
    check_number(one, "depth", 6, 1e-6);
    check_number(one, "audio_s", 2, 1e-6);
    check_number(one, "behind_s", 1, 1e-6);
    check_number(one, "in_bytes", 16000 + SHOALD_RECORD_BYTES, 1e-6);
    one = json_array_get(list, 1);
    check_text(one, "phase", "waiting");
    check_number(one, "worker", -1, 1e-6);
    ck_assert_double_ge(json_number_value(json_object_get(one, "silent_s")), 2);
    json_decref(all);
    shoald_session_dump(&house);
    shoald_queue_free(&streaming.lane.in);
}
END_TEST

/* It has no link, and is none that its worker lets go of. */
START_TEST(a_parked_session_is_told_from_one_that_goes)
{
    add(&waiting, "00000000000000aa", "192.0.2.1:7");
    add(&streaming, "00000000000000bb", "192.0.2.1:9");
    waiting.link = streaming.link = NULL;
    streaming.parked_ns = 1;
    json_t *all = dump(), *list = json_object_get(all, "sessions");
    check_text(json_array_get(list, 0), "phase", "parked");
    check_text(json_array_get(list, 1), "phase", "gone");
    json_decref(all);
}
END_TEST

START_TEST(an_empty_house_has_an_empty_list)
{
    json_t *all = dump();

    ck_assert_uint_eq(json_array_size(json_object_get(all, "sessions")), 0);
    json_decref(all);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dump");
    TCase *t = tcase_create("dump");

    tcase_add_test(t, each_session_is_listed_with_its_figures);
    tcase_add_test(t, a_parked_session_is_told_from_one_that_goes);
    tcase_add_test(t, an_empty_house_has_an_empty_list);
    suite_add_tcase(s, t);
    return suite_run(s);
}

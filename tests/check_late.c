/* check_late.c - who must go when a worker is late, and when: a made-up clock
 *
 * The first part is the decision alone (late.h). The second is a house that has two
 * ports without workers and sessions on a link that leads nowhere.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "plan/late.h"
#include "session/admit.h"
#include "session/session.h"
#include "suite.h"

static const uint64_t ms = 1000000u, second = 1000000000u;

/* ---- the decision ---- */

enum { LIMIT_MS = 4000 };

/* Ticks of a quarter of a second, from..to, each that late; how many must go. */
static int gone(shoald_late *l, double from_s, double to_s, uint64_t late_ns, uint64_t limit_ns)
{
    int n = 0;

    for (double at = from_s; at < to_s; at += 0.25)
        n += shoald_late_step(l, late_ns, limit_ns, (uint64_t)(at * 1e9));
    return n;
}

START_TEST(one_goes_every_two_seconds)
{
    shoald_late l = { 0 };
    uint64_t limit = LIMIT_MS * ms;

    ck_assert_int_eq(gone(&l, 10, 12, limit + 1, limit), 0);
    ck_assert_int_eq(gone(&l, 12, 12.25, limit + 1, limit), 1);
    ck_assert_int_eq(gone(&l, 12.25, 14, limit + 1, limit), 0);
    ck_assert_int_eq(gone(&l, 14, 14.25, limit + 1, limit), 1);
    ck_assert_int_eq(gone(&l, 14.25, 24.25, limit + 1, limit), 5);
}
END_TEST

START_TEST(up_to_the_limit_nobody_goes)
{
    shoald_late l = { 0 };
    uint64_t limit = LIMIT_MS * ms;

    ck_assert_int_eq(gone(&l, 10, 60, limit, limit), 0);
    ck_assert_int_eq(gone(&l, 60, 120, 100 * limit, 0), 0); /* 0: no limit */
}
END_TEST

START_TEST(a_moment_in_time_forgives)
{
    shoald_late l = { 0 };
    uint64_t limit = LIMIT_MS * ms;

    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(gone(&l, 10 + 2 * i, 11.75 + 2 * i, limit + 1, limit), 0);
        ck_assert_int_eq(gone(&l, 11.75 + 2 * i, 12 + 2 * i, limit, limit), 0);
    }
}
END_TEST

START_TEST(nobody_new_from_a_quarter_of_the_limit_on)
{
    shoald_late l = { 0 };
    uint64_t limit = LIMIT_MS * ms;

    ck_assert(!shoald_late_refuses(&l, limit));
    shoald_late_step(&l, limit / 4, limit, second);
    ck_assert(!shoald_late_refuses(&l, limit));
    shoald_late_step(&l, limit / 4 + 1, limit, 2 * second);
    ck_assert(shoald_late_refuses(&l, limit));
    ck_assert(!shoald_late_refuses(&l, 0));
    shoald_late_step(&l, 0, limit, 3 * second);
    ck_assert(!shoald_late_refuses(&l, limit));
}
END_TEST

/* ---- who goes ---- */

enum { WORKERS = 2, SESSIONS = 4, DEPTHS = 12 };

static shoald_house house;
static shoald_port ports[WORKERS];
static shoald_session sessions[SESSIONS];
static uint64_t now_ns;
static int asked_to_write;

static void want_write(shoald_link *l)
{
    (void)l;
    asked_to_write++;
}

static void kill_link(shoald_link *l)
{
    (void)l;
}

static const shoald_link_ops ops = { .want_write = want_write, .kill = kill_link };
static shoald_link nowhere = { &ops, 0 };

/* They came in this order, and each has audio that waits. */
static void add_session(shoald_session *s, int worker)
{
    const shoald_record r = { 4, SHOALD_IN_AUDIO, 0, 0 };

    s->house = &house;
    s->link = &nowhere;
    s->phase = SHOALD_STREAMING;
    s->port = &ports[worker];
    s->next = house.sessions;
    house.sessions = s;
    ck_assert_int_eq(shoald_queue_init(&s->lane.in, 4096), 0);
    ck_assert(shoald_queue_put(&s->lane.in, &r, "abcd"));
}

static void start_server(void)
{
    char why[256] = "";
    static shoald_port *list[WORKERS] = { &ports[0], &ports[1] };

    shoald_log_set_level(SHOALD_LOG_ERROR);
    memset(ports, 0, sizeof ports);
    memset(sessions, 0, sizeof sessions);
    house = (shoald_house){ .ports = list, .port_count = WORKERS };
    shoald_settings_default(&house.settings);
    strcpy(house.settings.models[0].path, SRCDIR "/tests/data/tiny.safetensors");
    ck_assert_msg(shoald_models_open(&house.models, &house.settings, NULL, NULL, why, sizeof why) ==
                      0,
                  "%s", why);
    house.settings.ping_interval_s = 0;
    for (int i = 0; i < WORKERS; i++)
        ports[i].index = i;
    now_ns = 100 * second;
    asked_to_write = 0;
    ck_assert_int_eq(shoald_admit_init(&house), 0);
    for (int i = 0; i < SESSIONS; i++)
        add_session(&sessions[i], i % WORKERS);
}

static void stop_server(void)
{
    shoald_admit_free(&house);
    shoald_models_close(&house.models);
    for (int i = 0; i < SESSIONS; i++)
        shoald_queue_free(&sessions[i].lane.in);
}

/* Ticks of the clock; before each, a chunk of this worker came out so late (0: none did). */
static void let_pass(double seconds, int worker, uint64_t late_ns)
{
    for (double at = 0; at < seconds; at += 0.25) {
        atomic_store(&ports[worker].late_ns, late_ns);
        now_ns += second / 4;
        shoald_admit_step(&house, now_ns);
        for (int i = 0; i < SESSIONS; i++)
            shoald_session_step(&sessions[i], now_ns);
    }
}

/* One letter a session in the order in which they came: shed or not. */
static const char *who_is_shed(void)
{
    static char text[SESSIONS + 1];

    for (int i = 0; i < SESSIONS; i++)
        text[i] = sessions[i].phase != SHOALD_CLOSING       ? '.'
                  : sessions[i].error == SHOAL_CODE_BACKLOG ? 'x'
                                                            : '?';
    return text;
}

static uint64_t beyond_limit(void)
{
    return (uint64_t)house.settings.late_limit_ms * ms + 1;
}

/* Sessions 0 and 2 are on the late worker, 1 and 3 are not. */
START_TEST(the_newest_of_the_late_worker_goes_first)
{
    let_pass(2, 0, beyond_limit());
    ck_assert_str_eq(who_is_shed(), "....");
    let_pass(0.25, 0, beyond_limit());
    ck_assert_str_eq(who_is_shed(), "..x.");
    ck_assert_int_eq(asked_to_write, 1);
    ck_assert_int_eq(sessions[2].close_code, 1013);
    ck_assert_uint_eq(house.stats.errors[SHOAL_CODE_BACKLOG], 1);
    ck_assert_ptr_nonnull(strstr(sessions[2].last_text, "\"backlog\""));
    let_pass(2, 0, beyond_limit());
    ck_assert_str_eq(who_is_shed(), "x.x.");
    let_pass(10, 0, beyond_limit()); /* nobody is left on it */
    ck_assert_str_eq(who_is_shed(), "x.x.");
    ck_assert_uint_eq(house.stats.errors[SHOAL_CODE_BACKLOG], 2);
}
END_TEST

START_TEST(as_soon_as_the_rest_is_in_time_nobody_else_goes)
{
    let_pass(2.25, 1, beyond_limit());
    ck_assert_str_eq(who_is_shed(), "...x");
    let_pass(60, 1, beyond_limit() - 1);
    ck_assert_str_eq(who_is_shed(), "...x");
}
END_TEST

START_TEST(without_a_limit_nobody_goes)
{
    house.settings.late_limit_ms = 0;
    let_pass(60, 0, 1000 * second);
    ck_assert_str_eq(who_is_shed(), "....");
}
END_TEST

/* Ending them would free nothing: nothing waits, it has said its end, or its client is gone. */
START_TEST(only_who_has_audio_waiting_goes)
{
    shoald_queue_drop(&sessions[2].lane.in, shoald_queue_fill(&sessions[2].lane.in));
    let_pass(2.25, 0, beyond_limit());
    ck_assert_str_eq(who_is_shed(), "x...");
    sessions[3].phase = SHOALD_ENDING;
    sessions[1].link = NULL;
    let_pass(10, 1, beyond_limit());
    ck_assert_str_eq(who_is_shed(), "x...");
}
END_TEST

/* A run of seconds: no chunk comes out meanwhile, and yet they are late. */
START_TEST(a_run_that_does_not_end_is_late)
{
    atomic_store(&ports[0].run_due_ns, now_ns - beyond_limit());
    let_pass(2, 0, 0);
    ck_assert_str_eq(who_is_shed(), "....");
    let_pass(0.25, 0, 0);
    ck_assert_str_eq(who_is_shed(), "..x.");
    atomic_store(&ports[0].run_due_ns, 0);
    let_pass(10, 0, 0);
    ck_assert_str_eq(who_is_shed(), "..x.");
    atomic_store(&ports[0].run_due_ns, now_ns + 60 * second); /* an upload's: no hurry */
    let_pass(10, 0, 0);
    ck_assert_str_eq(who_is_shed(), "..x.");
}
END_TEST

/* From a quarter of the limit on, on whichever worker. */
START_TEST(while_a_worker_is_late_nobody_is_admitted)
{
    shoal_options o = shoal_options_default();
    shoal_error err;

    o.depth_min = o.depth_max = DEPTHS;
    ck_assert(shoald_admit_may_begin(&house, shoald_models_default(&house.models), &o, &err));
    let_pass(0.25, 1, beyond_limit() / 4);
    ck_assert(shoald_admit_may_begin(&house, shoald_models_default(&house.models), &o, &err));
    let_pass(0.25, 1, beyond_limit() / 4 + 1);
    ck_assert(!shoald_admit_may_begin(&house, shoald_models_default(&house.models), &o, &err));
    ck_assert_int_eq(err.code, SHOAL_CODE_OVERLOADED);
    ck_assert(!shoald_admit_has_room(&house));
    let_pass(0.25, 1, 0);
    ck_assert(shoald_admit_may_begin(&house, shoald_models_default(&house.models), &o, &err));
    ck_assert(shoald_admit_has_room(&house));
    ck_assert_str_eq(who_is_shed(), "....");
}
END_TEST

/* One that asked for chunks of 20 ms and says nothing holds up nobody's runs. */
START_TEST(only_who_speaks_shortens_runs)
{
    sessions[0].demand.chunk_frames = sessions[1].demand.chunk_frames = 8;
    sessions[2].demand.chunk_frames = sessions[3].demand.chunk_frames = 1;
    sessions[0].demand.rate = sessions[1].demand.rate = 1;
    let_pass(0.25, 0, 0);
    ck_assert_uint_eq(atomic_load(&ports[0].run_ns), 40 * ms);
    ck_assert_uint_eq(atomic_load(&ports[1].run_ns), 40 * ms);
    sessions[2].demand.rate = 1;
    let_pass(0.25, 0, 0);
    ck_assert_uint_eq(atomic_load(&ports[0].run_ns), 10 * ms);
    ck_assert_uint_eq(atomic_load(&ports[1].run_ns), 40 * ms);
}
END_TEST

static Suite *late_suite(void)
{
    Suite *s = suite_create("late");
    TCase *decision = tcase_create("decision"), *who = tcase_create("who goes");

    tcase_add_test(decision, one_goes_every_two_seconds);
    tcase_add_test(decision, up_to_the_limit_nobody_goes);
    tcase_add_test(decision, a_moment_in_time_forgives);
    tcase_add_test(decision, nobody_new_from_a_quarter_of_the_limit_on);
    suite_add_tcase(s, decision);
    tcase_add_checked_fixture(who, start_server, stop_server);
    tcase_add_test(who, the_newest_of_the_late_worker_goes_first);
    tcase_add_test(who, as_soon_as_the_rest_is_in_time_nobody_else_goes);
    tcase_add_test(who, without_a_limit_nobody_goes);
    tcase_add_test(who, only_who_has_audio_waiting_goes);
    tcase_add_test(who, a_run_that_does_not_end_is_late);
    tcase_add_test(who, while_a_worker_is_late_nobody_is_admitted);
    tcase_add_test(who, only_who_speaks_shortens_runs);
    suite_add_tcase(s, who);
    return s;
}

int main(void)
{
    return suite_run(late_suite());
}

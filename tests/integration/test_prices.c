/* test_prices.c - the price list: what each depth costs, as measured, and its error rate */
#include "integration.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>

enum { SECOND = 16000, FULL = 12 };

static json_t *get_depths(const daemon_process *d)
{
    static char page[1 << 16];
    json_error_t error;

    ck_assert_int_eq(raw_http_get(d->port, "/v1/depths", page, sizeof page), 200);
    json_t *json = json_loads(page, 0, &error);
    ck_assert_msg(json != NULL, "%s: %s", error.text, page);
    return json;
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    ck_assert_msg(json_is_number(value), "%s is not a number", name);
    return json_number_value(value);
}

/* Deeper costs more; latency is known where something was measured, and only there. */
START_TEST(the_price_list_is_measured)
{
    int16_t *audio = make_audio(SECOND, 42);
    stream_plan p = { .query = "depth=2", .audio = audio, .size = SECOND * 2, .realtime = 1 };
    daemon_process d;
    stream_result r;
    double last = 0;

    daemon_start(&d, NULL);
    stream_run(&r, d.port, &p);
    stream_check_complete(&r, SECOND, 16000);
    json_t *page = get_depths(&d), *list = json_object_get(page, "depths");
    ck_assert_int_eq((int)json_array_size(list), FULL);
    ck_assert_int_eq((int)number(page, "ceiling"), FULL);
    ck_assert_double_gt(number(page, "capacity"), 0);
    for (int depth = 1; depth <= FULL; depth++) {
        const json_t *one = json_array_get(list, (size_t)depth - 1);
        const json_t *latency = json_object_get(one, "latency_ms");

        ck_assert_int_eq((int)number(one, "depth"), depth);
        ck_assert_double_ge(number(one, "cpu_ms"), last);
        last = number(one, "cpu_ms");
        ck_assert_double_gt(number(one, "streams"), 0);
        ck_assert(json_is_null(json_object_get(one, "per"))); /* there is no card */
        ck_assert_int_eq(json_is_object(latency), depth == 2);
        if (depth == 2) {
            /* the first is live; where this test is held up, others come in heaps */
            ck_assert_int_ge((int)number(latency, "chunks"), 1);
            ck_assert_double_ge(number(latency, "p99"), number(latency, "p50"));
        }
    }
    json_decref(page);
    stream_free(&r);
    free(audio);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

START_TEST(error_rates_are_those_of_the_card)
{
    static const char *const args[] = { "--model", SRCDIR "/models/shoal-base.safetensors", NULL };
    json_t *card = json_load_file(SRCDIR "/models/shoal-base.json", 0, NULL);
    json_t *rates = json_object_get(json_object_get(card, "per_decoded"), "160");
    daemon_process d;

    daemon_start(&d, args);
    json_t *page = get_depths(&d), *list = json_object_get(page, "depths");
    ck_assert_double_eq_tol(number(json_array_get(list, 3), "per"), number(rates, "4"), 0.001);
    json_decref(page);
    json_decref(card);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

enum { BYSTANDERS = 200 };

/* They cost what they measure while they are there, and leave no trace: nothing has run, so the
 * capacity is to the last digit what was calibrated. */
START_TEST(sessions_without_audio_move_no_price)
{
    static raw_ws idle[BYSTANDERS];
    daemon_process d;

    daemon_start(&d, NULL);
    double capacity = daemon_metric(&d, "shoal_capacity_streams");
    for (int i = 0; i < BYSTANDERS; i++)
        ck_assert_int_eq(raw_ws_open(&idle[i], d.port, SHOAL_PATH "?depth=12", SHOAL_SUBPROTOCOL),
                         101);
    for (int i = 0; i < BYSTANDERS; i++) {
        static shoal_server_msg m;
        raw_frame f;
        shoal_error err;

        ck_assert_int_eq(raw_ws_recv_opcode(&idle[i], &f, RAW_TEXT, PATIENCE_MS), 1);
        ck_assert_int_eq(shoal_server_msg_decode(&m, (const char *)f.data, f.size, &err), 0);
        ck_assert_int_eq(m.type, SHOAL_MSG_READY);
        shoal_server_msg_free(&m);
    }
    ck_assert_double_eq_tol(daemon_metric(&d, "shoal_capacity_streams"), capacity, 1e-6 * capacity);
    for (int i = 0; i < BYSTANDERS; i++)
        raw_ws_close(&idle[i]);
    daemon_wait_empty(&d);
    ck_assert_double_gt(daemon_metric(&d, "shoal_beside_seconds_total"), 0);
    ck_assert_double_eq_tol(daemon_metric(&d, "shoal_capacity_streams"), capacity, 1e-6 * capacity);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

TCase *prices_case(void)
{
    TCase *t = tcase_create("prices");

    tcase_set_timeout(t, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(t, the_price_list_is_measured);
    tcase_add_test(t, error_rates_are_those_of_the_card);
    tcase_add_test(t, sessions_without_audio_move_no_price);
    return t;
}

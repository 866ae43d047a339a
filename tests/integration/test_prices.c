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

/* A longer chunk costs no more and answers later, by as much as it is longer. */
START_TEST(every_depth_has_prices_by_chunk)
{
    static const int lengths[] = { 80, 160, 320, 640 };
    json_t *page = get_depths(&shared), *list = json_object_get(page, "depths"), *one, *chunk;
    raw_ws w;
    size_t i, c;

    ck_assert_int_eq(raw_ws_open(&w, shared.port, SHOAL_PATH "?chunk_ms=320", NULL), 101);
    shoal_ready *ready = read_ready(&w);
    int ahead = ready->latency_ms - 320;
    free(ready);
    raw_ws_close(&w);
    json_array_foreach(list, i, one)
    {
        double last = 1e9;
        json_t *chunks = json_object_get(one, "chunks");

        ck_assert_uint_eq(json_array_size(chunks), 4);
        json_array_foreach(chunks, c, chunk)
        {
            ck_assert_int_eq((int)number(chunk, "chunk_ms"), lengths[c]);
            ck_assert_int_eq((int)number(chunk, "algorithmic_ms"), lengths[c] + ahead);
            ck_assert_double_le(number(chunk, "cpu_ms"), last);
            last = number(chunk, "cpu_ms");
            ck_assert_double_eq_tol(1000 / number(chunk, "streams"), last, 6e-4); /* both rounded */
            ck_assert(json_is_null(json_object_get(chunk, "settled_ms")));
        }
        ck_assert_double_eq(number(json_array_get(chunks, 1), "cpu_ms"), number(one, "cpu_ms"));
    }
    json_decref(page);
}
END_TEST

/* Every class is something that people can read. */
START_TEST(the_model_tells_its_phones)
{
    static const char *const args[] = { "--model", SRCDIR "/models/shoal-base.safetensors", NULL };
    static char page[1 << 16];
    daemon_process d;
    json_t *phone;
    double sum = 0;
    size_t i;

    daemon_start(&d, args);
    ck_assert_int_eq(raw_http_get(d.port, "/v1/model", page, sizeof page), 200);
    json_t *model = json_loads(page, 0, NULL), *labels = json_object_get(model, "labels");
    json_t *phones = json_object_get(model, "phones");
    ck_assert_uint_eq(json_array_size(phones), 40);
    json_array_foreach(phones, i, phone)
    {
        ck_assert(json_equal(json_object_get(phone, "label"), json_array_get(labels, i)));
        ck_assert_uint_gt(json_string_length(json_object_get(phone, "ipa")), 0);
        ck_assert_uint_gt(json_string_length(json_object_get(phone, "example")), 1);
        sum += number(phone, "prior");
    }
    ck_assert_double_eq_tol(sum, 1, 1e-3);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(phones, 16), "ipa")), "h");
    json_decref(model);
    ck_assert_int_eq(daemon_stop(&d, SIGTERM), 0);
}
END_TEST

START_TEST(error_rates_are_those_of_the_card)
{
    static const char *const args[] = { "--model", SRCDIR "/models/shoal-base.safetensors", NULL };
    json_t *card = json_load_file(SRCDIR "/models/shoal-base.json", 0, NULL);
    json_t *rates = json_object_get(json_object_get(card, "per_decoded"), "160");
    json_t *settled =
        json_object_get(json_object_get(json_object_get(card, "settled"), "640"), "4");
    daemon_process d;

    daemon_start(&d, args);
    json_t *page = get_depths(&d), *list = json_object_get(page, "depths");
    ck_assert_double_eq_tol(number(json_array_get(list, 3), "per"), number(rates, "4"), 0.001);
    json_t *chunk = json_array_get(json_object_get(json_array_get(list, 3), "chunks"), 3);
    json_t *told = json_object_get(chunk, "settled_ms");
    ck_assert_double_eq(number(told, "p50"), json_number_value(json_array_get(settled, 0)));
    ck_assert_double_eq(number(told, "p90"), json_number_value(json_array_get(settled, 1)));
    ck_assert_double_gt(number(told, "p90"), number(chunk, "algorithmic_ms"));
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
    tcase_add_unchecked_fixture(t, shared_setup, shared_teardown);
    tcase_add_test(t, the_price_list_is_measured);
    tcase_add_test(t, every_depth_has_prices_by_chunk);
    tcase_add_test(t, the_model_tells_its_phones);
    tcase_add_test(t, error_rates_are_those_of_the_card);
    tcase_add_test(t, sessions_without_audio_move_no_price);
    return t;
}

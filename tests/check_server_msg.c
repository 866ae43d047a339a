/* check_server_msg.c - what the server says: round trips, damage, what later servers may add
 *
 * Compared and told as in check_client_msg.c.
 */
#include "protocol-internal.h"
#include "suite.h"

#include <check.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

/* ---- server messages ---------------------------------------------------------------------- */

#define COUNTS "\"received\":9007199254740992,\"processed\":12800"

static const char *const server_texts[] = {
    "{\"type\":\"ready\",\"protocol\":\"shoal.v1\",\"server\":\"shoald 0.1.0\",\"session\":\"s1\","
    "\"model\":{\"rate\":16000,\"depth\":12,\"name\":\"shoal-base\",\"sha256\":\"00ff\"},"
    "\"engine\":{\"same_in_any_company\":true,\"precision\":\"fp32\",\"backend\":\"own\","
    "\"kernels\":\"avx2\",\"cache\":\"fp16\"},"
    "\"frame_ms\":20,\"frame_seconds\":0.020,\"frame_samples\":220.50,\"dim\":192,\"classes\":3,"
    "\"labels\":[\"SIL\",\"AA\",\"AE\"],\"depth\":6,\"latency_ms\":235,\"options\":{"
    "\"format\":\"f32le\",\"rate\":11025,\"channels\":1,\"depth\":[3,12],\"chunk_ms\":160,"
    "\"left_ms\":1280,\"attention\":\"own\",\"output\":[\"phones\",\"phones@4\",\"activity@12\"],"
    "\"encoding\":\"f32\",\"activity_threshold\":80,\"activity_hangover_ms\":300,\"lm\":\"on\","
    "\"durations\":\"off\",\"program\":\"pruned-7\",\"settle_ms\":480,"
    "\"settle_silence_ms\":60,\"tentative\":\"on\",\"precision\":\"fp32\",\"every\":1,"
    "\"pool\":\"none\",\"channel\":\"left\",\"t0\":1764270000.001,"
    "\"activity_min_ms\":100,\"activity_max_ms\":15000,\"activity_pad_ms\":40,\"smooth\":\"on\"},"
    "\"limits\":{\"max_message_bytes\":1048576,\"max_backlog_ms\":10000,\"idle_timeout_s\":60}}",
    "{\"type\":\"phones\",\"seq\":4294967295,\"depth\":6," COUNTS ",\"lag_ms\":200,\"phones\":["
    "{\"phone\":\"HH\",\"start\":0.120,\"end\":0.200,\"confidence\":0.8750},"
    "{\"phone\":\"AH\",\"start\":86399.980,\"end\":1000000000.000,\"confidence\":1.0000}]}",
    "{\"type\":\"phones\",\"seq\":0,\"depth\":1," COUNTS ",\"lag_ms\":-5,\"phones\":[]}",
    "{\"type\":\"phones\",\"seq\":1,\"depth\":1,\"tap\":1," COUNTS ",\"lag_ms\":0,\"phones\":[],"
    "\"tentative\":[{\"phone\":\"HH\",\"start\":0.120,\"end\":0.200,\"confidence\":0.8750,"
    "\"stable_ms\":160},{\"phone\":\"AH\",\"start\":0.200,\"end\":0.220,\"confidence\":0.5000,"
    "\"stable_ms\":0}]}",
    "{\"type\":\"phones\",\"seq\":2,\"depth\":1," COUNTS ",\"lag_ms\":0,\"phones\":[],"
    "\"tentative\":[]}",
    "{\"type\":\"changed\",\"depth\":12,\"range\":[3,12],\"from_frame\":800,\"from_sample\":256000,"
    "\"reason\":\"load\",\"output\":[\"phones\",\"embedding\"],\"chunk_ms\":80,\"latency_ms\":155}",
    "{\"type\":\"changed\",\"depth\":12,\"range\":[12,12],\"from_frame\":800,"
    "\"from_sample\":256000,\"reason\":\"set\",\"output\":[\"phones@4\",\"embedding@12\"]}",
    "{\"type\":\"phones\",\"seq\":0,\"depth\":3,\"tap\":4,\"t0\":17.000," COUNTS
    ",\"lag_ms\":0,\"phones\":[]}",
    "{\"type\":\"activity\",\"seq\":9,\"depth\":6,\"state\":\"speech\",\"frame\":62,"
    "\"sample\":19840,\"time\":1.240," COUNTS "}",
    "{\"type\":\"activity\",\"seq\":10,\"depth\":3,\"tap\":4,\"state\":\"silence\","
    "\"frame\":9007199254740992,\"sample\":0,\"time\":1000000000.000," COUNTS "}",
    "{\"type\":\"features\",\"kind\":\"mel\",\"seq\":7,\"depth\":0,\"flags\":0,\"t0\":17.500,\"row_"
    "ms\":10,"
    "\"first_frame\":40,\"start_sample\":12800,\"received\":16000,\"processed\":13440,\"frames\":2,"
    "\"dim\":1,\"queued_us\":1000,\"computed_us\":258,\"data\":[[0.5],[-1]]}",
    "{\"type\":\"features\",\"kind\":\"embedding\",\"seq\":7,\"depth\":3,\"flags\":0,\"tap\":12,"
    "\"first_frame\":40,\"start_sample\":12800," COUNTS ",\"frames\":1,\"dim\":1,"
    "\"queued_us\":1,\"computed_us\":2,\"data\":[[0.5]]}",
    "{\"type\":\"flushed\",\"id\":\"7\"," COUNTS ",\"frames\":40}",
    "{\"type\":\"flushed\"," COUNTS ",\"frames\":40}",
    "{\"type\":\"done\"," COUNTS ",\"frames\":40,\"phones\":9,\"packets\":5,\"seconds\":0.806}",
    "{\"type\":\"pong\",\"id\":\"1\"}",
    "{\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"m\",\"fatal\":true,\"retry\":true,"
    "\"retry_after_ms\":1500,\"ref\":\"depth\"}",
    "{\"type\":\"error\",\"code\":\"from_the_future\",\"message\":\"m\",\"fatal\":false,"
    "\"retry\":false}",
    "{\"type\":\"features\",\"kind\":\"posteriors\",\"seq\":7,\"depth\":6,\"flags\":1,"
    "\"first_frame\":40,\"start_sample\":12800," COUNTS ",\"frames\":2,\"dim\":3,\"queued_us\":1,"
    "\"computed_us\":2,\"data\":[[-0.5,null,-0.0],[1.17549435e-38,-3.40282347e+38,0.100000001]]}",
};

static int encode_server(shoal_buf *b, const shoal_server_msg *m)
{
    switch (m->type) {
    case SHOAL_MSG_READY: return shoal_ready_encode(b, &m->u.ready);
    case SHOAL_MSG_PHONES: return shoal_phones_encode(b, &m->u.phones);
    case SHOAL_MSG_ACTIVITY: return shoal_activity_encode(b, &m->u.activity);
    case SHOAL_MSG_FEATURES: return shoal_packet_encode_json(b, &m->u.features, m->owned);
    case SHOAL_MSG_CHANGED: return shoal_changed_encode(b, &m->u.changed);
    case SHOAL_MSG_FLUSHED: return shoal_flushed_encode(b, &m->u.flushed);
    case SHOAL_MSG_DONE: return shoal_done_encode(b, &m->u.done);
    case SHOAL_MSG_PONG: return shoal_pong_encode(b, m->u.id);
    case SHOAL_MSG_ERROR: return shoal_error_encode(b, &m->u.error);
    default: return -1;
    }
}

START_TEST(server_round_trip)
{
    static shoal_server_msg m;
    shoal_error err;
    shoal_buf b = { 0 };
    const char *text = server_texts[_i];

    int rc = shoal_server_msg_decode(&m, text, strlen(text), &err);
    ck_assert_msg(rc == 0, "%s: %s", text, rc ? err.message : "");
    ck_assert_int_eq(encode_server(&b, &m), 0);
    ck_assert_str_eq(b.data, text);
    ck_assert_uint_eq(b.size, strlen(text));
    shoal_server_msg_free(&m);
    shoal_buf_free(&b);
}
END_TEST

/* Every text cut anywhere, and with every byte broken, must fail or succeed in peace. */
START_TEST(server_damaged)
{
    static shoal_server_msg m;
    shoal_error err;
    size_t n = strlen(server_texts[_i]);

    for (size_t cut = 0; cut < n; cut++) {
        char *s = malloc(n + 1);
        memcpy(s, server_texts[_i], n);
        ck_assert_int_eq(shoal_server_msg_decode(&m, s, cut, &err), -1);
        s[cut] = cut % 3 ? '0' : ']';
        if (shoal_server_msg_decode(&m, s, n, &err) == 0)
            shoal_server_msg_free(&m);
        free(s);
    }
}
END_TEST

START_TEST(server_lenient)
{
    static shoal_server_msg m;
    shoal_error err;
    const char *later = "{\"type\":\"taps\",\"x\":1}", *more = "{\"type\":\"pong\",\"at\":[1]}";

    ck_assert_int_eq(shoal_server_msg_decode(&m, later, strlen(later), &err), 0);
    ck_assert_int_eq(m.type, SHOAL_MSG_UNKNOWN);
    ck_assert_int_eq(shoal_server_msg_decode(&m, more, strlen(more), &err), 0);
    ck_assert_str_eq(m.u.id, "");
}
END_TEST

static const struct {
    const char *text, *says;
} hostile_server[] = {
    { "{}", "\"type\" must be" },
    { "{\"type\":\"phones\",\"seq\":4294967296}", "\"seq\" must be an integer in 0..4294967295" },
    { "{\"type\":\"phones\",\"seq\":0,\"depth\":1,\"received\":9007199254740993}", "received" },
    { "{\"type\":\"phones\",\"seq\":0,\"depth\":1,\"received\":-1}", "received" },
    { "{\"type\":\"phones\",\"seq\":0,\"depth\":1," COUNTS ",\"lag_ms\":0,\"phones\":[0]}",
      "phone" },
    { "{\"type\":\"phones\",\"seq\":0,\"depth\":1," COUNTS ",\"lag_ms\":0,\"phones\":[{\"phone\":"
      "\"0123456789abcdef\"}]}",
      "at most 15 bytes" },
    { "{\"type\":\"changed\",\"depth\":12,\"range\":[12,3],\"output\":[\"phones\"]}", "depth" },
    { "{\"type\":\"activity\",\"seq\":0,\"depth\":1,\"state\":\"music\"}", "speech or silence" },
    { "{\"type\":\"activity\",\"seq\":0,\"depth\":1,\"tap\":0,\"state\":\"speech\"}", "tap" },
    { "{\"type\":\"features\",\"kind\":\"soup\"}", "posteriors, embedding, hidden or mel" },
    { "{\"type\":\"features\",\"kind\":\"embedding\",\"seq\":7,\"depth\":6,\"flags\":1,"
      "\"first_frame\":0,\"start_sample\":0," COUNTS ",\"frames\":2,\"dim\":8192,\"queued_us\":1,"
      "\"computed_us\":2,\"data\":[[1],[2]]}",
      "dim" },
    { "{\"type\":\"features\",\"kind\":\"embedding\",\"seq\":7,\"depth\":6,\"flags\":1,"
      "\"first_frame\":0,\"start_sample\":0," COUNTS ",\"frames\":3,\"dim\":1,\"queued_us\":1,"
      "\"computed_us\":2,\"data\":[[1],[2]]}",
      "frames" },
};

START_TEST(hostile_from_server)
{
    static shoal_server_msg m;
    shoal_error err;
    const char *text = hostile_server[_i].text;

    ck_assert_int_eq(shoal_server_msg_decode(&m, text, strlen(text), &err), -1);
    ck_assert_msg(strstr(err.message, hostile_server[_i].says) != NULL, "%s: %s", text,
                  err.message);
}
END_TEST

/* Labels, names and texts come to terminals and into lines of files. */
START_TEST(control_characters_go_nowhere)
{
    static const char *const bad[] = { "A\\nB", "A\\u001b[31m", "\\u007f", "\\u009b31m" };
    char text[400], utf8[] = "\xc9\x99 caf\xc3\xa9 \xc2\xa0";
    shoal_server_msg *m = calloc(1, sizeof *m);
    shoal_error err;

    for (int i = 0; i < COUNT(bad); i++) {
        int n = snprintf(text, sizeof text,
                         "{\"type\":\"phones\",\"seq\":0,\"depth\":1," COUNTS
                         ",\"lag_ms\":0,\"phones\":[{\"phone\":\"%s\",\"start\":0,\"end\":1,"
                         "\"confidence\":1}]}",
                         bad[i]);
        ck_assert_int_eq(shoal_server_msg_decode(m, text, (size_t)n, &err), -1);
        n = snprintf(text, sizeof text,
                     "{\"type\":\"error\",\"code\":\"%s\",\"message\":\"<%s>\",\"fatal\":true,"
                     "\"retry\":false,\"ref\":\"%s\"}",
                     bad[i], bad[i], bad[i]);
        ck_assert_int_eq(shoal_server_msg_decode(m, text, (size_t)n, &err), 0);
        ck_assert_int_eq(m->u.error.message[0], '<');
        ck_assert_int_eq(shoal_text_tame(m->u.error.message), 0);
        ck_assert_int_eq(shoal_text_tame(m->u.error.name), 0);
        ck_assert_int_eq(shoal_text_tame(m->u.error.ref), 0);
    }
    ck_assert_int_eq(shoal_text_tame(utf8), 0);
    free(m);
}
END_TEST

START_TEST(phones_stay_in_their_bound)
{
    static shoal_phones m = { .seq = UINT32_MAX,
                              .depth = 255,
                              .tap = 255,
                              .received = SHOAL_MAX_COUNT,
                              .processed = SHOAL_MAX_COUNT,
                              .lag_ms = -2147483647 };
    static char memory[SHOAL_PHONES_BYTES(SHOAL_MAX_PHONES + SHOAL_MAX_TENTATIVE)];
    shoal_buf b;

    m.has_tentative = 1;
    m.tentative_count = SHOAL_MAX_TENTATIVE;
    for (int i = 0; i < SHOAL_MAX_TENTATIVE; i++) {
        m.tentative[i] = (shoal_wire_tentative){ { "", 1e9, 1e9, 1 }, 2147483647 };
        memset(m.tentative[i].phone.phone, 1, SHOAL_MAX_LABEL);
    }
    for (m.count = 0; m.count < SHOAL_MAX_PHONES; m.count++) {
        shoal_wire_phone *p = &m.phones[m.count];
        *p = (shoal_wire_phone){ .start = 1e9, .end = 1e9, .confidence = 1 };
        memset(p->phone, m.count % 2 ? 1 : 0xff, SHOAL_MAX_LABEL);
        shoal_buf_wrap(&b, memory, SHOAL_PHONES_BYTES(m.count + m.tentative_count));
        ck_assert_int_eq(shoal_phones_encode(&b, &m), 0);
    }
    shoal_buf_wrap(&b, memory, 300);
    b.size = 20; /* as for LWS_PRE */
    ck_assert_int_eq(shoal_phones_encode(&b, &m), -1);
    ck_assert_uint_eq(b.size, 20);
    m.phones[0].start = NAN;
    shoal_buf_wrap(&b, memory, sizeof memory);
    ck_assert_int_eq(shoal_phones_encode(&b, &m), -1);
}
END_TEST

START_TEST(activity_stays_in_its_bound)
{
    static char memory[SHOAL_ACTIVITY_BYTES];
    shoal_wire_activity m = { .seq = UINT32_MAX,
                              .depth = 255,
                              .tap = 255,
                              .time = 1e9,
                              .frame = SHOAL_MAX_COUNT,
                              .sample = SHOAL_MAX_COUNT,
                              .received = SHOAL_MAX_COUNT,
                              .processed = SHOAL_MAX_COUNT };
    shoal_buf b;

    shoal_buf_wrap(&b, memory, sizeof memory);
    ck_assert_int_eq(shoal_activity_encode(&b, &m), 0);
    b.size = 0;
    m.time = -1;
    ck_assert_int_eq(shoal_activity_encode(&b, &m), -1);
    ck_assert_uint_eq(b.size, 0);
}
END_TEST

/* Decodes the `ready` of server_texts[0] without that member of its options. */
static int decode_ready_without(const char *name, shoal_server_msg *m, shoal_error *err)
{
    json_t *ready = json_loads(server_texts[0], 0, NULL);
    json_t *options = json_object_get(ready, "options");

    if (strcmp(name, "model") != 0) /* which is not told */
        ck_assert_int_eq(json_object_del(options, name), 0);
    char *text = json_dumps(ready, 0);
    int result = shoal_server_msg_decode(m, text, strlen(text), err);
    free(text);
    json_decref(ready);
    return result;
}

static const char *const first[] = { "format",  "rate",      "channels", "depth",   "chunk_ms",
                                     "left_ms", "attention", "output",   "encoding" };

static int is_of_the_first(const char *name)
{
    for (int i = 0; i < COUNT(first); i++)
        if (strcmp(first[i], name) == 0)
            return 1;
    return 0;
}

/* Any of them, by itself: each was new once, and there are servers from before. */
START_TEST(ready_of_an_older_server)
{
    static shoal_server_msg m;
    shoal_error err;

    for (const shoal__option *row = shoal__options; row->name; row++) {
        int result = decode_ready_without(row->name, &m, &err);

        ck_assert_msg((result == 0) == !is_of_the_first(row->name), "%s: %s", row->name,
                      result ? err.message : "may be left out");
        if (result == 0)
            ck_assert_uint_eq(m.u.ready.options.given & row->bit, 0);
    }
    ck_assert_int_eq(decode_ready_without("lm", &m, &err), 0);
    ck_assert_int_eq(m.u.ready.options.lm, SHOAL_ON);
    ck_assert_int_eq(decode_ready_without("smooth", &m, &err), 0);
    ck_assert_int_eq(m.u.ready.options.smooth, SHOAL_OFF);
    ck_assert_int_eq(decode_ready_without("program", &m, &err), 0);
    ck_assert_str_eq(m.u.ready.options.program, "");
}
END_TEST

START_TEST(no_locale)
{
    shoal_buf b = { 0 };
    float v[2] = { 0.5f, -1.25f };
    shoal_packet p = { .kind = SHOAL_KIND_EMBEDDING, .depth = 1, .frames = 1, .dim = 2 };

    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        setlocale(LC_ALL, "fr_FR.UTF-8");
    ck_assert_int_eq(shoal_packet_encode_json(&b, &p, v), 0);
    ck_assert_ptr_nonnull(strstr(b.data, "[[0.5,-1.25]]"));
    shoal_buf_free(&b);
}
END_TEST

/* jansson fails at its first, second, ... allocation: an error each time, never a crash. */
static int allocations_left;

static void *failing_malloc(size_t n)
{
    return allocations_left-- > 0 ? malloc(n) : NULL;
}

START_TEST(no_memory)
{
    static shoal_server_msg m;
    shoal_error err = { 0 };
    int rc = -1;

    json_set_alloc_funcs(failing_malloc, free);
    for (int step = 0; rc < 0 && step < 10000; step++) {
        allocations_left = step;
        rc = shoal_server_msg_decode(&m, server_texts[0], strlen(server_texts[0]), &err);
    }
    json_set_alloc_funcs(malloc, free);
    ck_assert_int_eq(rc, 0);
    shoal_server_msg_free(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("server messages");
    TCase *t = tcase_create("server messages");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, server_round_trip, 0, COUNT(server_texts));
    tcase_add_loop_test(t, server_damaged, 0, COUNT(server_texts));
    tcase_add_test(t, server_lenient);
    tcase_add_test(t, control_characters_go_nowhere);
    tcase_add_loop_test(t, hostile_from_server, 0, COUNT(hostile_server));
    tcase_add_test(t, phones_stay_in_their_bound);
    tcase_add_test(t, activity_stays_in_its_bound);
    tcase_add_test(t, ready_of_an_older_server);
    tcase_add_test(t, no_locale);
    tcase_add_test(t, no_memory);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

/* check_protocol.c - the wire contract: round trips, golden bytes, hostile input
 *
 * Structs are compared by encoding them again: what a decoder read must be written as the same
 * bytes. Hostile inputs are a table; each says which code and which words the error must have,
 * because an error that does not name the remedy is half an error.
 */
#include "shoal-protocol.h"

#include <check.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SRCDIR
#define SRCDIR "."
#endif

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

/* ---- client messages -------------------------------------------------------------------- */

static shoal_client_msg decode_client(const char *text)
{
    shoal_client_msg m;
    shoal_error err;
    int rc = shoal_client_msg_decode(&m, text, strlen(text), &err);
    ck_assert_msg(rc == 0, "%s: %s", text, rc ? err.message : "");
    return m;
}

START_TEST(client_round_trip)
{
    static const char *const texts[] = {
        "{\"type\":\"start\"}",
        "{\"type\":\"start\",\"format\":\"mulaw\",\"rate\":11025,\"channels\":2,\"depth\":[3,12],"
        "\"chunk_ms\":320,\"left_ms\":0,\"attention\":\"reuse\","
        "\"output\":[\"phones\",\"posteriors\",\"embedding\"],\"encoding\":\"f16\"}",
        "{\"type\":\"set\",\"depth\":6}",
        "{\"type\":\"set\",\"depth\":[1,255],\"output\":[\"embedding\"]}",
        "{\"type\":\"flush\",\"id\":\"a \\\"\\\\\\u0001 caf\xc3\xa9\"}",
        "{\"type\":\"flush\"}",
        "{\"type\":\"end\"}",
        "{\"type\":\"ping\",\"id\":\"1\"}",
    };
    shoal_buf b = { 0 };

    for (int i = 0; i < COUNT(texts); i++) {
        shoal_client_msg m = decode_client(texts[i]);
        b.size = 0;
        ck_assert_int_eq(shoal_client_msg_encode(&b, &m), 0);
        ck_assert_str_eq(b.data, texts[i]);
    }
    shoal_buf_free(&b);
}
END_TEST

START_TEST(client_values)
{
    shoal_client_msg m = decode_client("{\"type\":\"start\",\"format\":\"alaw\",\"depth\":[3,12]}");
    ck_assert_int_eq(m.type, SHOAL_MSG_START);
    ck_assert_int_eq(m.options.rate, 8000);
    ck_assert_int_eq(m.options.depth_min, 3);
    ck_assert_int_eq(m.options.depth_max, 12);
    ck_assert_int_eq(m.options.left_ms, -1);
    ck_assert_uint_eq(m.options.given, SHOAL_OPT_FORMAT | SHOAL_OPT_DEPTH);
    m = decode_client("{\"id\":\"x\",\"type\":\"ping\"}");
    ck_assert_str_eq(m.id, "x");
}
END_TEST

START_TEST(client_encode_refuses)
{
    shoal_buf b = { 0 };
    shoal_client_msg m = { .type = SHOAL_MSG_START, .options = shoal_options_default() };

    m.options.rate = 7999;
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.options = shoal_options_default();
    m.type = SHOAL_MSG_SET; /* nothing given */
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.options.given = SHOAL_OPT_RATE;
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.options.given = SHOAL_OPT_OUTPUT;
    m.options.outputs = 0; /* nothing at all */
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.options.tap_count = 2;
    m.options.taps[0] = m.options.taps[1] = (shoal_tap){ 4, SHOAL_OUTPUT_PHONES }; /* twice */
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.options.taps[1] = (shoal_tap){ 5, 0 };
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.options.taps[1] = (shoal_tap){ 256, SHOAL_OUTPUT_PHONES };
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.options.tap_count = SHOAL_MAX_TAPS + 1;
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    m.type = SHOAL_MSG_READY;
    ck_assert_int_eq(shoal_client_msg_encode(&b, &m), -1);
    ck_assert_uint_eq(b.size, 0);
}
END_TEST

/* ---- hostile client messages ---------------------------------------------------------------- */

#define N8 "[[[[[[[["

static const struct {
    const char *text;
    shoal_code code;
    const char *says;
} hostile[] = {
    { "", SHOAL_CODE_BAD_MESSAGE, "not correct JSON" },
    { "{", SHOAL_CODE_BAD_MESSAGE, "not correct JSON" },
    { "[]", SHOAL_CODE_BAD_MESSAGE, "JSON object" },
    { "null", SHOAL_CODE_BAD_MESSAGE, "JSON" },
    { "{}", SHOAL_CODE_BAD_MESSAGE, "\"type\" is missing" },
    { "{\"type\":1}", SHOAL_CODE_BAD_MESSAGE, "\"type\" is missing" },
    { "{\"type\":\"ready\"}", SHOAL_CODE_BAD_MESSAGE, "no message of type \"ready\"" },
    { "{\"type\":\"st\\u0000art\"}", SHOAL_CODE_BAD_MESSAGE, "not correct JSON" },
    { "{\"type\":\"end\"}x", SHOAL_CODE_BAD_MESSAGE, "not correct JSON" },
    { "{\"type\":\"end\",\"type\":\"end\"}", SHOAL_CODE_BAD_MESSAGE, "duplicate" },
    { "{\"type\":\"start\",\"rate\":16000,\"rate\":8000}", SHOAL_CODE_BAD_MESSAGE, "duplicate" },
    { "{\"type\":\"\xff\xfe\"}", SHOAL_CODE_BAD_MESSAGE, "decode byte 0xff" },
    { "{\"type\":\"ping\",\"id\":\"\xed\xa0\x80\"}", SHOAL_CODE_BAD_MESSAGE, "decode byte 0xed" },
    { "{\"type\":" N8 N8 "]]", SHOAL_CODE_BAD_MESSAGE, "8 deep" },
    { "{\"type\":\"start\",\"rate\":1e999}", SHOAL_CODE_BAD_MESSAGE, "not correct JSON" },
    { "{\"type\":\"start\",\"rate\":99999999999999999999}", SHOAL_CODE_BAD_MESSAGE, "big" },
    { "{\"type\":\"start\",\"rate\":NaN}", SHOAL_CODE_BAD_MESSAGE, "not correct JSON" },
    { "{\"type\":\"start\",\"rate\":9223372036854775807}", SHOAL_CODE_BAD_OPTION, "8000..48000" },
    { "{\"type\":\"start\",\"rate\":-1}", SHOAL_CODE_BAD_OPTION, "rate: -1 is not allowed" },
    { "{\"type\":\"start\",\"rate\":\"16000\"}", SHOAL_CODE_BAD_OPTION, "rate: \"16000\"" },
    { "{\"type\":\"start\",\"rate\":16000.5}", SHOAL_CODE_BAD_OPTION, "8000..48000" },
    { "{\"type\":\"start\",\"rate\":null}", SHOAL_CODE_BAD_OPTION, "rate: null" },
    { "{\"type\":\"start\",\"depth\":\"3-12\"}", SHOAL_CODE_BAD_OPTION, "depth: \"3-12\"" },
    { "{\"type\":\"start\",\"depth\":[3]}", SHOAL_CODE_BAD_OPTION, "depth: [3]" },
    { "{\"type\":\"start\",\"depth\":[3,6,9]}", SHOAL_CODE_BAD_OPTION, "depth: [3,6,9]" },
    { "{\"type\":\"start\",\"depth\":[-3,6]}", SHOAL_CODE_BAD_OPTION, "1..255" },
    { "{\"type\":\"start\",\"depth\":[[3],6]}", SHOAL_CODE_BAD_OPTION, "1..255" },
    { "{\"type\":\"start\",\"output\":[]}", SHOAL_CODE_BAD_OPTION, "phones, posteriors" },
    { "{\"type\":\"start\",\"output\":[\"phones,posteriors\"]}", SHOAL_CODE_BAD_OPTION, "output" },
    { "{\"type\":\"start\",\"output\":[1]}", SHOAL_CODE_BAD_OPTION, "output: [1]" },
    { "{\"type\":\"start\",\"output\":{\"phones\":true}}", SHOAL_CODE_BAD_OPTION, "output" },
    { "{\"type\":\"start\",\"output\":[\"phones@4\",\"phones@4\"]}", SHOAL_CODE_BAD_OPTION,
      "each once" },
    { "{\"type\":\"start\",\"output\":[\"phones@\"]}", SHOAL_CODE_BAD_OPTION, "phones@" },
    { "{\"type\":\"start\",\"output\":[\"phones@4\"],\"depth\":3}", SHOAL_CODE_BAD_OPTION,
      "phones@4 is not allowed, use depths up to 3" },
    { "{\"type\":\"set\",\"depth\":3,\"output\":[\"phones@4\"]}", SHOAL_CODE_BAD_OPTION,
      "phones@4 is not allowed, use depths up to 3" },
    { "{\"type\":\"start\",\"lm\":true}", SHOAL_CODE_BAD_OPTION,
      "true is not allowed, use on or off" },
    { "{\"type\":\"set\",\"lm\":\"off\"}", SHOAL_CODE_BAD_OPTION,
      "cannot change while the session runs" },
    { "{\"type\":\"set\",\"activity_threshold\":90}", SHOAL_CODE_BAD_OPTION,
      "open a new connection" },
    { "{\"type\":\"start\",\"format\":\"wav\"}", SHOAL_CODE_BAD_OPTION, "format: wav" },
    { "{\"type\":\"start\",\"resume\":\"t\"}", SHOAL_CODE_BAD_OPTION, "unknown option \"resume\"" },
    { "{\"type\":\"set\"}", SHOAL_CODE_BAD_OPTION, "changes nothing" },
    { "{\"type\":\"set\",\"rate\":8000}", SHOAL_CODE_BAD_OPTION, "open a new connection" },
    { "{\"type\":\"set\",\"depth\":0}", SHOAL_CODE_BAD_OPTION, "1..255" },
    { "{\"type\":\"flush\",\"id\":7}", SHOAL_CODE_BAD_MESSAGE, "\"id\" must be a string" },
    { "{\"type\":\"flush\",\"idd\":\"7\"}", SHOAL_CODE_BAD_MESSAGE, "no member" },
    { "{\"type\":\"end\",\"id\":\"7\"}", SHOAL_CODE_BAD_MESSAGE, "only \"type\"" },
    { "{\"type\":\"ping\",\"id\":\"1234567890123456789012345678901234567890"
      "1234567890123456789012345\"}",
      SHOAL_CODE_BAD_MESSAGE, "at most 64 bytes" },
};

START_TEST(hostile_client)
{
    shoal_client_msg m;
    shoal_error err;
    size_t n = strlen(hostile[_i].text);
    char *exact = malloc(n + 1); /* ASan sees a read past the end */

    memcpy(exact, hostile[_i].text, n);
    ck_assert_msg(shoal_client_msg_decode(&m, exact, n, &err) == -1, "accepted: %s",
                  hostile[_i].text);
    ck_assert_msg(err.code == hostile[_i].code, "%s: %s", hostile[_i].text, err.name);
    ck_assert_msg(strstr(err.message, hostile[_i].says) != NULL, "%s: %s", hostile[_i].text,
                  err.message);
    ck_assert_int_eq(err.fatal, strstr(hostile[_i].text, "\"set\"") == NULL);
    free(exact);
}
END_TEST

START_TEST(large_client)
{
    char text[SHOAL_MAX_TEXT_BYTES + 1];
    shoal_client_msg m;
    shoal_error err;

    memset(text, ' ', sizeof text);
    memcpy(text, "{\"type\":\"end\"}", 14);
    ck_assert_int_eq(shoal_client_msg_decode(&m, text, sizeof text - 1, &err), 0);
    ck_assert_int_eq(shoal_client_msg_decode(&m, text, sizeof text, &err), -1);
    ck_assert_int_eq(err.code, SHOAL_CODE_MESSAGE_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(err.message, "16384"));
}
END_TEST

/* ---- server messages ---------------------------------------------------------------------- */

#define COUNTS "\"received\":9007199254740992,\"processed\":12800"

static const char *const server_texts[] = {
    "{\"type\":\"ready\",\"protocol\":\"shoal.v1\",\"server\":\"shoald 0.1.0\",\"session\":\"s1\","
    "\"model\":{\"rate\":16000,\"depth\":12,\"name\":\"shoal-base\",\"sha256\":\"00ff\"},"
    "\"frame_ms\":20,\"frame_seconds\":0.020,\"frame_samples\":220.50,\"dim\":192,\"classes\":3,"
    "\"labels\":[\"SIL\",\"AA\",\"AE\"],\"depth\":6,\"latency_ms\":235,\"options\":{"
    "\"format\":\"f32le\",\"rate\":11025,\"channels\":1,\"depth\":[3,12],\"chunk_ms\":160,"
    "\"left_ms\":1280,\"attention\":\"own\",\"output\":[\"phones\",\"phones@4\",\"activity@12\"],"
    "\"encoding\":\"f32\",\"activity_threshold\":80,\"activity_hangover_ms\":300,\"lm\":\"on\","
    "\"durations\":\"off\"},"
    "\"limits\":{\"max_message_bytes\":1048576,\"max_backlog_ms\":10000,\"idle_timeout_s\":60}}",
    "{\"type\":\"phones\",\"seq\":4294967295,\"depth\":6," COUNTS ",\"lag_ms\":200,\"phones\":["
    "{\"phone\":\"HH\",\"start\":0.120,\"end\":0.200,\"confidence\":0.8750},"
    "{\"phone\":\"AH\",\"start\":86399.980,\"end\":1000000000.000,\"confidence\":1.0000}]}",
    "{\"type\":\"phones\",\"seq\":0,\"depth\":1," COUNTS ",\"lag_ms\":-5,\"phones\":[]}",
    "{\"type\":\"changed\",\"depth\":12,\"range\":[3,12],\"from_frame\":800,\"from_sample\":256000,"
    "\"reason\":\"load\",\"output\":[\"phones\",\"embedding\"]}",
    "{\"type\":\"changed\",\"depth\":12,\"range\":[12,12],\"from_frame\":800,"
    "\"from_sample\":256000,\"reason\":\"set\",\"output\":[\"phones@4\",\"embedding@12\"]}",
    "{\"type\":\"phones\",\"seq\":0,\"depth\":3,\"tap\":4," COUNTS ",\"lag_ms\":0,\"phones\":[]}",
    "{\"type\":\"activity\",\"seq\":9,\"depth\":6,\"state\":\"speech\",\"frame\":62,"
    "\"sample\":19840,\"time\":1.240," COUNTS "}",
    "{\"type\":\"activity\",\"seq\":10,\"depth\":3,\"tap\":4,\"state\":\"silence\","
    "\"frame\":9007199254740992,\"sample\":0,\"time\":1000000000.000," COUNTS "}",
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
    { "{\"type\":\"features\",\"kind\":\"soup\"}", "posteriors or embedding" },
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

START_TEST(phones_stay_in_their_bound)
{
    static shoal_phones m = { .seq = UINT32_MAX,
                              .depth = 255,
                              .tap = 255,
                              .received = SHOAL_MAX_COUNT,
                              .processed = SHOAL_MAX_COUNT,
                              .lag_ms = -2147483647 };
    static char memory[SHOAL_PHONES_BYTES(SHOAL_MAX_PHONES)];
    shoal_buf b;

    for (m.count = 0; m.count < SHOAL_MAX_PHONES; m.count++) {
        shoal_wire_phone *p = &m.phones[m.count];
        *p = (shoal_wire_phone){ .start = 1e9, .end = 1e9, .confidence = 1 };
        memset(p->phone, m.count % 2 ? 1 : 0xff, SHOAL_MAX_LABEL);
        shoal_buf_wrap(&b, memory, SHOAL_PHONES_BYTES(m.count));
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

/* A server from before activity and choices of the decoder echoes options without them. */
START_TEST(ready_of_an_older_server)
{
    static shoal_server_msg m;
    shoal_error err;
    char text[2048];
    const char *later = ",\"activity_threshold\":80,\"activity_hangover_ms\":300,\"lm\":\"on\","
                        "\"durations\":\"off\"";
    const char *at = strstr(server_texts[0], later);

    ck_assert_ptr_nonnull(at);
    snprintf(text, sizeof text, "%.*s%s", (int)(at - server_texts[0]), server_texts[0],
             at + strlen(later));
    ck_assert_int_eq(shoal_server_msg_decode(&m, text, strlen(text), &err), 0);
    ck_assert_int_eq(m.u.ready.options.activity_threshold, 80);
    ck_assert_int_eq(m.u.ready.options.activity_hangover_ms, 300);
    ck_assert_int_eq(m.u.ready.options.lm, SHOAL_ON);
    ck_assert_uint_eq(m.u.ready.options.given & (SHOAL_OPT_LM | SHOAL_OPT_DURATIONS), 0);
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

/* ---- errors and the manual ------------------------------------------------------------------ */

static char *read_manual(void)
{
    FILE *f = fopen(SRCDIR "/docs/protocol.md", "r");
    char *text = calloc(1, 1 << 20);

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, f), 0);
    fclose(f);
    return text;
}

START_TEST(manual_names_every_error)
{
    char *manual = read_manual(), row[600], http[8];

    for (int c = 1; c < SHOAL_CODE_COUNT; c++) {
        const shoal_code_info *e = shoal_code_get_info((shoal_code)c);
        snprintf(http, sizeof http, "%d", e->http_status);
        snprintf(row, sizeof row, "| `%s` | %d | %s | %s | %s | %s |", e->name, e->close_code,
                 e->http_status ? http : "-", e->fatal ? "yes" : "no", e->retry ? "yes" : "no",
                 e->message);
        ck_assert_msg(strstr(manual, row) != NULL, "docs/protocol.md lacks the row\n%s", row);
        ck_assert_int_eq(shoal_code_from_name(e->name), c);
        ck_assert_uint_lt(strlen(e->message), SHOAL_MAX_ERROR_TEXT);
    }
    for (int t = SHOAL_MSG_START; t <= SHOAL_MSG_ERROR; t++) {
        snprintf(row, sizeof row, "{\"type\":\"%s\"", shoal_msg_type_name((shoal_msg_type)t));
        ck_assert_msg(strstr(manual, row) != NULL, "docs/protocol.md has no example of %s", row);
    }
    free(manual);
}
END_TEST

/* Every example in the manual, that is every line that begins with {"type", is decoded. */
START_TEST(manual_examples)
{
    static shoal_server_msg s;
    shoal_client_msg c;
    shoal_error err;
    char *manual = read_manual();
    int found = 0;

    for (char *line = strtok(manual, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "{\"type\"", 7) != 0)
            continue;
        found++;
        int rc = shoal_client_msg_decode(&c, line, strlen(line), &err);
        if (rc < 0 && strstr(err.message, "no message of type")) {
            rc = shoal_server_msg_decode(&s, line, strlen(line), &err);
            ck_assert_msg(rc < 0 || s.type != SHOAL_MSG_UNKNOWN, "%s", line);
            if (rc == 0)
                shoal_server_msg_free(&s);
        }
        ck_assert_msg(rc == 0, "%s: %s", line, rc ? err.message : "");
    }
    ck_assert_int_ge(found, 13);
    free(manual);
}
END_TEST

START_TEST(error_messages_are_safe)
{
    shoal_error e;
    shoal_buf b = { 0 };
    static shoal_server_msg m;

    shoal_error_set_option(&e, "depth", "40", "1..12");
    ck_assert_str_eq(e.message, "depth: 40 is not allowed, use 1..12");
    shoal_error_set(&e, SHOAL_CODE_INTERNAL, "x\x1b", "%s", "bad \xff\xc3 \"bytes\"\n");
    ck_assert_int_eq(shoal_error_encode(&b, &e), 0);
    ck_assert_int_eq(shoal_server_msg_decode(&m, b.data, b.size, &e), 0);
    ck_assert_str_eq(m.u.error.message, "bad \xef\xbf\xbd\xef\xbf\xbd \"bytes\"\n");
    ck_assert_str_eq(m.u.error.ref, "x?");
    ck_assert_int_eq(m.u.error.code, SHOAL_CODE_INTERNAL);
    shoal_buf_free(&b);
}
END_TEST

START_TEST(time_of_frames)
{
    ck_assert_double_eq(shoal_frame_samples(11025), 220.5);
    ck_assert_uint_eq(shoal_frame_start_sample(3, 11025), 661);
    ck_assert_uint_eq(shoal_frame_start_sample(40, 16000), 12800);
    ck_assert_uint_eq(shoal_frame_start_sample(1440000, 48000), 1382400000); /* 8 hours */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol");
    TCase *t = tcase_create("protocol");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, client_round_trip);
    tcase_add_test(t, client_values);
    tcase_add_test(t, client_encode_refuses);
    tcase_add_loop_test(t, hostile_client, 0, COUNT(hostile));
    tcase_add_test(t, large_client);
    tcase_add_loop_test(t, server_round_trip, 0, COUNT(server_texts));
    tcase_add_loop_test(t, server_damaged, 0, COUNT(server_texts));
    tcase_add_test(t, server_lenient);
    tcase_add_loop_test(t, hostile_from_server, 0, COUNT(hostile_server));
    tcase_add_test(t, phones_stay_in_their_bound);
    tcase_add_test(t, activity_stays_in_its_bound);
    tcase_add_test(t, ready_of_an_older_server);
    tcase_add_test(t, no_locale);
    tcase_add_test(t, no_memory);
    tcase_add_test(t, manual_names_every_error);
    tcase_add_test(t, manual_examples);
    tcase_add_test(t, error_messages_are_safe);
    tcase_add_test(t, time_of_frames);
    suite_add_tcase(suite, t);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

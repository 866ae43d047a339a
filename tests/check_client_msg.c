/* check_client_msg.c - what clients say: round trips, and hostile input
 *
 * Structs are compared by encoding them again: what a decoder read must be written as the same
 * bytes. Hostile inputs are a table; each says which code and which words the error must have,
 * because an error that does not name the remedy is half an error.
 */
#include "shoal-protocol.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        "{\"type\":\"set\",\"chunk_ms\":80}",
        "{\"type\":\"skip\",\"samples\":1}",
        "{\"type\":\"skip\",\"samples\":9007199254740992}",
        "{\"type\":\"start\",\"channels\":2,\"channel\":\"right\",\"t0\":1764270000.123}",
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
    { "{\"type\":\"start\",\"rate\":\"16000\"}", SHOAL_CODE_BAD_OPTION,
      "rate: \"16000\" is not allowed, use 8000..48000 (Hz), a number without quotes" },
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

int main(void)
{
    Suite *suite = suite_create("client messages");
    TCase *t = tcase_create("client messages");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, client_round_trip);
    tcase_add_test(t, client_values);
    tcase_add_test(t, client_encode_refuses);
    tcase_add_loop_test(t, hostile_client, 0, COUNT(hostile));
    tcase_add_test(t, large_client);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

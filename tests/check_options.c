/* check_options.c - what a session asks for, in a URL query and in a start message
 *
 * Both must give the same options, and every mistake an error that names the option, the value
 * and what is allowed.
 */
#include "shoal-protocol.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

static const struct {
    const char *query, *members;
} same[] = {
    { "", "" },
    { "rate=8000", ",\"rate\":8000" },
    { "?format=f32le&rate=48000&channels=8",
      ",\"format\":\"f32le\",\"rate\":48000,\"channels\":8" },
    { "depth=6", ",\"depth\":6" },
    { "depth=3-12", ",\"depth\":[3,12]" },
    { "depth=3..12", ",\"depth\":[3,12]" },
    { "depth=4-4", ",\"depth\":[4,4]" },
    { "chunk_ms=1280&left_ms=5120", ",\"chunk_ms\":1280,\"left_ms\":5120" },
    { "output=phones,posteriors&encoding=json",
      ",\"output\":[\"phones\",\"posteriors\"],\"encoding\":\"json\"" },
    { "output=embedding", ",\"output\":\"embedding\"" },
    { "%6futput=phones%2Cposteriors", ",\"output\":[\"posteriors\",\"phones\"]" },
    { "format=opus&&attention=reuse&", ",\"format\":\"opus\",\"attention\":\"reuse\"" },
    { "format=mulaw", ",\"format\":\"mulaw\"" },
    { "output=phones@4,embedding@12", ",\"output\":[\"phones@4\",\"embedding@12\"]" },
    { "output=phones%404", ",\"output\":\"phones@4\"" },
    { "depth=3-12&output=embedding@12,phones,phones@4,activity@4,phones@12",
      ",\"depth\":[3,12],\"output\":[\"phones@12\",\"activity@4\",\"embedding@12\","
      "\"phones@4\",\"phones\"]" },
    { "output=phones@1,phones@2,phones@3,phones@4,phones@5,phones@6,phones@7,phones@8,phones@9,"
      "phones@10,phones@11,phones@12",
      ",\"output\":[\"phones@12\",\"phones@11\",\"phones@10\",\"phones@9\",\"phones@8\","
      "\"phones@7\",\"phones@6\",\"phones@5\",\"phones@4\",\"phones@3\",\"phones@2\","
      "\"phones@1\"]" },
    { "output=mel,hidden,hidden@0,hidden@12,phones",
      ",\"output\":[\"hidden@12\",\"phones\",\"hidden@0\",\"hidden\",\"mel\"]" },
    { "output=activity&activity_threshold=95&activity_hangover_ms=500",
      ",\"output\":[\"activity\"],\"activity_threshold\":95,\"activity_hangover_ms\":500" },
    { "lm=off&durations=on", ",\"durations\":\"on\",\"lm\":\"off\"" },
    { "lm=on", ",\"lm\":\"on\"" },
    { "settle_ms=480&settle_silence_ms=0&tentative=on",
      ",\"tentative\":\"on\",\"settle_silence_ms\":0,\"settle_ms\":480" },
    { "precision=int8", ",\"precision\":\"int8\"" },
    { "precision=auto", ",\"precision\":\"auto\"" },
    { "every=50&output=mel", ",\"output\":[\"mel\"],\"every\":50" },
    { "smooth=on", ",\"smooth\":\"on\"" },
    { "smooth=off", ",\"smooth\":\"off\"" },
    { "pool=utterance&every=1", ",\"pool\":\"utterance\",\"every\":1" },
    { "channels=2&channel=right", ",\"channels\":2,\"channel\":2" },
    { "channels=8&channel=8", ",\"channel\":\"8\",\"channels\":8" },
    { "channel=1&t0=1764270000.1239", ",\"channel\":\"left\",\"t0\":1764270000.123" },
    { "t0=17", ",\"t0\":17" },
    { "activity_min_ms=200&activity_max_ms=15000&activity_pad_ms=100",
      ",\"activity_max_ms\":15000,\"activity_pad_ms\":100,\"activity_min_ms\":200" },
    { "model=Base.1_x-y", ",\"model\":\"Base.1_x-y\"" },
    { "model=small@0123abcd", ",\"model\":\"small@0123abcd\"" },
    { "model=small%400123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
      ",\"model\":\"small@0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"" },
    { "program=pruned-7", ",\"program\":\"pruned-7\"" },
    { "depth=2-3&program=a.b_c%2d0123456789012345678901234",
      ",\"depth\":[2,3],\"program\":\"a.b_c-0123456789012345678901234\"" },
};

START_TEST(query_equals_start)
{
    char text[1024];
    shoal_options o;
    shoal_error err;
    const char *query = same[_i].query;

    ck_assert_int_eq(shoal_options_parse_query(&o, query, strlen(query), &err), 0);
    snprintf(text, sizeof text, "{\"type\":\"start\"%s}", same[_i].members);
    shoal_client_msg m;
    ck_assert_int_eq(shoal_client_msg_decode(&m, text, strlen(text), &err), 0);
    ck_assert_mem_eq(&o, &m.options, sizeof o);

    shoal_buf b = { 0 };
    shoal_options again;
    ck_assert_int_eq(shoal_options_encode_query(&b, &o), 0);
    ck_assert_int_eq(shoal_options_parse_query(&again, b.size ? b.data : "", b.size, &err), 0);
    ck_assert_mem_eq(&o, &again, sizeof o);
    shoal_buf_free(&b);
}
END_TEST

/* query, what the message must name: the option, the value, what is allowed */
static const struct {
    const char *query, *ref, *says;
} bad_queries[] = {
    { "rate=7999", "rate", "rate: 7999 is not allowed, use 8000..48000" },
    { "rate=48001", "rate", "8000..48000" },
    { "rate=16000.0", "rate", "16000.0" },
    { "rate=-16000", "rate", "-16000" },
    { "rate=+16000", "rate", "+16000" },
    { "rate=99999999999999999999", "rate", "8000..48000" },
    { "rate=0x3e80", "rate", "8000" },
    { "rate=NaN", "rate", "NaN" },
    { "rate", "rate", "rate: \"\" is not allowed" },
    { "rate=16000&rate=16000", "rate", "twice" },
    { "channels=0", "channels", "1..8" },
    { "channels=9", "channels", "1..8" },
    { "depth=0", "depth", "1..255" },
    { "depth=256", "depth", "1..255" },
    { "depth=12-3", "depth", "12-3" },
    { "depth=3-", "depth", "3-" },
    { "depth=3..", "depth", "3.." },
    { "depth=3.12", "depth", "3.12" },
    { "depth=-3", "depth", "-3" },
    { "depth=3-6-9", "depth", "3-6-9" },
    { "chunk_ms=0", "chunk_ms", "steps of 20" },
    { "chunk_ms=170", "chunk_ms", "steps of 20" },
    { "chunk_ms=1300", "chunk_ms", "20..1280" },
    { "left_ms=5140", "left_ms", "0..5120" },
    { "attention=borrowed", "attention", "own or reuse" },
    { "output=", "output", "phones, posteriors, embedding, activity" },
    { "output=phones,phones", "output", "each once" },
    { "output=phones,", "output", "phones," },
    { "output=,phones", "output", ",phones" },
    { "output=phones@", "output", "phones@" },
    { "output=phones@0", "output", "phones@0" },
    { "output=phones@256", "output", "phones@256" },
    { "output=phones@-4", "output", "phones@-4" },
    { "output=phones@4@5", "output", "phones@4@5" },
    { "output=phones@4-6", "output", "phones@4-6" },
    { "output=@4", "output",
      "each with a depth of its own (phones@4, hidden@0, but not mel) or without" },
    { "output=words@4", "output", "words@4" },
    { "output=phones@4,phones@04", "output", "each once" },
    { "output=phones@1,phones@2,phones@3,phones@4,phones@5,phones@6,phones@7,phones@8,phones@9,"
      "phones@10,phones@11,phones@12,phones@13,phones@14,phones@15,phones@16,hidden@0",
      "output", "at most 16 such depths" },
    { "output=mel@4", "output", "mel@4 is not allowed" },
    { "output=mel@0", "output", "but not mel" },
    { "output=embedding@0", "output", "hidden@0" },
    { "output=hidden@0,posteriors@0", "output", "posteriors@0" },
    { "output=hidden@00,hidden@0", "output", "each once" },
    { "output=hidden@256", "output", "hidden@256" },
    { "depth=6&output=phones,embedding@12", "output",
      "embedding@12 is not allowed, use depths up to 6, for that is what depth says" },
    { "output=activity@9&depth=3-8", "output", "depths up to 8" },
    { "activity_threshold=29", "activity_threshold", "30..99" },
    { "activity_threshold=0.8", "activity_threshold", "percent" },
    { "activity_hangover_ms=310", "activity_hangover_ms", "20..5000 in steps of 20" },
    { "lm=no", "lm", "no is not allowed, use on or off" },
    { "lm=On", "lm", "on or off" },
    { "lm=1", "lm", "on or off" },
    { "lm=on&lm=on", "lm", "given twice" },
    { "durations=", "durations", "on or off" },
    { "durations=offf", "durations", "on or off" },
    { "settle_ms=1300", "settle_ms", "0..1280 in steps of 20" },
    { "settle_ms=30", "settle_ms", "0..1280 in steps of 20" },
    { "settle_silence_ms=-20", "settle_silence_ms", "0..1280" },
    { "tentative=yes", "tentative", "on or off" },
    { "smooth=yes", "smooth", "on or off" },
    { "every=0", "every", "every: 0 is not allowed, use 1..1000 (frames of 20 ms)" },
    { "every=1001", "every", "1..1000" },
    { "channel=middle", "channel", "mix, left (or 1), right (or 2)" },
    { "channel=0", "channel", "0 is not allowed" },
    { "channel=9&channels=8", "channel", "another channel up to 8" },
    { "channel=right", "channel", "right is not allowed, use mix or left with channels=1" },
    { "channel=3&channels=2", "channel", "3 is not allowed, use mix or 1..2 with channels=2" },
    { "t0=0", "t0", "seconds since 1970" },
    { "t0=-1", "t0", "-1" },
    { "t0=1e9", "t0", "1e9" },
    { "t0=1.", "t0", "1. is not allowed" },
    { "t0=.5", "t0", ".5" },
    { "t0=10000000000.5x", "t0", "below 10000000000" },
    { "t0=12345678901", "t0", "above 0" },
    { "activity_min_ms=2020", "activity_min_ms", "0..2000 in steps of 20" },
    { "activity_min_ms=210", "activity_min_ms", "0..2000 in steps of 20" },
    { "activity_pad_ms=520", "activity_pad_ms", "0..500 in steps of 20" },
    { "activity_pad_ms=320", "activity_pad_ms",
      "320 is not allowed, use at most activity_hangover_ms, which is 300" },
    { "activity_max_ms=60020", "activity_max_ms", "1000..60000 in steps of 20, or 0" },
    { "activity_max_ms=980", "activity_max_ms", "980 is not allowed, use 1000 at least" },
    { "activity_max_ms=2000&activity_hangover_ms=1000&activity_pad_ms=100", "activity_max_ms",
      "use 2120 at least with this hangover and pad, or 0 (never)" },
    { "pool=word", "pool", "pool: word is not allowed, use none or utterance" },
    { "pool=utterance&every=5", "every",
      "every: 5 is not allowed, use 1 with pool=utterance, or leave pool out" },
    { "precision=fp16", "precision", "fp16 is not allowed, use auto, fp32, bf16 or int8" },
    { "model=", "model", "of a model that /v1/models lists" },
    { "model=a,b", "model", "a,b is not allowed" },
    { "model=a@0123abc", "model", "8 to 64 digits" },
    { "model=a@0123ABCD", "model", "8 to 64 digits" },
    { "model=a@0123abcd@", "model", "8 to 64 digits" },
    { "model=@0123abcd", "model", "8 to 64 digits" },
    { "model=a@0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0", "model",
      "8 to 64 digits" },
    { "model=0123456789012345678901234567890123456789012345678901234567890123", "model",
      "at most 63" },
    { "program=", "program", "of a program that /v1/model lists" },
    { "program=Base", "program", "a-z, 0-9" },
    { "program=a,b", "program", "a,b is not allowed" },
    { "program=base%00", "program", "base?" },
    { "program=01234567890123456789012345678901", "program", "at most 31" },
    { "program=base&program=base", "program", "given twice" },
    { "encoding=f64", "encoding", "f32, f16 or json" },
    { "format=S16LE", "format", "s16le, f32le" },
    { "format=s16le%00", "format", "s16le?" },
    { "format=%s16", "", "two hex digits" },
    { "format=s16l%6", "", "two hex digits" },
    { "ratte=8000", "ratte", "unknown option \"ratte\": there are format, rate" },
    { "=8000", "", "unknown option \"\"" },
    { "resume=abc", "resume", "unknown option" },
    { "%ff%1b[31m=1", "??[31m", "unknown option" },
    { "format=opus&rate=44100", "rate", "24000 or 48000 with opus" },
    { "format=opus&channels=3", "channels", "1 or 2 with opus" },
};

START_TEST(bad_query)
{
    const char *q = bad_queries[_i].query;
    shoal_options o;
    shoal_error err;

    ck_assert_msg(shoal_options_parse_query(&o, q, strlen(q), &err) == -1, "accepted: %s", q);
    ck_assert_int_eq(err.code, SHOAL_CODE_BAD_OPTION);
    ck_assert_str_eq(err.ref, bad_queries[_i].ref);
    ck_assert_msg(strstr(err.message, bad_queries[_i].says) != NULL, "%s: %s", q, err.message);
}
END_TEST

START_TEST(long_query)
{
    char q[SHOAL_MAX_QUERY_BYTES + 1];
    shoal_options o;
    shoal_error err;

    memset(q, '&', sizeof q);
    ck_assert_int_eq(shoal_options_parse_query(&o, q, sizeof q - 1, &err), 0);
    ck_assert_int_eq(shoal_options_parse_query(&o, q, sizeof q, &err), -1);
    memset(q, 'x', sizeof q);
    ck_assert_int_eq(shoal_options_parse_query(&o, q, sizeof q - 1, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "xxx..."));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *t = tcase_create("options");

    tcase_add_loop_test(t, query_equals_start, 0, COUNT(same));
    tcase_add_loop_test(t, bad_query, 0, COUNT(bad_queries));
    tcase_add_test(t, long_query);
    suite_add_tcase(suite, t);

    return suite_run(suite);
}

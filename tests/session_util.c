/* session_util.c - see session_util.h */
#include "session_util.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

shoal__session s;
uint8_t audio[640000];
shoal_ready server;

static void describe_server(const shoal_options *granted)
{
    memset(&server, 0, sizeof server);
    server.options = *granted;
    server.options.outputs = SHOAL_OUTPUT_POSTERIORS;
    server.options.depth_min = server.options.depth_max = server.depth = server.model_depth = 1;
    server.options.left_ms = 160;
    server.model_rate = 16000;
    server.dim = server.classes = 1;
    snprintf(server.labels[0], sizeof server.labels[0], "SIL");
    snprintf(server.model_sha256, sizeof server.model_sha256, "%064d", 1);
    snprintf(server.precision, sizeof server.precision, "fp32");
    snprintf(server.backend, sizeof server.backend, "own");
    snprintf(server.kernels, sizeof server.kernels, "avx2");
    server.max_message_bytes = 8000;
    server.latency_ms = 235;
}

void open_session_of(shoal_options o)
{
    shoal__session_params p = { .options = o,
                                .queue_bytes = sizeof audio,
                                .message_bytes = 16 << 10,
                                .keep_bytes = 2 * sizeof audio,
                                .keep_alive = 1,
                                .again = 1,
                                .peer = "host:1" };

    for (size_t i = 0; i < sizeof audio; i++)
        audio[i] = (uint8_t)(i * 31 + (i >> 8));
    describe_server(&o);
    ck_assert_int_eq(shoal__session_init(&s, &p), 0);
}

void close_session(void)
{
    shoal__session_free(&s);
}

void hear(const char *text)
{
    ck_assert_int_eq(shoal__session_receive(&s, SHOAL__TEXT, text, strlen(text), 1), 0);
}

void hear_ready(void)
{
    shoal_buf b = { 0 };

    ck_assert_int_eq(shoal_ready_encode(&b, &server), 0);
    ck_assert_int_eq(shoal__session_receive(&s, SHOAL__TEXT, b.data, b.size, 1), 0);
    shoal_buf_free(&b);
}

void hear_rows(uint32_t seq, uint64_t first, int n, uint64_t base)
{
    shoal_packet p = { .kind = SHOAL_KIND_POSTERIORS,
                       .encoding = SHOAL_ENCODING_F32,
                       .depth = 1,
                       .seq = seq,
                       .first_frame = first,
                       .start_sample = first * 320,
                       .received = (first + (uint64_t)n + 3) * 320,
                       .processed = (first + (uint64_t)n) * 320,
                       .frames = n,
                       .dim = 1 };
    float values[64];
    shoal_buf b = { 0 };

    for (int i = 0; i < n; i++)
        values[i] = (float)(base + first + (uint64_t)i);
    ck_assert_int_eq(shoal_packet_encode(&b, &p, values), 0);
    ck_assert_int_eq(shoal__session_receive(&s, SHOAL__BINARY, b.data, b.size, 1), 0);
    shoal_buf_free(&b);
}

static int next(shoal_client_event *e)
{
    while (shoal__session_next_event(&s, e))
        if (shoal__resume_take(&s, e))
            return 1;
    return 0;
}

shoal_client_event expect(shoal_client_event_type type)
{
    shoal_client_event e;

    ck_assert_msg(next(&e) == 1, "no event instead of %d", type);
    ck_assert_msg(e.type == type, "event %d instead of %d%s%s", e.type, type, e.error ? ": " : "",
                  e.error ? e.error->message : "");
    return e;
}

void expect_nothing(void)
{
    shoal_client_event e;

    ck_assert_msg(next(&e) == 0, "event %d instead of none", e.type);
}

void break_connection(void)
{
    shoal_client_event e;

    shoal__session_gone(&s);
    e = expect(SHOAL_CLIENT_AWAY);
    ck_assert_int_eq(e.failure->cause, SHOAL_CLIENT_LOST);
    ck_assert(shoal__session_is_away(&s));
    expect_nothing();
}

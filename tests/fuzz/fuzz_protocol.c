/* fuzz_protocol.c - any bytes at all into every decoder of protocol/
 *
 * The first byte chooses the decoder, the rest is its input:
 *
 *     c  client message    q  URL query          a  first bytes of audio
 *     s  server message    p  binary packet    r  query of a client that comes back
 *
 * What decodes must encode, decode again and encode to the same bytes: a mismatch aborts.
 * Without libFuzzer (-DSHOAL_FUZZ_REPLAY) main replays the files and directories it is given,
 * as make check does with tests/fuzz/corpus/protocol.
 */
#include "shoal-protocol.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_protocol: %s\n", what);
    abort();
}

static void require_same(const shoal_buf *a, const shoal_buf *b)
{
    require(a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0),
            "the second encoding differs from the first");
}

/* An error must be sendable, whatever made it. */
static void error_sends(const shoal_error *err)
{
    shoal_buf b = { 0 };

    require(err->code != SHOAL_CODE_UNKNOWN, "an error without a code");
    require(shoal_error_encode(&b, err) == 0, "an error cannot be encoded");
    shoal_buf_free(&b);
}

static void client_message(const char *text, size_t n)
{
    shoal_client_msg m;
    shoal_error err;
    shoal_buf one = { 0 }, two = { 0 };

    if (shoal_client_msg_decode(&m, text, n, &err) < 0) {
        error_sends(&err);
        return;
    }
    require(shoal_client_msg_encode(&one, &m) == 0, "a decoded client message does not encode");
    require(shoal_client_msg_decode(&m, one.data, one.size, &err) == 0, "nor decode again");
    require(shoal_client_msg_encode(&two, &m) == 0, "nor encode again");
    require_same(&one, &two);
    shoal_buf_free(&one);
    shoal_buf_free(&two);
}

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
    default: return shoal_pong_encode(b, ""); /* skipped by clients: nothing to compare */
    }
}

static void server_message(const char *text, size_t n)
{
    static shoal_server_msg m;
    shoal_error err;
    shoal_buf one = { 0 }, two = { 0 };

    if (shoal_server_msg_decode(&m, text, n, &err) < 0) {
        error_sends(&err);
        return;
    }
    require(encode_server(&one, &m) == 0, "a decoded server message does not encode");
    shoal_server_msg_free(&m);
    require(shoal_server_msg_decode(&m, one.data, one.size, &err) == 0, "nor decode again");
    require(encode_server(&two, &m) == 0, "nor encode again");
    shoal_server_msg_free(&m);
    require_same(&one, &two);
    shoal_buf_free(&one);
    shoal_buf_free(&two);
}

static void query(const char *text, size_t n)
{
    shoal_options o, again;
    shoal_error err;
    shoal_buf b = { 0 };

    if (shoal_options_parse_query(&o, text, n, &err) < 0) {
        error_sends(&err);
        return;
    }
    require(shoal_options_check(&o, &err) == 0, "parsed options fail their check");
    require(shoal_options_encode_query(&b, &o) == 0, "parsed options do not encode");
    require(shoal_options_parse_query(&again, b.data, b.size, &err) == 0, "nor parse again");
    require(memcmp(&o, &again, sizeof o) == 0, "options change on the way");
    shoal_buf_free(&b);
}

static void coming_back(const char *text, size_t n)
{
    shoal_resume r, again;
    shoal_error err;
    shoal_buf b = { 0 };
    int is_one = shoal_resume_parse_query(&r, text, n, &err);

    if (is_one < 0)
        error_sends(&err);
    if (is_one <= 0)
        return;
    require(shoal_resume_encode_query(&b, &r) == 0, "a parsed return does not encode");
    require(shoal_resume_parse_query(&again, b.data, b.size, &err) == 1, "nor parse again");
    require(memcmp(&r, &again, sizeof r) == 0, "a return changes on the way");
    shoal_buf_free(&b);
}

static void packet(const uint8_t *bytes, size_t n)
{
    shoal_packet p;
    shoal_error err;
    shoal_buf b = { 0 };

    if (shoal_packet_decode(&p, bytes, n, &err) < 0) {
        error_sends(&err);
        return;
    }
    float *values = malloc(((size_t)p.frames * (size_t)p.dim + 1) * sizeof *values);
    require(values != NULL, "no memory");
    shoal_packet_values(&p, values);
    require(shoal_packet_encode(&b, &p, values) == 0, "a decoded packet does not encode");
    require(b.size == shoal_packet_size(&p), "its size is not as promised");
    b.size = 0;
    require(shoal_packet_encode_json(&b, &p, values) == 0, "nor encode as JSON");
    require(b.size < SHOAL_PACKET_JSON_BYTES(p.frames, p.dim), "JSON beyond its bound");
    free(values);
    shoal_buf_free(&b);
}

static void audio(const uint8_t *bytes, size_t n)
{
    shoal_options o = shoal_options_default();
    shoal_error err;
    size_t need;

    for (size_t have = 0; have <= n && have <= SHOAL_SNIFF_BYTES; have++) {
        shoal_sniff r = shoal_sniff_container(bytes, have, &o, &need, &err);
        if (r == SHOAL_SNIFF_YES)
            error_sends(&err);
        if (r != SHOAL_SNIFF_MORE)
            return;
        require(need > have && need <= SHOAL_SNIFF_BYTES, "sniff wants nothing, or too much");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0]) {
    case 'c': client_message(text, size - 1); break;
    case 's': server_message(text, size - 1); break;
    case 'q': query(text, size - 1); break;
    case 'p': packet(data + 1, size - 1); break;
    case 'r': coming_back(text, size - 1); break;
    case 'a': audio(data + 1, size - 1); break;
    }
    return 0;
}

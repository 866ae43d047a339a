/* fuzz_body.c - any bytes at all as the body of a request, as what a proxy says first, and as a
 * file
 *
 * The first byte says how a body comes (chunked or not, how large its pieces are, how much of the
 * payload is taken at a time): whatever it is, payload, end and verdict must be the same as of one
 * piece. What is asked for of a PROXY header must never lie beyond it. What is told of the pages of
 * a file does not depend on its pieces.
 */
#include "net/body.h"
#include "net/proxy.h"
#include "shoal-wire.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_body: %s\n", what);
    abort();
}

typedef struct taken {
    shoald_body_state state;
    size_t used, payload;
    uint32_t sum; /* of the payload's bytes and their places */
} taken;

static taken take(int chunked, const char *bytes, size_t n, size_t cut, size_t room)
{
    taken t = { .state = SHOALD_BODY_MORE };
    shoald_body b;
    shoald_body_init(&b, chunked, 37);
    for (;;) {
        size_t framing, payload, rest = n - t.used < cut ? n - t.used : cut;
        t.state = shoald_body_next(&b, bytes + t.used, rest, &framing, &payload);
        require(framing + payload <= rest, "more than was given");
        t.used += framing;
        if (t.state != SHOALD_BODY_MORE || (payload == 0 && t.used == n))
            break;
        size_t k = payload < room ? payload : room;
        for (size_t i = 0; i < k; i++)
            t.sum = t.sum * 31 + (unsigned char)bytes[t.used + i];
        shoald_body_take(&b, k);
        t.payload += k;
        t.used += k;
    }
    require(b.taken == t.payload, "the payload is counted wrongly");
    require((t.state == SHOALD_BODY_BROKEN) == (b.why != NULL), "refused without a reason");
    return t;
}

static void fuzz_proxy(const uint8_t *data, size_t size)
{
    shoald_proxied p;
    size_t have = 0;
    for (int more; (more = shoald_proxy_take(&p, data, have)) != 0; have += (size_t)more) {
        if (more < 0 || have + (size_t)more > size)
            return;
        require(have + (size_t)more <= SHOALD_MAX_PROXY, "more than fits is asked for");
    }
    require(p.size == have, "bytes that are not its own were asked for");
}

static void fuzz_file(const uint8_t *data, size_t size, size_t cut)
{
    shoal_ogg_pages whole = { 0 }, pieces = { 0 };
    shoal_ogg_look(&whole, data, size);
    for (size_t at = 0; at < size; at += cut)
        shoal_ogg_look(&pieces, data + at, size - at < cut ? size - at : cut);
    require(!memcmp(&whole, &pieces, sizeof whole), "pages differ by the pieces that they came in");
    require(shoal_file_promise(data, size) < (uint64_t)1 << 40,
            "more is promised than is believed");
    (void)shoal_file_kind(data, size);
    (void)shoal_is_more_sound(data, size);
    (void)shoal_ogg_is_whole(data, size);
    (void)shoal_has_flac_head(data, size, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t none;
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    taken one = take(data[0] & 1, bytes, size - 1, SIZE_MAX, SIZE_MAX);
    taken cut = take(data[0] & 1, bytes, size - 1, 1 + (data[0] >> 1) % 16, 1 + (data[0] >> 5));
    require(one.state == cut.state && one.payload == cut.payload && one.sum == cut.sum &&
                (one.used == cut.used || one.state == SHOALD_BODY_BROKEN),
            "it depends on the cut");
    const uint8_t *rest = size > 1 ? data + 1 : &none;
    fuzz_proxy(rest, size - 1);
    fuzz_file(rest, size - 1, 1 + (data[0] >> 1) % 16);
    return 0;
}

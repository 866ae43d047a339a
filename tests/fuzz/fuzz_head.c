/* fuzz_head.c - any bytes at all as an HTTP request head
 *
 * The first byte says where the rest is cut in two: whatever the cut, the result must be the same
 * as of one piece, and what is found must lie within what was given.
 */
#include "net/access.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_head: %s\n", what);
    abort();
}

/* Whatever is shown as a token has a hash, and lies in the head. */
static void check_token(const shoald_head *h, const char *bytes)
{
    uint8_t hash[SHOALD_TOKEN_HASH];
    require(h->token_at + h->token_length <= h->size, "the token is not in the head");
    require(shoald_access_hash(hash, h, bytes) == (h->token_length > 0), "a token without a hash");
}

static void check_whole(const shoald_head *h, size_t n)
{
    require(h->size <= n && h->size <= SHOALD_MAX_HEAD, "the head is longer than its bytes");
    require(h->query_at + h->query_length <= h->size, "the query is not in the head");
    require(memchr(h->path, '\0', sizeof h->path) && memchr(h->host, '\0', sizeof h->host) &&
                memchr(h->origin, '\0', sizeof h->origin),
            "a string has no end");
    require(strlen(h->key) == 0 || strlen(h->key) == SHOALD_KEY_LENGTH, "half a key");
    require(h->minor == 0 || h->hosts == 1, "not one Host");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static shoald_head one, two; /* zeroed with their padding */
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t n = size - 1;
    memset(&one, 0, sizeof one);
    memset(&two, 0, sizeof two);
    shoald_head_state state = shoald_head_take(&one, bytes, n);
    shoald_head_state first = shoald_head_take(&two, bytes, n * data[0] / 255);
    require(shoald_head_take(&two, bytes, n) == state, "it depends on the cut");
    require(first == SHOALD_HEAD_PARTIAL || first == state, "a verdict was changed");
    if (state == SHOALD_HEAD_WHOLE) {
        check_whole(&one, n);
        check_token(&one, bytes);
    } else if (state == SHOALD_HEAD_REFUSED)
        require(one.why && one.status >= 400, "refused without a reason");
    else
        require(n <= SHOALD_MAX_HEAD, "more than fits is still taken");
    return 0;
}

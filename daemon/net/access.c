/* access.c - see access.h */
#include "net/access.h"

#include "base/sites.h"

#include <nettle/base64.h>
#include <string.h>

static int refuse(shoald_house *house, shoald_refusal reason, int status, shoal_code code,
                  const char *why, shoal_error *err)
{
    shoald_count(&house->stats.access_refused[reason], 1);
    shoal_error_set(err, code, NULL, "%s", why);
    return status;
}

int shoald_access_by_name(shoald_house *house, const shoald_peer *peer, const shoald_head *head,
                          shoal_error *err)
{
    const char *list = house->settings.hosts;
    if ((!*list && !peer->by_loopback) || shoald_sites_has_host(list, head->host))
        return 0;
    return refuse(house, SHOALD_REFUSED_HOST, 421, SHOAL_CODE_FORBIDDEN,
                  "the server does not answer to the name in Host: ask by its address or as "
                  "localhost, or have its operator add the name to hosts in shoald.conf",
                  err);
}

static bool is_our_page(const shoald_house *house, const shoald_head *head)
{
    return shoald_sites_has_origin(house->settings.origins, head->origin, head->host);
}

int shoald_access_from_page(shoald_house *house, const shoald_head *head, shoal_error *err)
{
    if (!head->origins || is_our_page(house, head))
        return 0;
    return refuse(house, SHOALD_REFUSED_ORIGIN, 403, SHOAL_CODE_FORBIDDEN,
                  "pages of another origin may not use this server: load the page from the server "
                  "itself, or have its operator add the page's origin to origins in shoald.conf",
                  err);
}

/* ---- tokens ---------------------------------------------------------------------------- */

bool shoald_access_hash(uint8_t hash[SHOALD_TOKEN_HASH], const shoald_head *head, const char *bytes)
{
    uint8_t plain[BASE64_DECODE_LENGTH(SHOALD_MAX_HEADERS)];
    struct base64_decode_ctx state;
    size_t n = sizeof plain;
    const char *at = bytes + head->token_at;
    if (!head->token_length)
        return false;
    if (!head->token_encoded) {
        shoald_token_hash(hash, at, head->token_length);
        return true;
    }
    base64url_decode_init(&state);
    bool good = base64_decode_update(&state, &n, plain, head->token_length, at);
    shoald_token_hash(hash, plain, good ? n : 0); /* what is none is nobody's */
    explicit_bzero(plain, sizeof plain);
    return true;
}

int shoald_access_with_token(shoald_house *house, const shoald_head *head, const char *bytes,
                             shoald_token **token, shoal_error *err)
{
    uint8_t hash[SHOALD_TOKEN_HASH];
    *token = NULL;
    if (!house->tokens.required)
        return 0;
    if (!shoald_access_hash(hash, head, bytes))
        return refuse(house, SHOALD_REFUSED_NO_TOKEN, 401, SHOAL_CODE_UNAUTHORIZED,
                      "the server wants a token and none came: send Authorization: Bearer TOKEN "
                      "(our programs take it from --token-file or SHOAL_TOKEN); its operator "
                      "gives them out",
                      err);
    *token = shoald_tokens_find(&house->tokens, hash);
    if (*token)
        return 0;
    return refuse(house, SHOALD_REFUSED_BAD_TOKEN, 401, SHOAL_CODE_UNAUTHORIZED,
                  "the server does not know the token: it was mistyped, or is valid no more; ask "
                  "its operator for another",
                  err);
}

/* ---- what answers say ------------------------------------------------------------------ */

const char *shoald_access_reader(const shoald_house *house, const shoald_head *head)
{
    return head->origins && is_our_page(house, head) ? head->origin : "";
}

void shoald_access_add_challenge(const shoald_head *head, shoald_answer *a)
{
    shoald_answer_add_line(a, "WWW-Authenticate: Bearer realm=\"shoal\"%s",
                           head->token_length ? ", error=\"invalid_token\"" : "");
}

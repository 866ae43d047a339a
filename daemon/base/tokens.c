/* tokens.c - see tokens.h */
#include "base/tokens.h"

#include "base/lines.h"

#include <errno.h>
#include <nettle/base16.h>
#include <nettle/base64.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char name_chars[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* ---- a line of the file ---------------------------------------------------------------- */

/* What stands there is not shown: it may be a token, in the wrong place. */
static int check_name(const char *name, char *why, size_t why_size)
{
    if (*name && strlen(name) < SHOALD_TOKEN_NAME && strspn(name, name_chars) == strlen(name))
        return 0;
    snprintf(why, why_size, "the name is not 1 to %d letters, digits, '.', '_' or '-'",
             SHOALD_TOKEN_NAME - 1);
    return -1;
}

/* Who hashes nothing has piped the wrong thing, and would let everybody in. */
static int read_hash(shoald_token *t, const char *hex, char *why, size_t why_size)
{
    uint8_t nothing[SHOALD_TOKEN_HASH];
    struct base16_decode_ctx state;
    size_t n = sizeof t->hash;
    if (strlen(hex) != 2 * sizeof t->hash || strspn(hex, "0123456789abcdefABCDEF") != strlen(hex)) {
        snprintf(why, why_size,
                 "what follows the name is not a SHA-256 in 64 hex digits: make the line with "
                 "shoald --new-token NAME");
        return -1;
    }
    base16_decode_init(&state);
    base16_decode_update(&state, &n, t->hash, strlen(hex), hex);
    shoald_token_hash(nothing, "", 0);
    if (memcmp(nothing, t->hash, sizeof nothing) != 0)
        return 0;
    snprintf(why, why_size, "the hash is that of an empty token: make one with --new-token");
    return -1;
}

static int read_limit(shoald_token *t, const char *text, char *why, size_t why_size)
{
    const struct {
        const char *name;
        int *to, most;
    } limits[] = {
        { "sessions=", &t->most_sessions, 100000 },
        { "depth=", &t->most_depth, 255 },
        { "rate=", &t->sessions_a_minute, 100000 },
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        size_t n = strlen(limits[i].name);
        char *end;
        if (strncmp(text, limits[i].name, n) != 0)
            continue;
        long value = strtol(text + n, &end, 10);
        if (text[n] >= '0' && text[n] <= '9' && !*end && value >= 1 && value <= limits[i].most &&
            *limits[i].to == 0) {
            *limits[i].to = (int)value;
            return 0;
        }
        snprintf(why, why_size, "%.*s is to be given once, 1..%d", (int)n - 1, text,
                 limits[i].most);
        return -1;
    }
    snprintf(why, why_size, "what follows the hash is none of sessions=N, depth=N, rate=N");
    return -1;
}

/* 1, 0 (it holds none) or -1. */
static int read_line(shoald_token *t, char *line, char *why, size_t why_size)
{
    char *rest, *word = strtok_r(line, " \t\r\n", &rest);
    memset(t, 0, sizeof *t);
    if (!word || *word == '#')
        return 0;
    if (check_name(word, why, why_size) < 0)
        return -1;
    snprintf(t->name, sizeof t->name, "%s", word);
    word = strtok_r(NULL, " \t\r\n", &rest);
    if (read_hash(t, word ? word : "", why, why_size) < 0)
        return -1;
    while ((word = strtok_r(NULL, " \t\r\n", &rest)) && *word != '#')
        if (read_limit(t, word, why, why_size) < 0)
            return -1;
    t->ready = t->sessions_a_minute;
    return 1;
}

/* ---- the file -------------------------------------------------------------------------- */

static const shoald_token *find_name(const shoald_tokens *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->list[i].name, name) == 0)
            return &t->list[i];
    return NULL;
}

static int add(shoald_tokens *t, const shoald_token *one, char *why, size_t why_size)
{
    if (find_name(t, one->name) || shoald_tokens_find(t, one->hash)) {
        snprintf(why, why_size, "another line has the same %s",
                 find_name(t, one->name) ? "name" : "hash");
        return -1;
    }
    if (t->count == SHOALD_MAX_TOKENS) {
        snprintf(why, why_size, "there are more than %d tokens", SHOALD_MAX_TOKENS);
        return -1;
    }
    shoald_token *list = realloc(t->list, ((size_t)t->count + 1) * sizeof *list);
    if (!list) {
        snprintf(why, why_size, "no memory");
        return -1;
    }
    t->list = list;
    t->list[t->count++] = *one;
    return 0;
}

/* 0 or -1; *number: the line that is wrong, 0: none is. */
static int read_lines(shoald_tokens *t, FILE *f, int *number, char *why, size_t why_size)
{
    char line[512];
    shoald_token one;
    int found = 0;
    *number = 0;
    while (found >= 0 &&
           (found = shoald_lines_next(f, number, line, sizeof line, why, why_size)) > 0) {
        found = read_line(&one, line, why, why_size);
        if (found > 0 && add(t, &one, why, why_size) < 0)
            return -1;
    }
    if (found < 0 || !ferror(f))
        return found < 0 ? -1 : 0;
    *number = 0;
    snprintf(why, why_size, "%s", strerror(errno));
    return -1;
}

int shoald_tokens_read(shoald_tokens *t, const char *path, char *why, size_t why_size)
{
    char cause[192];
    int number = 0;
    memset(t, 0, sizeof *t);
    if (!*path)
        return 0;
    t->required = true;
    FILE *f = shoald_lines_open(path, cause, sizeof cause);
    int result = f ? read_lines(t, f, &number, cause, sizeof cause) : -1;
    if (f)
        fclose(f);
    if (result == 0)
        return 0;
    if (number)
        snprintf(why, why_size, "tokens: %s, line %d: %s", path, number, cause);
    else
        snprintf(why, why_size, "tokens: %s: %s: name a file that shoald's user may read", path,
                 cause);
    shoald_tokens_free(t);
    return -1;
}

void shoald_tokens_free(shoald_tokens *t)
{
    free(t->list);
    memset(t, 0, sizeof *t);
}

void shoald_tokens_replace(shoald_tokens *t, shoald_tokens *fresh)
{
    for (int i = 0; i < fresh->count; i++) {
        shoald_token *now = &fresh->list[i];
        const shoald_token *before = find_name(t, now->name);
        if (!before || before->sessions_a_minute == 0)
            continue;
        now->ready = before->ready < now->ready ? before->ready : now->ready;
        now->filled_ns = before->filled_ns;
    }
    shoald_tokens_free(t);
    *t = *fresh;
    memset(fresh, 0, sizeof *fresh);
}

/* ---- a request's token ----------------------------------------------------------------- */

void shoald_token_hash(uint8_t hash[SHOALD_TOKEN_HASH], const void *token, size_t n)
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, n, token);
    sha256_digest(&state, SHOALD_TOKEN_HASH, hash);
}

/* All of them, each byte of each: neither the time nor the branches say how near a guess was. */
shoald_token *shoald_tokens_find(const shoald_tokens *t, const uint8_t hash[SHOALD_TOKEN_HASH])
{
    int found = -1;
    for (int i = 0; i < t->count; i++) {
        int same = memeql_sec(t->list[i].hash, hash, SHOALD_TOKEN_HASH);
        found = (found & (same - 1)) | (i & -same);
    }
    return found < 0 ? NULL : &t->list[found];
}

int shoald_token_begin(shoald_token *t, uint64_t now_ns)
{
    const double most = t->sessions_a_minute, a_ns = most / 60e9;
    if (t->sessions_a_minute == 0)
        return 0;
    t->ready += t->filled_ns && now_ns > t->filled_ns ? (double)(now_ns - t->filled_ns) * a_ns : 0;
    t->ready = t->ready < most ? t->ready : most;
    t->filled_ns = now_ns;
    if (t->ready < 1)
        return 1 + (int)((1 - t->ready) / a_ns / 1e6);
    t->ready -= 1;
    return 0;
}

/* ---- a new one ------------------------------------------------------------------------- */

/* The word in front lets people and scanners of repositories see what it is. */
int shoald_token_make(const char *name, char token[SHOALD_TOKEN_SIZE], char *line, size_t line_size,
                      char *why, size_t why_size)
{
    static const char front[] = "shoal_";
    uint8_t random[32], hash[SHOALD_TOKEN_HASH];
    char text[BASE64_ENCODE_LENGTH(sizeof random) + BASE64_ENCODE_FINAL_LENGTH];
    char hex[BASE16_ENCODE_LENGTH(sizeof hash) + 1];
    struct base64_encode_ctx state;
    if (check_name(name, why, why_size) < 0)
        return -1;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        snprintf(why, why_size, "the system gives no random bytes: %s", strerror(errno));
        return -1;
    }
    base64url_encode_init(&state);
    size_t n = base64_encode_update(&state, text, sizeof random, random);
    n += base64_encode_final(&state, text + n);
    snprintf(token, SHOALD_TOKEN_SIZE, "%s%.43s", front, n ? text : "");
    shoald_token_hash(hash, token, strlen(token));
    base16_encode_update(hex, sizeof hash, hash);
    hex[sizeof hex - 1] = '\0';
    snprintf(line, line_size, "%s %s", name, hex);
    return 0;
}

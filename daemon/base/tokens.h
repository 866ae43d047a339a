/* tokens.h - who may use the service: names, hashes of secret tokens, and what each may have
 *
 *     # NAME HASH [sessions=N] [depth=N] [rate=N]
 *     ward-3 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 sessions=20 depth=6
 *
 * HASH is the SHA-256 of the token in hex. A token is random (256 bits, shoald_token_make), so a
 * plain hash of it tells nobody what it was, and the file is no secret. The name is what is counted
 * by and what the log shows; the token itself is never kept. Loop thread only.
 */
#ifndef SHOALD_TOKENS_H
#define SHOALD_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHOALD_TOKEN_NAME = 33, /* with its NUL */
    SHOALD_TOKEN_HASH = 32,
    SHOALD_TOKEN_SIZE = 50, /* of one that is made here, with its NUL */
    SHOALD_MAX_TOKENS = 1000
};

typedef struct shoald_token {
    char name[SHOALD_TOKEN_NAME];
    uint8_t hash[SHOALD_TOKEN_HASH];
    int most_sessions;     /* at once; 0: any number, as for the other two */
    int most_depth;        /* of its sessions and their outputs */
    int sessions_a_minute; /* begun; as many may begin at once after a pause */
    double ready;          /* how many may begin now */
    uint64_t filled_ns;    /* as of then */
} shoald_token;

typedef struct shoald_tokens {
    bool required;      /* false: no file is named, and everybody may */
    shoald_token *list; /* owned */
    int count;
} shoald_tokens;

/* path "": none are required. 0, or -1 and why (file, line, cause); then there is nothing to free.
 */
int shoald_tokens_read(shoald_tokens *t, const char *path, char *why, size_t why_size);
void shoald_tokens_free(shoald_tokens *t); /* a zeroed one is fine */
/* Take the place of *t: what their sessions have used up of a rate stays so. fresh is taken. */
void shoald_tokens_replace(shoald_tokens *t, shoald_tokens *fresh);

void shoald_token_hash(uint8_t hash[SHOALD_TOKEN_HASH], const void *token, size_t n);
/* NULL: nobody's. Takes as long for any hash as for any other of this list. */
shoald_token *shoald_tokens_find(const shoald_tokens *t, const uint8_t hash[SHOALD_TOKEN_HASH]);
/* One session more begins: 0, or how many ms until the next one may. */
int shoald_token_begin(shoald_token *t, uint64_t now_ns);

/* A token of 256 random bits, and the line of the file that lets it in. 0, or -1 and why. */
int shoald_token_make(const char *name, char token[SHOALD_TOKEN_SIZE], char *line, size_t line_size,
                      char *why, size_t why_size);

#endif

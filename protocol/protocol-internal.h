/* protocol-internal.h - what the files of protocol/ share and nobody else sees
 *
 * Writing: a shoal__text appends to a caller's shoal_buf and remembers the first failure, so
 * that encoders read as the message they write; shoal__text_end rolls back if there was one.
 * Reading: a shoal__in is a sticky-error cursor over a JSON object: after the first failure
 * every getter returns something harmless and *err keeps the first cause.
 */
#ifndef SHOAL_PROTOCOL_INTERNAL_H
#define SHOAL_PROTOCOL_INTERNAL_H

#include <jansson.h>

#include "shoal-protocol.h"

/* ---- numbers in files, the highest byte first ---- */

static inline uint64_t shoal__big(const unsigned char *p, int bytes)
{
    uint64_t x = 0;

    for (int i = 0; i < bytes; i++)
        x = x << 8 | p[i];
    return x;
}

/* ---- writing text (text.c) ---- */

typedef struct shoal__text {
    shoal_buf *b;
    size_t start; /* b->size to go back to */
    int failed;
} shoal__text;

void shoal__text_begin(shoal__text *t, shoal_buf *out);
int shoal__text_end(shoal__text *t);
/* Integers and trusted ASCII only: the locale must not matter (no %f), nor escaping. */
void shoal__text_printf(shoal__text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "key": with a comma before it unless an object has just been opened. */
void shoal__text_member(shoal__text *t, const char *key);
void shoal__text_char(shoal__text *t, char c);
/* Length of the UTF-8 sequence at s, 0 if it is not one (overlong, surrogate, > U+10FFFF). Reads no
 * further than the first byte that does not belong to it, 0 for one. */
size_t shoal__utf8_length(const unsigned char *s);
/* A JSON string with quotes. Bytes that are not UTF-8 become U+FFFD. */
void shoal__text_string(shoal__text *t, const char *s);
/* x in [0, 1e9] with that many decimals (0..4); fails outside. */
void shoal__text_decimal(shoal__text *t, double x, int decimals);
/* 1764270000.123 of milliseconds, which are not negative. */
void shoal__text_ms(shoal__text *t, int64_t ms);
/* "t0":..., where it is said, with the comma before it. */
void shoal__text_t0(shoal__text *t, int64_t t0_ms);
/* The shortest of up to 9 digits that keeps every bit; null if not finite. */
void shoal__text_float(shoal__text *t, float x);

/* ---- reading JSON (json_in.c) ---- */

typedef struct shoal__in {
    json_t *obj; /* borrowed; NULL after a failure */
    shoal_error *err;
    int failed;
} shoal__in;

/* One JSON object of at most max bytes. New reference, or NULL with *err. */
json_t *shoal__json_load(const char *text, size_t n, size_t max, shoal_error *err);

void shoal__in_fail(shoal__in *in, const char *key, const char *expected);
int shoal__in_int(shoal__in *in, const char *key, int min, int max);
uint64_t shoal__in_count(shoal__in *in, const char *key, uint64_t max);
double shoal__in_real(shoal__in *in, const char *key, double min, double max);
int shoal__in_bool(shoal__in *in, const char *key);
void shoal__in_string(shoal__in *in, const char *key, char *dst, size_t size);
int64_t shoal__in_t0(shoal__in *in); /* 0: it is not there */
shoal__in shoal__in_object(shoal__in *in, const char *key);
json_t *shoal__in_array(shoal__in *in, const char *key); /* borrowed; NULL after a failure */

/* Type of a message among first..last, UNKNOWN for any other (messages_client.c). */
shoal_msg_type shoal__msg_type_of(const json_t *obj, shoal_msg_type first, shoal_msg_type last);

/* ---- packets (packet.c) ---- */

int shoal__packet_valid(const shoal_packet *p); /* every field but the encoding in range */
uint32_t shoal__packet_row_ms(const shoal_packet *p);

/* ---- options as JSON (options_text.c) ---- */

/* One member of a start or set message. Same rules as shoal_options_add. */
int shoal__options_add_json(shoal_options *o, const char *key, const json_t *value,
                            shoal_error *err);
/* The members of a `ready`: unknown ones are skipped, and what the table says is always told must
 * be there. */
void shoal__options_read_json(shoal_options *o, shoal__in *in);
/* "format":"s16le","rate":16000,... of the fields in which. */
void shoal__options_write_json(shoal__text *t, const shoal_options *o, unsigned which);

/* ---- the table of options (options.c) ---- */

enum shoal__option_kind {
    SHOAL__INT,
    SHOAL__NAME,
    SHOAL__DEPTH,
    SHOAL__OUTPUT,
    SHOAL__PROGRAM, /* text at offset, as the next; "": not said */
    SHOAL__MODEL,
    SHOAL__CHANNEL, /* a name, or the number that is its place */
    SHOAL__TIME     /* seconds since 1970; int64_t milliseconds at offset, 0: not said */
};

typedef struct shoal__option {
    const char *name;
    unsigned bit; /* SHOAL_OPT_* */
    enum shoal__option_kind kind;
    size_t offset;            /* of its field in shoal_options; DEPTH and OUTPUT have several */
    int min, max, step;       /* INT */
    const char *const *names; /* NAME: by enum value; OUTPUT: by bit number; NULL ends */
    const char *allowed;      /* for people */
    int always; /* every server of version 1 tells it in `ready`, the first ones, too */
} shoal__option;

extern const shoal__option shoal__options[]; /* name NULL ends */
int shoal__option_get(const shoal_options *o, const shoal__option *row);
/* The text of a PROGRAM or MODEL; NULL: it is neither. */
const char *shoal__option_word(const shoal_options *o, const shoal__option *row);

/* ---- queries (options_text.c) ---- */

typedef struct shoal__span {
    const char *at;
    size_t n;
} shoal__span;

/* A query, which may begin with its '?', as shoal__query_next takes it. */
shoal__span shoal__query_begin(const char *query, size_t n);
/* The next NAME=VALUE of a query, as it stands there; empty ones are passed over.
 * 0: there is none. */
int shoal__query_next(shoal__span *rest, shoal__span *pair);

/* ---- coming back (resume.c) ---- */

int shoal__ticket_valid(const char *ticket); /* "" is: there is none */

/* ---- values as text (errors.c) ---- */

/* dst = n bytes of s made printable ASCII, cut with "..." where too long. */
void shoal__printable(char *dst, size_t size, const char *s, size_t n);

#endif

/* seen.h - what a decoder keeps of a file that it reads once, and what that says of its end */
#ifndef SHOALD_SEEN_H
#define SHOALD_SEEN_H

#include "shoal-wire.h"

#include <sndfile.h>
#include <stdbool.h>

enum { SHOALD_SEEN_HEAD_BYTES = 256 << 10 };

typedef struct shoald_seen {
    unsigned char *head; /* [SHOALD_SEEN_HEAD_BYTES] the file's beginning; the owner's */
    shoal_tail tail;     /* what came last */
    shoal_ogg_pages pages;
    sf_count_t got; /* bytes that have come */
} shoald_seen;

/* The next n bytes of the file. */
void shoald_seen_keep(shoald_seen *s, const unsigned char *bytes, size_t n);
/* Bytes of the head that are there. */
size_t shoald_seen_head(const shoald_seen *s);
/* Of a kind (SF_FORMAT_OGG...) that tells its end: was it cut off before? */
bool shoald_seen_has_no_end(const shoald_seen *s, int kind);
/* libsndfile has come to its end at byte `end`, and some bytes behind it have been kept: are they
 * another recording, or sound that the header does not know of? */
bool shoald_seen_has_more(const shoald_seen *s, int kind, sf_count_t end);

#endif

/* leap.h - does a leap ahead in a file leave out sound?
 *
 * A reader of a stream cannot go back to what it has leapt over. libsndfile leaps while it reads a
 * header: over pictures and notes, which nobody wants, and over the sound, to see what is behind
 * it. Pure.
 */
#ifndef SHOALD_LEAP_H
#define SHOALD_LEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct shoald_leap {
    const unsigned char *head; /* the file's beginning, [from] at most */
    const unsigned char *last; /* [last_size] what came last before it */
    size_t last_size;
    int64_t from, to; /* bytes of the file */
} shoald_leap;

/* true only where that is known: within an ID3 tag at the beginning, or from the head of a chunk
 * that is not the sound's. No more than 64 MiB. */
bool shoald_leap_is_beside_sound(const shoald_leap *l);

#endif

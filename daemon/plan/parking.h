/* parking.h - how many sessions may wait for their clients, how long, and with what
 *
 * A session whose link broke is parked: it holds its slot and its memory, and costs no time. All of
 * that is bounded, and the oldest goes first. Pure; times are nanoseconds of any clock.
 */
#ifndef SHOALD_PARKING_H
#define SHOALD_PARKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct shoald_parking_limits {
    int window_ms; /* 0: nobody is parked */
    int sessions;
    uint64_t bytes;
    int percent; /* of both, for the sessions of one address */
} shoald_parking_limits;

/* Those that are parked now. */
typedef struct shoald_parked {
    int sessions;
    uint64_t bytes;
} shoald_parked;

/* May a session that has so many bytes be parked at all? One may have a sixteenth of what there is,
 * lest it drives out all others. */
bool shoald_parking_takes(const shoald_parking_limits *l, uint64_t bytes);
/* Has one address, with so many, more than its share? A single session is never too many. */
bool shoald_parking_is_greedy(const shoald_parking_limits *l, const shoald_parked *of_one);
/* Must the oldest go? free_slots: sessions that could still come. One place is left to them. */
bool shoald_parking_is_over(const shoald_parking_limits *l, const shoald_parked *p, int free_slots);
bool shoald_parking_is_past(const shoald_parking_limits *l, uint64_t since_ns, uint64_t now_ns);
/* Bytes of results to keep after they were sent: of the whole window, `most` at most. */
size_t shoald_parking_kept_bytes(const shoald_parking_limits *l, size_t bytes_a_second,
                                 size_t most);

typedef enum shoald_coverage {
    SHOALD_COVERED,
    SHOALD_FORGOTTEN, /* what comes next is kept no more */
    SHOALD_NEVER_SENT /* it claims more than there was */
} shoald_coverage;

/* A client has `got` messages of `sent`, of which those from number `from` on are kept. */
shoald_coverage shoald_parking_covers(uint64_t sent, uint64_t from, uint64_t got);

/* base_ms to one and a half of it: those who are refused together do not come back together. */
int shoald_spread_ms(int base_ms, uint32_t chance);

#endif

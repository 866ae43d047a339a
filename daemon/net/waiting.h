/* waiting.h - the connections that are no sessions, by age, and who goes when there are too many
 *
 * Whoever comes last always gets in: what an attacker holds is oldest and goes first, while an
 * honest client sends its request at once, and a health check too. Those without a request have a
 * reserve that no other state can take: of the whole, a quarter may linger after their answer and
 * half may leave theirs unread. So first goes the oldest of a state that has more than its share,
 * then the oldest without a request: of the newcomer's own neighbourhood if there are too many of
 * that, else of all.
 *
 * Pure: the owner embeds a member in its connection, and ends whom shoald_waiting_victim names.
 */
#ifndef SHOALD_WAITING_H
#define SHOALD_WAITING_H

#include "base/peer.h"

typedef enum shoald_standing {
    SHOALD_ASKING,    /* no request yet, or none after the last answer */
    SHOALD_LINGERING, /* answered; its last bytes are read so that the answer arrives */
    SHOALD_ANSWERING, /* an answer waits for its reader */
    SHOALD_STANDINGS
} shoald_standing;

typedef struct shoald_member {
    struct shoald_member *older, *newer;
    shoald_standing standing;
    const shoald_peer *peer;
} shoald_member;

typedef struct shoald_waiting {
    shoald_member *oldest[SHOALD_STANDINGS], *newest[SHOALD_STANDINGS];
    int counts[SHOALD_STANDINGS];
} shoald_waiting;

void shoald_waiting_add(shoald_waiting *p, shoald_member *m, const shoald_peer *peer);
/* Becomes the newest of its new standing. */
void shoald_waiting_move(shoald_waiting *p, shoald_member *m, shoald_standing standing);
void shoald_waiting_remove(shoald_waiting *p, shoald_member *m);
/* Who has to go before one from this peer is added; NULL: nobody. near_limit: how many of one
 * neighbourhood may be asking; 0: any number; it does not hold for local peers. */
shoald_member *shoald_waiting_victim(const shoald_waiting *p, const shoald_peer *newcomer,
                                     int limit, int near_limit);

#endif

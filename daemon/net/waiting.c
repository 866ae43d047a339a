/* waiting.c - see waiting.h */
#include "net/waiting.h"

#include <stddef.h>

static void link_newest(shoald_waiting *p, shoald_member *m)
{
    m->newer = NULL;
    m->older = p->newest[m->standing];
    if (m->older)
        m->older->newer = m;
    else
        p->oldest[m->standing] = m;
    p->newest[m->standing] = m;
    p->counts[m->standing]++;
}

static void unlink_member(shoald_waiting *p, shoald_member *m)
{
    if (m->older)
        m->older->newer = m->newer;
    else
        p->oldest[m->standing] = m->newer;
    if (m->newer)
        m->newer->older = m->older;
    else
        p->newest[m->standing] = m->older;
    p->counts[m->standing]--;
}

void shoald_waiting_add(shoald_waiting *p, shoald_member *m, const shoald_peer *peer)
{
    m->peer = peer;
    m->standing = SHOALD_ASKING;
    link_newest(p, m);
}

void shoald_waiting_move(shoald_waiting *p, shoald_member *m, shoald_standing standing)
{
    unlink_member(p, m);
    m->standing = standing;
    link_newest(p, m);
}

void shoald_waiting_remove(shoald_waiting *p, shoald_member *m)
{
    unlink_member(p, m);
}

/* The oldest near the newcomer that asks, if there are as many as there may be. */
static shoald_member *too_many_near(const shoald_waiting *p, const shoald_peer *newcomer, int limit)
{
    shoald_member *oldest = NULL;
    int count = 0;
    for (shoald_member *m = p->oldest[SHOALD_ASKING]; m; m = m->newer) {
        if (!shoald_peer_is_near(m->peer, newcomer))
            continue;
        oldest = oldest ? oldest : m;
        count++;
    }
    return count >= limit ? oldest : NULL;
}

/* Of a state with more than its share, or else of one that asks for nothing. */
static shoald_member *oldest_of_all(const shoald_waiting *p, int limit)
{
    if (p->counts[SHOALD_LINGERING] > limit / 4)
        return p->oldest[SHOALD_LINGERING];
    if (p->counts[SHOALD_ANSWERING] > limit / 2)
        return p->oldest[SHOALD_ANSWERING];
    return p->oldest[SHOALD_ASKING];
}

shoald_member *shoald_waiting_victim(const shoald_waiting *p, const shoald_peer *newcomer,
                                     int limit, int near_limit)
{
    int count =
        p->counts[SHOALD_ASKING] + p->counts[SHOALD_LINGERING] + p->counts[SHOALD_ANSWERING];
    shoald_member *victim = NULL;
    if (near_limit > 0 && !shoald_peer_is_local(newcomer))
        victim = too_many_near(p, newcomer, near_limit);
    return victim || count < limit ? victim : oldest_of_all(p, limit);
}

/* parking.c - see parking.h */
#include "plan/parking.h"

#include "plan/times.h"

enum { SHARES = 16, LEAST_KEPT = 8 << 10 };

bool shoald_parking_takes(const shoald_parking_limits *l, uint64_t bytes)
{
    return l->window_ms > 0 && l->sessions > 0 && bytes <= l->bytes / SHARES;
}

bool shoald_parking_is_greedy(const shoald_parking_limits *l, const shoald_parked *of_one)
{
    uint64_t percent = (uint64_t)l->percent;
    return of_one->sessions > 1 &&
           ((uint64_t)of_one->sessions * 100 > (uint64_t)l->sessions * percent ||
            of_one->bytes * 100 > l->bytes * percent);
}

bool shoald_parking_is_over(const shoald_parking_limits *l, const shoald_parked *p, int free_slots)
{
    return p->sessions > 0 && (p->sessions > l->sessions || p->bytes > l->bytes ||
                               l->window_ms == 0 || free_slots < 1);
}

bool shoald_parking_is_past(const shoald_parking_limits *l, uint64_t since_ns, uint64_t now_ns)
{
    return now_ns > since_ns && now_ns - since_ns >= (uint64_t)l->window_ms * SHOALD_NS_PER_MS;
}

size_t shoald_parking_kept_bytes(const shoald_parking_limits *l, size_t bytes_a_second, size_t most)
{
    uint64_t all = (uint64_t)bytes_a_second * (uint64_t)l->window_ms / 1000;
    if (l->window_ms == 0)
        return 0;
    all = all > LEAST_KEPT ? all : LEAST_KEPT;
    return all < most ? (size_t)all : most;
}

shoald_coverage shoald_parking_covers(uint64_t sent, uint64_t from, uint64_t got)
{
    return got > sent ? SHOALD_NEVER_SENT : got < from ? SHOALD_FORGOTTEN : SHOALD_COVERED;
}

int shoald_spread_ms(int base_ms, uint32_t chance)
{
    return base_ms + (int)((uint64_t)base_ms * (chance % 1001) / 2000);
}

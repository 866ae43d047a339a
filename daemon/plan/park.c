/* park.c - see park.h */
#include "plan/park.h"

enum { SHARES = 16, LEAST_KEPT = 8 << 10 };

bool shoald_park_takes(const shoald_park_limits *l, uint64_t bytes)
{
    return l->window_ms > 0 && l->sessions > 0 && bytes <= l->bytes / SHARES;
}

bool shoald_park_is_greedy(const shoald_park_limits *l, const shoald_parked *of_one)
{
    uint64_t percent = (uint64_t)l->percent;
    return of_one->sessions > 1 &&
           ((uint64_t)of_one->sessions * 100 > (uint64_t)l->sessions * percent ||
            of_one->bytes * 100 > l->bytes * percent);
}

bool shoald_park_is_over(const shoald_park_limits *l, const shoald_parked *p, int free_slots)
{
    return p->sessions > 0 && (p->sessions > l->sessions || p->bytes > l->bytes ||
                               l->window_ms == 0 || free_slots < 1);
}

bool shoald_park_is_past(const shoald_park_limits *l, uint64_t since_ns, uint64_t now_ns)
{
    return now_ns > since_ns && now_ns - since_ns >= (uint64_t)l->window_ms * 1000000u;
}

size_t shoald_park_kept_bytes(const shoald_park_limits *l, size_t bytes_a_second, size_t most)
{
    uint64_t all = (uint64_t)bytes_a_second * (uint64_t)l->window_ms / 1000;
    if (l->window_ms == 0)
        return 0;
    all = all > LEAST_KEPT ? all : LEAST_KEPT;
    return all < most ? (size_t)all : most;
}

shoald_coverage shoald_park_covers(uint64_t sent, uint64_t from, uint64_t got)
{
    return got > sent ? SHOALD_NEVER_SENT : got < from ? SHOALD_FORGOTTEN : SHOALD_COVERED;
}

bool shoald_ticket_is(const unsigned char a[SHOALD_TICKET_BYTES],
                      const unsigned char b[SHOALD_TICKET_BYTES])
{
    volatile unsigned char differ = 0; /* or a compiler may stop where it knows enough */
    for (int i = 0; i < SHOALD_TICKET_BYTES; i++)
        differ = differ | (a[i] ^ b[i]);
    return differ == 0;
}

int shoald_spread_ms(int base_ms, uint32_t chance)
{
    return base_ms + (int)((uint64_t)base_ms * (chance % 1001) / 2000);
}

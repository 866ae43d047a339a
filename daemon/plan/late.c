/* late.c - see late.h */
#include "plan/late.h"

#include "plan/times.h"

#define PATIENCE_NS (2 * SHOALD_NS_PER_S) /* before a session goes, and before the next one does */
#define REFUSE_PART 4                     /* of the limit */

bool shoald_late_step(shoald_late *l, uint64_t late_ns, uint64_t limit_ns, uint64_t now_ns)
{
    l->most_ns = late_ns;
    if (limit_ns == 0 || late_ns <= limit_ns) {
        l->since_ns = 0;
        return false;
    }
    if (l->since_ns == 0)
        l->since_ns = now_ns;
    if (now_ns - l->since_ns < PATIENCE_NS)
        return false;
    l->since_ns = now_ns;
    return true;
}

bool shoald_late_refuses(const shoald_late *l, uint64_t limit_ns)
{
    return limit_ns > 0 && l->most_ns > limit_ns / REFUSE_PART;
}

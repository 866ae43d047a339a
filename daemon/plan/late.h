/* late.h - when a worker is so late that somebody has to leave it
 *
 * The last resort, when depth is as low as it may be and the machine has lost speed under those
 * who are in: later than the limit for two seconds, one session goes, and another each two
 * seconds until the worker catches up. From a quarter of the limit on nobody new is let in.
 * Which session goes is decided in govern.c. Pure; times are nanoseconds of any clock.
 */
#ifndef SHOALD_LATE_H
#define SHOALD_LATE_H

#include <stdbool.h>
#include <stdint.h>

/* of a worker */
typedef struct shoald_late {
    uint64_t most_ns;  /* that a chunk was late before the last step */
    uint64_t since_ns; /* since when that is above the limit; 0: it is not */
} shoald_late;

/* late_ns: most that a chunk was late since the last step. limit_ns 0: none. true: one must go. */
bool shoald_late_step(shoald_late *l, uint64_t late_ns, uint64_t limit_ns, uint64_t now_ns);
/* Too late for anybody new. */
bool shoald_late_refuses(const shoald_late *l, uint64_t limit_ns);

#endif

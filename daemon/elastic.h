/* elastic.h - the ceiling of depth that a worker's elastic sessions live under
 *
 * Down at once, to between the marks, when the projected load is above the high mark or the
 * worker says that chunks would be late. Up again a layer at a time, after a while, as long as
 * the load with one layer more stays below the low mark. From the bottom to twelve layers in 7 s.
 * Pure; times are nanoseconds of any clock.
 */
#ifndef SHOALD_ELASTIC_H
#define SHOALD_ELASTIC_H

#include "load.h"

typedef struct shoald_marks {
    double high, low;        /* shares of a worker; low <= high */
} shoald_marks;

typedef struct shoald_elastic {
    int ceiling, depths;     /* 1..depths */
    uint64_t rest_ns;        /* no rise before */
} shoald_elastic;

void shoald_elastic_init(shoald_elastic *e, int depths);
/* pressed: ceiling at which the worker says that chunks are in time, 0: they are. Returns the
 * ceiling from now on. */
int shoald_elastic_step(shoald_elastic *e, const shoald_marks *marks, const shoald_load *load,
                        int pressed, uint64_t now_ns);

#endif

/* elastic.h - the ceiling of depth that a worker's elastic sessions live under
 *
 * Under a ceiling of 5 a stream has at most 5 layers, and costs at most what 5 of the first model
 * cost (load.h). So the streams of a dear model give up theirs before those of the first do.
 *
 * Down at once, to between the marks, when the projected load is above the high mark or the
 * worker says that chunks would be late. Up again a layer at a time, after a while, as long as
 * the load with one layer more stays below the low mark and nothing is late. From the bottom to
 * twelve layers in 7 s. Where the projection was too good, so that the worker had to step in after
 * a rise, the next rise waits longer, up to 4 s.
 * Pure; times are nanoseconds of any clock.
 */
#ifndef SHOALD_ELASTIC_H
#define SHOALD_ELASTIC_H

#include "plan/load.h"

typedef struct shoald_marks {
    double high, low; /* shares of a worker; low <= high */
} shoald_marks;

typedef struct shoald_elastic {
    int ceiling, depths;  /* 1..depths */
    uint64_t rest_ns;     /* no rise before */
    uint64_t patience_ns; /* how long to rest after the next fall */
    uint64_t fell_ns;     /* when the worker last had to step in */
} shoald_elastic;

/* of a worker, since the last step */
typedef struct shoald_news {
    int pressed;      /* ceiling at which chunks would be in time; 0: they are */
    uint64_t late_ns; /* most that one was late */
} shoald_news;

void shoald_elastic_init(shoald_elastic *e, int depths);
/* More depths than before: a ceiling that was none stays none. */
void shoald_elastic_deepen(shoald_elastic *e, int depths);
/* Returns the ceiling from now on. */
int shoald_elastic_step(shoald_elastic *e, const shoald_marks *marks, const shoald_load *load,
                        const shoald_news *news, uint64_t now_ns);

#endif

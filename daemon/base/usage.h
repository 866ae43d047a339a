/* usage.h - what this process takes of the machine, for /metrics */
#ifndef SHOALD_USAGE_H
#define SHOALD_USAGE_H

#include <stdint.h>

typedef struct shoald_usage {
    double cpu_s;      /* user and system, all threads */
    double started_s;  /* since 1970, by today's clock: it moves when the clock is set */
    uint64_t resident; /* bytes */
    uint64_t virtual;  /* bytes */
    int descriptors, max_descriptors, threads;
} shoald_usage;

/* up_s: seconds since the start. What cannot be read (no /proc) is 0. */
shoald_usage shoald_usage_read(double up_s);

#endif

/* usage.h - what this process takes of the machine, for /metrics */
#ifndef SHOALD_USAGE_H
#define SHOALD_USAGE_H

#include <stdint.h>

typedef struct shoald_usage {
    double cpu_s;      /* user and system, all threads */
    uint64_t resident; /* bytes */
    uint64_t virtual;  /* bytes */
    int descriptors, max_descriptors, threads;
} shoald_usage;

/* What cannot be read (no /proc) is 0. */
shoald_usage shoald_usage_read(void);
/* Seconds since 1970. For people: whoever sets the clock moves it. */
double shoald_usage_today(void);

#endif

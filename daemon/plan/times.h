/* times.h - how many nanoseconds there are; all clocks of the daemon count them */
#ifndef SHOALD_TIMES_H
#define SHOALD_TIMES_H

#include <stdint.h>

#define SHOALD_NS_PER_MS UINT64_C(1000000)
#define SHOALD_NS_PER_S  UINT64_C(1000000000)

#endif

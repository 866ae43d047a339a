/* metrics.h - the page /metrics, in Prometheus' text format */
#ifndef SHOALD_METRICS_H
#define SHOALD_METRICS_H

#include "session/house.h"
#include "shoal-protocol.h"

/* The whole page. 0 or -1. */
int shoald_metrics_write(shoal_buf *out, const shoald_house *house);

#endif

/* rows.h - rows of features, of every kind that an output asks for, on their way to packets */
#ifndef SHOALD_ROWS_H
#define SHOALD_ROWS_H

#include "lane.h"
#include "work/bench.h"
#include "work/state.h"

/* What a run has of them, in the order of docs/protocol.md, section 7. */
void shoald_rows_deliver(shoald_lane *l, shoald_bench *w, shoald_output *out,
                         const shoald_run *run);
/* Forget what is not among kinds. */
void shoald_rows_close(shoald_output *out, unsigned kinds);

#endif

/* turn.h - a worker's turn: which of the chunks that are ready run now, and which wait
 *
 * A run is never interrupted, so whoever becomes ready in its midst waits for its end. Live chunks
 * run as soon as they can, earliest deadline first (edf.h). A chunk that came far faster than real
 * time is due to nobody yet: its run must not be what live ones wait for. So it is patient and runs
 * only in a gap: when nothing else is ready, and no live chunk is expected before it would be
 * through. A stream that sends in real time is expected a chunk after its last one. One that is
 * overdue may come at any moment, or have paused: it is waited for, but a run may then take as long
 * as it has already been missed, so that it is kept waiting no longer than it kept others.
 *
 * Patience lasts three quarters of a chunk: by then a chunk takes its turn like any other, beside
 * whatever is live. So an upload gets real time and some more, however busy the worker is, and
 * whatever is left over besides.
 * Pure; times are nanoseconds of any clock.
 */
#ifndef SHOALD_TURN_H
#define SHOALD_TURN_H

#include "plan/edf.h"

#include <stdbool.h>

/* Further ahead than that nobody live is, whatever his network held up and let go at once. */
#define SHOALD_AHEAD_NS 500000000u

/* Until when a chunk that has just become ready waits for a gap; 0: it does not wait. release_ns
 * as of shoald_edf_release. */
uint64_t shoald_turn_patience(uint64_t release_ns, uint64_t chunk_ns, uint64_t now_ns);

/* When a live stream's next chunk is expected. expected_ns: when this one was, 0: it was not;
 * complete_ns: when it was there. Where chunks come a little early and late by turns, the mean of
 * them tells best. */
uint64_t shoald_turn_expect(uint64_t expected_ns, uint64_t complete_ns, uint64_t chunk_ns);

/* true: the stream expected then has paused for so long that nobody waits for it any more. */
bool shoald_turn_paused(uint64_t expected_ns, uint64_t now_ns);

/* What a turn depends on. */
typedef struct shoald_turn_view {
    const shoald_cost *cost;
    int ceiling;  /* of depth, at most */
    bool elastic; /* lower it if chunks would be late */
    int batch_frames;
    double run_ns;               /* how long a run should be */
    const uint64_t *expected_ns; /* [expected] when live streams will have their next chunk */
    int expected;
    uint64_t now_ns;
} shoald_turn_view;

typedef struct shoald_turn {
    int count;         /* due[0..count) run together; 0: all that is ready waits */
    shoald_work work;  /* what they are */
    int ceiling;       /* at which they run (shoald_edf_depth) */
    uint64_t again_ns; /* count 0: when to ask again if nothing has come before */
} shoald_turn;

/* due[0..n), n > 0, is put into another order. */
shoald_turn shoald_turn_take(shoald_due *due, int n, const shoald_turn_view *v);

#endif

/* roster.h - the lanes of a worker: who comes, who has something to do, who goes
 *
 *     inbox -+------------------------------> active: it has been here, so it enters at once
 *            +-> chores, a few a turn -+----> active: its first mail; it gets its memory
 *                                      +----> outbox: its last, marked; its memory is given back
 *
 * Worker thread only, but for the mailboxes (lane.h). Lanes are the loop's; the roster looks at one
 * from its first mail until it puts the marked one into the outbox, and never after. Benches and
 * lists are the roster's own; the lists are made at init, large enough for ever.
 *
 * What takes memory from the system, or gives it back, is a chore, since nobody's chunk shall wait
 * for a crowd. Chores keep their order among themselves, which is all that a lane needs: none has
 * other mail before its first or after its last.
 */
#ifndef SHOALD_ROSTER_H
#define SHOALD_ROSTER_H

#include "lane.h"
#include "work/bench.h"

typedef struct shoald_roster {
    /* set at init, then constant */
    shoald_port *port; /* the worker's */
    int max_lanes, batch_frames;

    shoald_bench *benches;                 /* one a model */
    shoald_bench spare;                    /* to say that there was no memory for one */
    char spare_text[SHOAL_MAX_TEXT_BYTES]; /* what that writes into */
    shoald_lane **active;                  /* [max_lanes] those with something to do */
    int active_count;
    shoald_lane **paced; /* [max_lanes] those that send in real time */
    int paced_count;
    void **chores; /* [2 max_lanes] mail, a ring: two a lane at most */
    int chore_first, chore_count;
} shoald_roster;

/* service: the default model, which gets a bench. port and r stay where they are. 0 or a negative
 * SHOAL_E*; also then r must be freed. */
int shoald_roster_init(shoald_roster *r, shoald_port *port, shoald_service *service, int max_lanes,
                       int batch_frames);
void shoald_roster_free(shoald_roster *r); /* a zeroed one is fine */

void shoald_roster_take_mail(shoald_roster *r);
/* So many of what waits that a crowd is in within some ten turns. */
void shoald_roster_do_chores(shoald_roster *r);
/* The last time: all that has come and waits. */
void shoald_roster_end(shoald_roster *r);

/* active[i] has nothing to do till there is mail of it; another one takes its place. */
void shoald_roster_leave(shoald_roster *r, int i);
/* l is among the paced from now on, if it was not. */
void shoald_roster_pace(shoald_roster *r, shoald_lane *l);
/* paced[i] is no more; another one takes its place. */
void shoald_roster_unpace(shoald_roster *r, int i);

#endif

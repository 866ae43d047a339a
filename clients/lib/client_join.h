/* client_join.h - results of several connections as one session's; pure
 *
 *     connection 1:  frame 0 ..................... 812 |
 *     connection 2:             0 = base ............... | 812 ...
 *                               what was given before is dropped
 *
 * Frames, samples, times and numbers of results count on from the first connection; of each output
 * every frame, phone and turn of speech is given once.
 */
#ifndef SHOAL_CLIENT_JOIN_H
#define SHOAL_CLIENT_JOIN_H

#include "lib/client_events.h"

/* One output as far as it was given: a kind of rows, phones or activity, at the session's depth or
 * at one of its own. */
typedef struct shoal__given {
    int what, tap;
    uint64_t next_frame; /* rows: the next; activity: behind the last turn */
    double end;          /* of the last phone, seconds */
    int speech;          /* activity: it is speech */
} shoal__given;

enum { SHOAL__MAX_GIVEN = 8 * (1 + SHOAL_MAX_TAPS) };

typedef struct shoal__join {
    int rate;                         /* of the audio; once the first READY has come */
    int again;                        /* this is not the first connection */
    uint64_t base_frame, base_sample; /* where this connection begins in the session */
    shoal__given given[SHOAL__MAX_GIVEN];
    int count;
    uint32_t next_seq;
    /* what the program was given, of all connections */
    uint64_t packets, phones, frames, received, processed;
    uint64_t link_packets, link_phones; /* of this connection, dropped ones too */
} shoal__join;

/* A new connection begins there. */
void shoal__join_again(shoal__join *j, uint64_t base_frame, uint64_t base_sample);
/* Frames of which every output has its rows; at most `frames`, where there are none. */
uint64_t shoal__join_rows_done(const shoal__join *j, uint64_t frames);
/* An event as shoal__event_make has filled it in, from scratch -> one of the session. 1: it is to
 * be given; 0: it was given before. */
int shoal__join_take(shoal__join *j, shoal__scratch *scratch, shoal_client_event *e);

#endif

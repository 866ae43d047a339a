/* client_events.h - a message of the server becomes an event; pure
 *
 * Two parts, so that a program with thousands of sessions needs little for each: what is known
 * of a session (shoal__progress, small), and what an event points to (shoal__scratch, 12 KB and
 * rows), which the sessions of one thread may share.
 */
#ifndef SHOAL_CLIENT_EVENTS_H
#define SHOAL_CLIENT_EVENTS_H

#include "shoal-client.h"

typedef struct shoal__scratch {
    shoal_server_msg msg; /* of the last event */
    int has_msg;          /* it must be given back */
    int no_rows;          /* set by the owner: nobody looks at rows, spare their conversion */
    shoal_packet packet;
    float *rows;
    size_t rows_cap; /* floats */
} shoal__scratch;

typedef struct shoal__progress {
    uint64_t packets, phones;     /* given out */
    uint64_t frames;              /* one past the last feature frame given out, of any kind */
    uint64_t received, processed; /* samples, as the server last said */
    uint64_t seq_gaps;            /* results that are missing by their numbers */
    uint32_t next_seq;            /* of the next result: they count from 0 without gaps */
    int ready, done;              /* these came */
    shoal_code error_code;        /* of the last error */
} shoal__progress;

/* Fill in *e (zeroed first) from one whole message (SHOAL__TEXT, SHOAL__BINARY); bytes must stay
 * until the event has been used. Returns 1; 0: nothing to tell (a message of a newer server); -1:
 * it makes no sense, or memory is out: *err says so. */
int shoal__event_make(shoal__progress *p, shoal__scratch *scratch, int kind, const void *bytes,
                      size_t n, shoal_client_event *e, shoal_error *err)
    __attribute__((warn_unused_result));
/* Give back what the last event pointed to. */
void shoal__scratch_release(shoal__scratch *scratch);
void shoal__scratch_free(shoal__scratch *scratch);

#endif

/* file_latency.h - how late results are, counted in audio; pure
 *
 * A message's audio was there when what its results cover, and what the model looks ahead, had been
 * said: that is when a server that computes in no time sends it. So the figures are the same on a
 * busy machine as on an idle one, and with --fast as with --realtime.
 *
 *     settled        from a phone's end to the message that gives it
 *     before a pause the same, of phones that 200 ms of silence follow
 *     first shown    from a phone's end to the message that first had it as tentative (or gave it)
 */
#ifndef FILE_LATENCY_H
#define FILE_LATENCY_H

#include <stdio.h>

#include "shoal-protocol.h"

enum { FILE_LATENCY_SETTLED, FILE_LATENCY_PAUSE, FILE_LATENCY_SHOWN, FILE_LATENCY_KINDS };

/* Milliseconds. */
typedef struct file_latency_list {
    double *ms;
    size_t count, room;
} file_latency_list;

typedef struct file_latency {
    file_latency_list of[FILE_LATENCY_KINDS];
    int shown_before; /* settled phones that had been tentative before, same label, start within 40
                         ms */
    int algorithmic_ms; /* of a frame, as `ready` says; the longest of all sessions; 0: none yet */
    int depth;          /* of the session that said it */
} file_latency;

/* Of one session. */
typedef struct file_latency_watch {
    int rate, ahead_ms; /* of the session */
    struct {
        shoal_wire_phone phone;
        double first; /* when it was first shown, seconds */
    } shown[SHOAL_MAX_TENTATIVE];
    int shown_count;
    double last_end, last_wait; /* of the last settled phone; seconds, ms; < 0: none */
} file_latency_watch;

void file_latency_free(file_latency *l);
void file_latency_begin(file_latency *l, file_latency_watch *w, const shoal_ready *r);
/* A message at the session's depth; over: it was sent because the audio had ended, and says
 * nothing. 0, or -1: no memory. */
int file_latency_take(file_latency *l, file_latency_watch *w, const shoal_phones *m, int over);
/* The sessions of other threads. 0, or -1: no memory. */
int file_latency_add(file_latency *to, const file_latency *from);
/* p: 0..100; -1: there is none */
double file_latency_percentile(const file_latency_list *l, int p);
/* server: JSON of /v1/depths, or NULL. */
void file_latency_print(FILE *f, file_latency *l, const char *depths);

#endif

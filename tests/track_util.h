/* track_util.h - a session of the daemon's worker, without sockets, threads or a clock
 *
 *     track_begin("output=mel&every=5");
 *     track_audio(8000);              // of one long signal, at the session's rate and format
 *     track_control(SHOALD_IN_FLUSH, "x", 2);
 *     track_end();                    // runs to the end; what came is in `track`
 *     ... track.packets, track.texts ...
 *     track_free();
 *
 * The small test model; options go the way of a client's: parsed, granted, and into the track.
 */
#ifndef TRACK_UTIL_H
#define TRACK_UTIL_H

#include <check.h>

#include "lane.h"
#include "shoal-protocol.h"
#include "work/bench.h"
#include "work/state.h"

enum { TRACK_MOST = 4096 };

typedef struct track_packet {
    shoal_packet p;
    float *values; /* [frames, dim] */
    int place;     /* among everything that came */
} track_packet;

typedef struct track_text {
    char *text;
    int close_code, place;
} track_text;

typedef struct track_state {
    shoald_service service;
    shoald_port port;
    shoald_bench bench;
    shoald_lane lane;
    size_t sent; /* samples of the signal */
    track_packet packets[TRACK_MOST];
    track_text texts[TRACK_MOST];
    int packet_count, text_count, place;
} track_state;

extern track_state track;

void track_begin(const char *query);
/* The next samples, each the same in all channels: s16le. */
void track_audio(size_t samples);
/* What track_audio sends: sample i of the signal. */
int16_t track_sample(size_t i);
void track_put(int kind, const void *bytes, size_t n);
void track_set(const shoal_options *effective);
/* As far as it goes, and collect what came. */
void track_work(void);
/* End, and all that is left. Fails unless the session ends with done. */
void track_end(void);
void track_free(void);

/* All rows of one kind and tap, one below the other: [*rows, *dim], owned by the caller. Fails if
 * they leave holes. */
float *track_rows(shoal_kind kind, int tap, int depth, size_t *rows, int *dim);
/* The n-th text that holds `what`; NULL: there is none. */
const char *track_find(const char *what, int n);
/* A number in a text, behind "name":. */
double track_number(const char *text, const char *name);

#endif

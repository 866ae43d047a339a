/* tune.h - what the files of shoal-tune share
 *
 *     shoal-tune.c    main: clips, passes, choice, report
 *     tune_options.c  command line -> tune_options; the manual
 *     tune_clips.c    files, folders, a list with transcripts -> clips
 *     tune_stream.c   one clip through one session, at full speed or in real time
 *     tune_pass.c     at one chunk length, all depths as taps of one session
 *     tune_live.c     the choice once more, in real time
 *     tune_price.c    what each setting costs: /v1/depths of the same server
 *     tune_measure.c  errors, disagreement, lateness, intervals              pure
 *     tune_choose.c   goal -> choice, and why the neighbours lost             pure
 *     tune_report.c, tune_json.c, tune_plot.c   what a person, a program, an eye sees of it
 *
 * A setting is a chunk length and a depth. What it hears of a clip is compared with what the
 * deepest one at the longest chunk hears (disagreement: needs no transcript, and bounds how many
 * errors more it can make), and with the transcript where there is one (phone error rate).
 *
 * Lateness is computed, not timed: from a phone's end to the moment at which the audio was there
 * that its message needed. A busy machine or network does not move it; tune_live.c looks once at
 * what comes on top.
 */
#ifndef SHOAL_TUNE_H
#define SHOAL_TUNE_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/client_tls.h"
#include "shoal-client.h"
#include "tool/tool_options.h"

enum {
    TUNE_MAX_CHUNKS = 8,
    TUNE_MAX_DEPTHS = SHOAL_MAX_TAPS,
    TUNE_PAUSE_MS = 200, /* of silence after a phone make it the last one before a pause */
    TUNE_RESAMPLES = 1000
};

enum { TUNE_EXIT_FAILED = 1, TUNE_EXIT_GOAL = 3, TUNE_EXIT_INTERRUPTED = 130 };

/* What is wanted of a setting; 0: does not matter. */
typedef struct tune_goal {
    double latency_ms; /* settled phones, 90 % of them */
    double within;     /* errors more than the best setting's, of 100 phones */
    double cpu_ms;     /* of a core, for a second of audio */
} tune_goal;

typedef struct tune_options {
    tool_server server;
    shoal_options session; /* model and program, where they are given */
    const char *list;      /* file of paths and transcripts; NULL: none */
    const char *json, *svg;
    int chunks[TUNE_MAX_CHUNKS], chunk_count;
    int live, quiet;
    tune_goal goal;
    char *const *paths;
    int path_count;
} tune_options;

/* Labels of phones, as numbers of the model's list; owned. */
typedef struct tune_labels {
    uint8_t *at;
    int count, room;
} tune_labels;

typedef struct tune_numbers {
    double *at;
    int count, room;
} tune_numbers;

typedef struct tune_clip {
    char *path;
    tune_labels said; /* the transcript */
    int has_said;
} tune_clip;

typedef struct tune_clips {
    tune_clip *at;
    int count, room;
} tune_clips;

/* The server's model, as `ready` tells it. */
typedef struct tune_model {
    char name[SHOAL_MAX_ID + 1], sha256[65];
    char labels[SHOAL_MAX_CLASSES][SHOAL_MAX_LABEL + 1];
    int classes, depth;
} tune_model;

/* What one setting heard of all clips, and what that says. */
typedef struct tune_setting {
    int chunk_ms, depth;
    tune_labels *heard;       /* [clips] */
    int *differs, *wrong;     /* [clips] edits against the reference setting; the transcript */
    tune_numbers late, pause; /* ms, of settled phones; of those before a pause */
    double disagreement, per; /* of 100 phones; per < 0: no transcripts */
    double settled[3];        /* p50, p90, p99; NAN: no phones */
    double settled_pause;     /* p90 */
    double algorithmic_ms;    /* chunk and look-ahead: when a frame's posteriors can be there */
    double cpu_ms;            /* NAN: the server does not tell */
    double cost; /* what settings are compared by: cpu_ms; depth if any of them is not told */
} tune_setting;

typedef struct tune_grid {
    tune_model model;
    tune_clips clips;
    int chunks[TUNE_MAX_CHUNKS], depths[TUNE_MAX_DEPTHS];
    int chunk_count, depth_count;
    tune_setting *at; /* [chunks][depths] */
    double audio_s;   /* of all clips */
} tune_grid;

static inline tune_setting *tune_at(const tune_grid *g, int chunk, int depth)
{
    return &g->at[chunk * g->depth_count + depth];
}

/* Ctrl-C, seen by every loop. */
extern volatile sig_atomic_t tune_interrupted;

/* ---- tune_options.c, tune_clips.c ---- */

/* -1 to go on, or the exit code. */
int tune_options_parse(tune_options *o, int argc, char *const *argv);

/* Whatever the command line names, in order. 0, or -1 after a line on stderr. */
int tune_clips_find(tune_clips *clips, const tune_options *o);
/* The transcripts of o->list, once the labels are known. 0, or -1 after a line on stderr. */
int tune_clips_transcribe(tune_clips *clips, const tune_options *o, const tune_model *model);
void tune_clips_free(tune_clips *clips);
int tune_labels_add(tune_labels *l, int label);              /* 0 or -1: out of memory */
int tune_model_label(const tune_model *m, const char *name); /* -1: it has none of that name */

/* ---- tune_stream.c ---- */

typedef struct tune_stream {
    const tune_options *o; /* which server, and how to reach it */
    const char *path;
    shoal_options options; /* format, rate and channels are the file's */
    int realtime;
    double most_s; /* seconds of the file; 0: all of it */
    /* now_s: since the first sample was sent */
    void (*take)(void *user, const shoal_client_event *e, double now_s);
    void *user;
    double seconds; /* out: of audio sent */
    int cut;        /* out: the file ends before its end */
    int cancels;    /* out: its channels are each other's inverse, their mean is silence */
} tune_stream;

/* Waits and tries again while the server is full or restarts. 0, or -1 after a line on stderr. */
int tune_stream_run(tune_stream *t);
/* 1, or 0 with cause and remedy in why. */
int tune_stream_can_read(const char *path, char *why, size_t why_size);

/* ---- tune_pass.c ---- */

/* What `ready` says of the model. 0, or -1 after a line on stderr. */
int tune_ask_model(const tune_options *o, const char *path, tune_model *model);
/* A clip through all depths at chunk number `chunk`. 0, or -1 after a line on stderr. */
int tune_pass(const tune_options *o, tune_grid *g, int chunk, int clip, double *seconds);

/* ---- tune_live.c ---- */

typedef struct tune_live {
    double settled[2]; /* p50, p90, ms, from a phone's end to its message, by the clock */
    double seconds;    /* of audio */
    int phones;
} tune_live;

/* Clips in real time, up to 20 s of them. 0, or -1 after a line on stderr. */
int tune_live_run(const tune_options *o, const tune_grid *g, const tune_setting *s, tune_live *out);

/* ---- tune_price.c ---- */

/* Fill in cpu_ms and cost of each setting. 0, or -1: no prices at all; why: a sentence. */
int tune_price(const tune_options *o, tune_grid *g, char *why, size_t why_size);

/* ---- tune_measure.c ---- */

/* Substitutions, insertions and deletions; -1: out of memory. */
int tune_edits(const tune_labels *a, const tune_labels *b);
/* The q-th part (0..1) of values, which it sorts; NAN if there are none. */
double tune_percentile(tune_numbers *n, double q);
int tune_numbers_add(tune_numbers *n, double x); /* 0 or -1: out of memory */
/* From what was heard to the rest of each setting. 0 or -1: out of memory. */
int tune_measure(tune_grid *g);
/* How many errors of 100 phones `a` makes more than `b`, and the interval that holds 95 % of
 * resamples of the clips. */
typedef struct tune_difference {
    double mean, low, high;
    int clips; /* about how many more would tell them apart; 0: these do */
} tune_difference;
tune_difference tune_compare(const tune_grid *g, const tune_setting *a, const tune_setting *b);
/* Errors of 100 phones: by transcript where there is one, else disagreement. */
double tune_error(const tune_setting *s);

/* ---- tune_choose.c ---- */

typedef struct tune_choice {
    const tune_setting *best; /* meets the goal, or comes nearest */
    int met;
    double excess;                                   /* of errors over the best setting of all */
    int on_front[TUNE_MAX_CHUNKS * TUNE_MAX_DEPTHS]; /* nothing is better in error, lateness and
                                                      * cost at once */
} tune_choice;

/* Cheapest that meets the goal where `within` is part of it, else the one with fewest errors. */
tune_choice tune_choose(const tune_grid *g, const tune_goal *goal);
/* Errors more than the best setting's. */
double tune_excess(const tune_grid *g, const tune_setting *s);

/* ---- what comes of it ---- */

void tune_report_table(FILE *f, const tune_grid *g, const tune_choice *c);
void tune_report_choice(FILE *f, const tune_options *o, const tune_grid *g, const tune_choice *c,
                        const tune_live *live);
/* 0, or -1 after a line on stderr. */
int tune_json_write(const char *path, const tune_options *o, const tune_grid *g,
                    const tune_choice *c, const tune_live *live);
int tune_plot_write(const char *path, const tune_options *o, const tune_grid *g,
                    const tune_choice *c);

#endif

/* out.h - where the results of one audio file go: text, JSON lines, NPY, Kaldi, TextGrid, ...
 *
 *     out_run    one a program run, or one a thread of it: the folder, the inputs that must not be
 *                overwritten, the names written so far, which threads share
 *     out        one writer for one input file; a small object with six operations
 *
 *     out *o;
 *     if (out_npy_open(&o, &run, "a.wav", why, sizeof why) < 0) ...
 *     o->ops->features(o, &rows, why, sizeof why);     // any number of times
 *     o->ops->finish(o, duration, why, sizeof why);    // the file appears under its name
 *     o->ops->free(o);                                 // without finish: leaves nothing behind
 *
 * A writer that keeps a file writes NAME.part and renames it at the end, so that a name never
 * stands for half a file. All operations return 0, or -1 with the cause in why. One thread.
 */
#ifndef OUT_H
#define OUT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "out/out_print.h"

typedef struct out out;
typedef struct out_run out_run;

/* Where results come from. An output is named by kind and tap: "phones", or "phones@4". */
typedef struct out_source {
    int tap;   /* depth that was asked for with @; 0: the session's */
    int depth; /* layers used */
} out_source;

typedef struct out_phone {
    const char *label;
    double start, end; /* seconds in the file */
    float confidence;  /* 0..1 */
} out_phone;

typedef struct out_activity {
    int speech;  /* 1: begins here; 0: ended here */
    double time; /* seconds in the file */
} out_activity;

typedef struct out_features {
    const char *kind; /* "posteriors", "embedding", "hidden" or "mel" */
    int64_t first_frame;
    int frames, dim;
    out_source from;
    double start, row_seconds; /* of the first row; of each */
    const float *rows;         /* [frames, dim] */
} out_features;

typedef struct out_ops {
    /* Once for each output before its results, so that one without any has its array or tier.
     * dim: values a row; 0 for phones and activity */
    int (*announce)(out *o, const char *kind, int tap, int dim, char *why, size_t why_size);
    int (*phones)(out *o, out_source from, const out_phone *phones, int n, char *why,
                  size_t why_size);
    int (*features)(out *o, const out_features *features, char *why, size_t why_size);
    int (*activity)(out *o, out_source from, const out_activity *activity, char *why,
                    size_t why_size);
    /* What may still change, all of it: replaces what was shown before. NULL: has no use for it */
    int (*tentative)(out *o, out_source from, const out_phone *phones, int n, char *why,
                     size_t why_size);
    int (*finish)(out *o, double duration, char *why, size_t why_size); /* seconds of audio */
    void (*free)(out *o);
} out_ops;

struct out {
    const out_ops *ops;
};

/* Names that were written, of all threads. */
typedef struct out_names {
    pthread_mutex_t lock;
    char **names; /* owned */
    int count;
} out_names;

#define OUT_NAMES_INIT                                                                             \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }
void out_names_free(out_names *n); /* what is in it */

struct out_run {
    const char *dir;     /* folder for files; NULL: that of each input */
    char *const *inputs; /* paths that must not be overwritten */
    int input_count;
    int channel;          /* the one of the input that results are of, from 1; 0: all */
    out_print *printer;   /* of stdout */
    FILE *print;          /* for text and JSON lines: stdout, or what will be printed there */
    int on_tty;           /* print is a terminal */
    int colour;           /* and may be told to write dim */
    const double *priors; /* [prior_count] of the classes: for out_kaldi; NULL: none */
    int prior_count;
    out_names *written; /* NULL: a name may be written twice */
};

typedef int out_open(out **out, out_run *run, const char *input, char *why, size_t why_size);
out_open out_text_open, out_jsonl_open, out_npy_open, out_textgrid_open;
out_open out_labels_open, out_ctm_open, out_kaldi_open;

/* For writers without use for one kind of result. */
int out_ignore_announce(out *o, const char *kind, int tap, int dim, char *why, size_t why_size);
int out_ignore_phones(out *o, out_source from, const out_phone *phones, int n, char *why,
                      size_t why_size);
int out_ignore_features(out *o, const out_features *features, char *why, size_t why_size);
int out_ignore_activity(out *o, out_source from, const out_activity *activity, char *why,
                        size_t why_size);

/* "phones" or "phones@4" */
enum { OUT_NAME_SIZE = 32 };
void out_name(char name[OUT_NAME_SIZE], const char *kind, int tap);

/* The input's name without folder and suffix, blanks as '_': what names it in lists of other
 * programs. The caller frees. */
char *out_key(const char *input);
/* Where its results go: DIR/STEM[.chN].SUFFIX. The caller frees; NULL: no memory. */
char *out_path(const out_run *run, const char *input, const char *suffix);
/* Little-endian. 0 or -1. */
int out_write_floats(FILE *f, const float *x, size_t n);

/* ---- for the writers: a file that appears when it is whole ---- */

typedef struct out_file {
    FILE *f;
    char *path; /* DIR/STEM.SUFFIX */
    char *part; /* the same with .part, while it is written */
} out_file;

/* Create DIR/<stem of input>.suffix. Refuses the name of an input, and a name that this run has
 * already written (two inputs of the same stem). */
int out_file_open(out_file *file, out_run *run, const char *input, const char *suffix, char *why,
                  size_t why_size);
/* Close and rename; nothing is there to free afterwards, also on failure. */
int out_file_commit(out_file *file, char *why, size_t why_size);
void out_file_discard(out_file *file); /* a zeroed out_file is fine */
int out_file_error(const out_file *file, char *why, size_t why_size); /* errno -> why, -1 */
/* Flush what was printed; -1 when it did not go out (disk full, reader gone). */
int out_print_flush(FILE *f, char *why, size_t why_size);

#endif

/* out_jsonl.c - one JSON object a line on stdout
 *
 *   phone:    {"file": "a.wav", "phone": "HH", "start": 0.34, "end": 0.42, "confidence": 0.91,
 *              "depth": 6}
 *   feature:  {"file": "a.wav", "output": "posteriors", "frame": 17, "start": 0.34, "end": 0.36,
 *              "depth": 6, "values": [...]}
 *   activity: {"file": "a.wav", "activity": "speech", "time": 0.34, "depth": 6}
 *
 * Results of one channel (--channel each) have "channel": 2.
 * Results of an output with a depth of its own (phones@4) have "tap": 4 before "depth", which is
 * the depth really used. Scripts rely on these names. Times are seconds in the file. A file name
 * that is not UTF-8 is printed with '?' for the bytes that JSON cannot hold.
 */
#include "out/out.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct out_jsonl {
    out base;
    FILE *print;
    json_t *file;
    int channel; /* of the file; 0: all */
} out_jsonl;

static json_t *make_string(const char *text)
{
    json_t *string = json_string(text), *ascii;

    if (string)
        return string;
    char *copy = strdup(text);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    ascii = copy ? json_string(copy) : NULL;
    free(copy);
    return ascii;
}

/* Times are multiples of 20 ms: tenths of a millisecond hold them without noise digits. */
static json_t *make_seconds(double seconds)
{
    return json_real(round(seconds * 1e4) / 1e4);
}

/* Takes over line. */
static int print_line(out_jsonl *j, json_t *line, char *why, size_t why_size)
{
    int bad = !line || json_dumpf(line, j->print, JSON_REAL_PRECISION(8)) < 0;

    json_decref(line);
    if (!line) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    if (!bad)
        fputc('\n', j->print);
    return out_print_flush(j->print, why, why_size);
}

/* line with where it comes from; NULL if there is no memory */
static json_t *add_source(const out_jsonl *j, json_t *line, out_source from)
{
    int bad = !line ||
              (j->channel && json_object_set_new(line, "channel", json_integer(j->channel)) < 0) ||
              (from.tap && json_object_set_new(line, "tap", json_integer(from.tap)) < 0) ||
              json_object_set_new(line, "depth", json_integer(from.depth)) < 0;

    if (!bad)
        return line;
    json_decref(line);
    return NULL;
}

static int jsonl_phones(out *o, out_source from, const out_phone *phones, int n, char *why,
                        size_t why_size)
{
    out_jsonl *j = (out_jsonl *)o;

    for (int i = 0; i < n; i++) {
        json_t *line =
            json_pack("{s:O, s:s, s:o, s:o, s:f}", "file", j->file, "phone", phones[i].label,
                      "start", make_seconds(phones[i].start), "end", make_seconds(phones[i].end),
                      "confidence", round((double)phones[i].confidence * 1e4) / 1e4);
        line = add_source(j, line, from);
        if (print_line(j, line, why, why_size) < 0)
            return -1;
    }
    return 0;
}

static int jsonl_activity(out *o, out_source from, const out_activity *activity, char *why,
                          size_t why_size)
{
    out_jsonl *j = (out_jsonl *)o;
    json_t *line =
        json_pack("{s:O, s:s, s:o}", "file", j->file, "activity",
                  activity->speech ? "speech" : "silence", "time", make_seconds(activity->time));

    return print_line(j, add_source(j, line, from), why, why_size);
}

static json_t *make_row(const float *row, int dim)
{
    json_t *values = json_array();

    for (int i = 0; i < dim; i++)
        json_array_append_new(values, json_real((double)row[i]));
    return values;
}

static int jsonl_features(out *o, const out_features *f, char *why, size_t why_size)
{
    out_jsonl *j = (out_jsonl *)o;

    for (int i = 0; i < f->frames; i++) {
        double start = f->start + i * f->row_seconds;
        int64_t frame = f->first_frame + (int64_t)(i * f->row_seconds / 0.02 + 1e-6);
        json_t *line = json_pack("{s:O, s:s, s:I, s:o, s:o}", "file", j->file, "output", f->kind,
                                 "frame", (json_int_t)frame, "start", make_seconds(start), "end",
                                 make_seconds(start + f->row_seconds));
        line = add_source(j, line, f->from);
        if (line)
            json_object_set_new(line, "values",
                                make_row(f->rows + (size_t)i * (size_t)f->dim, f->dim));
        if (print_line(j, line, why, why_size) < 0)
            return -1;
    }
    return 0;
}

static int jsonl_finish(out *o, double duration, char *why, size_t why_size)
{
    (void)duration;
    return out_print_flush(((out_jsonl *)o)->print, why, why_size);
}

static void jsonl_free(out *o)
{
    json_decref(((out_jsonl *)o)->file);
    free(o);
}

static const out_ops jsonl_ops = { out_ignore_announce, jsonl_phones, jsonl_features,
                                   jsonl_activity,      NULL,         jsonl_finish,
                                   jsonl_free };

int out_jsonl_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    out_jsonl *j = calloc(1, sizeof *j);
    json_t *file = make_string(input);

    if (!j || !file) {
        snprintf(why, why_size, "out of memory");
        free(j);
        json_decref(file);
        return -1;
    }
    *j = (out_jsonl){ { &jsonl_ops }, run->print, file, run->channel };
    *result = &j->base;
    return 0;
}

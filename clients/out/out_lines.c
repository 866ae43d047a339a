/* out_lines.c - phones and activity as lines of text in a file of each output, for other programs
 *
 *     labels: STEM.phones.txt, STEM.activity.txt     Audacity: start TAB end TAB label
 *     ctm:    STEM.phones.ctm, STEM.phones@4.ctm     NIST: STEM 1 start duration phone confidence
 *
 * Seconds. Blanks in the name of a recording, which CTM cannot hold, become '_'.
 */
#include "out/out.h"

#include "shoal-protocol.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 2 * (1 + SHOAL_MAX_TAPS) };

typedef struct lines_file {
    char name[OUT_NAME_SIZE]; /* of the output */
    out_file file;
    int speech; /* activity: it goes on since speech_start */
    double speech_start;
} lines_file;

typedef struct out_lines {
    out base;
    out_run *run;
    char *input;
    char *stem; /* without blanks */
    int ctm;
    lines_file files[MAX_FILES];
    int count;
} out_lines;

static lines_file *find_file(out_lines *o, const char *kind, int tap, char *why, size_t why_size)
{
    char name[OUT_NAME_SIZE], suffix[OUT_NAME_SIZE + 8];
    lines_file *f = o->files;

    out_name(name, kind, tap);
    for (; f < o->files + o->count; f++)
        if (!strcmp(f->name, name))
            return f;
    if (o->count == MAX_FILES) {
        snprintf(why, why_size, "the server sends more outputs than were asked for");
        return NULL;
    }
    memcpy(f->name, name, sizeof name);
    snprintf(suffix, sizeof suffix, "%s.%s", name, o->ctm ? "ctm" : "txt");
    if (out_file_open(&f->file, o->run, o->input, suffix, why, why_size) < 0)
        return NULL;
    o->count++;
    return f;
}

static int lines_announce(out *base, const char *kind, int tap, int dim, char *why, size_t why_size)
{
    out_lines *o = (out_lines *)base;

    if (dim || (o->ctm && strcmp(kind, "phones") != 0))
        return 0;
    return find_file(o, kind, tap, why, why_size) ? 0 : -1;
}

static int check(const lines_file *f, char *why, size_t why_size)
{
    return ferror(f->file.f) ? out_file_error(&f->file, why, why_size) : 0;
}

static int lines_phones(out *base, out_source from, const out_phone *phones, int n, char *why,
                        size_t why_size)
{
    out_lines *o = (out_lines *)base;
    lines_file *f = find_file(o, "phones", from.tap, why, why_size);

    for (int i = 0; f && i < n; i++)
        if (o->ctm)
            fprintf(f->file.f, "%s %d %.3f %.3f %s %.4f\n", o->stem,
                    o->run->channel ? o->run->channel : 1, phones[i].start,
                    phones[i].end - phones[i].start, phones[i].label, (double)phones[i].confidence);
        else
            fprintf(f->file.f, "%.3f\t%.3f\t%s\n", phones[i].start, phones[i].end, phones[i].label);
    return f ? check(f, why, why_size) : -1;
}

static int lines_activity(out *base, out_source from, const out_activity *a, char *why,
                          size_t why_size)
{
    out_lines *o = (out_lines *)base;
    lines_file *f;

    if (o->ctm)
        return 0;
    f = find_file(o, "activity", from.tap, why, why_size);
    if (f && !a->speech && f->speech)
        fprintf(f->file.f, "%.3f\t%.3f\tspeech\n", f->speech_start, a->time);
    if (f) {
        f->speech = a->speech;
        f->speech_start = a->time;
    }
    return f ? check(f, why, why_size) : -1;
}

static int lines_finish(out *base, double duration, char *why, size_t why_size)
{
    out_lines *o = (out_lines *)base;
    int bad = 0;

    for (lines_file *f = o->files; f < o->files + o->count; f++) {
        if (f->speech && duration > f->speech_start) /* the results were cut short */
            fprintf(f->file.f, "%.3f\t%.3f\tspeech\n", f->speech_start, duration);
        bad |= out_file_commit(&f->file, why, why_size);
    }
    o->count = 0;
    return bad;
}

static void lines_free(out *base)
{
    out_lines *o = (out_lines *)base;

    for (int i = 0; i < o->count; i++)
        out_file_discard(&o->files[i].file);
    free(o->input);
    free(o->stem);
    free(o);
}

static const out_ops lines_ops = { lines_announce, lines_phones, out_ignore_features,
                                   lines_activity, NULL,         lines_finish,
                                   lines_free };

static int open_lines(out **result, out_run *run, const char *input, int ctm, char *why,
                      size_t why_size)
{
    out_lines *o = calloc(1, sizeof *o);

    if (!o || !(o->input = strdup(input)) || !(o->stem = out_key(input))) {
        snprintf(why, why_size, "out of memory");
        if (o)
            lines_free(&o->base);
        return -1;
    }
    o->base.ops = &lines_ops;
    o->run = run;
    o->ctm = ctm;
    *result = &o->base;
    return 0;
}

int out_labels_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    return open_lines(result, run, input, 0, why, why_size);
}

int out_ctm_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    return open_lines(result, run, input, 1, why, why_size);
}

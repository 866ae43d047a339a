/* out_textgrid.c - phones as a Praat TextGrid: STEM.TextGrid
 *
 * One interval tier "phones" that covers 0..duration without gap or overlap, as Praat demands:
 * silence is an empty interval, and a last phone that runs into the padding of the last frame
 * is cut at the end of the audio. Phones are kept until the end, because the file states its
 * length and their number first.
 */
#include "out.h"

#include <stdlib.h>
#include <string.h>

typedef struct interval {
    double start, end;
    char text[16];            /* "" for a gap */
} interval;

typedef struct out_textgrid {
    out base;
    out_file file;
    interval *intervals;
    size_t count, room;
} out_textgrid;

static double end_of(const out_textgrid *t)
{
    return t->count ? t->intervals[t->count - 1].end : 0;
}

static int add_interval(out_textgrid *t, double start, double end, const char *text)
{
    if (t->count == t->room) {
        size_t room = t->room * 2 + 256;
        interval *more = realloc(t->intervals, room * sizeof *more);

        if (!more)
            return -1;
        t->intervals = more;
        t->room = room;
    }
    interval *i = &t->intervals[t->count++];
    i->start = start;
    i->end = end;
    snprintf(i->text, sizeof i->text, "%s", text);
    return 0;
}

static int add_phone(out_textgrid *t, const out_phone *p)
{
    double start = p->start > end_of(t) ? p->start : end_of(t);

    if (p->end <= start)
        return 0;
    if (start > end_of(t) && add_interval(t, end_of(t), start, "") < 0)
        return -1;
    return add_interval(t, start, p->end, p->label);
}

static int textgrid_phones(out *o, const out_phone *phones, int n, char *why, size_t why_size)
{
    for (int i = 0; i < n; i++)
        if (add_phone((out_textgrid *)o, &phones[i]) < 0) {
            snprintf(why, why_size, "out of memory");
            return -1;
        }
    return 0;
}

/* Make the tier end exactly at duration. */
static int fit(out_textgrid *t, double duration)
{
    while (t->count && t->intervals[t->count - 1].start >= duration)
        t->count--;
    if (t->count && end_of(t) > duration)
        t->intervals[t->count - 1].end = duration;
    return end_of(t) < duration ? add_interval(t, end_of(t), duration, "") : 0;
}

/* Praat doubles a quote inside a string. */
static void write_text(FILE *f, const char *text)
{
    for (; *text; text++)
        fprintf(f, *text == '"' ? "\"\"" : "%c", *text);
}

static void write_tier(const out_textgrid *t, double duration)
{
    FILE *f = t->file.f;

    fprintf(f, "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n");
    fprintf(f, "xmin = 0 \nxmax = %.10g \ntiers? <exists> \nsize = 1 \nitem []: \n", duration);
    fprintf(f, "    item [1]:\n        class = \"IntervalTier\" \n        name = \"phones\" \n");
    fprintf(f, "        xmin = 0 \n        xmax = %.10g \n", duration);
    fprintf(f, "        intervals: size = %zu \n", t->count);
    for (size_t i = 0; i < t->count; i++) {
        const interval *v = &t->intervals[i];

        fprintf(f, "        intervals [%zu]:\n            xmin = %.10g \n", i + 1, v->start);
        fprintf(f, "            xmax = %.10g \n            text = \"", v->end);
        write_text(f, v->text);
        fprintf(f, "\" \n");
    }
}

static int textgrid_finish(out *o, double duration, char *why, size_t why_size)
{
    out_textgrid *t = (out_textgrid *)o;

    if (duration <= 0) {
        snprintf(why, why_size, "no audio, and Praat cannot read a TextGrid of no length: "
                 "%s is not written", t->file.path);
        return -1;
    }
    if (fit(t, duration) < 0) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    write_tier(t, duration);
    return out_file_commit(&t->file, why, why_size);
}

static void textgrid_free(out *o)
{
    out_textgrid *t = (out_textgrid *)o;

    out_file_discard(&t->file);
    free(t->intervals);
    free(t);
}

static const out_ops textgrid_ops = { textgrid_phones, out_ignore_features, textgrid_finish,
                                      textgrid_free };

int out_textgrid_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    out_textgrid *t = calloc(1, sizeof *t);

    if (!t) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    t->base.ops = &textgrid_ops;
    if (out_file_open(&t->file, run, input, "TextGrid", why, why_size) < 0) {
        free(t);
        return -1;
    }
    *result = &t->base;
    return 0;
}

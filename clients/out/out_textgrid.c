/* out_textgrid.c - phones and activity as a Praat TextGrid: STEM.TextGrid
 *
 * An interval tier an output ("phones", "phones@4", "activity") in the order in which they were
 * asked for. Each covers 0..duration without gap or overlap, as Praat demands: silence is an
 * empty interval, and a last phone that runs into the padding of the last frame is cut at the
 * end of the audio. All is kept until the end, because the file states its length and numbers
 * first.
 */
#include "out/out.h"

#include "shoal-protocol.h"

#include <stdlib.h>
#include <string.h>

typedef struct interval {
    double start, end;
    char text[16]; /* "" for a gap */
} interval;

enum { MAX_TIERS = 2 * (1 + SHOAL_MAX_TAPS) };

typedef struct tier {
    char name[OUT_NAME_SIZE]; /* of the output */
    interval *intervals;
    size_t count, room;
    int speech; /* activity: it goes on since speech_start */
    double speech_start;
} tier;

typedef struct out_textgrid {
    out base;
    out_file file;
    tier tiers[MAX_TIERS];
    int tier_count;
} out_textgrid;

static tier *find_tier(out_textgrid *t, const char *kind, int tap)
{
    char name[OUT_NAME_SIZE];
    int i = 0;

    out_name(name, kind, tap);
    while (i < t->tier_count && strcmp(t->tiers[i].name, name))
        i++;
    if (i == MAX_TIERS)
        return NULL;
    if (i == t->tier_count) {
        memcpy(t->tiers[i].name, name, sizeof name);
        t->tier_count++;
    }
    return &t->tiers[i];
}

static double end_of(const tier *t)
{
    return t->count ? t->intervals[t->count - 1].end : 0;
}

static int add_interval(tier *t, double start, double end, const char *text)
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

static int add_label(tier *t, double start, double end, const char *label)
{
    if (start < end_of(t))
        start = end_of(t);
    if (end <= start)
        return 0;
    if (start > end_of(t) && add_interval(t, end_of(t), start, "") < 0)
        return -1;
    return add_interval(t, start, end, label);
}

static int no_memory(char *why, size_t why_size)
{
    snprintf(why, why_size, "out of memory");
    return -1;
}

static int textgrid_announce(out *o, const char *kind, int tap, int dim, char *why, size_t why_size)
{
    (void)why, (void)why_size;
    if (dim == 0)
        find_tier((out_textgrid *)o, kind, tap);
    return 0;
}

static int textgrid_phones(out *o, out_source from, const out_phone *phones, int n, char *why,
                           size_t why_size)
{
    tier *t = find_tier((out_textgrid *)o, "phones", from.tap);

    for (int i = 0; t && i < n; i++)
        if (add_label(t, phones[i].start, phones[i].end, phones[i].label) < 0)
            return no_memory(why, why_size);
    return 0;
}

static int textgrid_activity(out *o, out_source from, const out_activity *a, char *why,
                             size_t why_size)
{
    tier *t = find_tier((out_textgrid *)o, "activity", from.tap);

    if (!t)
        return 0;
    if (!a->speech && t->speech && add_label(t, t->speech_start, a->time, "speech") < 0)
        return no_memory(why, why_size);
    t->speech = a->speech;
    t->speech_start = a->time;
    return 0;
}

/* Make the tier end exactly at duration; speech may go on if results were cut short. */
static int fit(tier *t, double duration)
{
    if (t->speech && add_label(t, t->speech_start, duration, "speech") < 0)
        return -1;
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

static void write_head(FILE *f, int tiers, double duration)
{
    fprintf(f, "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n");
    fprintf(f, "xmin = 0 \nxmax = %.10g \ntiers? <exists> \nsize = %d \nitem []: \n", duration,
            tiers);
}

static void write_tier(FILE *f, int number, const tier *t, double duration)
{
    fprintf(f, "    item [%d]:\n        class = \"IntervalTier\" \n        name = \"%s\" \n",
            number, t->name);
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
        snprintf(why, why_size,
                 "no audio, and Praat cannot read a TextGrid of no length: "
                 "%s is not written",
                 t->file.path);
        return -1;
    }
    for (int i = 0; i < t->tier_count; i++)
        if (fit(&t->tiers[i], duration) < 0)
            return no_memory(why, why_size);
    write_head(t->file.f, t->tier_count, duration);
    for (int i = 0; i < t->tier_count; i++)
        write_tier(t->file.f, i + 1, &t->tiers[i], duration);
    return out_file_commit(&t->file, why, why_size);
}

static void textgrid_free(out *o)
{
    out_textgrid *t = (out_textgrid *)o;

    out_file_discard(&t->file);
    for (int i = 0; i < t->tier_count; i++)
        free(t->tiers[i].intervals);
    free(t);
}

static const out_ops textgrid_ops = {
    textgrid_announce, textgrid_phones, out_ignore_features, textgrid_activity, NULL,
    textgrid_finish,   textgrid_free
};

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

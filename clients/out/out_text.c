/* out_text.c - phones as aligned columns, one line as soon as each is known
 *
 *      0.34    0.42  HH    0.91
 *      0.34    0.42  HH    0.91  @4        of phones@4
 *      0.30          [speech]              activity: begins, ended
 *      1.86          [silence]
 *
 * start and end in seconds, the phone, its confidence. Lines that begin with # are for people:
 * the file's name when there are several, and the columns' names on a terminal.
 */
#include "out/out.h"

#include <stdlib.h>

typedef struct out_text {
    out base;
    FILE *print;
} out_text;

static void end_line(FILE *print, out_source from)
{
    if (from.tap)
        fprintf(print, "  @%d", from.tap);
    fputc('\n', print);
}

static int text_phones(out *o, out_source from, const out_phone *phones, int n, char *why,
                       size_t why_size)
{
    FILE *print = ((out_text *)o)->print;

    for (int i = 0; i < n; i++) {
        fprintf(print, "%8.2f %8.2f  %-4s  %4.2f", phones[i].start, phones[i].end, phones[i].label,
                (double)phones[i].confidence);
        end_line(print, from);
    }
    return out_print_flush(print, why, why_size);
}

static int text_activity(out *o, out_source from, const out_activity *activity, char *why,
                         size_t why_size)
{
    FILE *print = ((out_text *)o)->print;

    fprintf(print, "%8.2f %8s  [%s]", activity->time, "", activity->speech ? "speech" : "silence");
    end_line(print, from);
    return out_print_flush(print, why, why_size);
}

static int text_finish(out *o, double duration, char *why, size_t why_size)
{
    (void)duration;
    return out_print_flush(((out_text *)o)->print, why, why_size);
}

static void text_free(out *o)
{
    free(o);
}

static const out_ops text_ops = { out_ignore_announce, text_phones, out_ignore_features,
                                  text_activity,       text_finish, text_free };

int out_text_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    out_text *t = calloc(1, sizeof *t);

    if (!t) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    *t = (out_text){ { &text_ops }, run->print };
    *result = &t->base;
    if (run->input_count > 1)
        fprintf(run->print, "# %s\n", input);
    if (run->on_tty)
        fprintf(run->print, "#  start      end  phone  confidence\n");
    return 0;
}

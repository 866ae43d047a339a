/* out_text.c - phones as aligned columns, one line as soon as each is known
 *
 *      0.34    0.42  HH    0.91
 *      0.34    0.42  HH    0.91  @4        of phones@4
 *      0.30          [speech]              activity: begins, ended
 *      1.86          [silence]
 *      1.90     ...  K AE                  on a terminal, dim: what may still change
 *
 * Only the last line is ever rewritten: what may still change gives way to what is sure.
 * start and end in seconds, the phone, its confidence. Lines that begin with # are for people:
 * the file's name when there are several, and the columns' names on a terminal.
 */
#include "out/out.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NARROW = 80, WIDEST = 400 };

typedef struct out_text {
    out base;
    FILE *print;
    int colour;
    int shown;     /* the last line is of what may still change */
    int shown_tap; /* whose: of the output that came first; -1: none has */
} out_text;

static int columns(void)
{
    struct winsize w;
    int n = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : NARROW;

    return n < WIDEST ? n : WIDEST;
}

static void erase(out_text *t)
{
    if (t->shown)
        fputs("\r\033[K", t->print);
    t->shown = 0;
}

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

    erase((out_text *)o);
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

    erase((out_text *)o);
    fprintf(print, "%8.2f %8s  [%s]", activity->time, "", activity->speech ? "speech" : "silence");
    end_line(print, from);
    return out_print_flush(print, why, why_size);
}

/* The newest are what people look at: the oldest go where there is no room for all. */
static int text_tentative(out *o, out_source from, const out_phone *phones, int n, char *why,
                          size_t why_size)
{
    out_text *t = (out_text *)o;
    char line[WIDEST + 64];
    int first = 0, used, room = columns() - 1 - (8 + 10), length = 0;

    t->shown_tap = t->shown_tap < 0 ? from.tap : t->shown_tap;
    if (from.tap != t->shown_tap || (!n && !t->shown))
        return 0;
    erase(t);
    for (int i = n - 1; i >= 0 && length <= room; i--)
        first = (length += (int)strlen(phones[i].label) + 1) <= room + 1 ? i : i + 1;
    if (first < n) {
        used = snprintf(line, sizeof line, "%8.2f %8s ", phones[first].start, "...");
        for (int i = first; i < n; i++)
            used += snprintf(line + used, sizeof line - (size_t)used, " %s", phones[i].label);
        for (char *p = line; !t->colour && *p; p++)
            *p = (char)tolower((unsigned char)*p);
        fprintf(t->print, t->colour ? "\033[2m%s\033[0m" : "%s", line);
        t->shown = 1;
    }
    return out_print_flush(t->print, why, why_size);
}

static int text_finish(out *o, double duration, char *why, size_t why_size)
{
    (void)duration;
    erase((out_text *)o);
    return out_print_flush(((out_text *)o)->print, why, why_size);
}

static void text_free(out *o)
{
    free(o);
}

static const out_ops text_ops = {
    out_ignore_announce, text_phones, out_ignore_features, text_activity, text_tentative,
    text_finish,         text_free
};

/* A line of its own, whatever is in the name. */
static void put_name(FILE *f, const char *name)
{
    fputs("# ", f);
    for (; *name; name++)
        if (iscntrl((unsigned char)*name))
            fprintf(f, "\\x%02x", (unsigned char)*name);
        else
            putc(*name, f);
    putc('\n', f);
}

int out_text_open(out **result, out_run *run, const char *input, char *why, size_t why_size)
{
    out_text *t = calloc(1, sizeof *t);

    if (!t) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    *t = (out_text){ { &text_ops }, run->print, run->colour, 0, -1 };
    *result = &t->base;
    if (run->input_count > 1)
        put_name(run->print, input);
    if (run->on_tty)
        fprintf(run->print, "#  start      end  phone  confidence\n");
    return 0;
}
